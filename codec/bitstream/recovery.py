"""Finding the next whole packet in a damaged stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ..errors import BitstreamError
from .framing import MAX_END_BYTES, VARIED, Framing, Unit
from .source import ByteSource

# A checksum fits any bytes under one of 2^32 indices, so chance finds of a far index are likelier than of a near one.
# Further ahead than this, a packet is believed only with its successor behind it.
_NEAR = 16
FARTHEST = 1 << 16
# Bytes run through CRCs while searching one stream, so that no file, however made, takes minutes.
_WORK_LIMIT = 1 << 32
# Reading the depths of a packet takes so many times as long as its CRC.
_OPENING_WORK = 1 << 14


class Loss(NamedTuple):
    """Frames that could not be read; none where only foreign bytes or the end marker are concerned."""

    first_frame: int
    frames: int
    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """What a search came to: `unit`, if one was found, now stands at the front, after `skipped` bytes.

    `is_cut_end`: nothing was found, and what was skipped is the beginning of an end marker. `gave_up`: nothing will be
    found any more, as searching has cost too much.
    """

    skipped: int
    unit: Unit | None
    is_cut_end: bool
    gave_up: bool


class Recovery:
    """Searches one stream for whole packets."""

    def __init__(self, source: ByteSource, framing: Framing) -> None:
        self._source = source
        self._framing = framing
        self._work = 0

    def find(self, expected: int) -> Search:
        """Skip bytes until a packet of index `expected` or later, or the end marker, stands at the front."""
        source, start = self._source, self._source.offset
        starts_like_end = source.fill(1) > 0 and source.buffer[0] == 0
        unit = None
        while source.fill(1) and self._work < _WORK_LIMIT:
            unit = self._unit_here(expected)
            if unit is not None:
                break
            source.skip(1)
        skipped = source.offset - start
        is_cut_end = unit is None and starts_like_end and skipped < MAX_END_BYTES
        return Search(skipped, unit, is_cut_end, gave_up=self._work >= _WORK_LIMIT)

    def _unit_here(self, expected: int) -> Unit | None:
        unit = _read_or_none(self._source, self._framing, 0)
        if unit is None:
            return None
        self._work += unit.size
        if not _is_plausible(unit, self._source, self._framing, expected):
            return None
        if not _is_sound(unit, self._framing):
            self._work += unit.size * _OPENING_WORK
            return None
        return unit


def _read_or_none(source: ByteSource, framing: Framing, position: int) -> Unit | None:
    if source.fill(position + 1) <= position:
        return None
    if source.buffer[position] & VARIED and not framing.header.may_vary:
        return None  # soon, as no packet begins so: searching is slow where many bytes look like the head of one
    try:
        return framing.read(source, position)
    except BitstreamError:
        return None


def _is_sound(unit: Unit, framing: Framing) -> bool:
    try:
        _ = framing.open_end(unit) if unit.is_end else framing.open_packet(unit, 0)
    except BitstreamError:
        return False
    return True


def _is_plausible(unit: Unit, source: ByteSource, framing: Framing, expected: int) -> bool:
    ahead = unit.index - expected
    if not 0 <= ahead <= FARTHEST:
        return False
    if ahead == 0 or source.at_end(unit.size):
        return True
    if unit.is_end:
        return False
    successor = _read_or_none(source, framing, unit.size)
    return ahead <= _NEAR or (successor is not None and successor.index == unit.index + 1)
