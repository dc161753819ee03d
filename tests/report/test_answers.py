"""Answers of listeners, summed up."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codec import ConfigError, listening_result


def save(
    path: Path,
    listener: str,
    answers: list,
    *,
    test: str = "mushra",
    evaluation: str = "e",
    seed: int = 7,
    started: str = "2026-01-31T12:00:00.000Z",
) -> Path:
    facts = {
        "format": "diveq-codec listening 1",
        "evaluation": evaluation,
        "test": test,
        "listener": listener,
        "seed": seed,
        "started": started,
    }
    path.write_text(json.dumps(facts | {"answers": answers}))
    return path


def rated(**ratings: float) -> dict:
    given = [
        {"system": None if system == "reference" else system, "rating": value}
        for system, value in ratings.items()
    ]
    return {"clip": "a", "ratings": given}


def test_ratings_are_means_over_listeners(tmp_path):
    """Each listener counts alike, with however many ratings."""
    files = [
        save(
            tmp_path / "a.json",
            "Ann",
            [rated(reference=100, x=80, y=20), rated(reference=95, x=60, y=40)],
        ),
        save(tmp_path / "b.json", "Bo", [rated(reference=100, x=50, y=10)]),
    ]
    result = listening_result(files)
    assert result.listeners == ("Ann", "Bo")
    assert [(heard.system, heard.answers, heard.mean) for heard in result.systems] == [
        ("Hidden reference", 3, 98.75),
        ("x", 3, 60),
        ("y", 3, 20),
    ]
    assert (result.systems[1].low, result.systems[1].high) == (50, 70)


def test_who_does_not_hear_the_reference_is_left_out(tmp_path):
    files = [
        save(tmp_path / "a.json", "Ann", [rated(reference=100, x=70)]),
        save(tmp_path / "b.json", "Bo", [rated(reference=60, x=100)]),
    ]
    result = listening_result(files)
    assert result.listeners == ("Ann",)
    assert result.left_out == ("Bo: rated the reference below 90 too often",)
    assert [(heard.system, heard.mean, heard.low) for heard in result.systems][1] == ("x", 70, None)


def test_of_one_sitting_the_file_with_the_most_answers_counts(tmp_path):
    """A listener may save the answers so far, and the rest later."""
    answers = [rated(reference=100, x=80), rated(reference=95, x=60), rated(reference=90, x=40)]
    last = save(tmp_path / "b.json", "Ann", answers)
    for number, given in enumerate((answers[:1], answers[:2], answers)):
        save(tmp_path / f"{number}.json", "Ann", given)
    soon, later, copy = (tmp_path / f"{number}.json" for number in range(3))
    for files in ([soon, last, later], [last, soon, later]):
        result = listening_result(files)
        assert result.listeners == ("Ann",)
        assert [(heard.mean, heard.answers, heard.low) for heard in result.systems] == [
            (95, 3, None),
            (60, 3, None),
        ]
        assert result.left_out == tuple(
            f"{file}: {last} holds the same sitting" for file in (soon, later)
        )
    assert listening_result([last, copy]).left_out == (f"{copy}: {last} holds the same sitting",)
    assert listening_result([last, last]).systems[0].answers == 3


@pytest.mark.parametrize(
    "other", [{"listener": "Bo"}, {"seed": 8}, {"started": "2026-01-31T12:00:00.001Z"}]
)
def test_other_sittings_count_by_themselves(tmp_path, other):
    answers = [rated(reference=100, x=80)]
    first = save(tmp_path / "a.json", "Ann", answers)
    second = save(tmp_path / "b.json", **{"listener": "Ann", "answers": answers, **other})
    result = listening_result([first, second])
    assert len(result.listeners) == 2
    assert result.left_out == ()


def test_abx_says_what_guessing_would(tmp_path):
    answers = [
        {"clip": "a", "system": "x", "correct": correct} for correct in (True, True, True, False)
    ]
    (heard,) = listening_result([save(tmp_path / "a.json", "Ann", answers, test="abx")]).systems
    assert (heard.system, heard.answers, heard.mean, heard.by_guessing) == ("x", 4, 0.75, 5 / 16)


def test_what_is_no_answer_is_refused(tmp_path):
    good = save(tmp_path / "a.json", "Ann", [rated(reference=100)])
    other = save(tmp_path / "b.json", "Bo", [rated(reference=100)], evaluation="f")
    bad = tmp_path / "c.json"
    bad.write_text('{"format": "diveq-codec evaluation 1"}')
    with pytest.raises(
        ConfigError, match=r"b\.json answers another evaluation than .*a\.json; sum them up apart"
    ):
        listening_result([good, other])
    with pytest.raises(ConfigError, match=r"c\.json holds no answers of a blind page"):
        listening_result([bad])
    abx = {"clip": "a", "system": "x", "correct": True}
    for test, answer in (
        ("abx", abx | {"correct": -7}),
        ("abx", abx | {"system": 5}),
        ("mushra", rated(x=float("nan"))),
        ("mushra", rated(x=101)),
        ("mushra", {"clip": "a", "ratings": [{"system": 5, "rating": 50}]}),
    ):
        with pytest.raises(ConfigError, match=r"c\.json holds no answers of a blind page"):
            listening_result([save(bad, "Cy", [answer], test=test)])
    bad.write_text("[" * 100_000)
    with pytest.raises(ConfigError, match=r"c\.json holds no answers of a blind page"):
        listening_result([bad])
    with pytest.raises(ConfigError, match=r"cannot read .*d\.json: No such file"):
        listening_result([tmp_path / "d.json"])
    with pytest.raises(ConfigError, match="no file of answers was given"):
        listening_result([])
