"""The evaluation file: what is written is what is read, and nothing else is taken."""

from __future__ import annotations

import copy
import json

import pytest

from codec import Evaluation, read_evaluation
from codec.errors import ConfigError
from codec.evaluation.result import Clip, Mean, PlugIn, Reference, StageUse, System
from codec.metrics import METRICS, Score

EVALUATION = Evaluation(
    data="val",
    metrics=("stoi", "mos"),
    references=(
        Reference(
            name="a/b.flac", seconds=6.5, audio="reference/a/b.wav", scores={"mos": Score(4.0)}
        ),
        Reference(name="c", seconds=0.0),
    ),
    systems=(
        System(
            name="two stages",
            family="ours",
            kbps=1.25,
            encode_speed=50.0,
            decode_speed=60.0,
            clips=(
                Clip(
                    name="a/b.flac",
                    bits=8000,
                    delay_samples=-3,
                    scores={"stoi": Score(0.75), "mos": Score(None, "too short")},
                    audio="two_stages/a/b.wav",
                ),
                Clip(name="c", failure="cannot read c: it is empty"),
            ),
            means={
                "stoi": Mean(mean=0.75, low=None, high=None, clips=1, failed=1),
                "mos": Mean(mean=None, low=None, high=None, clips=0, failed=2),
            },
            stages=(StageUse(bits=1, used=1.0, entropy_bits=0.5, histogram=(3, 1)),),
        ),
    ),
    plug_ins={"mos": PlugIn(title="MOS", unit="MOS", best=5.0)},
    original_means={"mos": Mean(mean=4.0, low=None, high=None, clips=1, failed=1)},
)


def test_what_is_written_is_what_is_read(tmp_path):
    path = tmp_path / "evaluation.json"
    EVALUATION.write(path)
    assert read_evaluation(path) == EVALUATION
    assert json.loads(path.read_text("utf-8"))["systems"][0]["clips"][0] == {
        "name": "a/b.flac",
        "bits": 8000,
        "delay_samples": -3,
        "scores": {
            "stoi": {"value": 0.75, "failure": None, "weight": 1.0},
            "mos": {"value": None, "failure": "too short", "weight": 1.0},
        },
        "audio": "two_stages/a/b.wav",
        "failure": None,
    }


def test_metrics_are_described():
    assert EVALUATION.metric("stoi") is METRICS["stoi"]
    assert EVALUATION.metric("mos").title == "MOS"
    assert [name for name, metric in METRICS.items() if not metric.higher_is_better] == [
        *(name for name in METRICS if "distance" in name),
        "carrier_repetition",
    ]
    fine = Evaluation(
        data="x", metrics=("pesq_wb", "carrier_repetition", "level_1_2"), references=(), systems=()
    )
    assert [fine.direction(name) for name in fine.metrics] == [
        "higher is better",
        "lower is better",
        "0 is best",
    ]
    assert [fine.merit(name, -2.0) for name in fine.metrics] == [-2.0, 2.0, -2.0]
    assert (
        fine.merit("level_1_2", 1.0) > fine.merit("level_1_2", -2.0) == fine.merit("level_1_2", 2.0)
    )


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (
            ("format",),
            "diveq-codec evaluation 2",
            "has the format 'diveq-codec evaluation 1', not '.* 2'",
        ),
        (("extra",), 1, "Evaluation has no field extra"),
        (("metrics",), ["mos", "wer"], "does not describe its metric wer"),
        (("references", 0, "seconds"), "6.2", "Reference.seconds is a number, not '6.2'"),
        (("references", 0, "name"), "z", "the clips of two stages are not the references"),
        (("systems", 0, "means"), {}, "means of two stages are not those of the metrics stoi, mos"),
        (("original_means",), {"snr": None}, "Evaluation.original_means|Mean is a JSON object"),
        (("original_means", "stoi"), {}, "Mean lacks clips"),
        (("systems", 0, "means"), [], "System.means is a JSON object, not"),
        (
            ("systems", 0, "means", "stoi", "low"),
            float("nan"),
            "Mean.low is a number or null, not nan",
        ),
        (("systems", 0, "clips", 0, "scores", "stoi"), 0.7, "Score is a JSON object, not float"),
    ],
)
def test_anything_else_is_refused(place, value, message, tmp_path):
    plain = copy.deepcopy(EVALUATION.to_dict())
    *way, last = place
    inner = plain
    for step in way:
        inner = inner[step]
    inner[last] = value
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(plain), "utf-8")
    with pytest.raises(ConfigError, match=message):
        read_evaluation(path)


def test_files_that_are_no_evaluation(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*nothing\.json: No such file"):
        read_evaluation(tmp_path / "nothing.json")
    for content in (b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000):
        (tmp_path / "broken.json").write_bytes(content)
        with pytest.raises(ConfigError, match=r"broken\.json is no evaluation: "):
            read_evaluation(tmp_path / "broken.json")


def test_systems_have_names_of_their_own():
    system = EVALUATION.systems[0]
    with pytest.raises(ConfigError, match="several are called two stages"):
        Evaluation(data="x", metrics=(), references=EVALUATION.references, systems=(system, system))
