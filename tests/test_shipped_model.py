"""The model that ships, on the real speech of `samples/`."""

from __future__ import annotations

import numpy as np
import pytest
from real_speech import SAMPLES
from synthesis import synthesize_speech

import codec.streams.runner
from codec import Codec, shipped_models
from codec.checkpoint import DEFAULT_MODEL
from codec.metrics import estoi, si_sdr
from codec.training.validation import read_clip


@pytest.fixture(scope="module")
def shipped() -> Codec:
    return Codec.load(device="cpu")


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    return [read_clip(path, 16_000) for path in sorted(SAMPLES.glob("*.flac"))]


def test_the_default_is_shipped_and_says_how_it_was_trained():
    info = {model.name: model for model in shipped_models()}[DEFAULT_MODEL]
    assert info.size_bytes < 20e6
    assert info.facts["steps"] > 0
    assert info.facts["validation"]


def test_tables_shrink_what_the_model_codes(shipped):
    encoded = shipped.encode(synthesize_speech(20.0, seed=3), sample_rate_hz=16_000)
    fixed_bytes = encoded.codes.shape[-1] * encoded.header.bits_per_frame / 8
    assert shipped.tables is not None
    np.testing.assert_array_equal(
        shipped.decode(encoded.to_bytes()).wave, shipped.decode(encoded).wave
    )
    assert len(encoded.to_bytes()) < 1.02 * fixed_bytes


def test_speech_is_recognisable_and_more_stages_are_better(shipped, clips):
    """ESTOI of noise that follows the speech's envelope is about 0.2."""
    scores = {}
    for stages in (1, len(shipped.config.stages)):
        decoded = [
            shipped.decode(shipped.encode(clip, sample_rate_hz=16_000, stages=stages))
            for clip in clips
        ]
        pairs = zip(clips, decoded, strict=True)
        scores[stages] = np.mean(
            [estoi(clip, audio.wave[0], sample_rate_hz=16_000) for clip, audio in pairs]
        )
    assert scores[len(shipped.config.stages)] > max(0.3, scores[1])


def test_a_bitrate_sounds_better_than_equal_stages(shipped, clips):
    """At no more bytes. What it gains most is the waveform of loud speech, so that SI-SDR tells it
    with few clips.
    """
    gains, sizes = [], []
    for clip in clips:
        even = shipped.encode(clip, sample_rate_hz=16_000, stages=4)
        varied = shipped.encode(clip, sample_rate_hz=16_000, bitrate_kbps=2.0)
        sizes.append((len(varied.to_bytes()), len(even.to_bytes())))
        scores = [
            si_sdr(clip, shipped.decode(coded).wave[0], sample_rate_hz=16_000)
            for coded in (varied, even)
        ]
        gains.append(scores[0] - scores[1])
    total = np.sum(sizes, axis=0)
    assert total[0] < 1.02 * total[1]
    assert np.mean(gains) > 2
    assert np.min(gains) > -1


def test_windows_change_no_code_on_real_speech(shipped, clips, monkeypatch):
    speech = np.concatenate(clips)
    whole = shipped.encode(speech, sample_rate_hz=16_000)
    heard = shipped.decode(whole).wave
    monkeypatch.setattr(codec.streams.runner, "WINDOW_SECONDS", 1)
    pieces = shipped.encode(speech, sample_rate_hz=16_000)
    np.testing.assert_array_equal(pieces.codes, whole.codes)
    np.testing.assert_allclose(shipped.decode(pieces).wave, heard, rtol=0, atol=1e-5)
