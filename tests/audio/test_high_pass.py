"""The high-pass filter, beside SciPy's."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codec.audio.high_pass import CUTOFF_HZ, HighPass, high_passed

RATES_HZ = (1_000, 8_000, 16_000, 48_000, 768_000)


def noise(samples: int) -> np.ndarray:
    generator = np.random.default_rng(3)
    return (0.1 * generator.standard_normal((2, samples)) + 0.05).astype(np.float32)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_it_is_the_butterworth_filter_of_scipy(rate):
    signal = pytest.importorskip("scipy.signal")
    sections = signal.butter(2, CUTOFF_HZ, "highpass", fs=rate, output="sos")
    wave = noise(3 * rate // 2)
    expected = signal.sosfilt(sections, wave.astype(float))
    np.testing.assert_allclose(HighPass(rate).push(wave), expected, rtol=0, atol=1e-7)


@given(st.lists(st.integers(0, 3_000), max_size=8), st.sampled_from(RATES_HZ))
def test_blocks_make_no_difference(sizes, rate):
    wave = noise(sum(sizes))
    blocks = np.split(wave, np.cumsum(sizes), axis=1)
    made = np.concatenate(list(high_passed(blocks, rate)), axis=1)
    np.testing.assert_array_equal(made, HighPass(rate).push(wave))


def test_an_offset_becomes_silence():
    made = HighPass(16_000).push(np.full((1, 40_000), 0.3, np.float32))
    assert np.abs(made[0, 1_600:]).max() < 0.3 * 0.002  # after a tenth of a second
    assert np.abs(made[0, 16_000:]).max() < 1e-7


def test_speech_is_left_alone_and_rumble_is_not():
    times = np.arange(32_000) / 16_000
    for frequency, low, high in ((5, 0.05, 0.07), (80, 0.99, 1.0), (1_000, 0.9999, 1.0)):
        wave = np.sin(2 * np.pi * frequency * times)[None].astype(np.float32)
        made = HighPass(16_000).push(wave)[0, 16_000:]
        assert low < np.sqrt(2 * np.mean(made**2)) <= high + 1e-4


def test_a_copy_goes_on_alike():
    wave = noise(5_000)
    one = HighPass(16_000)
    one.push(wave[:, :1_234])
    other = copy.copy(one)
    np.testing.assert_array_equal(one.push(wave[:, 1_234:]), other.push(wave[:, 1_234:]))
