"""The two families of discriminators of the Descript Audio Codec: multi-period, and complex
multi-band STFT.

Kumar et al., "High-Fidelity Audio Compression with Improved RVQGAN", 2023, section 3.4; the
multi-period half is HiFi-GAN's (Kong et al., 2020). Layers, paddings and bands are those of
descript-audio-codec; departures are marked.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from ...files.json_dataclass import from_plain
from ...layouts.require import require

if TYPE_CHECKING:
    from jaxtyping import Float

PERIOD_WIDTHS = (1, 4, 16, 32, 32)  # channels of the five period layers, in units of `period_width`
PERIOD_STRIDES = (3, 3, 3, 3, 1)
SPECTRAL_KERNELS = ((3, 9), (3, 9), (3, 9), (3, 9), (3, 3))  # frames, frequencies
SPECTRAL_STRIDES = (1, 2, 2, 2, 1)  # along frequency
LEAK = 0.1
TARGET_PEAK = 0.8
QUIETEST_PEAK = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True)
class DiscriminatorConfig:
    """One period discriminator per entry of `periods`, one spectral discriminator per entry of
    `windows`.

    `periods` and `windows` are in samples; `bands` are parts of the spectrum, as fractions of half
    the sample rate. Period layers have 1, 4, 16, 32 and 32 times `period_width` channels, spectral
    layers `spectral_width` each. The defaults are DAC's.
    """

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    windows: tuple[int, ...] = (2048, 1024, 512)
    bands: tuple[tuple[float, float], ...] = (
        (0.0, 0.1),
        (0.1, 0.25),
        (0.25, 0.5),
        (0.5, 0.75),
        (0.75, 1.0),
    )
    period_width: int = 32
    spectral_width: int = 32

    def __post_init__(self) -> None:
        for name in ("period_width", "spectral_width"):
            require(getattr(self, name) >= 1, f"{name} is at least 1, not {getattr(self, name)}")
        require(
            all(period >= 2 for period in self.periods),
            f"a period is at least 2 samples, not {self.periods}",
        )
        require(
            bool(self.periods or self.windows),
            "periods and windows are both empty: name at least one of either",
        )
        require(
            bool(self.bands) or not self.windows,
            "bands is empty: the whole spectrum is ((0.0, 1.0),)",
        )
        for low, high in self.bands:
            require(
                0 <= low < high <= 1,
                f"a band is (low, high) with 0 <= low < high <= 1, not ({low}, {high})",
            )
        for window in self.windows:
            require(
                window >= 8 and window % 8 == 0,
                f"a window is a multiple of 8 samples (three eighths are padding), not {window}",
            )
            for band in self.bands:
                start, stop = band_bins(band, window)
                require(
                    start < stop, f"band {band} holds no frequency of a window of {window} samples"
                )

    @property
    def shortest_clip(self) -> int:
        """Samples below which a clip is padded with zeros."""
        return max((*self.windows, *(2 * period for period in self.periods)))

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> DiscriminatorConfig:
        """The inverse of `to_dict`; a key or value that does not belong is a `ConfigError` that
        names it.
        """
        return from_plain(cls, fields)


def full() -> DiscriminatorConfig:
    """DAC's own pair: 42.5 million parameters."""
    return DiscriminatorConfig()


def small() -> DiscriminatorConfig:
    """A tenth of the parameters, for short runs."""
    return DiscriminatorConfig(period_width=10, spectral_width=16)


def spectral() -> DiscriminatorConfig:
    """Spectra of four windows alone, for CPUs: periods cost most there."""
    return DiscriminatorConfig(
        periods=(), windows=(2048, 1024, 512, 256), bands=((0.0, 1.0),), spectral_width=16
    )


@dataclass(frozen=True, slots=True)
class Verdict:
    """The output of one discriminator on a batch: each layer's activations, and the map of its
    scores (1 means real).
    """

    features: tuple[Float[Tensor, "batch _ _ _"], ...]
    logit: Float[Tensor, "batch 1 _ _"]


class Discriminators(nn.Module):
    """All discriminators of a configuration, on mono audio in [-1, 1] of any length.

    Each clip is freed of its mean and scaled to a peak of 0.8 first, an estimate as its reference;
    a clip shorter than `config.shortest_clip` is padded with zeros at its end. Convolutions follow
    autocast; spectra are always fp32.

    One pass over each batch can serve both players, if both learn from the same discriminators:

        real, generated = discriminators(reference), discriminators(estimate)
        loss = generator_loss(generated) + ...
        (gradient,) = torch.autograd.grad(loss, estimate, retain_graph=True)
        loss = discriminator_loss(reference=real, estimate=generated)
        loss.backward(inputs=list(discriminators.parameters()))

    and only then a step of either optimiser. Neither gradient leaks into the other.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.config = config
        periods = [PeriodDiscriminator(period, config.period_width) for period in config.periods]
        spectra = [
            SpectralDiscriminator(window, config.bands, config.spectral_width)
            for window in config.windows
        ]
        self.discriminators = nn.ModuleList([*periods, *spectra])

    def forward(
        self,
        audio: Float[Tensor, "batch 1 time"],
        gain: Float[Tensor, "batch 1 1"] | None = None,
        chosen: Sequence[int] | None = None,
    ) -> tuple[Verdict, ...]:
        """What the discriminators, or those `chosen`, see in audio times a gain, by default the
        audio's own.
        """
        with torch.autocast(audio.device.type, enabled=False):
            audio = audio.float() - audio.float().mean(dim=-1, keepdim=True)
            audio = audio * (level_gain(audio) if gain is None else gain)
            audio = F.pad(audio, (0, max(0, self.config.shortest_clip - audio.shape[-1])))
        numbers = range(len(self.discriminators)) if chosen is None else chosen
        return tuple(self.discriminators[number](audio) for number in numbers)

    def compare(
        self,
        reference: Float[Tensor, "batch 1 time"],
        estimate: Float[Tensor, "batch 1 time"],
        chosen: Sequence[int],
    ) -> tuple[tuple[Verdict, ...], tuple[Verdict, ...]]:
        """Run the chosen discriminators on both, with the reference's gain: a wrong level is a
        clue.
        """
        gain = level_gain(reference.float() - reference.float().mean(dim=-1, keepdim=True))
        return self(reference, gain, chosen), self(estimate, gain, chosen)


def level_gain(centred: Float[Tensor, "batch 1 time"]) -> Float[Tensor, "batch 1 1"]:
    """Return the gain that brings every clip's peak to 0.8.

    Departure: DAC divides by the peak + 1e-9, so that a clip of zeros multiplies the generator's
    gradient by 8e8. A peak below 1e-3 (-60 dB) counts as 1e-3 here: near silence stays quiet and
    the gradient bounded.
    """
    return TARGET_PEAK / centred.abs().amax(dim=-1, keepdim=True).clamp(min=QUIETEST_PEAK)


class LeakyStack(nn.ModuleList):
    """Convolutions, each followed by a leaky ReLU."""

    def forward(self, signal: Float[Tensor, "batch channels height width"]) -> tuple[Tensor, ...]:
        """Every layer's activations, the last being the stack's output."""
        features = []
        for convolution in self:
            signal = F.leaky_relu(convolution(signal), LEAK, inplace=True)
            features.append(signal)
        return tuple(features)


class PeriodDiscriminator(nn.Module):
    """Sees the waveform folded into rows of `period` samples, and convolves down its columns."""

    def __init__(self, period: int, width: int) -> None:
        super().__init__()
        self.period = period
        channels = (1, *(width * factor for factor in PERIOD_WIDTHS))
        self.layers = LeakyStack(
            _convolution(inputs, outputs, kernel=(5, 1), stride=(stride, 1))
            for inputs, outputs, stride in zip(
                channels[:-1], channels[1:], PERIOD_STRIDES, strict=True
            )
        )
        self.head = _convolution(channels[-1], 1, kernel=(3, 1))

    def forward(self, audio: Float[Tensor, "batch 1 time"]) -> Verdict:
        # As in DAC a clip of whole periods gets one more.
        audio = F.pad(audio, (0, self.period - audio.shape[-1] % self.period), mode="reflect")
        folded = audio.unflatten(-1, (-1, self.period))  # batch 1 rows period
        features = self.layers(folded)
        return Verdict(features, self.head(features[-1]))


class SpectralDiscriminator(nn.Module):
    """Sees real and imaginary part of a short-time spectrum, with a stack of convolutions for each
    band.
    """

    window: Tensor

    def __init__(self, window: int, bands: Iterable[tuple[float, float]], width: int) -> None:
        super().__init__()
        self.bins = [band_bins(band, window) for band in bands]
        self.stacks = nn.ModuleList(_spectral_layers(width) for _ in self.bins)
        self.head = _convolution(width, 1, kernel=(3, 3))
        self.register_buffer("window", torch.hann_window(window), persistent=False)

    def forward(self, audio: Float[Tensor, "batch 1 time"]) -> Verdict:
        spectrum = self.spectrum(audio)
        by_band = [
            stack(spectrum[..., start:stop])
            for stack, (start, stop) in zip(self.stacks, self.bins, strict=True)
        ]
        whole = torch.cat([features[-1] for features in by_band], dim=-1)
        return Verdict(
            tuple(feature for features in by_band for feature in features), self.head(whole)
        )

    def spectrum(
        self, audio: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch 2 frames frequencies"]:
        """One frame per started hop (a quarter window), centred on its hop as a strided
        convolution's output is.

        The result lies in memory as channels-last, in which these convolutions run faster (1.4
        times on a CPU).
        """
        window = self.window.shape[0]
        hop = window // 4
        margin = (window - hop) // 2
        with torch.autocast(audio.device.type, enabled=False):
            padded = F.pad(
                audio.float(), (margin, margin + -audio.shape[-1] % hop), mode="reflect"
            ).squeeze(1)
            spectrum = torch.stft(
                padded, window, hop, window=self.window, center=False, return_complex=True
            )
            return torch.view_as_real(spectrum).permute(0, 3, 2, 1)


def band_bins(band: tuple[float, float], window: int) -> tuple[int, int]:
    """First and one past last frequency of a band, of the `window // 2 + 1` in a spectrum."""
    frequencies = window // 2 + 1
    return int(band[0] * frequencies), int(band[1] * frequencies)


def _spectral_layers(width: int) -> LeakyStack:
    channels = (2, *(width for _ in SPECTRAL_KERNELS))
    return LeakyStack(
        _convolution(inputs, outputs, kernel=kernel, stride=(1, stride))
        for inputs, outputs, kernel, stride in zip(
            channels[:-1], channels[1:], SPECTRAL_KERNELS, SPECTRAL_STRIDES, strict=True
        )
    )


def _convolution(
    inputs: int, outputs: int, *, kernel: tuple[int, int], stride: tuple[int, int] = (1, 1)
) -> nn.Module:
    padding = (kernel[0] // 2, kernel[1] // 2)
    return weight_norm(nn.Conv2d(inputs, outputs, kernel, stride, padding))
