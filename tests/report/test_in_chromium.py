"""The pages in a real browser: they play, switching keeps the place, nothing is logged, nothing is
fetched.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from report.browser import Browser, chromium, needs_chromium
from report.evaluations import REFERENCE_HZ, SECONDS, SYSTEM_HZ, make_evaluation

from codec.report import listening_page, report_page

pytestmark = needs_chromium

# Notes how recordings are started, and lets an analyser hear whatever goes to the loudspeakers.
EAVESDROP = """
window.starts = [];
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (when, offset) {
  window.starts.push([when, offset]);
  return start.call(this, when, offset);
};
const connect = AudioNode.prototype.connect;
AudioNode.prototype.connect = function (target, ...others) {
  if (target === this.context.destination) {
    window.ear ??= new AnalyserNode(this.context, { fftSize: 2048, smoothingTimeConstant: 0 });
    connect.call(this, window.ear);
  }
  return connect.call(this, target, ...others);
};
window.hear = () => {
  const levels = new Float32Array(window.ear.frequencyBinCount);
  window.ear.getFloatFrequencyData(levels);
  const loudest = levels.indexOf(Math.max(...levels));
  return [loudest * window.ear.context.sampleRate / 2048, levels[loudest]];
};
window.after = (seconds) => new Promise((done) => setTimeout(done, 1000 * seconds));
// So many seconds of sound, however slow the machine; the first call
// waits for the clip to be decoded too.
window.sound = async (seconds) => {
  while (!window.ear) await after(0.02);
  const until = window.ear.context.currentTime + seconds;
  while (window.ear.context.currentTime < until) await after(0.02);
};
window.place = () => Number(document.querySelector("[data-part=place]").value) / 1000;
"""
PLAY = "document.querySelector('[data-part=play]').click()"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=EAVESDROP)
        yield browser


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """With the pages of one evaluation: report.html, linked.html, listen.html."""
    folder = tmp_path_factory.mktemp("pages")
    make_evaluation(folder).write(folder / "evaluation.json")
    (folder / "report.html").write_text(report_page(folder / "evaluation.json"), encoding="utf-8")
    linked = report_page(folder / "evaluation.json", links_from=folder)
    (folder / "linked.html").write_text(linked, encoding="utf-8")
    (folder / "listen.html").write_text(
        listening_page(folder / "evaluation.json"), encoding="utf-8"
    )
    return folder


@pytest.fixture(autouse=True)
def nothing_is_logged_or_fetched(browser):
    browser.console.clear()
    browser.requests.clear()
    yield
    assert browser.console == []
    assert {address.partition(":")[0] for address in browser.requests} <= {"file", "data", "blob"}


def heard(browser: Browser, hz: float) -> None:
    """Assert that the tone of that frequency, and no other, is being heard."""
    frequency, level = browser.run("hear()")
    assert frequency == pytest.approx(hz, abs=24)
    assert level > -40


def test_switching_changes_what_is_heard_and_keeps_the_place(browser, folder):
    browser.open(folder / "report.html")
    browser.run("document.querySelector('[data-part=loop]').click()")
    browser.run(f"{PLAY}; sound(0.4)")
    heard(browser, REFERENCE_HZ)
    browser.run("document.querySelector('#listen').focus()")
    for key, hz in enumerate(SYSTEM_HZ, start=1):
        browser.press(str(key))
        browser.run("sound(0.15)")
        heard(browser, hz)
        assert (
            browser.run("document.querySelector('.versions .heard label').textContent")
            == f"{key}Tone {key - 1}"
        )
    starts = browser.run("starts")
    assert len(starts) == 4, "switching starts nothing anew"
    assert len({tuple(start) for start in starts}) == 1, (
        "all start at one time of the audio clock, at one place"
    )


def test_the_place_follows_the_audio_clock_over_switches_and_loops(browser, folder):
    browser.open(folder / "report.html")
    browser.run("document.querySelector('[data-part=loop]').click()")
    browser.run(f"{PLAY}; sound(0.3)")
    behind = browser.run(
        f"""(async () => {{
          let worst = 0;
          for (let step = 0; step < 30; step += 1) {{
            document.querySelectorAll(".versions input")[step % 4].click();
            const earliest = ear.context.currentTime;
            await new Promise(requestAnimationFrame);
            await new Promise(requestAnimationFrame); // by now the page has looked at the clock
            const looked = place() * {SECONDS} + starts[0][0];
            const sinceThen = (((looked - earliest + 0.002) % {SECONDS}) + {SECONDS}) % {SECONDS};
            worst = Math.max(worst, sinceThen - (ear.context.currentTime - earliest));
            await after(0.06);
          }}
          return worst;
        }})()"""
    )
    assert behind < 0.004  # of a second; the slider has steps of 1.5 ms


def test_pause_seek_and_the_end(browser, folder):
    browser.open(folder / "report.html")
    browser.run(f"{PLAY}; sound(0.5)")
    browser.run(PLAY)
    paused = browser.run("place()")
    assert paused > 0.1
    browser.run("sound(0.2)")
    assert browser.run("place()") == paused
    slider = "document.querySelector('[data-part=place]')"
    browser.run(f"{slider}.value = 800, {slider}.dispatchEvent(new Event('input'))")
    browser.run(f"{PLAY}; sound(0.1)")
    assert browser.run("starts.at(-1)[1]") == pytest.approx(0.8 * SECONDS)
    browser.run("sound(0.6)")
    browser.run("after(0.1)")
    assert (
        browser.run("place()"),
        browser.run("document.querySelector('[data-part=play]').textContent"),
    ) == (
        0,
        "Play",
    )


LINKED = """
window.sounds = [];
window.Audio = class extends Audio {
  constructor(uri) {
    super(uri);
    sounds.push(this);
  }
};
window.reached = async (index, time) => {
  while (!(sounds[index]?.currentTime > time)) await after(0.02);
};
"""


def test_linked_audio_plays_and_keeps_the_place(browser, folder):
    browser.open(folder / "linked.html")
    browser.run(LINKED)
    browser.run(f"{PLAY}; reached(0, 0.2)")
    assert browser.run("sounds.map((sound) => sound.muted)") == [False, True, True, True]
    before, at, behind = browser.run(
        "(() => { const before = sounds[0].currentTime; document.querySelectorAll('.versions "
        "input')[2].click(); "
        "return [before, sounds[2].currentTime, sounds[0].currentTime]; })()"
    )
    assert before - 0.02 < at < behind + 0.02
    assert browser.run("sounds.map((sound) => sound.muted)") == [True, True, False, True]
    browser.run(f"reached(2, {at} + 0.1)")
    assert at < browser.run("place()") * SECONDS <= SECONDS


def test_links_open_their_clip(browser, folder):
    browser.open(folder / "report.html")
    browser.run("document.querySelector('a[href=\"#clip-2\"]').click()")
    assert browser.run("document.querySelector('[data-part=clip]').value") == "clip-2"
    assert browser.run("document.activeElement.id") == "listen"
    browser.run(f"{PLAY}; sound(0.3)")
    heard(browser, REFERENCE_HZ + 2)


def test_tabs_show_one_metric_and_arrow_keys_move(browser, folder):
    browser.open(folder / "report.html")
    shown = (
        "[...document.querySelectorAll('[role=tabpanel]')].filter((panel) => !panel.hidden).map(({ "
        "id }) => id)"
    )
    assert browser.run(shown) == ["panel-0"]
    browser.run("document.querySelector('[role=tab]').focus()")
    browser.press("ArrowLeft")
    assert browser.run(shown) == ["panel-2"]
    assert browser.run("document.activeElement.textContent") == "Mel distance"


def test_columns_sort_both_ways_by_the_exact_numbers(browser, folder):
    browser.open(folder / "report.html")
    column = (
        "[...document.querySelectorAll('#clips tbody tr')].map((row) => "
        "Number(row.cells[5].dataset.value))"
    )
    button = "document.querySelectorAll('#clips thead button')[5].click()"
    given = browser.run(column)
    browser.run(button)
    assert browser.run(column) == sorted(given)
    browser.run(button)
    assert browser.run(column) == sorted(given, reverse=True)


@pytest.mark.parametrize("page", ["report", "listen"])
@pytest.mark.parametrize("dark", [False, True])
def test_a_phone_needs_no_sideways_scrolling(browser, folder, page, dark):
    browser.size(320, 640, dark=dark)
    browser.open(folder / f"{page}.html")
    if page == "listen":
        browser.run("localStorage.clear(), document.querySelector('#setup button').click()")
    assert browser.run("document.documentElement.scrollWidth") == 320
    browser.run("localStorage.clear()")
    browser.size(1280, 900)


SAVE = """(async () => {
  let text = null;
  const make = URL.createObjectURL;
  URL.createObjectURL = (blob) => { text = blob.text(); return make(blob); };
  document.querySelector("#save").click();
  return text;
})()"""


def begin(browser: Browser, folder: Path, kind: str) -> None:
    browser.call("Browser.setDownloadBehavior", behavior="deny")
    browser.open(folder / "listen.html")
    browser.run("localStorage.clear()")
    browser.open(folder / "listen.html")
    browser.run(
        f"""(() => {{
          const form = document.querySelector("#setup");
          form.querySelector("[value={kind}]").checked = true;
          Object.assign(form.elements.count, {{ value: 12 }});
          Object.assign(form.elements.listener, {{ value: "Ann" }});
          Object.assign(form.elements.seed, {{ value: 7 }});
          form.querySelector("button").click();
        }})()"""
    )


def listen_to(browser: Browser, version: int) -> float:
    """The frequency of one of the versions, as it is heard."""
    browser.run(f"document.querySelectorAll('#versions input[type=radio]')[{version}].click()")
    browser.run("sound(0.12)")
    return browser.run("hear()")[0]


def tone(system: str | None) -> str | None:
    """Which tone a system of an answer has; None for that of the reference."""
    return None if system in (None, "Low anchor, 3.5 kHz") else system


def nearest(hz: float) -> int:
    """Whose tone it is: 0 is the reference, then the systems."""
    return min(range(4), key=lambda number: abs((REFERENCE_HZ, *SYSTEM_HZ)[number] - hz))


def test_ratings_go_to_what_was_heard(browser, folder):
    begin(browser, folder, "mushra")
    assert "Tone" not in browser.run("document.body.innerText")
    names, given = (
        [None, "Tone 0", "Tone 1", "Tone 2"],
        [],
    )  # None: the reference and the low anchor, which sound alike
    for trial in range(3):
        browser.run("document.querySelector('[data-part=loop]').checked = true")
        browser.run(f"{PLAY}; sound(0.3)")
        assert nearest(listen_to(browser, 0)) == 0
        systems = [names[nearest(listen_to(browser, version))] for version in range(1, 6)]
        ratings = [10 * trial + 15 * version for version in range(5)]
        given.append(list(zip(systems, ratings, strict=True)))
        assert browser.run("document.querySelector('#decisions button').disabled")
        browser.run(
            f"document.querySelectorAll('.rating input').forEach((slider, index) => "
            f"{{ slider.value = {ratings}[index]; slider.dispatchEvent(new Event('input')); }})"
        )
        browser.run("document.querySelector('#decisions button').click()")
        if trial == 0:
            browser.open(folder / "listen.html")  # the progress is kept
            assert (
                browser.run("document.querySelector('#trial-title').textContent") == "Trial 2 of 3"
            )
    saved = json.loads(browser.run(SAVE))
    assert [
        [(tone(r["system"]), r["rating"]) for r in answer["ratings"]] for answer in saved["answers"]
    ] == given
    facts = ("format", "data", "test", "listener", "seed", "trials")
    assert [saved[fact] for fact in facts] == [
        "diveq-codec listening 1",
        "val",
        "mushra",
        "Ann",
        7,
        3,
    ]
    assert sorted(answer["clip"] for answer in saved["answers"]) == [
        f"speaker/{clip}.flac" for clip in range(3)
    ]
    assert len({tuple(system for system, _ in one) for one in given}) > 1, (
        "the order is another in each trial"
    )
    rows = browser.run(
        "[...document.querySelectorAll('#result tbody tr')].map((row) => row.innerText)"
    )
    assert len(rows) == 5
    assert "Tone 1" in "".join(rows)


def test_abx_answers_are_right_where_x_was_heard(browser, folder):
    begin(browser, folder, "abx")
    truth = []
    for trial in range(12):
        if trial < 4:
            browser.run("document.querySelector('[data-part=loop]').checked = true")
            browser.run(f"{PLAY}; sound(0.3)")
            a, b, x = (nearest(listen_to(browser, version)) for version in range(3))
            assert {a, b} == {0, max(a, b)}
            truth.append(
                {
                    "a": "reference" if a == 0 else "system",
                    "x": "a" if x == a else "b",
                    "system": max(a, b),
                }
            )
        browser.run("document.querySelector('#decisions button').click()")  # X is A, always
    saved = json.loads(browser.run(SAVE))
    for answer, known in zip(saved["answers"], truth, strict=False):
        assert (answer["a"], answer["x"], answer["system"]) == (
            known["a"],
            known["x"],
            f"Tone {known['system'] - 1}",
        )
    assert {answer["answer"] for answer in saved["answers"]} == {"a"}
    assert all(answer["correct"] == (answer["x"] == "a") for answer in saved["answers"])
    assert len({(answer["clip"], answer["system"]) for answer in saved["answers"]}) == 9, (
        "all pairs, before any again"
    )
    assert {answer["x"] for answer in saved["answers"]} == {"a", "b"}
    total = browser.run("document.querySelector('#result tbody tr:last-child').innerText").split(
        "\t"
    )
    assert total[:2] == ["All", f"{sum(answer['correct'] for answer in saved['answers'])} of 12"]


def test_a_page_of_other_clips_resumes_nothing(browser, folder):
    begin(browser, folder, "abx")
    browser.run("document.querySelector('#decisions button').click()")
    number = "document.querySelector('#trial-title').textContent"
    assert browser.run(number) == "Trial 2 of 12"
    page = listening_page(folder / "evaluation.json", clips=2)
    (folder / "fewer.html").write_text(page, encoding="utf-8")
    browser.open(folder / "fewer.html")
    assert browser.run("document.querySelector('#trial').hidden")
    browser.open(folder / "listen.html")
    assert browser.run(number) == "Trial 2 of 12"


def test_the_seed_gives_the_same_trials(browser, folder):
    orders = []
    for _ in range(2):
        begin(browser, folder, "abx")
        browser.run(
            "for (let trial = 0; trial < 12; trial += 1) document.querySelector('#decisions "
            "button').click()"
        )
        saved = json.loads(browser.run(SAVE))
        orders.append(
            [
                (answer["clip"], answer["system"], answer["a"], answer["x"])
                for answer in saved["answers"]
            ]
        )
    assert orders[0] == orders[1]
