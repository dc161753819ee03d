"""What training minimises: distances between spectra and waveforms, and the two sides of the
adversarial game.

Everything is computed in fp32, whatever autocast says, and without a host synchronisation.
Constants and sums follow descript-audio-codec, so that its loss weights (mel 15, feature matching
2, adversarial 1) carry over. There is no commitment and no codebook loss: DiVeQ needs none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import AudioError
from .discriminators import Verdict

if TYPE_CHECKING:
    from jaxtyping import Float

MEL_BINS = {
    32: 5,
    64: 10,
    128: 20,
    256: 40,
    512: 80,
    1024: 160,
    2048: 320,
}  # mel bands of each window, in samples
STFT_WINDOWS = (2048, 512)
SMALLEST_MAGNITUDE = 1e-5  # of DAC's logarithms: -100 dB


@dataclass(frozen=True, slots=True)
class SpectralLosses:
    """Three distances between an estimate and its reference; all are at least 0, and 0 for equal
    inputs.

    `mel`: L1 of log10 mel magnitudes, summed over seven windows. `stft`: L1 of log10 power plus L1
    of magnitude, summed over two windows. `waveform`: L1 of samples.
    """

    mel: Float[Tensor, ""]
    stft: Float[Tensor, ""]
    waveform: Float[Tensor, ""]


class SpectralCriterion(nn.Module):
    """DAC's multi-scale mel and STFT losses and waveform L1; a window's spectrum is computed once
    for both.

    Departure: DAC's logarithms end at -100 dB, so that half of the loss of clean speech is about
    what lies 50 dB and more below its loudest band, which nobody hears and which costs the bits
    that the rest needs. With an `audible_range_db` of R the logarithm is log10(x + f), f being R dB
    below the reference's loudest value in the clip
    and window: what lies deeper counts the less, the deeper it lies. `math.inf` is DAC's loss.

    The gradient goes to the estimate alone.
    """

    def __init__(self, sample_rate_hz: int, audible_range_db: float = math.inf) -> None:
        super().__init__()
        self.audible_share = 10 ** (-audible_range_db / 20)
        self.scales = nn.ModuleList(
            SpectrogramScale(sample_rate_hz, window, bins) for window, bins in MEL_BINS.items()
        )

    def forward(
        self,
        estimate: Float[Tensor, "batch channels time"],
        reference: Float[Tensor, "batch channels time"],
        scales: Sequence[int] | None = None,
    ) -> SpectralLosses:
        """`scales` are the windows to compare, as places in `MEL_BINS`: a sample of them costs
        less.

        The sums over windows are then those of the sample times 7 over its size, which is right on
        average.
        """
        _check_pair(estimate, reference)
        compared = list(self.scales) if scales is None else [self.scales[place] for place in scales]
        share = len(compared) / len(self.scales)
        with torch.autocast(estimate.device.type, enabled=False):
            estimate = estimate.float().flatten(0, 1)  # clips time
            reference = reference.detach().float().flatten(0, 1)
            mel = stft = estimate.new_zeros(())
            for scale in compared:
                estimated, expected = scale(estimate), scale(reference)
                mel = mel + self._log_distance(estimated.mel, expected.mel)
                if scale.length in STFT_WINDOWS:
                    # Engel et al., "DDSP", 2020, in DAC's form: L1 of log10 power plus L1 of
                    # magnitude.
                    log_power = 2 * self._log_distance(estimated.magnitude, expected.magnitude)
                    stft = stft + log_power + F.l1_loss(estimated.magnitude, expected.magnitude)
            return SpectralLosses(
                mel=mel / share, stft=stft / share, waveform=F.l1_loss(estimate, reference)
            )

    def _log_distance(
        self,
        estimate: Float[Tensor, "clips frames values"],
        reference: Float[Tensor, "clips frames values"],
    ) -> Float[Tensor, ""]:
        """L1 of logarithms; the floor is that of each clip, so that the loss does not depend on its
        level.
        """
        floor = self.audible_share * reference.amax((1, 2), keepdim=True)
        return F.l1_loss(log_magnitude(estimate + floor), log_magnitude(reference + floor))


@dataclass(frozen=True, slots=True)
class Spectrogram:
    """A batch of clips at one resolution: the magnitudes, and those of their mel bands."""

    magnitude: Float[Tensor, "clips frames frequencies"]
    mel: Float[Tensor, "clips frames bins"]


class SpectrogramScale(nn.Module):
    """The spectrogram of one window length, as librosa's: periodic Hann, hop of a quarter, centred,
    reflected ends.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, sample_rate_hz: int, length: int, bins: int) -> None:
        super().__init__()
        self.length = length
        self.register_buffer("window", torch.hann_window(length), persistent=False)
        self.register_buffer(
            "filters", mel_filterbank(sample_rate_hz, length, bins), persistent=False
        )

    def forward(self, audio: Float[Tensor, "clips time"]) -> Spectrogram:
        spectrum = torch.stft(
            audio, self.length, self.length // 4, window=self.window, return_complex=True
        )
        # abs of a complex number has the gradient 0 at 0, where sqrt(re² + im²) would give NaN.
        magnitude = spectrum.abs().transpose(1, 2)
        return Spectrogram(magnitude, magnitude @ self.filters)


def log_magnitude(magnitude: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """Compute log10 with a floor of 1e-5 (-100 dB), so that silence has a finite value and no
    gradient.
    """
    return magnitude.clamp(min=SMALLEST_MAGNITUDE).log10()


def mel_filterbank(
    sample_rate_hz: int, window: int, bins: int
) -> Float[Tensor, "frequencies bins"]:
    """Triangles of unit area, evenly spaced on Slaney's mel scale from 0 Hz to half the sample
    rate.

    A triangle between two frequencies of a short window is all zeros. Its band then reads as
    silence in both signals, so it adds nothing to the loss but its place in the mean, as in DAC.
    """
    nyquist = sample_rate_hz / 2
    edges = _mel_to_hz(np.linspace(0.0, _hz_to_mel(nyquist), bins + 2))
    frequencies = np.linspace(0.0, nyquist, window // 2 + 1)[:, None]
    low, centre, high = edges[:-2], edges[1:-1], edges[2:]
    rising = (frequencies - low) / (centre - low)
    falling = (high - frequencies) / (high - centre)
    triangles = np.maximum(np.minimum(rising, falling), 0.0)
    return torch.from_numpy((triangles * 2.0 / (high - low)).astype(np.float32))


# Slaney's mel scale ("Auditory Toolbox", 1998): linear up to 1 kHz, then 27 mels to each factor of
# 6.4.
_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = math.log(6.4) / 27.0


def _hz_to_mel(frequency_hz: float) -> float:
    if frequency_hz < _BREAK_HZ:
        return frequency_hz / _HZ_PER_MEL
    return _BREAK_MEL + math.log(frequency_hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    return np.where(
        mel < _BREAK_MEL, mel * _HZ_PER_MEL, _BREAK_HZ * np.exp((mel - _BREAK_MEL) * _LOG_STEP)
    )


def discriminator_loss(
    *, reference: Sequence[Verdict], estimate: Sequence[Verdict]
) -> Float[Tensor, ""]:
    """Least squares: real is to score 1, generated 0; summed over discriminators, averaged over
    scores.

    The estimate must not carry the generator's graph: judge a detached one, or restrict
    `backward(inputs=...)`.
    """
    return _squares(reference, target=1.0) + _squares(estimate, target=0.0)


def generator_loss(estimate: Sequence[Verdict]) -> Float[Tensor, ""]:
    """Least squares: generated is to score 1; summed over discriminators, averaged over scores."""
    return _squares(estimate, target=1.0)


def feature_matching_loss(
    *, reference: Sequence[Verdict], estimate: Sequence[Verdict]
) -> Float[Tensor, ""]:
    """L1 between activations: averaged within a layer, summed over layers and discriminators, as
    DAC does.

    Layers without activation (the scores) are left out. The reference's activations get no
    gradient. Differences are taken in the activations' own precision, for they are large, and
    averaged in fp32.
    """
    total = estimate[0].logit.new_zeros((), dtype=torch.float32)
    for expected, found in zip(reference, estimate, strict=True):
        for target, feature in zip(expected.features, found.features, strict=True):
            # Not `mean`: its gradient is a dense tensor in another memory layout than the spectral
            # activations'.
            distance = (feature - target.detach()).abs().sum(dtype=torch.float32)
            total = total + distance / feature.numel()
    return total


def _squares(verdicts: Sequence[Verdict], *, target: float) -> Float[Tensor, ""]:
    total = verdicts[0].logit.new_zeros((), dtype=torch.float32)
    for verdict in verdicts:
        total = total + (verdict.logit.float() - target).square().mean()
    return total


def _check_pair(estimate: Tensor, reference: Tensor) -> None:
    if estimate.shape != reference.shape:
        raise ValueError(
            f"estimate and reference differ in shape: {tuple(estimate.shape)} and "
            f"{tuple(reference.shape)}; "
            "trim both to one length"
        )
    longest = max(MEL_BINS)
    if estimate.shape[-1] <= longest // 2:
        raise AudioError(
            f"a clip of {estimate.shape[-1]} samples is too short for the {longest}-sample window; "
            f"give at least {longest // 2 + 1}"
        )
