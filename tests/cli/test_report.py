"""report: the page as a file, and what is refused."""

from __future__ import annotations

import json
import re

import pytest
from report.evaluations import make_evaluation
from report.reading import parse


@pytest.fixture
def evaluated(folder):
    """The current folder, with evaluation.json in it and the recordings that it names."""
    make_evaluation(folder, clips=2).write(folder / "evaluation.json")
    return folder


def test_the_report_is_a_file(call, evaluated):
    result = call("report", "evaluation.json", "report.html")
    assert (result.code, result.out) == (0, "")
    assert re.fullmatch(
        r"diveq-codec: wrote report\.html, \d\.\d MB; open it in a browser", result.error
    )
    page = parse((evaluated / "report.html").read_text(encoding="utf-8"))
    assert page.one("head").one("title").text == "Speech codecs on val"
    assert len(page.one("section", id="listen").all("option")) == 2


def test_options_reach_the_page(call, evaluated):
    assert call("report", "evaluation.json", "one.html", "--clips", "1").code == 0
    page = parse((evaluated / "one.html").read_text(encoding="utf-8"))
    assert len(page.one("section", id="listen").all("option")) == 1
    (evaluated / "pages").mkdir()
    assert call("report", "evaluation.json", "pages/linked.html", "--audio", "linked").code == 0
    data = (
        parse((evaluated / "pages/linked.html").read_text(encoding="utf-8"))
        .one("script", id="clip-1")
        .text
    )
    assert json.loads(data)["versions"][0]["audio"] == "../reference/1.wav"


def test_the_blind_test_is_a_file(call, evaluated):
    assert call("report", "--blind", "evaluation.json", "listen.html").code == 0
    text = (evaluated / "listen.html").read_text(encoding="utf-8")
    assert parse(text).one("h1").text == "Blind listening test"
    assert "Tone" not in text


def test_a_page_goes_to_a_pipe(start, evaluated):
    out, err = start("report", "evaluation.json", "-", "--clips", "0").communicate()
    assert err == b""
    assert parse(out.decode()).one("h1").text == "Speech codecs on val"


def test_nothing_is_replaced_without_force(call, evaluated):
    (evaluated / "report.html").write_text("mine")
    result = call("report", "evaluation.json", "report.html")
    assert (result.code, result.error) == (
        1,
        "diveq-codec: error: evaluation.json: report.html exists already; --force replaces it",
    )
    assert (evaluated / "report.html").read_text() == "mine"
    assert call("report", "evaluation.json", "report.html", "--force").code == 0
    assert (evaluated / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no JSON", "not JSON"),
        ("{}", "an evaluation has the format 'diveq-codec evaluation 1', not None"),
        (
            '{"format": "diveq-codec evaluation 1"}',
            "Evaluation lacks data, metrics, references, systems",
        ),
    ],
)
@pytest.mark.parametrize("blind", [False, True])
def test_what_is_no_evaluation_is_told_in_one_line(call, folder, names, text, reason, blind):
    (folder / "other.json").write_text(text)
    before = names()
    result = call("report", "other.json", "page.html", *["--blind"] * blind)
    assert result.code == 1
    assert "other.json is no evaluation: " in result.error
    assert reason in result.error
    assert names() == before


def test_a_missing_evaluation_is_told(call, folder):
    result = call("report", "nothing.json", "page.html")
    assert (result.code, result.error) == (1, "diveq-codec: error: nothing.json: no such file")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("page.html", "--clips", "-1"), "--clips is a number of clips, 0 or more, not -1"),
        (
            ("page.html", "--blind", "--audio", "linked"),
            "the names of files would tell the systems",
        ),
        (("-", "--audio", "linked"), "links start from its folder"),
        (("page.html", "--blind", "--clips", "0"), "a blind test needs at least one clip"),
    ],
)
def test_options_that_make_no_sense_are_wrong_usage(call, evaluated, options, reason):
    result = call("report", "evaluation.json", *options)
    assert result.code == 2
    assert reason in result.error
