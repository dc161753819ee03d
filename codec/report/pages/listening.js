// A blind test: its trials follow from the seed, its answers are kept in the browser until they are saved to a file.

const byId = (id) => document.getElementById(id);
const facts = JSON.parse(byId("test").textContent);
const key = JSON.parse(atob(facts.key)); // clip: { opaque id: the system's name, or null for the reference }
const STORE = `diveq-codec listening ${facts.trials_id}`; // answers fit no other trials
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const letter = (index) => LETTERS[index] ?? `Version ${index + 1}`;

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// mulberry32 by Tommy Ettinger (public domain): numbers in [0, 1) from a seed of 32 bits.
function randomNumbers(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

function shuffled(items, random) {
  const copy = [...items];
  for (let last = copy.length - 1; last > 0; last -= 1) {
    const other = Math.floor(random() * (last + 1));
    [copy[last], copy[other]] = [copy[other], copy[last]];
  }
  return copy;
}

const referenceOf = (clip) => Object.keys(key[clip]).find((id) => key[clip][id] === null);
const codedOf = (clip) => Object.keys(key[clip]).filter((id) => ![null, facts.anchor].includes(key[clip][id]));

// All versions of each clip in an order of their own.
function ratingTrials({ seed }) {
  const random = randomNumbers(seed);
  return shuffled(facts.clips, random).map((clip) => ({ clip, ids: shuffled(Object.keys(key[clip.id]), random) }));
}

// Pairs of a reference and a system: all of them in random order, again and again, until there are `count`.
function abxTrials({ seed, count }) {
  const random = randomNumbers(seed);
  const pairs = facts.clips.flatMap((clip) => codedOf(clip.id).map((id) => ({ clip, id })));
  const trials = [];
  while (trials.length < count) {
    for (const { clip, id } of shuffled(pairs, random)) {
      const ids = shuffled([referenceOf(clip.id), id], random);
      trials.push({ clip, id, ids, x: random() < 0.5 ? "a" : "b" });
    }
  }
  return trials.slice(0, count);
}

const trialsOf = (state) => (state.kind === "abx" ? abxTrials(state) : ratingTrials(state));

const memory = {
  load() {
    try {
      return JSON.parse(localStorage.getItem(STORE));
    } catch {
      return null; // storage is forbidden, or holds something else
    }
  },
  save(state) {
    try {
      if (state) localStorage.setItem(STORE, JSON.stringify(state));
      else localStorage.removeItem(STORE);
    } catch {
      byId("task").textContent += " (This browser keeps nothing: do not close the page before you have saved.)";
    }
  },
};

function answerOf(state, trial, answer) {
  const systems = key[trial.clip.id];
  if (state.kind !== "abx") {
    return { clip: trial.clip.name, ratings: trial.ids.map((id) => ({ system: systems[id], rating: answer[id] })) };
  }
  const a = systems[trial.ids[0]] === null ? "reference" : "system";
  return { clip: trial.clip.name, system: systems[trial.id], a, x: trial.x, answer, correct: answer === trial.x };
}

function answersFile(state) {
  const trials = trialsOf(state);
  return {
    format: "diveq-codec listening 1",
    evaluation: facts.evaluation,
    data: facts.data,
    test: state.kind,
    listener: state.listener,
    seed: state.seed,
    started: state.started,
    saved: new Date().toISOString(),
    trials: trials.length,
    answers: state.answers.map((answer, index) => answerOf(state, trials[index], answer)),
  };
}

function download(state) {
  const text = JSON.stringify(answersFile(state), null, 1);
  const url = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  const name = state.listener.replace(/[^\p{L}\p{N}]+/gu, "-") || "listener";
  element("a", { href: url, download: `${state.kind}-${name}-${state.seed}.json` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

// The chance that guessing gives at least so many right ones.
function guessing(right, total) {
  let term = 0.5 ** total;
  let sum = 0;
  for (let hits = 0; hits <= total; hits += 1) {
    if (hits >= right) sum += term;
    term *= (total - hits) / (hits + 1);
  }
  return sum;
}

function summary(state) {
  const values = new Map();
  const put = (system, value) => values.set(system, [...(values.get(system) ?? []), value]);
  for (const answer of answersFile(state).answers) {
    if (state.kind === "abx") put(answer.system, answer.correct ? 1 : 0);
    else for (const { system, rating } of answer.ratings) put(system ?? "Hidden reference", rating);
  }
  const sum = (numbers) => numbers.reduce((total, number) => total + number, 0);
  const mean = (numbers) => sum(numbers) / numbers.length;
  const rows = [...values].sort(([, a], [, b]) => mean(b) - mean(a));
  if (state.kind === "abx" && rows.length > 1) rows.push(["All", rows.flatMap(([, right]) => right)]);
  return state.kind === "abx"
    ? rows.map(([system, right]) => [system, `${sum(right)} of ${right.length}`, guessing(sum(right), right.length).toFixed(3)])
    : rows.map(([system, ratings]) => [system, mean(ratings).toFixed(1), String(ratings.length)]);
}

function resultTable(state) {
  const heads = state.kind === "abx" ? ["System", "Right", "By guessing (p)"] : ["System", "Mean rating", "Ratings"];
  const cells = (row) => row.map((text, column) => element("td", { className: column ? "number" : "" }, text));
  const head = heads.map((text, column) => element("th", { scope: "col", className: column ? "number" : "" }, text));
  const table = element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...summary(state).map((row) => element("tr", {}, ...cells(row)))),
  );
  return element("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Results" }, table);
}

class ListeningTest {
  constructor() {
    this.player = new Player(byId("trial"));
    this.state = null;
    this.rows = [];
    onDigit(byId("trial"), (index) => this.choose(index));
    byId("setup").addEventListener("submit", (event) => this.begin(event));
    byId("setup").addEventListener("change", () => this.showCount());
    this.showCount();
    for (const id of ["save", "save-now"]) byId(id).addEventListener("click", () => download(this.state));
    for (const id of ["restart", "again"]) byId(id).addEventListener("click", () => this.restart());
    this.newSeed();
    const kept = memory.load();
    if (kept) this.resume(kept);
  }

  showCount() {
    byId("count-field").hidden = byId("setup").elements.kind.value !== "abx";
  }

  newSeed() {
    byId("setup").elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0] % 1_000_000;
  }

  begin(event) {
    event.preventDefault();
    const { kind, count, listener, seed } = byId("setup").elements;
    this.resume({
      kind: kind.value,
      count: Number(count.value),
      listener: listener.value.trim(),
      seed: Number(seed.value),
      started: new Date().toISOString(),
      answers: [],
    });
    memory.save(this.state);
  }

  resume(state) {
    this.state = state;
    this.trials = trialsOf(state);
    this.show();
  }

  restart() {
    const saved = "Start over? Answers that you have not saved are lost.";
    if (!confirm(saved)) return;
    this.player.open([], 0);
    this.state = null;
    memory.save(null);
    this.newSeed();
    this.show();
  }

  show() {
    const { state } = this;
    const finished = state !== null && state.answers.length >= this.trials.length;
    byId("setup").hidden = state !== null;
    byId("trial").hidden = state === null || finished;
    byId("end").hidden = !finished;
    if (finished) this.showEnd();
    else if (state) this.showTrial();
  }

  showEnd() {
    this.player.open([], 0);
    const { listener } = this.state;
    byId("end-words").textContent = `These are the results${listener ? ` of ${listener}` : ""}. Save the answers: `
      + "the file is what the makers of the test need.";
    byId("result").replaceChildren(resultTable(this.state));
    byId("end-title").focus();
  }

  showTrial() {
    const number = this.state.answers.length;
    const trial = this.trials[number];
    const { seconds, audio } = JSON.parse(byId(trial.clip.id).textContent);
    byId("trial-title").textContent = `Trial ${number + 1} of ${this.trials.length}`;
    Object.assign(byId("progress"), { value: number, max: this.trials.length });
    if (this.state.kind === "abx") this.showAbx(trial, audio, seconds);
    else this.showRating(trial, audio, seconds);
    this.choose(0);
    byId("trial-title").focus();
  }

  showAbx(trial, audio, seconds) {
    byId("task").textContent = "A and B differ. Which of them is X?";
    const ids = [...trial.ids, trial.ids[trial.x === "a" ? 0 : 1]];
    this.open(ids.map((id) => audio[id]), seconds, ["A", "B", "X"].map((name) => [name, null]), 1);
    const decide = (answer) => element("button", { type: "button", className: "main", onclick: () => this.answer(answer) },
      `X is ${answer.toUpperCase()}`);
    byId("decisions").replaceChildren(decide("a"), decide("b"));
  }

  showRating(trial, audio, seconds) {
    byId("task").textContent = "How near is each version to the reference? One of them is the reference itself: "
      + "it belongs at 100.";
    const ratings = {};
    const next = element("button", { type: "button", className: "main", disabled: true }, "Next");
    const rated = (id, value) => {
      ratings[id] = value;
      next.disabled = Object.keys(ratings).length < trial.ids.length;
    };
    next.addEventListener("click", () => this.answer(ratings));
    const uris = [referenceOf(trial.clip.id), ...trial.ids].map((id) => audio[id]);
    const sliders = trial.ids.map((id, index) => [letter(index), slider(letter(index), (value) => rated(id, value))]);
    this.open(uris, seconds, [["Reference", null], ...sliders], 0);
    byId("decisions").replaceChildren(element("p", { className: "note" }, "Move every slider to go on."), next);
  }

  open(uris, seconds, versions, firstKey) {
    this.player.open(uris, seconds);
    this.firstKey = firstKey;
    this.rows = versions.map(([name, more], index) => {
      const radio = element("input", { type: "radio", name: "version" });
      radio.addEventListener("change", () => this.hear(index));
      const digit = index + firstKey;
      const keyName = digit < 10 ? element("kbd", {}, String(digit)) : "";
      const node = element("li", {}, element("label", {}, radio, keyName, element("span", {}, name)), more ?? "");
      return { node, radio };
    });
    byId("versions").replaceChildren(...this.rows.map(({ node }) => node));
  }

  choose(digit) {
    this.hear(Math.max(0, digit - this.firstKey));
  }

  hear(index) {
    if (!this.rows[index]) return;
    this.rows[index].radio.checked = true;
    this.rows.forEach(({ node }, other) => node.classList.toggle("heard", other === index));
    this.player.select(index);
  }

  answer(answer) {
    this.state.answers.push(answer);
    memory.save(this.state);
    this.show();
  }
}

// From 0 to 100, with nothing said before it is moved.
function slider(name, onrated) {
  const input = element("input", { type: "range", min: 0, max: 100, value: 50, className: "unset" });
  input.setAttribute("aria-label", `Rating of ${name}`);
  const shown = element("output", {}, "–");
  const rate = () => {
    input.classList.remove("unset");
    shown.textContent = input.value;
    onrated(Number(input.value));
  };
  input.addEventListener("input", rate);
  input.addEventListener("change", rate);
  const words = ["Bad", "Poor", "Fair", "Good", "Excellent"].map((word) => element("span", {}, word));
  return element("div", { className: "rating" }, input, shown, element("div", { className: "words", ariaHidden: "true" }, ...words));
}

new ListeningTest();
