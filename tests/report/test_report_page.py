"""The report: every number is the evaluation's, every text is only text, and nothing is fetched."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import math
import os
import re
import sys
from urllib.parse import unquote_to_bytes

import pytest
from report.evaluations import (
    METRICS,
    SECONDS,
    make_evaluation,
    make_mean,
    make_system,
    stages,
    value_of,
)
from report.reading import Element, parse, rows_of

from codec.errors import ConfigError
from codec.evaluation.result import Clip, PlugIn, Reference
from codec.metrics import Score
from codec.report import report_page, tables
from codec.report.code_use import bar_heights

HOSTILE = "</script><img src=x onerror=\"fetch('http://example.org')\">&'"


@pytest.fixture
def page_of(tmp_path):
    """The page of an evaluation whose recordings, if any, are in tmp_path."""

    def page_of(evaluation, **options) -> Element:
        evaluation.write(tmp_path / "evaluation.json", overwrite=True)
        return parse(report_page(tmp_path / "evaluation.json", **options))

    return page_of


def section(page: Element, name: str) -> Element:
    return page.one("section", id=name)


def exact(cells: list[Element]) -> list[float]:
    return [float(cell.attributes["data-value"]) for cell in cells]


def shown(cell: Element) -> float:
    """The number itself, without what is below it."""
    return float(cell.children[0].replace("\N{MINUS SIGN}", "-"))


def clip_data(page: Element, clip: int):
    return json.loads(page.one("script", id=f"clip-{clip}").text)


def test_originals_and_frequency_bands_have_their_places(tmp_path, page_of):
    plain = make_evaluation(tmp_path, recorded=False)
    systems = tuple(
        dataclasses.replace(system, means={**system.means, "level_1_2": make_mean([number - 1.5])})
        for number, system in enumerate(plain.systems)
    )
    means = {"pesq_wb": make_mean([4.5])}
    metrics = (*METRICS, "level_1_2")
    page = page_of(
        dataclasses.replace(plain, metrics=metrics, systems=systems, original_means=means)
    )
    (name, kbps, judged, *others), *rows = rows_of(section(page, "results").one("table"))
    assert (name.text, kbps.text, exact([judged])) == ("Original", "\N{EN DASH}", [4.5])
    assert [cell.text for cell in others] == ["\N{EN DASH}"] * 2
    assert len(rows) == len(systems)
    bands = section(page, "frequency-bands").one("table")
    assert [exact(row[-1:]) for row in rows_of(bands)] == [[-1.5], [-0.5], [0.5]]
    assert [head.one("span").attributes["aria-label"] for head in bands.all("th")[2:3]] == [
        "0 is best"
    ]
    assert len(section(page, "rate-and-quality").all("div", role="tabpanel")) == len(METRICS)


def test_results_are_those_of_the_evaluation(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, recorded=False)
    table = section(page_of(evaluation), "results").one("table")
    for row, system in zip(rows_of(table), evaluation.systems, strict=True):
        name, *numbers = row
        means = [system.means[metric] for metric in METRICS]
        assert name.text == system.name
        assert exact(numbers) == [system.kbps, *(mean.mean for mean in means)]
        for cell, mean in zip(numbers[1:], means, strict=True):
            ends = [
                float(end.replace("\N{MINUS SIGN}", "-"))
                for end in cell.one("small").text.split(" to ")
            ]
            assert [shown(cell), *ends] == pytest.approx(
                [mean.mean, mean.low, mean.high], abs=0.051
            )
    heads = [head.text for head in table.one("thead").all("th")]
    assert heads[:2] == ["System", "kbps"]
    assert [
        head.one("span").attributes["aria-label"] for head in table.one("thead").all("th")[2:]
    ] == [
        "higher is better",
        "higher is better",
        "lower is better",
    ]


def test_every_score_of_every_clip_is_there(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, recorded=False)
    rows = rows_of(section(page_of(evaluation), "clips").one("table"))
    expected = [(clip, system) for clip in range(3) for system in range(3)]
    for row, (clip, system) in zip(rows, expected, strict=True):
        name, by, *numbers = row
        bits = evaluation.systems[system].clips[clip].bits
        assert (name.text, by.text) == (f"speaker/{clip}.flac", f"Tone {system}")
        assert exact(numbers) == [
            SECONDS,
            bits / SECONDS / 1000,
            *(value_of(system, clip, name) for name in METRICS),
        ]


def test_best_and_worst_clips_follow_the_direction(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, clips=5, systems=1, recorded=False)
    page = page_of(evaluation)
    for panel, metric in zip(page.all("div", role="tabpanel"), METRICS, strict=True):
        ((_, best, worst),) = rows_of(panel.one("table"))
        assert [clip.one("span").text for clip in best.all("div")] == [
            f"speaker/{n}.flac" for n in (4, 3, 2)
        ]
        assert [clip.one("span").text for clip in worst.all("div")] == [
            f"speaker/{n}.flac" for n in (0, 1)
        ]
        assert exact([clip.one("b") for clip in best.all("div")]) == [
            value_of(0, n, metric) for n in (4, 3, 2)
        ]


def test_stages_and_speeds(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, recorded=False)
    first, *others = evaluation.systems
    first = dataclasses.replace(
        first, stages=stages(), encode_speed=55.25, note="random weights: timed only"
    )
    page = page_of(dataclasses.replace(evaluation, systems=(first, *others)))
    even, single = rows_of(section(page, "code-use-by-stage").one("table"))
    assert exact(even[1:]) == [2, 1.0, 2.0, 1.0]
    assert exact(single[1:]) == [3, 0.125, 0.0, 0.0]
    assert len(section(page, "code-use-by-stage").all("svg")) == 2
    ((name, encoding, decoding),) = rows_of(section(page, "speed").one("table"))
    assert name.text == "Tone 0random weights: timed only"
    assert (exact([encoding]), encoding.text, decoding.text) == ([55.25], "55.2", "\N{EN DASH}")


def test_equal_use_is_a_third_of_the_height_and_unused_codewords_are_flat():
    even, single = (bar_heights(stage.histogram) for stage in stages())
    assert even == pytest.approx([1 / 3] * 4)
    assert single == pytest.approx([math.sqrt(8 / 9), *[0] * 7])
    assert len(bar_heights(tuple(range(1000)))) == 128
    assert bar_heights((0, 0)) == [0, 0]


def test_without_speeds_and_stages_there_are_no_such_sections(tmp_path, page_of):
    page = page_of(make_evaluation(tmp_path, recorded=False))
    names = [part.attributes["id"] for part in page.all("section")]
    assert names == ["results", "rate-and-quality", "listen", "clips"]
    assert page.all(class_="alert") == []


def failed_evaluation(folder):
    """One whole clip of the first system failed, and one score of the second."""
    evaluation = make_evaluation(folder)
    first, second, third = evaluation.systems
    clips = list(first.clips)
    clips[1] = Clip(name=clips[1].name, failure="decoder ended with code 1")
    other = list(second.clips)
    scores = {**other[2].scores, "pesq_wb": Score(None, "PESQ: no speech in the reference")}
    other[2] = dataclasses.replace(other[2], scores=scores)
    mean = make_mean([1.5, 1.6], failed=1)
    first = dataclasses.replace(first, clips=tuple(clips), means=dict.fromkeys(METRICS, mean))
    second = dataclasses.replace(
        second, clips=tuple(other), means={**second.means, "pesq_wb": mean}
    )
    return dataclasses.replace(evaluation, systems=(first, second, third))


def test_failures_are_told_and_never_shown_as_numbers(tmp_path, page_of):
    page = page_of(failed_evaluation(tmp_path))
    assert page.one(class_="alert").text.startswith(
        "1 clip failed as a whole and 1 score failed. Means leave them out"
    )
    rows = [[cell.text for cell in row] for row in rows_of(section(page, "failures").one("table"))]
    assert rows == [
        ["speaker/1.flac", "Tone 0", "all", "decoder ended with code 1"],
        ["speaker/2.flac", "Tone 1", "PESQ-WB", "PESQ: no speech in the reference"],
    ]
    failed, *_ = (
        row
        for row in rows_of(section(page, "clips").one("table"))
        if row[0].text == "speaker/1.flac"
    )
    assert [cell.text for cell in failed[4:]] == ["failed"] * 3
    counts = [cell.text for cell in section(page, "results").all("small", class_="failed")]
    assert counts == ["1 failed"] * 4
    assert [version["name"] for version in clip_data(page, 1)["versions"]] == [
        "Reference",
        "Tone 1",
        "Tone 2",
    ]
    assert clip_data(page, 2)["versions"][2]["scores"].startswith("PESQ-WB failed · SI-SDR")


def test_recordings_that_are_missing_are_told(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path)
    (tmp_path / "reference/0.wav").unlink()
    (tmp_path / "system 1/2.flac").write_bytes(b"")
    page = page_of(evaluation)
    listen = section(page, "listen")
    assert (
        listen.one("details").text
        == "1 clip cannot be heard here" + "reference/0.wav: no such file"
    )
    assert [option.text for option in listen.all("option")] == ["speaker/1.flac", "speaker/2.flac"]
    assert "Not to be heard: Tone 1: system 1/2.flac: not audio" in clip_data(page, 2)["note"]


def test_without_any_recording_the_page_says_so(tmp_path, page_of):
    listen = section(page_of(make_evaluation(tmp_path, recorded=False)), "listen")
    assert "No recordings: the evaluation names none" in listen.text
    assert listen.all("script") == listen.all("button") == []


def test_as_many_clips_as_asked_for(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, clips=5)
    listen = section(page_of(evaluation, clips=2), "listen")
    assert [option.attributes["value"] for option in listen.all("option")] == ["clip-0", "clip-4"]
    assert "2 clips of 5, chosen evenly from the worst to the best" in listen.text
    assert "5 clips of 5. Choose" in section(page_of(evaluation, clips=5), "listen").text
    links = {
        link.attributes["href"]
        for link in page_of(evaluation, clips=2).all("a")
        if link.text.startswith("speaker")
    }
    assert links == {"#clip-0", "#clip-4"}


def test_no_bitrate_no_chart(tmp_path, page_of):
    evaluation = make_evaluation(tmp_path, recorded=False)
    unknown = tuple(dataclasses.replace(system, kbps=None) for system in evaluation.systems)
    page = page_of(dataclasses.replace(evaluation, systems=unknown))
    assert page.all("svg", class_="chart") == []
    assert page.text.count(
        "No chart: no system has both a bitrate and a mean of this metric."
    ) == len(METRICS)
    page = page_of(dataclasses.replace(evaluation, systems=(*unknown[:2], evaluation.systems[2])))
    assert page.text.count("Not drawn, for want of a bitrate or a mean: Tone 0, Tone 1.") == len(
        METRICS
    )


def test_an_evaluation_of_nothing_is_a_page(tmp_path, page_of):
    page = page_of(make_evaluation(tmp_path, clips=0, systems=0))
    assert page.one("header").text.startswith("Speech codecs on val0 systems on 0 clips")


def test_nothing_is_fetched_and_only_its_own_scripts_may_run(tmp_path, page_of):
    page = page_of(make_evaluation(tmp_path))
    for element in page.all():
        for name in ("src", "href", "action", "data", "poster", "srcset"):
            assert (element.attributes.get(name) or "#").startswith("#"), element
        assert not any(name == "style" or name.startswith("on") for name in element.attributes)
    assert page.all("link") == page.all("base") == []
    (policy,) = (
        meta.attributes["content"] for meta in page.all("meta") if "http-equiv" in meta.attributes
    )
    (script,) = (script.text for script in page.all("script") if "type" not in script.attributes)
    style = page.one("style").text
    for text, kind in ((script, "script-src"), (style, "style-src")):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind} 'sha256-{digest}'" in policy
        assert not re.search(r"https?://|url\(|@import", text)
    assert policy.startswith("default-src 'none';")
    for version in clip_data(page, 0)["versions"]:
        assert version["audio"].startswith("data:audio/flac;base64,")
        assert version["spectrogram"].startswith("data:image/png;base64,")


def test_hostile_texts_stay_texts(tmp_path, page_of):
    system = make_system(0, [HOSTILE], name=HOSTILE, family=HOSTILE, note=HOSTILE)
    broken = make_system(1, [HOSTILE], name=f"other {HOSTILE}")
    broken = dataclasses.replace(broken, clips=(Clip(name=HOSTILE, failure=HOSTILE),))
    plain = make_evaluation(tmp_path, clips=1)
    evaluation = dataclasses.replace(
        plain,
        data=HOSTILE,
        metrics=(*METRICS, HOSTILE),
        references=(Reference(name=HOSTILE, seconds=SECONDS, audio="reference/0.wav"),),
        systems=tuple(
            dataclasses.replace(one, means={**one.means, HOSTILE: one.means["pesq_wb"]})
            for one in (system, broken)
        ),
        plug_ins={HOSTILE: PlugIn(title=HOSTILE, unit=HOSTILE)},
    )
    page = page_of(evaluation)
    assert page.all("img") == []
    assert page.one("head").one("title").text == f"Speech codecs on {HOSTILE}"
    assert page.one("option").text == HOSTILE
    assert clip_data(page, 0)["versions"][1]["name"] == HOSTILE
    scripts = page.all("script")
    assert {script.attributes.get("type") for script in scripts} == {None, "application/json"}
    assert len(scripts) == 2


def test_linked_audio_starts_from_the_folder_of_the_page(tmp_path):
    (tmp_path / "made").mkdir()
    make_evaluation(tmp_path / "made").write(tmp_path / "made/evaluation.json")
    (tmp_path / "pages").mkdir()
    page = parse(report_page(tmp_path / "made/evaluation.json", links_from=tmp_path / "pages"))
    audio = [version["audio"] for version in clip_data(page, 0)["versions"]]
    assert audio == ["../made/reference/0.wav", *(f"../made/system%20{n}/0.flac" for n in range(3))]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_links_lead_to_names_that_are_no_text(tmp_path):
    evaluation = make_evaluation(tmp_path, clips=1)
    name = "reference/bad\udcff \u00fc.wav"
    os.rename(tmp_path / "reference/0.wav", tmp_path / name)
    reference = dataclasses.replace(evaluation.references[0], audio=name)
    evaluation = dataclasses.replace(evaluation, references=(reference,))
    evaluation.write(tmp_path / "evaluation.json")
    page = parse(report_page(tmp_path / "evaluation.json", links_from=tmp_path))
    link = clip_data(page, 0)["versions"][0]["audio"]
    assert link == "reference/bad%FF%20%C3%BC.wav"
    assert (tmp_path / os.fsdecode(unquote_to_bytes(link))).is_file()


def test_long_tables_are_cut_and_say_so(tmp_path, page_of, monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 4)
    table = section(page_of(make_evaluation(tmp_path, recorded=False)), "clips").one("table")
    assert len(rows_of(table)) == 4
    assert table.one("caption").text.endswith(
        "(5 rows left out here; the evaluation's file has all)"
    )


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "not JSON"), ("[]", "has the format"), ('{"format": "x"}', "'x'")]
)
def test_what_is_no_evaluation_is_an_error(tmp_path, text, reason):
    (tmp_path / "other.json").write_text(text)
    with pytest.raises(ConfigError, match=reason):
        report_page(tmp_path / "other.json")
