"""The fixed-width payload: indices side by side, most significant bit first, stage by stage."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..errors import BitstreamError
from .layout import StageLayout, find_bad_index
from .stage_counts import NONE, count_depths, present

_FEW_BYTES = 32
_FILL = "the bits that fill up its last byte are not zero"


def fixed_size(stages: Sequence[StageLayout], depths: np.ndarray) -> int:
    """Return the bytes of the payload for frames with `depths` (channels, frames) stages."""
    return -(-_bits(stages, depths) // 8)


def _bits(stages: Sequence[StageLayout], depths: np.ndarray) -> int:
    if depths.strides == (0, 0):  # `equal_depths`
        return depths.size * sum(stage.index_bits for stage in stages[: depths.item(0)])
    bits = np.cumsum([0, *(stage.index_bits for stage in stages)])
    return int(count_depths(depths, len(stages)) @ bits)


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
        raise BitstreamError(_FILL)
    codes = np.ascontiguousarray(by_stage.swapaxes(0, 1))
    if fault := find_bad_index(codes, stages):
        raise BitstreamError(fault)
    return codes


def check_fixed(payload: bytes, stages: Sequence[StageLayout], depths: np.ndarray) -> None:
    """Raise what `unpack_fixed` would raise; without positions every index is valid, and only the
    padding bits are checked.
    """
    if any(stage.position_bits for stage in stages):
        if len(payload) > _FEW_BYTES or not _is_valid(payload, stages, depths):
            unpack_fixed(payload, stages, depths)
    elif payload and payload[-1] & 0xFF >> (_bits(stages, depths) - 1) % 8 + 1:
        raise BitstreamError(_FILL)


def _is_valid(payload: bytes, stages: Sequence[StageLayout], depths: np.ndarray) -> bool:
    """Whether `unpack_fixed` would take it, found index by index: faster for a few."""
    bits, left = int.from_bytes(payload, "big"), 8 * len(payload)
    of_frames = depths.ravel().tolist()
    for number, stage in enumerate(stages):
        width, most = stage.index_bits, stage.max_index
        for _ in range(sum(depth > number for depth in of_frames)):
            left -= width
            if bits >> left & (1 << width) - 1 > most:
                return False
    return not bits & (1 << left) - 1


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
