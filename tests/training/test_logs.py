"""What a run writes down: the lines of `metrics.jsonl`, TensorBoard's files."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate import Accelerator
from synthesis import tone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec.errors import ConfigError
from codec.training.logs import METRICS, RunLog, read_metrics, spectrogram


def open_log(folder: Path, at_step: int = 0) -> RunLog:
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(folder))
    return RunLog(folder, accelerator, at_step=at_step)


def tensorboard(folder: Path) -> EventAccumulator:
    return EventAccumulator(
        str(folder / "tensorboard"), size_guidance={"audio": 0, "images": 0, "scalars": 0}
    ).Reload()


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    return [(event.step, event.value) for event in tensorboard(folder).Scalars(tag)]


def test_a_record_is_a_line_and_its_numbers_are_scalars(tmp_path):
    values = {
        "mel": 1.5,
        "used": [0.25, 0.75],
        "2_stages": {"estoi": 0.5, "pesq_wb": None},
        "note": "text",
        "loss": 2,
    }
    with open_log(tmp_path) as log:
        log.write(3, "train", values)
    assert read_metrics(tmp_path / METRICS) == [{"step": 3, "event": "train", **values}]
    expected = {"mel": 1.5, "used/1": 0.25, "used/2": 0.75, "2_stages/estoi": 0.5, "loss": 2.0}
    assert set(tensorboard(tmp_path).Tags()["scalars"]) == {f"train/{name}" for name in expected}
    for name, value in expected.items():
        assert scalars(tmp_path, f"train/{name}") == [(3, value)]


def test_numbers_that_json_lacks_are_null(tmp_path):
    with open_log(tmp_path) as log:
        log.write(
            1, "train", {"mel": math.nan, "errors": [math.inf, 1.0], "inner": {"x": -math.inf}}
        )

    def refuse(name: str) -> Any:
        raise AssertionError(f"{name} is no JSON")

    (line,) = (tmp_path / METRICS).read_text().splitlines()
    assert json.loads(line, parse_constant=refuse) == {
        "step": 1,
        "event": "train",
        "mel": None,
        "errors": [None, 1.0],
        "inner": {"x": None},
    }
    assert scalars(tmp_path, "train/errors/2") == [(1, 1.0)]
    assert "train/mel" not in tensorboard(tmp_path).Tags()["scalars"]


def test_a_log_opened_at_a_step_forgets_what_came_after(tmp_path):
    for at_step, steps in ((0, (1, 2, 3, 4)), (2, (3, 4, 5))):
        with open_log(tmp_path, at_step) as log:
            for step in steps:
                log.write(step, "train", {"mel": float(step * 10 + at_step)})
    assert [(r["step"], r["mel"]) for r in read_metrics(tmp_path / METRICS)] == [
        (1, 10),
        (2, 20),
        (3, 32),
        (4, 42),
        (5, 52),
    ]
    assert scalars(tmp_path, "train/mel") == [(1, 10), (2, 20), (3, 32), (4, 42), (5, 52)]


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    path = tmp_path / METRICS
    path.write_text('{"step": 1, "event": "train"}\n{"step": 2, "ev')
    assert read_metrics(path) == [{"step": 1, "event": "train"}]


def test_clips_can_be_heard_and_seen(tmp_path):
    wave = 2 * tone(0.5, 1000.0, level=1.0)  # beyond full scale
    with open_log(tmp_path) as log:
        log.audio(7, "speaker/clip", wave, 16_000)
    events = tensorboard(tmp_path)
    (audio,) = events.Audio("audio/speaker/clip")
    assert (audio.step, audio.sample_rate, audio.length_frames) == (7, 16_000, 8000)
    (image,) = events.Images("spectrogram/speaker/clip")
    assert (image.step, image.height) == (7, 257)


def test_a_spectrogram_shows_a_tone_where_it_is():
    image = spectrogram(tone(1.0, 2000.0))
    assert image.shape == (257, (16_000 - 512) // 128 + 1)
    assert image.min() >= 0
    assert image.max() == 1
    np.testing.assert_array_equal(
        image.argmax(axis=0), 256 - 64
    )  # 2,000 of 8,000 Hz, low frequencies at the bottom
    assert image[0].max() == 0  # nothing at 8 kHz


@pytest.mark.parametrize("samples", [0, 1, 511, 512])
def test_a_spectrogram_of_a_short_clip_is_one_column(samples):
    assert spectrogram(np.zeros(samples, np.float32)).shape == (257, 1)


def test_a_log_without_a_terminal_prints_its_lines(tmp_path, capsys):
    with open_log(tmp_path) as log:
        log.write(12_345, "train", {"mel": 1.25, "used": [1.0], "lost": None})
        log.show(12_345, 0.5)
    assert capsys.readouterr().err == "step 12345 train  mel 1.25\n"


def test_a_log_needs_tensorboard(tmp_path):
    with pytest.raises(ConfigError, match="does not log with TensorBoard"):
        RunLog(tmp_path, Accelerator(cpu=True), at_step=0)
