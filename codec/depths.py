"""How many stages each frame of a stream gets: more where speech is loud, fewer in its pauses, so many on average.

A stage takes about as many dB off the error whatever a frame's level, so that errors are heard alike where the number
of stages rises in proportion to the level in dB. How steeply was found on speech (recipes/folder/RUNS.md).
"""

from __future__ import annotations

import numpy as np

STAGES_PER_DB = 0.15
SMALLEST_POWER = 1e-10  # of a sample, -100 dBFS: levels end there
LEVEL_FRAMES = 3  # a frame's level is that of it and its neighbours, as windows overlap
_HALVINGS = 30


def frame_levels(wave: np.ndarray, hop: int) -> np.ndarray:
    """Waves (..., frames·hop) → level in dB of each frame (..., frames)."""
    frames = wave.reshape(*wave.shape[:-1], -1, hop)
    power = np.einsum("...i,...i->...", frames, frames) / hop
    padded = np.pad(power, [(0, 0)] * (power.ndim - 1) + [(1, 1)])
    smooth = (padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]) / LEVEL_FRAMES
    return 10 * np.log10(smooth + SMALLEST_POWER)


def spread(levels: np.ndarray, mean: float, most: int) -> np.ndarray:
    """Stages, 1 to `most`, of each frame (..., frames): on average `mean`, or as little less as can be."""
    low = mean - STAGES_PER_DB * levels.max(axis=-1, keepdims=True)
    high = mean - STAGES_PER_DB * levels.min(axis=-1, keepdims=True)
    low, high = low - 1, high + most  # offsets that are too small, and large enough
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = _stages(levels, middle, most).mean(axis=-1, keepdims=True) <= mean
        low, high = np.where(fits, middle, low), np.where(fits, high, middle)
    return _stages(levels, low, most)


def _stages(levels: np.ndarray, offset: np.ndarray, most: int) -> np.ndarray:
    return np.clip(np.rint(offset + STAGES_PER_DB * levels), 1, most).astype(np.int32)
