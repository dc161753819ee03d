"""The periodicity distance: signals whose answer is known, and what must not change it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from codec.errors import ConfigError
from codec.training.objective.periodicity import PeriodicityCriterion

RATE = 16_000
PITCH_HZ = 160


def pulses(
    rate: int = RATE, *, pitch_hz: float = PITCH_HZ, tilt: float = 0.0, seed: int | None = None
) -> torch.Tensor:
    """A second of a pulse train's harmonics up to half the rate: (1, 1, samples).

    Amplitudes fall with the harmonic's number to the power of `tilt`; a seed gives them random
    phases.
    """
    numbers = np.arange(1, int(0.49 * rate / pitch_hz))
    phases = np.zeros(len(numbers))
    if seed is not None:
        phases = np.random.default_rng(seed).uniform(0, 2 * np.pi, len(numbers))
    angles = 2 * np.pi * pitch_hz * numbers[:, None] * np.arange(rate) / rate
    wave = (numbers[:, None] ** -tilt * np.cos(angles + phases[:, None])).sum(0)
    return torch.from_numpy(0.01 * wave).float()[None, None]


def noise_above(wave: torch.Tensor, rate: int = RATE, *, edge_hz: float = 1000) -> torch.Tensor:
    """The wave with noise of its spectrum in place of all that is above the edge."""
    spectrum = torch.fft.rfft(wave)
    upper = torch.arange(spectrum.shape[-1]) * rate / wave.shape[-1] >= edge_hz
    noise = torch.fft.rfft(torch.randn(wave.shape, generator=torch.Generator().manual_seed(1)))
    noise *= (spectrum[..., upper].abs().square().mean() / noise.abs().square().mean()).sqrt()
    return torch.fft.irfft(torch.where(upper, noise, spectrum), wave.shape[-1])


def test_equal_signals_are_at_no_distance():
    assert PeriodicityCriterion(RATE)(pulses(), pulses()) == 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
def test_noise_of_the_same_spectrum_is_far_and_other_levels_and_phases_are_near(rate: int):
    criterion = PeriodicityCriterion(rate)
    wave = pulses(rate)
    far = criterion(noise_above(wave, rate), wave)
    near = criterion(pulses(rate, tilt=0.3, seed=2), wave)
    assert far > 0.2
    assert near < 0.02


@pytest.mark.parametrize("formant_gain", [1, 10])
@pytest.mark.parametrize("pitch_hz", [85, 110, 200, 390])
def test_voices_of_any_pitch_and_vowel_count(pitch_hz: float, formant_gain: float):
    """Also where a formant lifts the second harmonic far above the others."""
    wave, time = pulses(pitch_hz=pitch_hz), torch.arange(RATE) / RATE
    wave = wave + 0.01 * (formant_gain - 1) * torch.cos(4 * torch.pi * pitch_hz * time)
    assert PeriodicityCriterion(RATE)(noise_above(wave, edge_hz=500), wave) > 0.5


def test_more_noise_is_further():
    wave = pulses()
    noise = noise_above(wave) - wave
    distances = [PeriodicityCriterion(RATE)(wave + share * noise, wave) for share in (0.3, 0.6, 1)]
    assert distances == sorted(distances)
    assert distances[2] > 2 * distances[0]


def test_voice_where_the_reference_has_noise_is_as_far():
    wave = pulses()
    criterion = PeriodicityCriterion(RATE)
    there, back = criterion(noise_above(wave), wave), criterion(wave, noise_above(wave))
    torch.testing.assert_close(there, back, rtol=5e-3, atol=0)


def test_an_unvoiced_reference_asks_for_nothing():
    noise = noise_above(pulses(), edge_hz=0)
    assert PeriodicityCriterion(RATE)(pulses(), noise) < 0.01


def test_the_level_of_a_clip_does_not_matter():
    wave = pulses()
    criterion = PeriodicityCriterion(RATE)
    distance = criterion(noise_above(wave), wave)
    torch.testing.assert_close(
        criterion(0.1 * noise_above(wave), 0.1 * wave), distance, rtol=1e-3, atol=0
    )


def test_the_gradient_leads_to_less_noise():
    """Along it goes the distance down, and the pulses that the noise hides come out."""
    wave = pulses()
    criterion = PeriodicityCriterion(RATE)
    estimate = (0.5 * (noise_above(wave) + wave)).requires_grad_()
    reference = wave.clone().requires_grad_()
    distance = criterion(estimate, reference)
    distance.backward()
    assert estimate.grad is not None
    assert reference.grad is None
    assert (estimate.grad * (wave - noise_above(wave))).sum() < 0
    step = 1e-3 * estimate.detach().norm() * estimate.grad / estimate.grad.norm()
    assert criterion(estimate.detach() - step, wave) < distance


@pytest.mark.parametrize("reference", [torch.zeros(1, 1, RATE), pulses()], ids=["silence", "voice"])
@pytest.mark.parametrize("level", [0, 1e-6, 1e-2])
def test_silence_has_finite_gradients(reference: torch.Tensor, level: float):
    estimate = (level * torch.randn(1, 1, RATE)).requires_grad_()
    distance = PeriodicityCriterion(RATE)(estimate, reference)
    distance.backward()
    assert distance.isfinite()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()


def test_a_rate_without_such_bands_is_refused():
    with pytest.raises(ConfigError, match="audio of 1000 Hz has no such band: set periodicity_w"):
        PeriodicityCriterion(1000)
