"""Spectral losses against librosa and DAC's own figures; adversarial losses against sums done by
hand.
"""

from __future__ import annotations

import itertools
import math
import warnings

import librosa
import numpy as np
import pytest
import torch

from codec.errors import AudioError
from codec.training.objective.discriminators import Verdict
from codec.training.objective.losses import (
    MEL_BINS,
    STFT_WINDOWS,
    SpectralCriterion,
    discriminator_loss,
    feature_matching_loss,
    generator_loss,
    mel_filterbank,
)


def librosa_filters(rate: int, window: int, bins: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Empty filters")
        return librosa.filters.mel(sr=rate, n_fft=window, n_mels=bins, dtype=np.float64)


def librosa_magnitude(signal: np.ndarray, window: int) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="n_fft=2048 is too large for input signal")
        return np.abs(
            librosa.stft(signal, n_fft=window, hop_length=window // 4, pad_mode="reflect")
        )


def librosa_losses(
    estimate: np.ndarray, reference: np.ndarray, rate: int
) -> tuple[float, float, float]:
    """The mel, STFT and waveform losses written once more, in float64, on librosa's transforms."""
    mel = stft = 0.0
    for window, bins in MEL_BINS.items():
        magnitudes = [librosa_magnitude(signal, window) for signal in (estimate, reference)]
        filters = librosa_filters(rate, window, bins)
        mels = [np.log10(np.maximum(filters @ magnitude, 1e-5)) for magnitude in magnitudes]
        mel += np.abs(mels[0] - mels[1]).mean()
        if window in STFT_WINDOWS:
            powers = [np.log10(np.maximum(magnitude, 1e-5) ** 2) for magnitude in magnitudes]
            stft += (
                np.abs(powers[0] - powers[1]).mean() + np.abs(magnitudes[0] - magnitudes[1]).mean()
            )
    return mel, stft, float(np.abs(estimate - reference).mean())


def noise(*shape: int, seed: int = 0, scale: float = 0.1) -> torch.Tensor:
    return scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_a_sample_of_the_windows_is_right_on_average():
    criterion = SpectralCriterion(16_000)
    estimate, reference = noise(1, 1, 4000), noise(1, 1, 4000, seed=1)
    every = criterion(estimate, reference)
    subsets = list(itertools.combinations(range(len(MEL_BINS)), 3))
    sampled = [criterion(estimate, reference, subset) for subset in subsets]
    for name in ("mel", "stft", "waveform"):
        mean = torch.stack([getattr(losses, name) for losses in sampled]).mean()
        torch.testing.assert_close(mean, getattr(every, name), rtol=1e-5, atol=1e-6)
    assert len({round(losses.mel.item(), 6) for losses in sampled}) == len(subsets)


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 44_100])
@pytest.mark.parametrize(("window", "bins"), MEL_BINS.items())
def test_mel_filters_are_librosas(rate: int, window: int, bins: int) -> None:
    expected = librosa_filters(rate, window, bins).T
    np.testing.assert_allclose(
        mel_filterbank(rate, window, bins).numpy(), expected, rtol=1e-6, atol=1e-9
    )


@pytest.mark.parametrize("rate", [16_000, 24_000, 44_100])
@pytest.mark.parametrize("samples", [1025, 5003, 8192])
def test_values_are_librosas(rate: int, samples: int) -> None:
    reference = noise(2, 3, samples)
    estimate = 0.7 * reference + noise(2, 3, samples, seed=1, scale=0.01)
    losses = SpectralCriterion(rate)(estimate, reference)
    expected = librosa_losses(estimate.double().numpy(), reference.double().numpy(), rate)
    np.testing.assert_allclose([losses.mel, losses.stft, losses.waveform], expected, rtol=2e-5)


# Printed by descript-audio-codec's own dac/nn/loss.py at commit c7cfc5d (MelSpectrogramLoss and
# MultiScaleSTFTLoss with the arguments of its conf/final/16khz.yml) over audiotools' AudioSignal at
# commit 348ebf2, on `speech_like`.
DAC_FIGURES = {
    16_000: (2.9406309127807617, 2.6961557865142822, 0.01700294204056263),
    24_000: (2.8032119274139404, 2.6961557865142822, 0.01700294204056263),
}


def speech_like(seed: int) -> np.ndarray:
    """One second at 16 kHz: thirty harmonics of a wavering 120 Hz, twice louder and softer, and a
    little noise.
    """
    time = np.arange(16_000) / 16_000
    pitch = 120 * (1 + 0.1 * np.sin(2 * np.pi * 3 * time))
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    voiced = sum(np.cos(k * phase) / k for k in range(1, 31))
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 2 * time)
    hiss = np.random.RandomState(seed).standard_normal(16_000)
    return (0.1 * loudness * voiced + 0.01 * hiss).astype(np.float32)


@pytest.mark.parametrize("rate", DAC_FIGURES)
def test_values_are_dacs(rate: int) -> None:
    reference = np.stack([speech_like(1), 0.3 * speech_like(2)])[:, None]
    estimate = 0.8 * reference + 0.02 * np.random.RandomState(3).standard_normal(
        reference.shape
    ).astype(np.float32)
    losses = SpectralCriterion(rate)(torch.from_numpy(estimate), torch.from_numpy(reference))
    np.testing.assert_allclose(
        [losses.mel, losses.stft, losses.waveform], DAC_FIGURES[rate], rtol=1e-5
    )


def test_gradient_is_the_slope_of_librosas_value() -> None:
    reference, direction = noise(1, 1, 4096), noise(1, 1, 4096, seed=2, scale=1.0)
    estimate = (0.5 * reference + noise(1, 1, 4096, seed=1)).requires_grad_()
    losses = SpectralCriterion(16_000)(estimate, reference)
    found = [
        (torch.autograd.grad(loss, estimate, retain_graph=True)[0] * direction).sum()
        for loss in (losses.mel, losses.stft, losses.waveform)
    ]
    point, line, step = estimate.detach().double().numpy(), direction.double().numpy(), 1e-9
    ahead, behind = (
        librosa_losses(point + sign * step * line, reference.double().numpy(), 16_000)
        for sign in (1, -1)
    )
    expected = (np.array(ahead) - np.array(behind)) / (2 * step)
    np.testing.assert_allclose([float(slope) for slope in found], expected, rtol=1e-3)


def test_equal_inputs_cost_nothing() -> None:
    audio = noise(2, 1, 3000)
    losses = SpectralCriterion(16_000)(audio, audio.clone())
    assert (losses.mel, losses.stft, losses.waveform) == (0, 0, 0)


def test_a_gain_costs_its_logarithm() -> None:
    """Halving noise far above the floor moves every log magnitude by log10(2): seven mel scales,
    two of power.
    """
    reference = noise(1, 1, 8192, scale=100.0)
    losses = SpectralCriterion(16_000)(0.5 * reference, reference)
    linear = sum(
        0.5 * librosa_magnitude(reference.double().numpy(), window).mean()
        for window in STFT_WINDOWS
    )
    np.testing.assert_allclose(losses.mel, 7 * math.log10(2), rtol=1e-5)
    np.testing.assert_allclose(losses.stft, 4 * math.log10(2) + linear, rtol=1e-4)
    np.testing.assert_allclose(losses.waveform, 0.5 * reference.abs().mean(), rtol=1e-6)


def test_levels_below_the_floor_are_equal() -> None:
    quiet = noise(1, 1, 2048, scale=1e-9)
    assert SpectralCriterion(16_000)(quiet, torch.zeros(1, 1, 2048)).mel == 0


@pytest.mark.parametrize("reference_scale", [0.0, 0.1])
@pytest.mark.parametrize("estimate_scale", [0.0, 1e-30, 1e-6])
def test_gradient_on_silence_is_finite(estimate_scale: float, reference_scale: float) -> None:
    estimate = noise(1, 1, 4096, scale=estimate_scale).requires_grad_()
    losses = SpectralCriterion(16_000)(estimate, noise(1, 1, 4096, seed=1, scale=reference_scale))
    (losses.mel + losses.stft + losses.waveform).backward()
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_an_empty_filter_is_harmless() -> None:
    rate = 96_000
    assert (mel_filterbank(rate, 64, MEL_BINS[64]).sum(0) == 0).any()
    reference = noise(1, 1, 4096)
    estimate = (2 * reference).requires_grad_()
    losses = SpectralCriterion(rate)(estimate, reference)
    losses.mel.backward()
    expected, _, _ = librosa_losses(
        estimate.detach().double().numpy(), reference.double().numpy(), rate
    )
    np.testing.assert_allclose(losses.mel.item(), expected, rtol=2e-5)
    assert estimate.grad is not None
    assert torch.isfinite(estimate.grad).all()


def test_autocast_changes_nothing() -> None:
    reference, estimate = noise(1, 1, 4096), noise(1, 1, 4096, seed=1)
    criterion = SpectralCriterion(16_000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = criterion(estimate, reference)
    outside = criterion(estimate, reference)
    assert (inside.mel, inside.stft, inside.waveform) == (
        outside.mel,
        outside.stft,
        outside.waveform,
    )
    assert inside.mel.dtype == inside.stft.dtype == inside.waveform.dtype == torch.float32


def test_half_precision_input_is_taken_as_fp32() -> None:
    reference, estimate = noise(1, 1, 4096), noise(1, 1, 4096, seed=1).bfloat16()
    criterion = SpectralCriterion(16_000)
    assert criterion(estimate, reference).mel == criterion(estimate.float(), reference).mel


def test_the_reference_gets_no_gradient() -> None:
    reference, estimate = (
        noise(1, 1, 2048).requires_grad_(),
        noise(1, 1, 2048, seed=1).requires_grad_(),
    )
    losses = SpectralCriterion(16_000)(estimate, reference)
    (losses.mel + losses.stft + losses.waveform).backward()
    assert reference.grad is None
    assert estimate.grad is not None
    assert estimate.grad.abs().sum() > 0


def test_each_spectrum_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths, stft = [], torch.stft

    def counted(audio: torch.Tensor, length: int, *args: object, **kwargs: object) -> torch.Tensor:
        lengths.append(length)
        return stft(audio, length, *args, **kwargs)  # pyright: ignore

    monkeypatch.setattr(torch, "stft", counted)
    SpectralCriterion(16_000)(noise(1, 1, 2048), noise(1, 1, 2048, seed=1))
    assert sorted(lengths) == sorted([*MEL_BINS, *MEL_BINS])


def test_one_graph_without_breaks() -> None:
    reference, estimate = noise(1, 1, 2048), noise(1, 1, 2048, seed=1)
    criterion = SpectralCriterion(16_000)
    compiled = torch.compile(criterion, backend="eager", fullgraph=True)
    assert compiled(estimate, reference).mel == criterion(estimate, reference).mel


def test_constants_are_not_in_the_checkpoint() -> None:
    assert SpectralCriterion(16_000).state_dict() == {}


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 1, 4000\) and \(1, 1, 4096\); trim both"):
        SpectralCriterion(16_000)(noise(1, 1, 4000), noise(1, 1, 4096))


def test_a_short_clip_is_refused() -> None:
    with pytest.raises(
        AudioError, match="1024 samples is too short for the 2048-sample window; give at least 1025"
    ):
        SpectralCriterion(16_000)(noise(1, 1, 1024), noise(1, 1, 1024))


def verdict(logit: list[float], *features: list[float]) -> Verdict:
    maps = [
        torch.tensor(values, requires_grad=True)[None, None, None] for values in (logit, *features)
    ]
    return Verdict(tuple(maps[1:]), maps[0])


def test_least_squares_by_hand() -> None:
    reference = [verdict([1.0, 0.0]), verdict([3.0])]
    estimate = [verdict([0.0, 2.0]), verdict([-1.0])]
    # Reference from 1: (0 + 1) / 2 + 4; estimate from 0: (0 + 4) / 2 + 1; estimate from 1: (1 + 1)
    # / 2 + 4.
    assert discriminator_loss(reference=reference, estimate=estimate) == 4.5 + 3
    assert generator_loss(estimate) == 5


def test_feature_matching_by_hand() -> None:
    reference = [verdict([9.0], [1.0, 2.0], [4.0]), verdict([9.0], [0.0])]
    estimate = [verdict([5.0], [2.0, 4.0], [1.0]), verdict([5.0], [0.5])]
    # Layers: (1 + 2) / 2, 3, 0.5; the scores 9 and 5 do not count.
    assert feature_matching_loss(reference=reference, estimate=estimate) == 1.5 + 3 + 0.5
    assert feature_matching_loss(reference=reference, estimate=reference) == 0


def test_feature_matching_gradient_goes_to_the_estimate() -> None:
    reference, estimate = [verdict([0.0], [1.0, 2.0])], [verdict([0.0], [2.0, -4.0])]
    loss = feature_matching_loss(reference=reference, estimate=estimate)
    found, target = torch.autograd.grad(
        loss,
        [estimate[0].features[0], reference[0].features[0]],
        allow_unused=True,
        materialize_grads=False,
    )
    assert found.flatten().tolist() == [0.5, -0.5]
    assert target is None


def test_unequal_verdicts_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        feature_matching_loss(
            reference=[verdict([0.0], [1.0])], estimate=[verdict([0.0], [1.0])] * 2
        )


def test_adversarial_losses_of_half_precision_are_fp32() -> None:
    """A mean over 10,000 scores near 1 needs more than bfloat16's eight bits."""
    scores = torch.full((1, 1, 1, 10_000), 0.125, dtype=torch.bfloat16)
    half = [Verdict((scores,), scores)]
    zero = [Verdict((torch.zeros_like(scores),), scores)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert generator_loss(half) == torch.tensor(0.875**2)
        assert discriminator_loss(reference=half, estimate=half) == torch.tensor(
            0.875**2 + 0.125**2
        )
        assert feature_matching_loss(reference=zero, estimate=half) == torch.tensor(0.125)


def test_what_is_far_below_the_loudest_band_hardly_counts():
    """A tone, and noise 20 to 100 dB below it that the estimate has twice as strong: one figure per
    depth.
    """
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(16_000) / 16_000)[None, None]
    dacs, ours = SpectralCriterion(16_000), SpectralCriterion(16_000, audible_range_db=45.0)
    figures = []
    for depth_db in (20, 60, 80):
        quiet = noise(1, 1, 16_000, scale=10 ** (-depth_db / 20))
        estimate, reference = tone + 2 * quiet, tone + quiet
        figures.append((dacs(estimate, reference).mel.item(), ours(estimate, reference).mel.item()))
    assert figures[0][1] > 0.5 * figures[0][0]
    assert figures[1][1] < 0.2 * figures[1][0]
    assert figures[2][1] < 0.02 * figures[2][0]


def test_the_audible_range_does_not_depend_on_the_level():
    criterion = SpectralCriterion(16_000, audible_range_db=45.0)
    estimate, reference = noise(2, 1, 8000), noise(2, 1, 8000, seed=1)
    torch.testing.assert_close(
        criterion(0.3 * estimate, 0.3 * reference).mel,
        criterion(estimate, reference).mel,
        rtol=1e-4,
        atol=1e-5,
    )
