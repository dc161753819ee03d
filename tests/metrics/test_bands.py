"""Correlation and level per band, of signals whose bands were changed on purpose."""

from __future__ import annotations

import math

import numpy as np
import pytest
import soxr

from codec.metrics import METRICS, NothingToMeasure, band_correlation, band_level, score
from codec.metrics.bands import BANDS_KHZ, band_pass

RATE_HZ = 16_000
NOISE, OTHER = (
    np.random.default_rng(seed).standard_normal(2 * RATE_HZ).astype(np.float32) * 0.1
    for seed in (0, 1)
)


def measure(
    estimate: np.ndarray, kind: str, reference: np.ndarray = NOISE, rate_hz: int = RATE_HZ
) -> list[float]:
    names = [f"{kind}_{low}_{high}" for low, high in BANDS_KHZ]
    scores = score(reference, estimate, sample_rate_hz=rate_hz, names=names)
    return [value for name in names if (value := scores[name].value) is not None]


def test_an_attenuated_band_is_lower_by_that_and_correlates_as_before():
    estimate = NOISE - 0.5 * band_pass(NOISE, 1000, 2000)
    assert measure(estimate, "level") == pytest.approx([0, -20 * math.log10(2), 0, 0], abs=5e-3)
    assert measure(estimate, "correlation") == pytest.approx([1, 1, 1, 1], abs=2e-4)
    assert measure(-3 * NOISE, "level") == pytest.approx([20 * math.log10(3)] * 4, abs=1e-5)
    assert measure(-3 * NOISE, "correlation") == pytest.approx([-1] * 4, abs=1e-6)


def test_another_waveform_of_equal_level_does_not_correlate():
    estimate = band_pass(NOISE, 0, 2000) + band_pass(OTHER, 2000, 8000)
    assert measure(estimate, "correlation") == pytest.approx([1, 1, 0, 0], abs=0.02)
    assert measure(estimate, "level") == pytest.approx([0] * 4, abs=0.2)


def test_a_waveform_and_as_much_of_another_correlate_by_the_root_of_a_half():
    assert measure(NOISE + OTHER, "correlation") == pytest.approx([math.sqrt(0.5)] * 4, abs=0.02)
    assert measure(NOISE + OTHER, "level") == pytest.approx([10 * math.log10(2)] * 4, abs=0.2)


def test_higher_rates_are_measured_at_16_khz():
    estimate = (NOISE + 0.3 * OTHER).astype(np.float32)
    wide = [soxr.resample(signal, RATE_HZ, 48_000, quality="VHQ") for signal in (NOISE, estimate)]
    for kind in ("level", "correlation"):
        found = measure(wide[1], kind, wide[0], 48_000)
        assert found == pytest.approx(measure(estimate, kind), abs=5e-3)


def test_a_tone_has_its_energy_where_it_is():
    tone = np.sin(2 * np.pi * 3000 * np.arange(RATE_HZ) / RATE_HZ)
    assert band_level(tone, 0.1 * tone, sample_rate_hz=RATE_HZ, band_khz=(2, 4)) == pytest.approx(
        -20, abs=1e-3
    )
    assert np.abs(band_pass(tone, 2000, 4000) - tone)[800:-800].max() < 0.01


def test_without_sound_in_a_band_there_is_nothing_to_measure():
    low = soxr.resample(NOISE, RATE_HZ, 8_000, quality="VHQ")
    cut = band_pass(NOISE, 0, 3900)
    for metric in (band_correlation, band_level):
        with pytest.raises(
            NothingToMeasure, match="signals of 8000 Hz have nothing from 4 kHz upwards"
        ):
            metric(low, low, sample_rate_hz=8_000, band_khz=(4, 8))
        with pytest.raises(NothingToMeasure, match="the reference has nothing from 4 to 8 kHz"):
            metric(np.hanning(len(cut)) * cut, NOISE, sample_rate_hz=RATE_HZ, band_khz=(4, 8))


def test_a_band_that_was_lost_is_80_db_lower_at_most():
    cut = np.hanning(len(NOISE)) * band_pass(NOISE, 0, 3900)
    assert measure(cut, "level")[3] == -80
    assert measure(cut, "correlation")[3] == pytest.approx(0, abs=0.02)
    assert METRICS["level_4_8"].best == 0
