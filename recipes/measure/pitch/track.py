"""Tracks the fundamental frequency of speech.

pYIN (Mauch and Dixon, 2014) finds what is voiced, and in which octave, but on a grid of pitches;
YIN (de Cheveigné and Kawahara, 2002), on the same frames, reads between its lines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from codec.errors import ConfigError

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = [
    "HOP_SECONDS",
    "NOISE_DB",
    "SETTINGS",
    "Track",
    "Wave",
    "track_pitch",
    "with_trace_of_noise",
]

Wave: TypeAlias = 'Float[np.ndarray, " samples"]'
Track: TypeAlias = 'Float[np.ndarray, " frames"]'  # Hz, NaN where there is no voice

LOWEST_HZ, HIGHEST_HZ = 60, 600
HOP_SECONDS = 0.02
_FRAME_SECONDS = 0.064  # YIN compares its halves: each needs a period of the lowest pitch
_GRID_SEMITONES = 0.2  # librosa's default, 0.1, takes thrice the time
_PRIOR = (
    2,
    8,
)  # of YIN's threshold, mean .2; with librosa's default, mean .1, low falling tones have no voice
_NEAR_SEMITONES = 0.5
NOISE_DB = 40
SETTINGS = (
    f"librosa's pyin, {LOWEST_HZ} to {HIGHEST_HZ} Hz, frames of {1000 * _FRAME_SECONDS:g} ms every "
    f"{1000 * HOP_SECONDS:g} ms, a grid of {_GRID_SEMITONES} semitones, prior Beta{_PRIOR}; where "
    f"its yin is within "
    f"{_NEAR_SEMITONES} semitones of that, yin"
)


def track_pitch(wave: Wave, sample_rate_hz: int) -> Track:
    """Estimate the pitch around 0, 20, 40, … ms.

    Raises:
        ConfigError: librosa is not installed.
    """
    try:
        import librosa
    except ImportError as error:
        raise ConfigError("pitch is tracked by librosa: pip install librosa") from error
    frame, hop = round(_FRAME_SECONDS * sample_rate_hz), round(HOP_SECONDS * sample_rate_hz)
    on_grid_hz, _, _ = librosa.pyin(
        wave,
        fmin=LOWEST_HZ,
        fmax=HIGHEST_HZ,
        sr=sample_rate_hz,
        frame_length=frame,
        hop_length=hop,
        resolution=_GRID_SEMITONES,
        beta_parameters=_PRIOR,
    )
    exact_hz = librosa.yin(
        wave, fmin=LOWEST_HZ, fmax=HIGHEST_HZ, sr=sample_rate_hz, frame_length=frame, hop_length=hop
    )
    is_near = np.abs(12 * np.log2(exact_hz / on_grid_hz)) < _NEAR_SEMITONES
    return np.where(is_near, exact_hz, on_grid_hz)


def with_trace_of_noise(wave: Wave) -> Wave:
    """Add white noise 40 dB below, the same on each run; how far the track moves shows the
    tracker's own error.
    """
    noise = np.random.default_rng(0).standard_normal(len(wave))
    return (wave + np.sqrt(np.mean(wave**2)) * 10 ** (-NOISE_DB / 20) * noise).astype(np.float32)
