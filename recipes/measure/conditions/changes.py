"""Changes speech before it is coded, as a function of the samples and a key, so the same on each
run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch

from codec.errors import AudioError
from codec.training.data.augment import AugmentConfig, augment

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "add_offset_and_rumble",
    "add_talker",
    "at_level",
    "level_dbfs",
    "reverberate",
    "with_noise",
    "within_full_scale",
]

Wave: TypeAlias = 'Float[np.ndarray, " samples"]'

FULL_SCALE = 32767 / 32768  # the largest value of a 16-bit file
_BLOCK_SECONDS = 0.1
_SPEECH_RANGE_DB = 20
_LOUD_SHARE = 20  # one block in so many


def level_dbfs(wave: Wave, sample_rate_hz: int) -> float:
    """Measure the RMS level of the speech in a clip, without its pauses, in dBFS (a constant 1 has
    0).

    As in training, a block of 0.1 s counts as speech within 20 dB of the loud ones, the loudest
    twentieth.

    Raises:
        AudioError: There is nothing but digital silence.
    """
    block = min(len(wave), round(_BLOCK_SECONDS * sample_rate_hz))
    if not block or not wave.any():
        raise AudioError("it is silent, and cannot be brought to a level")
    power = np.square(wave[: len(wave) // block * block].reshape(-1, block), dtype=np.float64).mean(
        axis=1
    )
    loud = np.sort(power)[-1 - len(power) // _LOUD_SHARE]
    return float(10 * np.log10(power[power >= loud * 10 ** (-_SPEECH_RANGE_DB / 10)].mean()))


def at_level(wave: Wave, sample_rate_hz: int, dbfs: float) -> Wave:
    """Bring speech to a level; peaks may pass full scale."""
    return _amplified(wave, dbfs - level_dbfs(wave, sample_rate_hz))


def with_noise(wave: Wave, sample_rate_hz: int, *, key: int, snr_db: float) -> Wave:
    """Add noise whose spectrum falls by 0 to 6 dB per octave; energies are those of the
    whole clip.
    """
    return _augmented(
        wave, sample_rate_hz, key, AugmentConfig(noise_share=1, noise_snr_db=(snr_db, snr_db))
    )


def reverberate(
    wave: Wave, sample_rate_hz: int, *, key: int, seconds: float, ratio_db: float
) -> Wave:
    """Add a tail of noise that falls by 60 dB in `seconds`; the direct sound has `ratio_db` more
    energy than the tail.
    """
    config = AugmentConfig(
        reverb_share=1, reverb_seconds=(seconds, seconds), reverb_ratio_db=(ratio_db, ratio_db)
    )
    return _augmented(wave, sample_rate_hz, key, config)


def add_talker(wave: Wave, other: Wave, sample_rate_hz: int) -> Wave:
    """Add another's speech at an equal level, repeated or cut to the length of the first."""
    return wave + at_level(
        np.resize(other, wave.shape), sample_rate_hz, level_dbfs(wave, sample_rate_hz)
    )


def add_offset_and_rumble(wave: Wave, sample_rate_hz: int, *, amount: float) -> Wave:
    """Add what a cheap sound card and a table with a fan on it add: a constant, and a tone of
    12 Hz of this amplitude.
    """
    times = np.arange(len(wave)) / sample_rate_hz
    return wave + np.float32(amount) + (amount * np.sin(2 * np.pi * 12 * times)).astype(np.float32)


def within_full_scale(wave: Wave) -> tuple[Wave, float]:
    """Turn a wave down where its peak is above full scale; return it and by how many dB."""
    over_db = 20 * np.log10(max(np.abs(wave).max(initial=0) / FULL_SCALE, 1))
    return _amplified(wave, -over_db), float(over_db)


def _amplified(wave: Wave, gain_db: float) -> Wave:
    return wave * np.float32(10 ** (gain_db / 20))


def _augmented(wave: Wave, sample_rate_hz: int, key: int, config: AugmentConfig) -> Wave:
    crop = torch.from_numpy(wave)[None]
    return augment(crop, torch.tensor([key]), config, sample_rate_hz=sample_rate_hz)[0].numpy()
