"""Which clips are there to listen to, and what becomes of recordings that cannot be read."""

from __future__ import annotations

import dataclasses
import io
from base64 import b64decode

import numpy as np
import pytest
import soundfile
from report.evaluations import METRICS, RATE_HZ, make_evaluation

from codec.metrics import Score
from codec.report.embedded_clips import record_clips
from codec.report.selection import choose_clips, ranked_clips


def with_scores(evaluation, metric: str, values: list[list[float | None]]):
    """The evaluation with one metric alone: values by system and clip."""
    systems = []
    for system, row in zip(evaluation.systems, values, strict=True):
        clips = [
            dataclasses.replace(
                clip, scores={metric: Score(value, None if value is not None else "too short")}
            )
            for clip, value in zip(system.clips, row, strict=True)
        ]
        systems.append(
            dataclasses.replace(system, clips=tuple(clips), means={metric: system.means[metric]})
        )
    return dataclasses.replace(evaluation, metrics=(metric,), systems=tuple(systems))


@pytest.mark.parametrize(
    ("metric", "order"), [("pesq_wb", [1, 3, 0, 2]), ("mel_distance", [2, 0, 3, 1])]
)
def test_clips_are_ranked_from_the_worst(tmp_path, metric, order):
    plain = make_evaluation(tmp_path, clips=4, systems=2, recorded=False)
    assert ranked_clips(with_scores(plain, metric, [[2.5, 1, 3, 2], [25, 10, 30, 20]])) == order


def test_a_clip_without_a_value_is_in_the_middle(tmp_path):
    plain = make_evaluation(tmp_path, clips=3, systems=1, recorded=False)
    assert ranked_clips(with_scores(plain, "pesq_wb", [[3.0, None, 1.0]])) == [2, 1, 0]


def test_the_first_metric_with_values_decides(tmp_path):
    plain = make_evaluation(tmp_path, clips=3, systems=1, recorded=False)
    assert ranked_clips(with_scores(plain, "pesq_wb", [[None] * 3])) == [0, 1, 2]
    clips = [
        dataclasses.replace(
            clip, scores={"pesq_wb": Score(None, "short"), "si_sdr": Score(-float(number))}
        )
        for number, clip in enumerate(plain.systems[0].clips)
    ]
    systems = (dataclasses.replace(plain.systems[0], clips=tuple(clips)),)
    assert ranked_clips(dataclasses.replace(plain, metrics=METRICS, systems=systems)) == [2, 1, 0]


@pytest.mark.parametrize(
    ("count", "expected"), [(0, ()), (1, (0,)), (2, (0, 6)), (3, (0, 3, 6)), (9, tuple(range(7)))]
)
def test_the_worst_and_the_best_are_chosen_and_what_lies_evenly_between(tmp_path, count, expected):
    assert choose_clips(make_evaluation(tmp_path, clips=7), count) == expected


def test_clips_without_recordings_are_not_chosen(tmp_path):
    evaluation = make_evaluation(tmp_path, clips=3)
    references = (
        dataclasses.replace(evaluation.references[0], audio=None),
        *evaluation.references[1:],
    )
    assert choose_clips(dataclasses.replace(evaluation, references=references), 9) == (1, 2)


def test_recordings_are_embedded_to_the_sample(tmp_path):
    evaluation = make_evaluation(tmp_path)
    (clip,), missing = record_clips(evaluation, tmp_path, (1,))
    assert missing == clip.unreadable == ()
    assert [recording.system for recording in clip.recordings] == [None, 0, 1, 2]
    for recording in clip.recordings:
        flac = b64decode(recording.flac.removeprefix("data:audio/flac;base64,"))
        heard, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
        expected, _ = soundfile.read(recording.path, dtype="int16")
        assert rate == RATE_HZ
        assert np.array_equal(heard, expected)


def test_missing_and_damaged_recordings_are_told(tmp_path):
    evaluation = make_evaluation(tmp_path)
    (tmp_path / "reference/0.wav").unlink()
    (tmp_path / "system 0/1.flac").write_bytes(b"fLaC, but not really")
    soundfile.write(tmp_path / "system 1/1.flac", np.zeros(0), RATE_HZ, format="WAV")
    (tmp_path / "system 2/1.flac").unlink()
    (clip, whole), missing = record_clips(evaluation, tmp_path, (0, 1, 2))
    assert missing == ("reference/0.wav: no such file",)
    assert (clip.clip, len(clip.recordings)) == (1, 1)
    damaged, empty, gone = clip.unreadable
    assert damaged.startswith("Tone 0: system 0/1.flac: not audio that can be read (")
    assert (empty, gone) == (
        "Tone 1: system 1/1.flac: holds no samples",
        "Tone 2: system 2/1.flac: no such file",
    )
    assert (whole.clip, len(whole.recordings), whole.unreadable) == (2, 4, ())


@pytest.mark.parametrize(("channels", "rate"), [(9, RATE_HZ), (1, 700_000)])
def test_what_flac_cannot_hold_is_told(tmp_path, channels, rate):
    evaluation = make_evaluation(tmp_path)
    for name in (evaluation.references[0].audio, evaluation.systems[1].clips[1].audio):
        soundfile.write(tmp_path / name, np.zeros((9000, channels)), rate, format="WAV")
    (clip,), missing = record_clips(evaluation, tmp_path, (0, 1))
    reason = f"holds up to 8 channels and 655350 Hz, not {channels} channels at {rate} Hz"
    assert [reason in text for text in (*missing, *clip.unreadable)] == [True, True]


def test_no_more_than_the_given_bytes_are_embedded(tmp_path):
    evaluation = make_evaluation(tmp_path)
    every, _ = record_clips(evaluation, tmp_path, (0, 1, 2))
    limit = every[0].size + every[1].size
    kept, missing = record_clips(evaluation, tmp_path, (0, 1, 2), max_bytes=limit)
    assert [clip.clip for clip in kept] == [0, 1]
    assert missing == (f"speaker/2.flac: left out, to keep this page below {limit / 1e6:g} MB",)
