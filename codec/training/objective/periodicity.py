"""Measures whether bands are as periodic as the reference's at the pitch of its voice.

A band of noise with a voice's levels is near that voice in every distance between spectra, and yet
the voice's harmonics are missing. They show in the autocorrelation of the band at the pitch lag:
over the band's power, the modulus of the analytic signal's autocorrelation is near 1 for harmonics
of the pitch and low for noise, whatever the levels and phases within the band. That of a short
piece of noise varies by chance, so differences are averaged over stretches of time before they
count.

The pitch is sought by the real part in the band of the voice: the modulus there is high at all lags
where a formant lifts one harmonic above the others. Autocorrelations are divided by the window's,
so that low voices count as high ones do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...errors import ConfigError

if TYPE_CHECKING:
    from jaxtyping import Float

WINDOW_SECONDS, HOP_SECONDS = 0.04, 0.01
VOICE_HZ = (80.0, 1000.0)  # the band in which the pitch is sought
BANDS_HZ = ((500, 1000), (1000, 1500), (1500, 2000), (2000, 3000), (3000, 4000), (4000, 6000))
PITCH_HZ = (80.0, 400.0)
LAGS = 81  # from the highest pitch's to the lowest's
LONGEST_LAG_WEIGHT = 0.85  # in the search, so that a period wins over its multiples
VOICED = (0.7, 0.9)  # of its power, from which on a frame counts, and counts in full
AUDIBLE = 1e-5  # of the loudest band's power: bands far below it count as aperiodic
QUIETEST = 1e-9  # of a band's mean square, -90 dBFS, for the same
STRETCH_FRAMES, STRETCH_HOP = 8, 4
SMALLEST = 1e-12  # of a squared periodicity: keeps the gradient of its root finite


class PeriodicityCriterion(nn.Module):
    """The mean over bands and stretches of time of the difference in periodicity where the
    reference is voiced: 0 for equal inputs. The gradient goes to the estimate alone.
    """

    window: Tensor
    correlator: Tensor
    preference: Tensor

    def __init__(self, sample_rate_hz: int) -> None:
        super().__init__()
        compared = [band for band in BANDS_HZ if band[1] <= sample_rate_hz / 2]
        if not compared:
            raise ConfigError(
                f"periodicity is compared above {BANDS_HZ[0][0]} Hz, and audio of "
                f"{sample_rate_hz} Hz has no such band: set periodicity_weight to 0"
            )
        self.bands = 1 + len(compared)
        self.hop = round(HOP_SECONDS * sample_rate_hz)
        self.length = round(WINDOW_SECONDS * sample_rate_hz)
        without_wrapping = self.length + math.ceil(sample_rate_hz / PITCH_HZ[0])
        self.size = 1 << (without_wrapping - 1).bit_length()  # of the Fourier transform
        window = torch.hann_window(self.length)
        overlap = torch.fft.irfft(torch.fft.rfft(window, self.size).abs().square())
        # The powers of a band's frequencies add up to its mean square.
        window /= (window.square().sum() * self.size / 2).sqrt()
        frequencies = torch.arange(self.size // 2 + 1)[:, None] * sample_rate_hz / self.size
        self.register_buffer("window", window, persistent=False)
        self.register_buffer(
            "correlator",
            correlator(frequencies, [VOICE_HZ, *compared], overlap, sample_rate_hz),
            persistent=False,
        )
        self.register_buffer(
            "preference", torch.linspace(1, LONGEST_LAG_WEIGHT, LAGS), persistent=False
        )

    def forward(
        self,
        estimate: Float[Tensor, "batch channels time"],
        reference: Float[Tensor, "batch channels time"],
    ) -> Float[Tensor, ""]:
        with torch.autocast(estimate.device.type, enabled=False):
            ours = self._autocorrelation(estimate.float().flatten(0, 1))
            theirs = self._autocorrelation(reference.detach().float().flatten(0, 1))
            loudest = theirs[..., -1:].amax((1, 2, 3), keepdim=True)
            floor = (AUDIBLE * loudest).clamp_min(QUIETEST)
            expected, found = _periodicity(theirs, floor), _periodicity(ours, floor)
            voice, lag = (_voicing(theirs, floor) * self.preference).max(-1, keepdim=True)
            begin, full = VOICED
            voiced = ((voice - begin) / (full - begin)).clamp(0, 1)  # clips frames 1 1
            lag = lag.expand(-1, -1, self.bands, -1)
            difference = voiced * (found.gather(-1, lag) - expected.gather(-1, lag))
            difference = difference[:, :, 1:, 0].transpose(1, 2)  # clips bands frames
            stretch = min(STRETCH_FRAMES, difference.shape[-1])
            return F.avg_pool1d(difference, stretch, STRETCH_HOP).abs().mean()

    def _autocorrelation(
        self, audio: Float[Tensor, "clips time"]
    ) -> Float[Tensor, "clips frames bands values"]:
        """Of each band: real and imaginary part at all lags, and the power."""
        spectrum = torch.stft(
            audio, self.size, self.hop, self.length, window=self.window, return_complex=True
        )
        power = spectrum.abs().square().transpose(1, 2)  # clips frames frequencies
        return (power @ self.correlator).unflatten(-1, (self.bands, -1))


def _periodicity(
    autocorrelation: Float[Tensor, "clips frames bands values"],
    floor: Float[Tensor, "clips 1 1 1"],
) -> Float[Tensor, "clips frames bands lags"]:
    """The modulus of the autocorrelation over the power."""
    real, imaginary, power = autocorrelation.split([LAGS, LAGS, 1], dim=-1)
    power = power + floor
    return ((real / power).square() + (imaginary / power).square() + SMALLEST).sqrt()


def _voicing(
    autocorrelation: Float[Tensor, "clips frames bands values"],
    floor: Float[Tensor, "clips 1 1 1"],
) -> Float[Tensor, "clips frames 1 lags"]:
    """The real part over the power, in the band of the voice."""
    voice = autocorrelation[:, :, :1]
    return voice[..., :LAGS] / (voice[..., -1:] + floor)


def correlator(
    frequencies: Float[Tensor, "frequencies 1"],
    bands_hz: list[tuple[float, float]],
    overlap: Float[Tensor, " samples"],
    sample_rate_hz: int,
) -> Float[Tensor, "frequencies sums"]:
    """The matrix that takes a power spectrum to `_autocorrelation`'s values, band after band;
    `overlap` is the autocorrelation of the window, which the values are divided by.
    """
    low, high = torch.tensor(bands_hz).T
    inside = (frequencies >= low) & (frequencies < high)  # frequencies bands
    lowest, highest = PITCH_HZ
    lags = torch.linspace(1 / highest, 1 / lowest, LAGS, dtype=torch.float64)
    angles = 2 * torch.pi * frequencies * lags
    share = overlap[(lags * sample_rate_hz).round().long()] / overlap[0]
    waves = torch.cat(
        [angles.cos() / share, angles.sin() / share, torch.ones(len(angles), 1)], dim=-1
    )
    return (inside[:, :, None] * waves[:, None]).flatten(1).float()
