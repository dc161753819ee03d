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
import zlib
from collections.abc import Callable, Iterator

import numpy as np

from .checksum import CHECK_BYTES, ONES, TABLE, go_back
from .framing import (
    FLAGS,
    LENGTH_SHIFT,
    MAX_HEAD_BYTES,
    MAX_MISSING_BYTES,
    SUM_BYTES,
    Framing,
)

_BLOCK = 1 << 16  # places looked at together
_LOOK_AHEAD = 1 + MAX_MISSING_BYTES
_DIGIT = 256  # of counts of bytes
_ROW = 128  # bytes that NumPy goes through one by one, in all rows at once
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
        block = array[start : min(start + _BLOCK, count) + _LOOK_AHEAD]
        for places, lengths in _framed(block, min(_BLOCK, count - start), framing):
            places += start
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
    block: np.ndarray, count: int, framing: Framing
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Which of the first `count` places have valid heads, and the lengths of head and body
    there.
    """
    sizes = _varint_sizes(block, count + 1)
    heads = (block[:count] & 0x7F).astype(np.int32)
    for byte in range(1, MAX_HEAD_BYTES):
        more = block[byte : count + byte]
        heads[: len(more)] += (sizes[: len(more)] > byte) * (more & np.int32(0x7F)) << 7 * byte
    low, high = np.array(framing.lengths, np.int32).T
    lengths, flags = heads >> LENGTH_SHIFT, heads & FLAGS
    is_varint = (sizes[:count] > 0) & (sizes[:count] <= MAX_HEAD_BYTES)
    is_packet = is_varint & (heads > 0) & (lengths >= low[flags]) & (lengths <= high[flags])
    places = np.flatnonzero(is_packet)
    yield places, sizes[places] + lengths[places]
    ends = np.flatnonzero((sizes[:count] == 1) & (heads == 0))
    missing = sizes[ends + 1]
    is_end = (missing > 0) & (missing <= MAX_MISSING_BYTES)
    yield ends[is_end], 1 + missing[is_end] + SUM_BYTES


def _varint_sizes(block: np.ndarray, count: int) -> np.ndarray:
    """How many bytes the varints at the first `count` places take: 0 where there is none."""
    places = np.arange(len(block))
    last = np.where(block < 0x80, places, len(block))
    last = np.minimum.accumulate(last[::-1])[::-1]  # the next byte that ends a varint
    sizes = last - places + 1
    sizes[last == len(block)] = 0
    sizes[(sizes > 1) & (np.append(block, 0)[last] == 0)] = 0  # not the shortest form
    return np.append(sizes, 0)[:count]


def _check_at(array: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The u32 at each place."""
    check = np.zeros(places.shape, np.uint32)
    for byte in range(CHECK_BYTES):
        check |= array[places + byte].astype(np.uint32) << np.uint32(8 * byte)
    return check


def _registers(array: np.ndarray) -> np.ndarray:
    """R(0, n) for every n: zlib goes from row to row, and NumPy through all rows side by side."""
    rows = -(-len(array) // _ROW)
    columns = np.zeros((_ROW, rows), np.uint8)
    padded = np.zeros(rows * _ROW, np.uint8)
    padded[: len(array)] = array
    columns[:] = padded.reshape(rows, _ROW).T
    # zlib's CRC is the register with all bits flipped, and goes on from one.
    check, data = ONES, padded.data
    register = np.empty(rows, np.uint32)
    for row in range(rows):
        register[row] = check ^ ONES
        check = zlib.crc32(data[row * _ROW : (row + 1) * _ROW], check)
    after = np.empty((_ROW + 1, rows), np.uint32)
    for column in range(_ROW):
        after[column] = register
        register = _TABLE.take((register ^ columns[column]) & 0xFF) ^ register >> 8
    after[_ROW] = register
    return np.append(after[:_ROW].T.ravel(), after[_ROW, -1:])[: len(array) + 1]


def _zeros_read(registers: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """S(r, n) of each register and count below 2^24."""
    for unit in (1, 1 << 8, 1 << 16):
        digits = counts // unit & 0xFF
        if digits.any():
            registers = _apply(_shifts(unit), registers, digits * (4 * _DIGIT))
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


def _apply(functions: np.ndarray, registers: np.ndarray, start: np.ndarray | int = 0) -> np.ndarray:
    """What the `Linear`s that start there among the numbers of `functions` make of each
    register.
    """
    numbers = functions.ravel()
    made = np.zeros(registers.shape, np.uint32)
    for byte in range(4):
        value = (registers >> np.uint32(8 * byte) & np.uint32(0xFF)).astype(np.intp)
        made ^= numbers.take(value + (start + byte * _DIGIT))
    return made
