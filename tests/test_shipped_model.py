"""The model that ships, on the real speech of `samples/`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from real_speech import SAMPLES
from synthesis import synthesize_speech

import codec.streams.runner
from codec import Codec, shipped_models
from codec.metrics import estoi, si_sdr
from codec.model_lookup import DEFAULT_MODEL
from codec.torch_module import DiveqCodecModel
from codec.training.validation import read_clip


@pytest.fixture(scope="module")
def shipped() -> Codec:
    return Codec.load(device="cpu")


@pytest.fixture(scope="module")
def clips() -> list[np.ndarray]:
    """Every second one: half the work tells as much."""
    return [read_clip(path, 16_000) for path in sorted(SAMPLES.glob("*.flac"))[::2]]


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


def test_the_same_codes_by_every_way_of_making_them(shipped, clips):
    """Alone, in a batch, live, as a torch module, on either backend; ties of floats aside, one
    frame in a thousand, and one. Frames of digital silence have no stages, live and in the module
    they have.
    """
    other = Codec.load(device="cpu", backend="onnx")
    module = DiveqCodecModel.from_pretrained(DEFAULT_MODEL)
    # whole packets, of which the last four are silent but for what the high-pass filter lets ring
    clips = [np.pad(clip, (0, -len(clip) % 960 + 4 * 960)) for clip in clips[::3]]
    sounds = [{"array": clip, "sampling_rate": 16_000} for clip in clips]
    expected = [shipped.encode(sound).codes for sound in sounds]
    ways = {
        "batch": [clip.codes for clip in shipped.encode_batch(sounds)],
        "onnx": [other.encode(sound).codes for sound in sounds],
        "batch, onnx": [clip.codes for clip in other.encode_batch(sounds)],
        "live": [live_codes(shipped, clip) for clip in clips],
        "live, onnx": [live_codes(other, clip) for clip in clips],
        "module": [
            module.encode(torch.from_numpy(clip)[None]).audio_codes.numpy() for clip in clips
        ],
    }
    frames = sum(codes.shape[2] for codes in expected)
    silent = [(codes < 0).all(axis=1, keepdims=True) for codes in expected]
    assert 0 < sum(map(np.sum, silent)) < frames / 20
    for way, made in ways.items():
        differ = 0
        for codes, reference, pause in zip(made, expected, silent, strict=True):
            assert codes.shape == reference.shape, way
            differ += int(np.any((codes != reference) & ~pause, axis=1).sum())
        assert differ <= 1 + frames / 1000, way


def live_codes(codec: Codec, clip: np.ndarray) -> np.ndarray:
    encoder = codec.live_encoder(sample_rate_hz=16_000)
    blocks = np.split(clip, range(1000, len(clip), 1000))
    packets = [packet for block in blocks for packet in encoder.push(block)] + encoder.flush()
    return np.concatenate([encoder.live.unpack(packet).codes for packet in packets], axis=2)
