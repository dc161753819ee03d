"""Allocates stages to groups of frames as they come: `allocation`'s rule, with savings instead of a
look ahead.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence

import numpy as np

from ..bitstream import GROUP_FRAMES
from .allocation import FLOOR_GROUPS, SILENCE_POWER, SMALLEST_POWER, stages_per_db

_LEVEL_SECONDS = 3.0  # over which the mean level is taken
_PAUSE_DB = 25.0  # below the mean level: there, frames may have no stage
_PAUSE_WEIGHT = 0.02  # in the mean level, so that it lasts through pauses of some 30 seconds
_MOST_SAVED_SECONDS = 1.0  # of the bitrate, that pauses leave to what comes
_MOST_OWED_SECONDS = 0.12


class LiveAllocation:
    """Depths of a channel's frames at a bitrate that is kept on average.

    Loud groups get more stages than quiet ones, in proportion to their level in dB over the running
    mean. What is not spent is saved, and what is saved is spent on what comes; little may be owed.
    With a `least_depth` of 0 pauses have no stage, but for one in every fourth group, from which
    the decoder learns how loud the room is.

    Attributes:
        bitrate_kbps: may change at any time; None for all stages.
    """

    def __init__(
        self,
        stage_bits: Sequence[int],
        *,
        frame_rate_hz: float,
        bitrate_kbps: float | None,
        least_depth: int,
    ) -> None:
        self.bitrate_kbps = bitrate_kbps
        self._bits = [0, *itertools.accumulate(stage_bits)]
        self._frame_rate_hz, self._slope = frame_rate_hz, stages_per_db(frame_rate_hz)
        self._least = least_depth
        self._mean_level: float | None = None
        self._saved_bits = 0.0
        self._groups_of_pause = 0

    def depths(self, powers: np.ndarray) -> np.ndarray:
        """Choose the stages of a packet's frames from their mean powers, both (frames,)."""
        if self.bitrate_kbps is None:
            return np.full(len(powers), len(self._bits) - 1)
        bits_per_frame = self.bitrate_kbps * 1000 / self._frame_rate_hz
        depths = [
            self._depth(powers[start : start + GROUP_FRAMES].tolist(), bits_per_frame)
            for start in range(0, len(powers), GROUP_FRAMES)
        ]
        return np.repeat(depths, GROUP_FRAMES)[: len(powers)]

    def _depth(self, powers: list[float], bits_per_frame: float) -> int:
        frames, power = len(powers), sum(powers) / len(powers)
        level = 10 * math.log10(power + SMALLEST_POWER)
        is_pause = self._is_pause(level)
        self._follow(level, frames * (_PAUSE_WEIGHT if is_pause else 1))
        bits_per_second = bits_per_frame * self._frame_rate_hz
        affordable = (
            bits_per_frame + (self._saved_bits + _MOST_OWED_SECONDS * bits_per_second) / frames
        )
        share = 1 + self._saved_bits / (_MOST_SAVED_SECONDS * bits_per_second)
        assert self._mean_level is not None
        louder = self._slope * (level - self._mean_level)
        wished = round(self._stages_of(bits_per_frame * share) + louder)
        most = int(self._stages_of(affordable))
        if is_pause:
            tells = self._groups_of_pause % FLOOR_GROUPS == 0 and power >= SILENCE_POWER
            wished = int(tells)
        self._groups_of_pause = self._groups_of_pause + 1 if is_pause else 0
        depth = max(min(wished, most), self._least)
        saved = self._saved_bits + frames * (bits_per_frame - self._bits[depth])
        self._saved_bits = min(saved, _MOST_SAVED_SECONDS * bits_per_second)
        return depth

    def _stages_of(self, bits: float) -> float:
        """How many stages a frame has for so many bits, with a share of the next."""
        whole = bisect.bisect_right(self._bits, bits, lo=1) - 1
        if whole + 1 == len(self._bits):
            return whole
        rest = (bits - self._bits[whole]) / (self._bits[whole + 1] - self._bits[whole])
        return whole + max(rest, 0.0)

    def _is_pause(self, level: float) -> bool:
        is_silent = 10 ** (level / 10) < SILENCE_POWER
        far_below = self._mean_level is not None and level < self._mean_level - _PAUSE_DB
        return self._least == 0 and (is_silent or far_below)

    def _follow(self, level: float, frames: float) -> None:
        """Move the mean level toward this one; pauses far below it count less."""
        if self._mean_level is None:
            self._mean_level = level
        weight = frames / (_LEVEL_SECONDS * self._frame_rate_hz)
        self._mean_level += weight * (max(level, self._mean_level - 30) - self._mean_level)
