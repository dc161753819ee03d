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
_BEYOND = "an index points beyond the last codeword of its stage"


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
    """Checks payloads at fixed width without unpacking them, those of many packets at once.

    `bits_of_depth[d]` is how many bits a frame of d stages takes.
    """

    def __init__(self, stages: Sequence[StageLayout]) -> None:
        bits = [stage.index_bits for stage in stages]
        self.bits_of_depth = np.cumsum([0, *bits])
        runs = [(stage, len(list(equals))) for stage, equals in itertools.groupby(stages)]
        self._layouts = [stage for stage, _ in runs]
        self._first_stages = np.cumsum([0, *(length for _, length in runs)])[:-1]
        self._index_bits = np.array([stage.index_bits for stage in self._layouts])
        self._with_positions: dict[StageLayout, list[int]] = {}  # runs of stages of each layout
        for number, layout in enumerate(self._layouts):
            if layout.position_bits:
                self._with_positions.setdefault(layout, []).append(number)

    def find_faults(
        self, data: np.ndarray, starts: np.ndarray, stops: np.ndarray, frames_of_depth: np.ndarray
    ) -> dict[int, str]:
        """What `unpack_fixed` would find wrong, by payload; the sizes are known to be right.

        Payloads lie from `starts` to `stops` in `data`, none empty; `frames_of_depth` (payloads,
        stages + 1) are their frames of 0, 1, … all stages, over all channels.
        """
        faults: dict[int, str] = {}
        frames = frames_of_depth[:, :0:-1].cumsum(axis=1)[:, ::-1]  # that have a stage
        indices = np.add.reduceat(frames, self._first_stages, axis=1)
        bits = indices * self._index_bits
        first_bits = 8 * starts[:, None] + bits.cumsum(axis=1) - bits
        words = _words(data) if self._with_positions else data
        for layout, runs in self._with_positions.items():
            beyond = _beyond_last(words, layout, first_bits[:, runs], indices[:, runs])
            faults |= dict.fromkeys(beyond, _BEYOND)
        fill = (1 << -bits.sum(axis=1) % 8) - 1
        return faults | dict.fromkeys(np.flatnonzero(data[stops - 1] & fill).tolist(), FILL)


def _words(data: np.ndarray) -> np.ndarray:
    """The big-endian u32 at each byte, which zeros follow."""
    padded = np.append(data, np.zeros(3, np.uint8)).astype(np.uint32)
    return padded[:-3] << 24 | padded[1:-2] << 16 | padded[2:-1] << 8 | padded[3:]


def _beyond_last(
    words: np.ndarray, layout: StageLayout, first_bits: np.ndarray, counts: np.ndarray
) -> list[int]:
    """Which payloads have indices of this layout beyond its last codeword: `counts` of them, side
    by side, from each of `first_bits` (payloads, runs of indices).
    """
    width, of_run = layout.index_bits, counts.ravel()
    before = of_run.cumsum() - of_run
    places = np.repeat(first_bits.ravel() - width * before, of_run)
    places += width * np.arange(len(places))
    indices = words[places >> 3] << (places & 7).astype(np.uint32) >> np.uint32(32 - width)
    beyond = np.flatnonzero(indices > layout.max_index)
    runs = np.searchsorted(before, beyond, side="right") - 1
    return np.unique(runs // counts.shape[1]).tolist()


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
