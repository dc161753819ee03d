"""The loudness distance: against PESQ's ranking, closed forms, and what must not change it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from pesq import pesq

from codec.training.objective.loudness import LoudnessCriterion, added_weight, bark_bands

RATE = 16_000


def speech_like(seed: int, seconds: float = 2.0) -> torch.Tensor:
    """Harmonics of a gliding pitch under a formant-like tilt, in syllables with pauses: (1, 1,
    samples).
    """
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(110 + 30 * np.sin(2 * np.pi * 0.7 * time + seed)) / RATE
    voice = sum(np.sin(k * phase + generator.uniform(0, 6)) / k for k in range(1, 40))
    syllables = np.clip(np.sin(2 * np.pi * 2.5 * time), 0, None) ** 0.5
    wave = 0.05 * voice * syllables + 1e-4 * generator.standard_normal(len(time))
    return torch.from_numpy(wave.astype(np.float32))[None, None]


def noise_like(wave: torch.Tensor, snr_db: float) -> torch.Tensor:
    noise = torch.randn(wave.shape, generator=torch.Generator().manual_seed(1))
    return noise * wave.square().mean().sqrt() * 10 ** (-snr_db / 20)


def test_equal_signals_are_at_no_distance():
    wave = speech_like(0)
    assert LoudnessCriterion(RATE)(wave, wave.clone()) == 0


def with_noise(wave: torch.Tensor) -> list[torch.Tensor]:
    return [wave + noise_like(wave, snr_db) for snr_db in (0, 10, 20, 30, 40)]


def low_passed(wave: torch.Tensor) -> list[torch.Tensor]:
    spectra = [torch.fft.rfft(wave) for _ in range(4)]
    for spectrum, cutoff_hz in zip(spectra, (1000, 2000, 3000, 5000), strict=True):
        spectrum[..., int(cutoff_hz * wave.shape[-1] / RATE) :] = 0
    return [torch.fft.irfft(spectrum, wave.shape[-1]) for spectrum in spectra]


@pytest.mark.parametrize("degrade", [with_noise, low_passed])
def test_ranks_degradations_as_pesq_does(degrade: Callable[[torch.Tensor], list[torch.Tensor]]):
    wave = speech_like(0)
    degraded = degrade(wave)
    scores = [pesq(RATE, wave[0, 0].numpy(), estimate[0, 0].numpy(), "wb") for estimate in degraded]
    distances = [LoudnessCriterion(RATE)(estimate, wave).item() for estimate in degraded]
    assert np.argsort(scores).tolist() == np.argsort(distances)[::-1].tolist()
    assert max(scores) - min(scores) > 2


def test_the_level_of_a_clip_does_not_matter():
    wave = speech_like(1)
    estimate = wave + noise_like(wave, 15)
    criterion = LoudnessCriterion(RATE)
    torch.testing.assert_close(
        criterion(0.1 * estimate, 0.1 * wave), criterion(estimate, wave), rtol=1e-3, atol=0
    )


def test_what_is_masked_is_not_heard():
    wave = speech_like(2)
    criterion = LoudnessCriterion(RATE)
    masked, heard = criterion(1.05 * wave, wave).item(), criterion(2 * wave, wave).item()
    assert masked == pytest.approx(0, abs=0.01)
    assert heard > 1


def test_added_sound_counts_more_than_missing_sound():
    wave = speech_like(3)
    tone = 0.05 * torch.sin(2 * torch.pi * 2500 * torch.arange(wave.shape[-1]) / RATE)
    criterion = LoudnessCriterion(RATE)
    assert criterion(wave + tone, wave) > 3 * criterion(wave, wave + tone)


def test_weight_of_what_is_added():
    weight = added_weight(
        torch.tensor([50.0, 150.0, 450.0, 1e6]), torch.tensor([50.0, 50.0, 50.0, 50.0])
    )
    np.testing.assert_allclose(weight.numpy(), [0, 0, 5**1.2, 12], rtol=1e-6)


def test_powers_are_sound_pressure_levels():
    """A tone at the clip's full power reads 79 dB in its band, whatever its amplitude."""
    tone = 0.01 * torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)[None]
    criterion = LoudnessCriterion(RATE)
    level = tone.square().mean(1).rsqrt() * 10 ** (79 / 20)
    power = criterion._power(tone, level)[0, 5:-5].sum(-1)
    np.testing.assert_allclose(10 * power.log10().numpy(), 79, atol=0.1)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
def test_bands_share_out_every_frequency_once(rate: int):
    window = 2 * round(0.016 * rate)
    pool, threshold_db = bark_bands(rate, window)
    frequencies = np.arange(window // 2 + 1) * rate / window
    inside = (frequencies > 100) & (frequencies < 0.4 * rate)
    np.testing.assert_allclose(pool[inside].sum(1), 1, atol=1e-5)
    assert threshold_db.argmin() == pytest.approx(
        np.argmin(np.abs(_centres(pool, frequencies) - 3300)), abs=3
    )


def _centres(pool: np.ndarray, frequencies: np.ndarray) -> np.ndarray:
    return (pool * frequencies[:, None]).sum(0) / pool.sum(0)


def test_silence_has_finite_gradients():
    silence = torch.zeros(1, 1, RATE)
    for estimate in (silence.clone(), 1e-4 * torch.randn(1, 1, RATE)):
        estimate.requires_grad_()
        distance = LoudnessCriterion(RATE)(estimate, silence)
        distance.backward()
        assert distance.isfinite()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()
