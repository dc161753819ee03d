"""Blocks of any sizes give one result, which is that of another resampler where both pass
everything.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.audio.live_resampling import LiveResampler

RATES = [
    (16_000, 16_000),
    (48_000, 16_000),
    (16_000, 48_000),
    (44_100, 16_000),
    (16_000, 22_050),
    (8000, 16_000),
]


def whole(wave, from_hz, to_hz):
    resampler = LiveResampler(from_hz=from_hz, to_hz=to_hz, channels=len(wave))
    return np.concatenate([resampler.push(wave), resampler.flush()], axis=1)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([*RATES, (16_001, 16_000)]), st.integers(0, 3000))
def test_any_blocks_give_the_same_samples_and_length(seed, rates, length):
    rng = np.random.default_rng(seed)
    from_hz, to_hz = rates
    wave = rng.standard_normal((2, length)).astype(np.float32)
    resampler = LiveResampler(from_hz=from_hz, to_hz=to_hz, channels=2)
    made, start = [], 0
    while start < length:
        size = int(rng.integers(0, 700))
        made.append(resampler.push(wave[:, start : start + size]))
        start += size
        ready = sum(piece.shape[1] for piece in made)
        assert ready / to_hz >= min(start, length) / from_hz - resampler.delay_seconds - 1 / to_hz
    if length:
        resampler = copy.copy(resampler)
    made.append(resampler.flush())
    result = np.concatenate(made, axis=1)
    assert result.shape[1] == -(-length * to_hz // from_hz)
    np.testing.assert_allclose(result, whole(wave, from_hz, to_hz), rtol=0, atol=1e-6)


@pytest.mark.parametrize(("from_hz", "to_hz"), RATES[1:])
def test_speech_band_is_that_of_soxr(from_hz, to_hz):
    """Tones up to 80 % of the lower Nyquist frequency, away from the ends."""
    rng = np.random.default_rng(1)
    time = np.arange(from_hz) / from_hz
    tones = rng.uniform(50, 0.4 * min(from_hz, to_hz), 30)
    wave = sum(np.sin(2 * np.pi * tone * time + tone) for tone in tones)[None].astype(np.float32)
    ours, theirs = (
        whole(wave, from_hz, to_hz)[0],
        soxr.resample(wave[0], from_hz, to_hz, quality="VHQ"),
    )
    middle = slice(to_hz // 4, to_hz * 3 // 4)
    error = ours[middle] - theirs[: len(ours)][middle]
    assert 10 * np.log10(np.mean(error**2) / np.mean(theirs**2)) < -65
    assert (
        LiveResampler(from_hz=from_hz, to_hz=to_hz, channels=1).delay_seconds
        <= 48 / min(from_hz, to_hz) + 1e-3
    )
