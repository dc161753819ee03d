"""Resampling in blocks against soxr's one-shot function, and lengths against integer arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.audio.resampling import resample_blocks, resampled_length

RATES = [
    (48_000, 16_000),
    (16_000, 48_000),
    (44_100, 16_000),
    (16_000, 44_100),
    (22_050, 24_000),
    (8_000, 16_000),
    (16_000, 8_000),
    (11_025, 16_000),
    (16_000, 16_001),
    (12_345, 16_000),
    (96_000, 16_000),
    (768_000, 16_000),
    (16_000, 768_000),
]


def noise(channels: int, samples: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, (channels, samples)).astype(np.float32)


def cut(signal: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    return np.split(signal, np.cumsum(lengths), axis=1)


def resampled(blocks: list[np.ndarray], from_hz: int, to_hz: int) -> np.ndarray:
    channels = blocks[0].shape[0]
    empty = np.zeros((channels, 0), np.float32)
    return np.concatenate(
        [empty, *resample_blocks(blocks, from_hz=from_hz, to_hz=to_hz, channels=channels)], axis=1
    )


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_equals_soxr_on_the_whole_signal(from_hz, to_hz):
    for samples in (0, 1, 2, 3, 7, 100, 1001, 4000):
        signal = noise(2, samples)
        blocks = cut(signal, [1, 0, 2, 300, 5])
        result = resampled(blocks, from_hz, to_hz)
        expected = soxr.resample(signal.T, from_hz, to_hz, quality="VHQ").T
        assert result.dtype == np.float32
        assert result.shape == (2, math.ceil(samples * to_hz / from_hz))
        # soxr rounds the length and the blocks' is the ceiling: one sample more, or none.
        assert 0 <= result.shape[1] - expected.shape[1] <= 1
        # float32 samples from float64 arithmetic in both: a step of the last bit, no more.
        np.testing.assert_allclose(result[:, : expected.shape[1]], expected, rtol=0, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    rates=st.sampled_from(RATES[:-2]),
    lengths=st.lists(st.integers(0, 700), max_size=8),
    samples=st.integers(0, 3000),
)
def test_chunking_changes_no_bit(rates, lengths, samples):
    signal = noise(1, samples)
    np.testing.assert_array_equal(
        resampled(cut(signal, lengths), *rates), resampled([signal], *rates)
    )


@pytest.mark.parametrize(
    ("from_hz", "to_hz"), [(48_000, 16_000), (16_000, 44_100), (44_100, 24_000)]
)
def test_a_tone_keeps_its_place_in_time(from_hz, to_hz):
    """No delay: the samples are those of the same sine at the new rate."""
    seconds, frequency_hz = 0.5, 440.0
    source = np.sin(2 * np.pi * frequency_hz * np.arange(int(seconds * from_hz)) / from_hz).astype(
        np.float32
    )
    result = resampled([source[None]], from_hz, to_hz)[0]
    expected = np.sin(2 * np.pi * frequency_hz * np.arange(len(result)) / to_hz)
    inside = slice(to_hz // 20, -to_hz // 20)  # the cut ends ring
    np.testing.assert_allclose(result[inside], expected[inside], rtol=0, atol=1e-5)


def test_equal_rates_pass_the_blocks_through():
    blocks = cut(noise(3, 100), [10, 0, 50])
    assert all(
        a is b
        for a, b in zip(
            resample_blocks(blocks, from_hz=8, to_hz=8, channels=3), blocks, strict=True
        )
    )


@given(
    samples=st.integers(0, 10**12),
    rates=st.tuples(st.integers(1, 768_000), st.integers(1, 768_000)),
)
def test_there_and_back_never_lacks_a_sample(samples, rates):
    from_hz, to_hz = rates
    back = resampled_length(resampled_length(samples, from_hz, to_hz), to_hz, from_hz)
    assert samples <= back <= samples + -(-from_hz // to_hz)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES)
def test_there_and_back_restores_the_length_and_the_place(from_hz, to_hz):
    samples = 3 * max(from_hz // 100, 301) + 1
    time = np.arange(samples) / from_hz
    source = (np.sin(2 * np.pi * 50 * time) * np.hanning(samples)).astype(np.float32)[None]
    coded = resampled([source], from_hz, to_hz)
    back = resample_blocks([coded], from_hz=to_hz, to_hz=from_hz, channels=1)
    restored = np.concatenate(list(back), axis=1)[:, :samples]
    assert restored.shape == source.shape
    np.testing.assert_allclose(restored, source, rtol=0, atol=2e-3)
