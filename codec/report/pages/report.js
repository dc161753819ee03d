// Tabs, sorting and listening. The page is complete without it, but silent.

function setUpTabs(box) {
  const tabs = [...box.querySelectorAll("[role=tab]")];
  const show = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = tab !== chosen;
    }
  };
  const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
  for (const [index, tab] of tabs.entries()) {
    tab.addEventListener("click", () => show(tab));
    tab.addEventListener("keydown", (event) => {
      if (!(event.key in steps)) return;
      event.preventDefault();
      const next = tabs[(index + steps[event.key] + tabs.length) % tabs.length];
      show(next);
      next.focus();
    });
  }
  box.querySelector("[role=tablist]").hidden = tabs.length < 2;
  if (tabs.length) show(tabs[0]);
}

const collator = new Intl.Collator(undefined, { numeric: true });

function compareCells(one, other, falling) {
  const [a, b] = [one, other].map((cell) => (cell.dataset.value === undefined ? null : Number(cell.dataset.value)));
  if (a !== null && b !== null) return falling ? b - a : a - b;
  if (a !== null || b !== null) return a === null ? 1 : -1; // no value: last, whichever way
  const order = collator.compare(one.textContent, other.textContent);
  return falling ? -order : order;
}

function setUpSorting(table) {
  const heads = [...table.tHead.rows[0].cells];
  for (const [column, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falling = head.ariaSort === "ascending";
      for (const other of heads) other.removeAttribute("aria-sort");
      head.ariaSort = falling ? "descending" : "ascending";
      const body = table.tBodies[0];
      const rows = [...body.rows].sort((a, b) => compareCells(a.cells[column], b.cells[column], falling));
      body.append(...rows);
    });
  }
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// One version of the clip: its choice with its key, its scores, its spectrogram with the place in it.
function versionRow(version, index, player, choose) {
  const radio = element("input", { type: "radio", name: "version", checked: index === 0 });
  radio.addEventListener("change", () => choose(index));
  const key = index < 10 ? element("kbd", {}, String(index)) : "";
  const label = element("label", {}, radio, key, element("span", {}, version.name));
  const scores = element("p", { className: "scores" }, version.scores);
  const picture = element("img", { src: version.spectrogram, alt: `Spectrogram: ${version.name}` });
  const cursor = element("span", { className: "cursor" });
  const frame = element("div", { className: "spectrogram" }, picture, cursor);
  frame.addEventListener("click", (event) => {
    const { left, width } = frame.getBoundingClientRect();
    choose(index);
    player.seek(((event.clientX - left) / width) * player.seconds);
  });
  return { node: element("li", {}, element("div", {}, label, scores), frame), radio, cursor };
}

function setUpListening(section) {
  const player = new Player(section);
  const list = section.querySelector("[data-part=versions]");
  const clips = section.querySelector("[data-part=clip]");
  const note = section.querySelector("[data-part=note]");
  let rows = [];
  const choose = (index) => {
    if (!rows[index]) return;
    rows[index].radio.checked = true;
    rows.forEach((row, other) => row.node.classList.toggle("heard", other === index));
    player.select(index);
  };
  const open = () => {
    const clip = JSON.parse(document.getElementById(clips.value).textContent);
    player.open(clip.versions.map((version) => version.audio), clip.seconds);
    rows = clip.versions.map((version, index) => versionRow(version, index, player, choose));
    list.replaceChildren(...rows.map((row) => row.node));
    note.textContent = clip.note;
    choose(0);
  };
  player.onprogress = (share) => {
    for (const { cursor } of rows) cursor.style.left = `${100 * share}%`;
  };
  clips.addEventListener("change", open);
  onDigit(section, choose);
  for (const link of document.querySelectorAll('a[href^="#clip-"]')) {
    link.addEventListener("click", (event) => {
      event.preventDefault();
      clips.value = link.hash.slice(1);
      open();
      section.scrollIntoView();
      section.focus({ preventScroll: true });
    });
  }
  section.querySelector("[data-part=player]").hidden = false;
  open();
}

document.querySelectorAll(".tabbed").forEach(setUpTabs);
document.querySelectorAll("table.sortable").forEach(setUpSorting);
document.querySelectorAll("#listen:has([data-part=player])").forEach(setUpListening);
