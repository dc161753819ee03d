"""Measures how much louder or softer each band of hearing is in an estimate than in its reference.

A differentiable distance after the published structure of PESQ (Rix, Beerends, Hollier, Hekstra,
"Perceptual evaluation of speech quality", ICASSP 2001): power in Bark bands, above the threshold of
hearing, to Zwicker's loudness; differences within a quarter of the softer of the two are masked;
and what an estimate adds counts more than what it leaves out, as what is added is heard as a sound
of its own. It is no PESQ: there is no alignment in time or level, no average over the worst
moments, and thresholds come from a formula.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float

WINDOW_SECONDS = 0.032
BAND_BARK = 0.43  # width of a band: 48 of them at 16 kHz
LOWEST_HZ = 60.0
SPEECH_DB = 79.0  # sound pressure level that a clip's mean power stands for
QUIETEST_POWER = 1e-7  # of a sample, -70 dBFS: a clip below is as much softer than others
EXPONENT = 0.23  # of loudness over power (Zwicker)
MASKED = 0.25  # share of the softer loudness within which a difference is not heard
ADDED_WEIGHT = 0.3  # of the asymmetric disturbance beside the symmetric one, about as in PESQ
ADDED_EXPONENT, ADDED_FLOOR, ADDED_LIMITS = 1.2, 50.0, (3.0, 12.0)


class LoudnessCriterion(nn.Module):
    """The mean over frames of the disturbance: 0 for equal inputs. The gradient goes to the
    estimate alone.
    """

    window: Tensor
    pool: Tensor
    threshold: Tensor

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__()
        self.length = 2 * round(WINDOW_SECONDS * sample_rate_hz / 2)
        pool, threshold_db = bark_bands(sample_rate_hz, self.length)
        window = torch.hann_window(self.length)
        # What the powers of a frame's frequencies add up to, for samples of power 1.
        self.frame_power = float(window.square().sum()) * self.length / 2
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("pool", torch.from_numpy(pool), persistent=False)
        self.register_buffer(
            "threshold", torch.from_numpy(10 ** (threshold_db / 10)).float(), persistent=False
        )

    def forward(
        self,
        estimate: Float[Tensor, "batch channels time"],
        reference: Float[Tensor, "batch channels time"],
    ) -> Float[Tensor, ""]:
        with torch.autocast(estimate.device.type, enabled=False):
            estimate, reference = (
                estimate.float().flatten(0, 1),
                reference.detach().float().flatten(0, 1),
            )
            level = reference.square().mean(1).clamp_min(QUIETEST_POWER).rsqrt() * (
                10 ** (SPEECH_DB / 20)
            )
            estimated, expected = self._power(estimate, level), self._power(reference, level)
            ours, theirs = self._loudness(estimated), self._loudness(expected)
            heard = ((ours - theirs).abs() - MASKED * torch.minimum(ours, theirs)).clamp_min(0)
            symmetric = ((BAND_BARK * heard).square().sum(-1) + 1e-6).sqrt() - 1e-3
            added = (BAND_BARK * heard * added_weight(estimated.detach(), expected)).sum(-1)
            return (symmetric + ADDED_WEIGHT * added).mean()

    def _power(self, wave: Float[Tensor, "clips time"], gain: Float[Tensor, " clips"]) -> Tensor:
        """Power in each band, (clips, frames, bands), 1 standing for 0 dB of sound pressure
        level.
        """
        spectrum = torch.stft(
            wave * gain[:, None],
            self.length,
            self.length // 2,
            window=self.window,
            return_complex=True,
        )
        power = spectrum.real.square() + spectrum.imag.square()
        return power.transpose(1, 2) @ self.pool / self.frame_power

    def _loudness(
        self, power: Float[Tensor, "clips frames bands"]
    ) -> Float[Tensor, "clips frames bands"]:
        """Sone per Bark, but for a factor; 0 at and below the threshold of hearing."""
        above = (0.5 + 0.5 * power / self.threshold) ** EXPONENT - 1
        return (2 * self.threshold) ** EXPONENT * above.clamp_min(0)


def added_weight(
    estimate: Float[Tensor, "*shape"], reference: Float[Tensor, "*shape"]
) -> Float[Tensor, "*shape"]:
    """Weigh a disturbance more where the estimate has several times the power: by 0 if less than
    2.5 times.
    """
    lowest, highest = ADDED_LIMITS
    ratio = ((estimate + ADDED_FLOOR) / (reference + ADDED_FLOOR)) ** ADDED_EXPONENT
    return torch.where(ratio < lowest, 0.0, ratio.clamp_max(highest))


def bark_bands(sample_rate_hz: int, window: int) -> tuple[np.ndarray, np.ndarray]:
    """Equally wide bands on the Bark scale up to half the rate: shares (frequencies, bands),
    threshold of hearing, dB.

    A frequency of the transform is spread over the bands that its width falls in.
    """
    lowest, highest = _bark(LOWEST_HZ), _bark(0.49 * sample_rate_hz)
    edges = _hertz(np.arange(lowest, highest, BAND_BARK))
    low, high = edges[:-1], edges[1:]
    width = sample_rate_hz / window
    frequencies = np.arange(window // 2 + 1)[:, None] * width
    overlap = np.minimum(frequencies + width / 2, high) - np.maximum(frequencies - width / 2, low)
    khz = (low + high) / 2000
    # Terhardt, "Calculating virtual pitch", 1979
    threshold_db = 3.64 * khz**-0.8 - 6.5 * np.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4
    return (np.maximum(overlap, 0) / width).astype(np.float32), threshold_db


def _bark(frequency_hz: float) -> float:
    """Traunmüller, 1990."""
    return 26.81 * frequency_hz / (1960 + frequency_hz) - 0.53


def _hertz(bark: np.ndarray) -> np.ndarray:
    return 1960 * (bark + 0.53) / (26.28 - bark)
