"""The jitter buffer: frames wait in it just long enough that late ones are there when their turn
comes.

A frame is due at its own time plus the delay. The delay follows how much later than the quickest
packets come: it grows where a frame is not there and waiting for it will help, by a frame that is
made up; it shrinks where nothing is said, by leaving out a frame of a pause or one that was lost.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from typing import NamedTuple

import numpy as np

_WINDOW_SECONDS = 10.0  # of arrivals that the delay is taken from
_MOST_ARRIVALS = 2000  # in a flood
_KEPT_SHARE = 0.98  # of packets that are to be there in time
_REMEMBERED_FRAMES = 50
_SHRINK_SECONDS = 0.2  # between two frames that are left out
_LATE_SECONDS = 1.0  # where all packets come late for so long, playing begins anew


class Frame(NamedTuple):
    """Codes (channels, stages, 1), and whether they are a copy that came with a later packet."""

    codes: np.ndarray
    is_copy: bool

    @property
    def is_silent(self) -> bool:
        return bool((self.codes < 0).all())


class ArrivalTimes:
    """How late packets come, from those of the last seconds."""

    def __init__(self, frame_seconds: float) -> None:
        self._frame_seconds = frame_seconds
        self._arrivals: deque[tuple[float, float]] = (
            deque()
        )  # (when, how long after the frame's own time)
        self._transits: list[float] = []  # of these, in ascending order

    @property
    def quickest(self) -> float:
        """The least time from a frame's own time to its arrival."""
        return self._transits[0] if self._transits else 0.0

    @property
    def spread_seconds(self) -> float:
        """How much more than the quickest nearly all packets take."""
        if not self._transits:
            return 0.0
        return (
            self._transits[int(_KEPT_SHARE * (len(self._transits) - 1) + 0.999)] - self._transits[0]
        )

    def add(self, frame: int, now: float) -> None:
        """A packet came now whose first frame has this number."""
        transit = now - frame * self._frame_seconds
        self._arrivals.append((now, transit))
        insort(self._transits, transit)
        while self._arrivals[0][0] < now - _WINDOW_SECONDS or len(self._arrivals) > _MOST_ARRIVALS:
            _, old = self._arrivals.popleft()
            del self._transits[bisect_left(self._transits, old)]


class JitterBuffer:
    """Frames of one stream by number, played in order.

    Args:
        frame_seconds: duration of a frame.
        least_seconds: the delay never falls below it, after the quickest packet.
        most_seconds: nor does it grow above this one.
    """

    def __init__(self, *, frame_seconds: float, least_seconds: float, most_seconds: float) -> None:
        self._frame_seconds = frame_seconds
        self._least, self._most = least_seconds, most_seconds
        self._arrivals = ArrivalTimes(frame_seconds)
        self._frames: dict[int, Frame] = {}
        self._starts_at: float | None = None
        self._has_started = self._is_pause = False
        self._last_shrunk = -np.inf
        self._late_since: float | None = None
        self.next_number = 0
        self._missed: deque[int] = deque(maxlen=_REMEMBERED_FRAMES)  # numbers that were made up
        self.grown = self.shrunk = 0  # frames

    @property
    def waiting(self) -> int:
        """Frames that have come and not been played."""
        return len(self._frames)

    def target_seconds(self) -> float:
        """The target delay."""
        return min(max(self._arrivals.spread_seconds, self._least), self._most)

    def delay_seconds(self, now: float) -> float:
        """How much later than the quickest packet could have it the next frame is played."""
        return now - self._arrivals.quickest - self.next_number * self._frame_seconds

    def is_late(self, number: int) -> bool:
        """Whether the turn of the frame of that number is over."""
        return self._has_started and number < self.next_number

    def arrived(self, number: int, now: float) -> None:
        """Note when a packet came, by the number of its first frame."""
        if not self.is_late(number):
            self._late_since = None
        elif self._late_since is None:
            self._late_since = now
        elif now - self._late_since > _LATE_SECONDS:  # no delay that is allowed reaches them
            self._begin_anew()
        self._arrivals.add(number, now)
        if self._starts_at is None:
            self.next_number, self._starts_at = number, now + self._least
        elif not self._has_started:
            self.next_number = min(self.next_number, number)

    def _begin_anew(self) -> None:
        self._arrivals = ArrivalTimes(self._frame_seconds)
        self._starts_at = self._late_since = None
        self._has_started = self._is_pause = False
        self._missed.clear()

    def put(self, number: int, frame: Frame, now: float) -> None:
        """Keep a frame until its turn. A copy takes no other's place; where it fills one, it counts
        as an arrival.
        """
        if frame.is_copy:
            if number in self._frames or (self.is_late(number) and number not in self._missed):
                return
            self._arrivals.add(number, now)
        if not self.is_late(number):
            self._frames[number] = frame

    def has_begun(self, now: float) -> bool:
        """Whether the first frame's turn has come."""
        return self._starts_at is not None and now >= self._starts_at

    def pull(self, now: float, silence: Frame) -> Frame | None:
        """Return the frame to play now, or None for one to conceal. Call it once for each frame's
        duration.

        After a silent frame, `silence` stands where nothing came: its sender may leave out the rest
        of a pause.
        """
        if not self._has_started:  # copies may be of frames before the first
            self._has_started = True
            self._frames = {n: kept for n, kept in self._frames.items() if n >= self.next_number}
        delay = self.delay_seconds(now)
        frame = self._frames.get(self.next_number)
        if frame is None and not self._is_pause and delay < self.target_seconds():
            self.grown += 1
            return None
        if self._may_shrink(delay, now) and (frame is None or frame.is_silent):
            self._frames.pop(self.next_number, None)
            self.next_number += 1
            self.shrunk, self._last_shrunk = self.shrunk + 1, now
            frame = self._frames.get(self.next_number)
        if frame is None and self._is_pause:
            frame = silence
        self._frames.pop(self.next_number, None)
        self.next_number += 1
        self._is_pause = frame is not None and frame.is_silent
        if frame is None:
            self._missed.append(self.next_number - 1)
        return frame

    def _may_shrink(self, delay: float, now: float) -> bool:
        return (
            delay > self.target_seconds() + self._frame_seconds
            and now >= self._last_shrunk + _SHRINK_SECONDS
        )
