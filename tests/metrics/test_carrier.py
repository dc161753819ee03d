"""Carrier repetition of noise, and of patterns that repeat."""

from __future__ import annotations

import numpy as np
import pytest

from codec.metrics import MetricError, NothingToMeasure, carrier_repetition
from codec.metrics.bands import band_pass

RATE_HZ = 16_000
PERIOD = 640  # 40 ms


def hiss(carrier: np.ndarray) -> np.ndarray:
    """A vowel's 300 Hz, then a carrier from 4 to 7.5 kHz for 200 ms, twice over."""
    tone = 0.1 * np.sin(2 * np.pi * 300 * np.arange(RATE_HZ // 4) / RATE_HZ)
    noise = 0.1 * band_pass(carrier, 4000, 7500)[: RATE_HZ // 5]
    return np.concatenate([tone, noise, tone, noise, tone]).astype(np.float32)


def noise(seed: int, samples: int = RATE_HZ) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(samples)


def measure(
    reference: np.ndarray, estimate: np.ndarray, rate_hz: int = RATE_HZ
) -> tuple[float, float]:
    return carrier_repetition(reference, estimate, sample_rate_hz=rate_hz)


def test_noise_repeats_by_chance_alone():
    values = [measure(hiss(noise(seed)), hiss(noise(seed)))[0] for seed in range(20)]
    assert np.mean(values) == pytest.approx(0.045, abs=0.01)
    assert max(values) < 0.2


@pytest.mark.parametrize("sign", [1, -1])
def test_a_pattern_that_repeats_is_found(sign):
    pattern = noise(100, PERIOD)
    frozen = np.concatenate([pattern, sign * pattern] * 13)
    value, seconds = measure(hiss(noise(0)), hiss(frozen))
    assert value > 0.95
    assert seconds == pytest.approx(2 * 0.19, abs=0.021)  # half a block is left out at both ends
    other_period = np.tile(noise(100, PERIOD + 57), 25)
    assert measure(hiss(noise(0)), hiss(other_period))[0] < 0.2


def test_stretches_are_those_of_the_reference_and_weigh_by_their_length():
    once = hiss(noise(0))
    half_frozen = once.copy()
    first = slice(RATE_HZ // 4, RATE_HZ // 4 + RATE_HZ // 5)
    half_frozen[first] = hiss(np.tile(noise(100, PERIOD), 26))[first]
    low, high = measure(once, once)[0], measure(once, hiss(np.tile(noise(100, PERIOD), 26)))[0]
    assert measure(once, half_frozen)[0] == pytest.approx((low + high) / 2, abs=0.06)


def test_without_fricatives_there_is_nothing_to_measure():
    tone = np.sin(2 * np.pi * 300 * np.arange(RATE_HZ) / RATE_HZ)
    short = np.concatenate([tone, 0.5 * band_pass(noise(0), 4000, 7500)[: RATE_HZ // 20], tone])
    for reference in (tone, short, noise(0, 100)):
        with pytest.raises(NothingToMeasure, match="no fricative of 90 ms or more"):
            measure(reference, reference)
    with pytest.raises(MetricError, match="the estimate is silent"):
        measure(tone, 0 * tone)
