"""Curves: every figure at its time, only the panels that a run has, and a picture that opens."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from codec.errors import ConfigError, OutputError
from codec.training.plot import History, draw, main, panels


def train_line(step: int, elapsed_s: float, **more: Any) -> dict[str, Any]:
    figures = {
        "mel": 5 - step / 100,
        "stft": 4.0,
        "waveform": 0.1,
        "learning_rate": 1e-3 * step,
        "audio_s_per_s": 12.0,
    }
    return {
        "step": step,
        "event": "train",
        "elapsed_s": elapsed_s,
        "gradient_norm": 10.0,
        **figures,
        **more,
    }


def stages(value: float) -> dict[str, list[float]]:
    return {name: [value, value / 2] for name in ("used", "perplexity", "error", "scale")}


def score(pesq: float | None, estoi: float, kbps: float) -> dict[str, float | None]:
    return {"kbps": kbps, "pesq_wb": pesq, "estoi": estoi, "failed": 0}


RUN = [
    train_line(100, 60),
    {"step": 101, "event": "initialise", "energy_left": [0.5, 0.3]},
    train_line(200, 120, **stages(0.5)),
    {
        "step": 250,
        "event": "validation",
        "2_stages": score(None, 0.2, 0.95),
        "1_stages": score(1.1, 0.1, 0.5),
    },
    train_line(
        300,
        240,
        **stages(0.8),
        adversarial=2.0,
        features=3.0,
        discriminator=1.0,
        discriminator_norm=4.0,
    ),
    train_line(400, 300, mel=None, **stages(1.0), adversarial=1.0, features=2.0, discriminator=1.5),
    {
        "step": 400,
        "event": "validation",
        "2_stages": score(2.0, 0.6, 0.96),
        "1_stages": score(1.5, 0.4, 0.5),
    },
]


def curves(records: list[dict[str, Any]]) -> dict[str, dict[str, tuple[list[float], list[float]]]]:
    return {panel.title: panel.curves for panel in panels(History(records))}


def test_figures_stand_at_the_time_trained():
    found = curves(RUN)
    times, values = found["Spectral losses"]["log-mel"]
    np.testing.assert_allclose(times, [1, 2, 4, 5])  # minutes
    np.testing.assert_array_equal(values, [4, 3, 2, math.nan])
    assert found["Adversarial losses"]["generator"] == ([4, 5], [2.0, 1.0])
    assert found["Gradient norms, before clipping"]["discriminators"] == ([4], [4.0])
    assert found["Share of codewords in use"] == {
        "stage 1": ([2, 4, 5], [0.5, 0.8, 1.0]),
        "stage 2": ([2, 4, 5], [0.25, 0.4, 0.5]),
    }


def test_scores_are_labelled_by_stages_and_rate_and_lie_between_the_lines_of_the_log():
    found = curves(RUN)
    assert list(found["ESTOI, held-out clips"]) == ["1 stage, 0.5 kbps", "2 stages, 1.0 kbps"]
    assert found["ESTOI, held-out clips"]["2 stages, 1.0 kbps"] == (
        [3.0, 5.0],
        [0.2, 0.6],
    )  # step 250: 180 s
    times, values = found["PESQ-WB, held-out clips"]["2 stages, 1.0 kbps"]
    assert times == [3.0, 5.0]
    np.testing.assert_array_equal(values, [math.nan, 2.0])


def test_long_runs_count_hours():
    history = History([train_line(10, 3600), train_line(20, 4 * 3600)])
    assert (history.unit, history.time(15), history.time(20), history.time(0)) == (
        "hours",
        2.5,
        4.0,
        0.0,
    )
    assert History([train_line(10, 3600)]).unit == "minutes"


def test_only_panels_with_figures_are_shown():
    assert list(curves(RUN[:1])) == [
        "Spectral losses",
        "Waveform loss",
        "Gradient norms, before clipping",
        "Learning rate",
        "Speed, seconds of audio per second",
    ]
    assert len(curves(RUN)) == 12
    nothing = {
        "step": 9,
        "event": "validation",
        "1_stages": {"kbps": 0.5, "pesq_wb": None, "estoi": None},
    }
    assert "PESQ-WB, held-out clips" not in curves([RUN[0], nothing])


def test_the_picture_shows_curves_phases_and_units():
    figure = draw(History(RUN), "mine")
    assert figure.get_suptitle() == "mine: 400 steps"
    (place,) = [
        place
        for place in figure.axes
        if place.get_title(loc="left") == "Quantization error / variance"
    ]
    drawn = {
        line.get_label(): line.get_xydata().tolist()
        for line in place.lines
        if line.get_label()[0] != "_"
    }
    assert drawn == {
        "stage 1": [[2, 0.5], [4, 0.8], [5, 1.0]],
        "stage 2": [[2, 0.25], [4, 0.4], [5, 0.5]],
    }
    assert place.get_xlabel() == "minutes trained"
    marks = {text.get_text(): text.xy[0] for text in place.texts}
    assert marks == {"quantizer": pytest.approx(1.01), "discriminators": 4.0}


def test_a_png_is_written_of_a_file_or_its_folder(tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RUN))
    out = tmp_path / "curves.png"
    main(run / "metrics.jsonl", out)
    picture = out.read_bytes()
    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", picture[16:24])
    assert width > height > 800
    out.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists already; --force"):
        main(run, out)
    assert out.read_bytes() == b"precious"
    (run / "metrics.jsonl").write_text(json.dumps(RUN[0]))  # few panels are drawn sooner
    main(run, out, force=True)
    assert out.read_bytes().startswith(picture[:8])


def test_files_without_figures_are_refused(tmp_path):
    empty = tmp_path / "metrics.jsonl"
    empty.write_text('{"step": 1, "event": "initialise"}\n')
    with pytest.raises(ConfigError, match="holds no line about training steps yet"):
        main(empty, tmp_path / "curves.png")
    for path in (tmp_path / "nowhere.jsonl", Path(__file__).parent):
        with pytest.raises(
            ConfigError, match=r"cannot read .*; give a run's metrics\.jsonl or its folder"
        ):
            main(path, tmp_path / "curves.png")
    assert not (tmp_path / "curves.png").exists()
