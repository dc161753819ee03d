"""Augments crops lightly: a tilted spectrum, a reverberant room, noise, drawn from the crop's key
alone.

Each keeps the crop's RMS (noise comes on top), so that the level planned for a crop is the level it
gets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ...errors import ConfigError
from .counter_random import uniform

if TYPE_CHECKING:
    from jaxtyping import Float, Int64

__all__ = ["AugmentConfig", "augment"]

# Which numbers of a crop's key are drawn for what; `crop_plan` has those below 100.
_TILT, _REVERB, _NOISE = 100, 110, 120
_REVERB_SAMPLES, _NOISE_SAMPLES = 1 << 32, 1 << 33
_PIVOT_HZ = 1000.0
_LOWEST_HZ = 50.0


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentConfig:
    """How often, as a share of the crops, and how much: each amount is drawn evenly from its range.

    `tilt_db_per_octave` turns the spectrum about 1 kHz. `reverb_seconds` is the time in which the
    tail falls by 60 dB, `reverb_ratio_db` the energy of the direct sound over that of the tail.
    `noise_snr_db` is the crop's energy over that of the noise, whose spectrum falls by 0 to 6 dB
    per octave.
    """

    tilt_share: float = 0.0
    tilt_db_per_octave: tuple[float, float] = (-3.0, 3.0)
    reverb_share: float = 0.0
    reverb_seconds: tuple[float, float] = (0.1, 0.6)
    reverb_ratio_db: tuple[float, float] = (0.0, 15.0)
    noise_share: float = 0.0
    noise_snr_db: tuple[float, float] = (10.0, 40.0)

    def __post_init__(self) -> None:
        for name in ("tilt_share", "reverb_share", "noise_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is a share from 0 to 1, not {getattr(self, name)}")
        for name in ("tilt_db_per_octave", "reverb_seconds", "reverb_ratio_db", "noise_snr_db"):
            low, high = getattr(self, name)
            if not low <= high:
                raise ConfigError(f"{name} is a range from low to high, not {low} to {high}")
        if self.reverb_seconds[0] <= 0:
            raise ConfigError(f"reverb_seconds is positive, not {self.reverb_seconds[0]}")


def augment(
    crops: Float[Tensor, "batch samples"],
    keys: Int64[Tensor, " batch"],
    config: AugmentConfig,
    *,
    sample_rate_hz: int,
) -> Float[Tensor, "batch samples"]:
    """Augment a share of the crops, each by its own key; a share of 0 costs nothing."""
    for share, stream, change in (
        (config.tilt_share, _TILT, _tilt),
        (config.reverb_share, _REVERB, _reverberate),
        (config.noise_share, _NOISE, _add_noise),
    ):
        if share:
            chosen = (uniform(keys, stream) < share)[:, None]
            crops = torch.where(chosen, change(crops, keys, config, sample_rate_hz), crops)
    return crops


def _between(bounds: tuple[float, float], keys: Tensor, stream: int) -> Tensor:
    """One number per crop, evenly from a range: (batch, 1)."""
    return (bounds[0] + (bounds[1] - bounds[0]) * uniform(keys, stream)).float()[:, None]


def _tilt(crops: Tensor, keys: Tensor, config: AugmentConfig, sample_rate_hz: int) -> Tensor:
    slope = _between(config.tilt_db_per_octave, keys, _TILT + 1)
    return _at_level_of(crops, _sloped(crops, slope, sample_rate_hz))


def _reverberate(crops: Tensor, keys: Tensor, config: AugmentConfig, sample_rate_hz: int) -> Tensor:
    """A tail of noise that decays exponentially, behind the direct sound."""
    count = round(config.reverb_seconds[1] * sample_rate_hz)
    time = torch.arange(count, device=crops.device)
    seconds = _between(config.reverb_seconds, keys, _REVERB + 1)
    tail = _white(keys, _REVERB_SAMPLES, time) * 10 ** (-3 * time / (sample_rate_hz * seconds))
    tail = tail / tail.norm(dim=1, keepdim=True)
    tail = tail * 10 ** (-_between(config.reverb_ratio_db, keys, _REVERB + 2) / 20)
    size = crops.shape[1] + count
    spectrum = torch.fft.rfft(crops, size) * (1 + torch.fft.rfft(tail, size))
    return _at_level_of(crops, torch.fft.irfft(spectrum, size)[:, : crops.shape[1]])


def _add_noise(crops: Tensor, keys: Tensor, config: AugmentConfig, sample_rate_hz: int) -> Tensor:
    time = torch.arange(crops.shape[1], device=crops.device)
    slope = _between((-6.0, 0.0), keys, _NOISE + 1)
    noise = _at_level_of(crops, _sloped(_white(keys, _NOISE_SAMPLES, time), slope, sample_rate_hz))
    return crops + noise * 10 ** (-_between(config.noise_snr_db, keys, _NOISE + 2) / 20)


def _white(keys: Tensor, stream: int, time: Tensor) -> Tensor:
    """White noise of unit variance: (batch, samples)."""
    return ((2 * uniform(keys[:, None], stream + time) - 1) * 3**0.5).float()


def _sloped(sound: Tensor, slope_db: Tensor, sample_rate_hz: int) -> Tensor:
    """Filter by a straight line in dB over octaves, flat below 50 Hz; zeros behind the sound take
    what wraps round.
    """
    size = 2 * sound.shape[1]
    frequency_hz = torch.arange(size // 2 + 1, device=sound.device) * (sample_rate_hz / size)
    octaves = torch.log2(frequency_hz.clamp(min=_LOWEST_HZ) / _PIVOT_HZ)
    spectrum = torch.fft.rfft(sound, size) * 10 ** (slope_db * octaves / 20)
    return torch.fft.irfft(spectrum, size)[:, : sound.shape[1]]


def _at_level_of(reference: Tensor, sound: Tensor) -> Tensor:
    """The sound at the RMS of the reference."""
    return sound * (
        reference.norm(dim=1, keepdim=True) / sound.norm(dim=1, keepdim=True).clamp(min=1e-12)
    )
