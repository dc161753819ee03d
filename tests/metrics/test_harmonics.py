"""Harmonic contrast of harmonics in noise of known power."""

from __future__ import annotations

import math

import numpy as np
import pytest
from synthesis import synthesize_speech

from codec.metrics import METRICS, NothingToMeasure, harmonic_contrast
from codec.metrics.bands import BANDS_KHZ, band_pass

RATE_HZ = 16_000
WINDOW = np.hanning(640)
NOISE = np.random.default_rng(0).standard_normal(4 * RATE_HZ)


def voice(hz: float = 200.0, amplitude: float = 0.02) -> np.ndarray:
    """Equal harmonics up to 7.8 kHz."""
    time = np.arange(len(NOISE)) / RATE_HZ
    n = np.arange(1, int(7800 / hz))[:, None]
    return (amplitude * np.cos(2 * np.pi * n * hz * time + n * n)).sum(axis=0)


def expected_db(amplitude: float, noise: float) -> float:
    """The power of a harmonic's peak, and noise, over noise alone: nothing else lies half-way
    between harmonics.
    """
    peak, power = (amplitude / 2 * WINDOW.sum()) ** 2, noise**2 * np.square(WINDOW).sum()
    return 10 * math.log10(1 + peak / power)


def measure(reference: np.ndarray, estimate: np.ndarray, band_khz: tuple[int, int]) -> float:
    return harmonic_contrast(reference, estimate, sample_rate_hz=RATE_HZ, band_khz=band_khz)


@pytest.mark.parametrize("band_khz", BANDS_KHZ)
def test_more_noise_between_harmonics_is_less_contrast_by_as_much(band_khz):
    little, much = 0.01, 0.04
    reference, estimate = voice() + little * NOISE, voice() + much * NOISE
    expected = expected_db(0.02, much) - expected_db(0.02, little)
    assert measure(reference, estimate, band_khz) == pytest.approx(expected, abs=0.6)
    assert measure(estimate, reference, band_khz) == pytest.approx(-expected, abs=0.6)
    assert measure(reference, reference, band_khz) == 0


def test_bands_filled_with_noise_lose_all_of_it_and_the_others_nothing():
    reference = voice() + 0.01 * NOISE
    filled = band_pass(reference, 0, 2000) + 0.02 * band_pass(NOISE[::-1], 2000, 8000)
    found = [measure(reference, filled, band_khz) for band_khz in BANDS_KHZ]
    lost = -expected_db(0.02, 0.01)
    assert found == pytest.approx([0, 0, lost, lost], abs=0.8)


def test_each_signal_has_its_own_pitch():
    assert measure(voice(200) + 0.01 * NOISE, voice(212) + 0.01 * NOISE, (1, 2)) == pytest.approx(
        0, abs=0.6
    )
    with pytest.raises(NothingToMeasure, match="0 frames with harmonics there in both signals"):
        measure(voice(200) + 0.01 * NOISE, voice(320) + 0.01 * NOISE, (1, 2))


def test_without_voice_there_is_nothing_to_measure():
    with pytest.raises(NothingToMeasure, match="frames with harmonics there in both signals"):
        measure(NOISE, NOISE, (1, 2))
    with pytest.raises(NothingToMeasure, match="0 frames"):
        measure(NOISE[:99], NOISE[:99], (1, 2))
    with pytest.raises(
        NothingToMeasure, match="0 frames"
    ):  # one harmonic in the band is none beside another
        measure(voice(450), voice(450), (1, 2))


def test_speech_without_its_upper_harmonics():
    speech = synthesize_speech(3.0, seed=2)
    noise = np.random.default_rng(1).standard_normal(len(speech))
    estimate = band_pass(speech, 0, 2000) + 0.02 * band_pass(noise, 2000, 8000)
    scores = {
        name: METRICS[name](speech, estimate, sample_rate_hz=RATE_HZ)
        for name in ("contrast_0_1", "contrast_2_4")
    }
    assert scores["contrast_0_1"] == pytest.approx(0, abs=0.3)
    assert scores["contrast_2_4"] < -3
