"""Finding the next whole packet in a damaged stream."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import BitstreamError
from .checksum import CHECK_BYTES
from .crc_search import likely_places
from .framing import (
    LEAST_PACKET_BYTES,
    MAX_END_BYTES,
    MAX_HEAD_BYTES,
    Framing,
    Unit,
)
from .packet_run import PacketRun
from .source import ByteSource

# A checksum fits any bytes under one of 2^32 indices, so chance finds of a far index are likelier
# than of a near one. Further ahead than this, a packet is believed only with its successor behind
# it.
_NEAR = 16
# So many packets of a stream may be missing with all their bytes: each costs its reader time.
FARTHEST = 1 << 16
# Places tried one by one, before as many more at once: most damage is small, and a pipe is not
# waited on.
_ONE_BY_ONE = 32
_FIRST_BLOCK = 1 << 10
_LARGEST_BLOCK = 1 << 18
# Work that is allowed for a stream, in microseconds or so: linear in its bytes, however they are
# made.
_WORK_LIMIT = 2_000_000
_WORK_PER_BYTE = 0.3
_WORK_OF_SEARCH = 50
_WORK_OF_BLOCK, _BLOCK_BYTES_PER_WORK = 1000, 10
_WORK_OF_UNIT, _UNIT_BYTES_PER_WORK = 5, 500
_WORK_OF_OPENING, _OPENED_BYTES_PER_WORK = 200, 10


class Loss(NamedTuple):
    """Frames that could not be read; none where only foreign bytes or the end marker are
    concerned, or where a stream breaks off and nothing tells how many there were.
    """

    first_frame: int
    frames: int
    reason: str


@dataclass(frozen=True, slots=True)
class Search:
    """The result of a search: `unit`, if one was `found`, now stands at the front, after `skipped`
    bytes; `packet` is it opened where it is no end marker.

    `gave_up`: nothing will be found any more, as searching has cost too much.
    """

    skipped: int
    unit: Unit | None
    packet: PacketRun | None
    found: bool
    gave_up: bool


class Recovery:
    """Searches one stream for whole packets.

    `known` are the searches so far, without the units that they found, by where they started: one
    that reads the stream once more goes the same way.
    """

    def __init__(self, source: ByteSource, framing: Framing) -> None:
        self._source = source
        self._framing = framing
        self.known: dict[int, Search] = {}
        self._packet: PacketRun | None = None  # that the last search has found
        self._reach = MAX_HEAD_BYTES + max(framing.most_body_bytes, MAX_END_BYTES) + CHECK_BYTES
        self._work = 0.0
        self._missing = 0  # packets that were not there, with all their bytes

    def find(self, expected: int) -> Search:
        """Skip bytes until a packet of index `expected` or later, or the end marker, stands at the
        front.
        """
        source, start = self._source, self._source.offset
        if start in self.known:
            return self._again(self.known[start])
        self._work += _WORK_OF_SEARCH
        unit = self._find_one_by_one(expected) or self._find_in_blocks(expected)
        skipped = source.offset - start
        if unit is not None:
            room = skipped // LEAST_PACKET_BYTES
            self._missing += max(unit.index - expected - room, 0)
        is_found, gave_up = unit is not None, self._is_tired()
        self.known[start] = Search(skipped, None, None, is_found, gave_up)
        return Search(skipped, unit, self._packet if is_found else None, is_found, gave_up)

    def _again(self, search: Search) -> Search:
        self._source.skip_all(search.skipped)
        if not search.found:
            return search
        unit = self._framing.read(self._source)
        self._open(unit)
        return dataclasses.replace(search, unit=unit, packet=self._packet)

    def _find_one_by_one(self, expected: int) -> Unit | None:
        for _ in range(_ONE_BY_ONE):
            unit = self._unit_here(expected)
            if unit is not None or not self._source.fill(1) or self._is_tired():
                return unit
            self._source.skip(1)
        return None

    def _find_in_blocks(self, expected: int) -> Unit | None:
        """Search block by block, looking as far ahead as a unit may reach."""
        source, block = self._source, max(_FIRST_BLOCK, self._reach)
        while source.fill(1) and not self._is_tired():
            available = source.fill(block + self._reach)
            count, done = min(block, available), 0
            self._work += _WORK_OF_BLOCK + available / _BLOCK_BYTES_PER_WORK
            for place in likely_places(
                source.buffer[:available], count, self._framing, expected, self._farthest
            ):
                source.skip(place - done)
                done = place
                unit = self._unit_here(expected)
                if unit is not None or self._is_tired():
                    return unit
            source.skip(count - done)
            block = min(2 * block, max(_LARGEST_BLOCK, self._reach))
        return None

    @property
    def _farthest(self) -> int:
        return max(FARTHEST - self._missing, 0)

    def _is_tired(self) -> bool:
        return self._work > _WORK_LIMIT + _WORK_PER_BYTE * self._source.offset

    def _unit_here(self, expected: int) -> Unit | None:
        unit = self._read(0)
        if unit is None or not self._is_plausible(unit, expected):
            return None
        self._work += _WORK_OF_OPENING + unit.size / _OPENED_BYTES_PER_WORK
        try:
            self._open(unit)
        except BitstreamError:
            return None
        return unit

    def _open(self, unit: Unit) -> None:
        """Open what stands at the front; a fault is a `BitstreamError`."""
        if unit.is_end:
            self._framing.open_end(unit)
        self._packet = None if unit.is_end else self._framing.open_packet(unit, self._source.offset)

    def _is_plausible(self, unit: Unit, expected: int) -> bool:
        ahead = unit.index - expected
        if not 0 <= ahead <= self._farthest:
            return False
        if ahead == 0 or self._source.at_end(unit.size):
            return True
        if unit.is_end:
            return False
        successor = self._read(unit.size)
        return ahead <= _NEAR or (successor is not None and successor.index == unit.index + 1)

    def _read(self, position: int) -> Unit | None:
        if self._source.fill(position + 1) <= position:
            return None
        self._work += _WORK_OF_UNIT
        try:
            unit = self._framing.read(self._source, position)
        except BitstreamError:
            return None
        self._work += unit.size / _UNIT_BYTES_PER_WORK
        return unit
