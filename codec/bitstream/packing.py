"""The fixed-width payload: indices side by side, most significant bit first, stage by stage."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Sequence

import numpy as np

from ..errors import BitstreamError
from .layout import StageLayout, find_bad_index
from .stage_counts import NONE, count_depths, present

FILL = "the bits that fill up its last byte are not zero"


def fixed_size(stages: Sequence[StageLayout], depths: np.ndarray) -> int:
    """Return the bytes of the payload for frames with `depths` (channels, frames) stages."""
    return -(-_bits(stages, depths) // 8)


def _bits(stages: Sequence[StageLayout], depths: np.ndarray) -> int:
    if depths.strides == (0, 0):  # `equal_depths`
        return depths.size * sum(stage.index_bits for stage in stages[: depths.item(0)])
    bits = [0, *itertools.accumulate(stage.index_bits for stage in stages)]
    return sum(map(operator.mul, count_depths(depths, len(stages)).tolist(), bits))


def pack_fixed(codes: np.ndarray, stages: Sequence[StageLayout]) -> bytes:
    """Pack `codes` (channels, stages, frames), whose indices are known to be in range."""
    by_stage = codes.swapaxes(0, 1)
    there = by_stage != NONE
    bits = [
        _to_bits(by_stage[start:stop][there[start:stop]], width)
        for width, start, stop in _equal_widths(stages)
    ]
    return np.packbits(np.concatenate(bits)).tobytes()


def unpack_fixed(payload: bytes, stages: Sequence[StageLayout], depths: np.ndarray) -> np.ndarray:
    """Unpack a payload of the right size to codes (channels, stages, frames), int32."""
    assert len(payload) == fixed_size(stages, depths)
    bits = np.unpackbits(np.frombuffer(payload, np.uint8))
    there = present(depths, len(stages))
    by_stage = np.full(there.shape, NONE, np.int32)
    position = 0
    for width, start, stop in _equal_widths(stages):
        count = np.count_nonzero(there[start:stop])
        by_stage[start:stop][there[start:stop]] = _from_bits(
            bits[position : position + count * width], width
        )
        position += count * width
    if bits[position:].any():
        raise BitstreamError(FILL)
    codes = np.ascontiguousarray(by_stage.swapaxes(0, 1))
    if fault := find_bad_index(codes, stages):
        raise BitstreamError(fault)
    return codes


class FixedFields:
    """Measures and checks payloads at fixed width without unpacking them.

    `frames_of_depth[d]` is how many frames of a packet have d stages, over all channels. An index
    is too large where its codeword is the last one, all ones, and its position is not 0: where
    adding 2^p - 1 carries out of its field. So one sum of integers checks all fields of a payload.
    """

    def __init__(self, stages: Sequence[StageLayout]) -> None:
        self._bits_of_depth = [0, *itertools.accumulate(stage.index_bits for stage in stages)]
        self._runs = [
            (stage, len(list(equals))) for stage, equals in itertools.groupby(reversed(stages))
        ]
        self._last: list[int] = []
        self._sum: tuple[int, int, int] = 0, 0, 0

    def bits(self, frames_of_depth: list[int]) -> int:
        """The bits that all indices take."""
        return sum(map(operator.mul, frames_of_depth, self._bits_of_depth))

    def check(self, payload: bytes, frames_of_depth: list[int]) -> None:
        """Raise a `BitstreamError` where `unpack_fixed` would; the size is known to be right."""
        if frames_of_depth is not self._last:  # most packets share one list
            self._last, self._sum = frames_of_depth, self._sum_for(frames_of_depth)
        fill, addend, carries = self._sum
        if payload and payload[-1] & (1 << fill) - 1:
            raise BitstreamError(FILL)
        if not addend:
            return
        fields = int.from_bytes(payload, "big")
        if (fields ^ addend ^ fields + addend) & carries:
            raise BitstreamError("an index points beyond the last codeword of its stage")

    def _sum_for(self, frames_of_depth: list[int]) -> tuple[int, int, int]:
        """The bits that fill up the last byte, what to add to the payload as one integer, and the
        bits that the fields must not carry into.
        """
        indices = itertools.accumulate(reversed(frames_of_depth))  # of each stage, from the last on
        shift = addend = carries = 0
        for stage, stages in self._runs:
            count = sum(itertools.islice(indices, stages))
            bits, positions = stage.index_bits, (1 << stage.position_bits) - 1
            if positions and count:
                lowest = ((1 << bits * count) - 1) // ((1 << bits) - 1) << shift
                addend |= lowest * positions
                carries |= lowest << bits
            shift += bits * count
        fill = -shift % 8
        return fill, addend << fill, carries << fill


def cut_fixed(payload: bytes, stages: Sequence[StageLayout], depths: np.ndarray) -> bytes:
    """Cut a payload to the first `stages` of its stages."""
    cut = bytearray(payload[: fixed_size(stages, depths)])
    bits_in_last_byte = _bits(stages, depths) % 8
    if bits_in_last_byte:
        cut[-1] &= 0xFF00 >> bits_in_last_byte & 0xFF
    return bytes(cut)


def _equal_widths(stages: Sequence[StageLayout]) -> list[tuple[int, int, int]]:
    """Runs of stages of equal width, as (width, first stage, stage after the last)."""
    runs, start = [], 0
    for width, equals in itertools.groupby(stages, key=lambda stage: stage.index_bits):
        stop = start + len(list(equals))
        runs.append((width, start, stop))
        start = stop
    return runs


def _to_bits(indices: np.ndarray, width: int) -> np.ndarray:
    bits = np.empty((len(indices), width), np.uint8)
    for place in range(width):
        bits[:, place] = indices >> (width - 1 - place) & 1
    return bits.ravel()


def _from_bits(bits: np.ndarray, width: int) -> np.ndarray:
    indices = np.zeros(len(bits) // width, np.int32)
    for place_bits in bits.reshape(-1, width).T:
        indices = indices << 1 | place_bits
    return indices
