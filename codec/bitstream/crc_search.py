"""Finds where units of a stream may start in damaged bytes, by computing the checksums at all
places at once in NumPy.

A checksum fits any bytes under one of 2^32 indices, so a place is worth a look where that index is
near the one that is expected. With R(a, b) for the register of a CRC that starts at zero and has
read bytes a to b, R(a, b) = R(0, b) xor S(R(0, a), b − a), where S(r, n) is what n zero bytes make
of the register r. R(0, ·) takes one pass over the bytes, S is linear and read from tables. So the
work is the same few operations for every place, however long the units there claim to be.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator

import numpy as np

from .checksum import ONES, TABLE, go_back
from .framing import (
    CHECK_BYTES,
    FLAGS,
    LENGTH_SHIFT,
    MAX_HEAD_BYTES,
    MAX_MISSING_BYTES,
    SUM_BYTES,
    Framing,
)

_BLOCK = 1 << 16  # places looked at together
_DIGIT = 256  # of counts of bytes
_TABLE = np.array(TABLE, np.uint32)
_BYTES = np.arange(4)[:, None], np.arange(256)[None]

Linear = np.ndarray
"""A linear function of registers as a table (4, 256): what each value of each byte, from the lowest
on, becomes.
"""


def likely_places(
    data: bytearray, count: int, framing: Framing, expected: int, farthest: int
) -> list[int]:
    """Return which of the first `count` bytes start a unit with an index of `expected` to `expected
    + farthest`.

    Only units that end within `data` are found; whether they are sound is not looked at.
    """
    array = np.frombuffer(data, np.uint8)
    registers = _registers(array)
    found: list[int] = []
    for start in range(0, count, _BLOCK):
        for places, lengths in _framed(array, start, min(start + _BLOCK, count), framing):
            ends = places + lengths
            fits = ends + CHECK_BYTES <= len(array)
            places, lengths, ends = places[fits], lengths[fits], ends[fits]
            seeded = registers[places] ^ np.uint32(framing.seed ^ ONES)
            state = registers[ends] ^ _zeros_read(seeded, lengths)
            index = _apply(_going_back(), _check_at(array, ends) ^ np.uint32(ONES)) ^ state
            ahead = index - np.uint32(expected & ONES)
            found += places[ahead <= farthest].tolist()
    return sorted(found)


def _framed(
    array: np.ndarray, start: int, stop: int, framing: Framing
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Places from `start` to `stop` whose heads are valid, and the lengths of head and body
    there.
    """
    places = np.arange(start, stop)
    heads, sizes = _varints(array, places, MAX_HEAD_BYTES)
    low, high = np.array(framing.lengths).T
    lengths, flags = heads >> LENGTH_SHIFT, heads & FLAGS
    is_packet = (sizes > 0) & (heads > 0) & (lengths >= low[flags]) & (lengths <= high[flags])
    yield places[is_packet], sizes[is_packet] + lengths[is_packet]
    ends = places[heads == 0]
    _, sizes = _varints(array, ends + 1, MAX_MISSING_BYTES)
    yield ends[sizes > 0], 1 + sizes[sizes > 0] + SUM_BYTES


def _varints(
    array: np.ndarray, places: np.ndarray, max_bytes: int
) -> tuple[np.ndarray, np.ndarray]:
    """The varints at `places`, and how many bytes they take: 0, and a value of -1, where there is
    none.
    """
    values, sizes = np.full(places.shape, -1), np.zeros(places.shape, np.int64)
    left, so_far = np.arange(len(places)), np.zeros(places.shape, np.int64)
    for size in range(1, max_bytes + 1):
        left = left[places[left] + size <= len(array)]
        byte = array[places[left] + size - 1]
        so_far[left] |= (byte & 0x7F).astype(np.int64) << 7 * (size - 1)
        is_last = byte < 0x80
        done = left[is_last & ((byte > 0) | (size == 1))]
        values[done], sizes[done] = so_far[done], size
        left = left[~is_last]
    return values, sizes


def _check_at(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The u32 at each place."""
    check = np.zeros(places.shape, np.uint32)
    for byte in range(CHECK_BYTES):
        check |= array[places + byte].astype(np.uint32) << np.uint32(8 * byte)
    return check


def _registers(array: np.ndarray) -> np.ndarray:
    """R(0, n) for every n: rows of bytes side by side, then each row on what the rows before it
    made.
    """
    width = min(1 << (len(array).bit_length() // 2), _DIGIT)
    rows = np.zeros((-(-len(array) // width), width), np.uint8)
    rows.ravel()[: len(array)] = array
    after = np.empty(rows.shape, np.uint32)
    register = np.zeros(len(rows), np.uint32)
    for column in range(width):
        register = _TABLE[(register ^ rows[:, column]) & 0xFF] ^ register >> 8
        after[:, column] = register
    before, whole_row = [0], _shifts(1)[width].tolist()
    for made in after[:-1, -1].tolist():
        last = before[-1]
        parts = (whole_row[byte][last >> 8 * byte & 0xFF] for byte in range(4))
        before.append(functools.reduce(operator.xor, parts, made))
    carried = np.array(before, np.uint32)
    for column in range(width):
        after[:, column] ^= _apply(_shifts(1)[column + 1], carried)
    return np.concatenate([[np.uint32(0)], after.ravel()])[: len(array) + 1]


def _zeros_read(registers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """S(r, n) of each register and count below 2^24."""
    for unit in (1, 1 << 8, 1 << 16):
        digits = counts // unit & 0xFF
        if digits.any():
            table = _shifts(unit)
            parts = [
                table[digits, byte, registers >> np.uint32(8 * byte) & 0xFF] for byte in range(4)
            ]
            registers = parts[0] ^ parts[1] ^ parts[2] ^ parts[3]
    return registers


@functools.cache
def _shifts(unit: int) -> np.ndarray:
    """S(·, k·unit) for k = 0 … 256, as `Linear`s."""
    identity = (_BYTES[1] << 8 * _BYTES[0]).astype(np.uint32)
    if unit == 1:
        return np.array(list(_powers(identity, lambda r: _TABLE[r & 0xFF] ^ r >> 8)))
    step = _shifts(unit >> 8)[_DIGIT]
    return np.array(list(_powers(identity, lambda r: _apply(step, r))))


def _powers(
    start: np.ndarray, function: Callable[[np.ndarray], np.ndarray]
) -> Iterator[np.ndarray]:
    for _ in range(_DIGIT + 1):
        yield start
        start = function(start)


@functools.cache
def _going_back() -> np.ndarray:
    return np.array(
        [[go_back(value << 8 * byte) for value in range(256)] for byte in range(4)], np.uint32
    )


def _apply(function: np.ndarray, registers: np.ndarray) -> np.ndarray:
    parts = [function[byte, registers >> np.uint32(8 * byte) & 0xFF] for byte in range(4)]
    return parts[0] ^ parts[1] ^ parts[2] ^ parts[3]
