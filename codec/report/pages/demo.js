// The demo's versions of one clip: a new bitrate keeps what is heard and where.
const kept = { index: null, place: 0 };
let player = null;

function setUp() {
  player?.versions?.pause();
  player = null;
  const panel = element.querySelector("[data-part=panel]");
  if (!panel) return;
  const rows = [...panel.querySelectorAll("figure")];
  const choose = (index) => {
    kept.index = index;
    rows.forEach((row, other) => {
      row.classList.toggle("heard", other === index);
      row.querySelector("input").checked = other === index;
    });
    player.select(index);
  };
  player = new Player(panel);
  player.onprogress = (share) => {
    kept.place = share * player.seconds;
    for (const row of rows) row.querySelector(".cursor").style.left = `${100 * share}%`;
  };
  for (const [index, row] of rows.entries()) {
    row.querySelector("input").addEventListener("change", () => choose(index));
    row.querySelector(".spectrogram").addEventListener("click", (event) => {
      const { left, width } = event.currentTarget.getBoundingClientRect();
      choose(index);
      player.seek(((event.clientX - left) / width) * player.seconds);
    });
  }
  const { index, place } = kept;
  player.open(rows.map((row) => row.dataset.audio), Number(panel.dataset.seconds));
  choose(Math.min(index ?? rows.length - 1, rows.length - 1));
  if (place < player.seconds) player.seek(place);
}

watch("value", setUp);
setUp();
