"""Scores on held-out clips: from the bits of whole files, by the averaged model, at the model's
rate.
"""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
import soundfile
from accelerate import Accelerator
from conftest import make_checkpoint
from synthesis import synthesize_speech, tone
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec.api import Codec
from codec.errors import AudioError
from codec.metrics import score
from codec.training.logs import RunLog
from codec.training.validation import (
    MEASURES,
    HeldOut,
    Validator,
    audio_files,
    codec_of,
    rate_table,
    read_clip,
    read_held_out,
)

from .small_run import batches, small_trainer


@pytest.fixture(scope="module")
def codec() -> Codec:
    return codec_of(make_checkpoint(), device="cpu")


@pytest.fixture(scope="module")
def clips() -> list[HeldOut]:
    return [
        HeldOut(name=f"{seed}", wave=synthesize_speech(1.0 + 0.5 * seed, seed=seed))
        for seed in range(2)
    ]


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 48_000])
def test_clips_are_read_at_the_models_rate(tmp_path, rate_hz):
    soundfile.write(tmp_path / "clip.wav", tone(0.5, 440.0, sample_rate_hz=rate_hz), rate_hz)
    wave = read_clip(tmp_path / "clip.wav", 16_000)
    assert wave.shape == (8000,)
    np.testing.assert_allclose(wave[400:-400], tone(0.5, 440.0)[400:-400], atol=2e-4)


def test_clips_of_a_folder_are_named_by_their_place(tmp_path):
    for speaker in "ba":
        (tmp_path / speaker).mkdir()
        soundfile.write(tmp_path / speaker / "clip.wav", np.zeros(160), 16_000)
    (tmp_path / "notes.txt").write_text("not audio")
    assert [clip.name for clip in read_held_out(audio_files(tmp_path), 16_000)] == [
        "a/clip",
        "b/clip",
    ]
    with pytest.raises(AudioError, match="no audio files below"):
        audio_files(tmp_path / "nowhere")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX special files")
def test_pipes_and_folders_are_no_clips(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    (tmp_path / "b.wav").mkdir()
    with pytest.raises(AudioError, match="no audio files below"):
        audio_files(tmp_path)


def test_channels_are_averaged(tmp_path):
    left, right = np.full(1600, 0.5), np.full(1600, -0.25)
    soundfile.write(tmp_path / "clip.wav", np.stack([left, right], axis=1), 16_000, subtype="FLOAT")
    np.testing.assert_allclose(
        read_clip(tmp_path / "clip.wav", 16_000), np.full(1600, 0.125), atol=1e-6
    )


def test_a_row_holds_the_bits_of_the_files_and_the_mean_scores(codec, clips):
    rows = rate_table(codec, clips, [1, 4])
    assert [row["stages"] for row in rows] == [1, 4]
    assert rows[0]["kbps"] < rows[1]["kbps"]
    files = [codec.encode(clip.wave, sample_rate_hz=16_000, stages=4).to_bytes() for clip in clips]
    assert rows[1]["kbps"] == pytest.approx(sum(map(len, files)) * 8 / 2.5 / 1000)  # 1 s and 1.5 s
    scores = [
        score(clip.wave, codec.decode(file).wave[0], sample_rate_hz=16_000, names=MEASURES)
        for clip, file in zip(clips, files, strict=True)
    ]
    for name in MEASURES:
        assert rows[1][name] == pytest.approx(
            np.mean([clip_scores[name].value for clip_scores in scores])  # pyright: ignore[reportCallIssue]
        )
    assert rows[1]["failed"] == 0


def test_a_measure_that_fails_is_counted_and_left_out_of_the_mean(codec, clips):
    silence = HeldOut(name="silence", wave=np.zeros(16_000, np.float32))
    (alone,) = rate_table(codec, clips[:1], [2])
    (row,) = rate_table(codec, [clips[0], silence], [2])
    assert row["pesq_wb"] == alone["pesq_wb"]
    failed = [
        s.failure
        for s in score(silence.wave, silence.wave, sample_rate_hz=16_000, names=MEASURES).values()
    ]
    assert row["failed"] >= sum(failure is not None for failure in failed) > 0
    (nothing,) = rate_table(codec, [silence], [2])
    assert nothing["pesq_wb"] is None


def test_the_averaged_model_is_scored_and_heard(tmp_path, clips):
    trainer = small_trainer(tmp_path)
    trainer.start_quantizing(batches)
    trainer.step(batches(0), 0.3)
    validate = Validator(clips, [1, 2], audio_clips=1)
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    with RunLog(tmp_path, accelerator, at_step=0) as log:
        figures = [validate(trainer.averaged, log, step) for step in (1, 2)]
    for stages in figures[0]:  # the same model, the same clips (ESTOI adds noise of 1e-16)
        assert figures[0][stages] == pytest.approx(figures[1][stages], abs=1e-9)
    assert set(figures[0]) == {"1_stages", "2_stages"}
    assert set(figures[0]["2_stages"]) == {"kbps", "failed", *MEASURES}
    events = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"audio": 0}).Reload()
    assert {tag: [event.step for event in events.Audio(tag)] for tag in events.Tags()["audio"]} == {
        "audio/0/original": [1],
        "audio/0/decoded": [1, 2],
    }
    assert set(events.Tags()["images"]) == {"spectrogram/0/original", "spectrogram/0/decoded"}
