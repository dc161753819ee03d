"""The range decoder of FORMAT.md, symbol by symbol: for shares that follow from what it decodes.

Packets are decoded side by side: a network takes hardly longer for a frame of each than for one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .entropy import EntropyTables, StageTable
from .entropy_network import PRECISION_BITS, find, pieces_of
from .layout import StageLayout
from .stage_counts import NONE, extremes, present

_WORD_BITS = 32
_STATE = (1 << 2 * _WORD_BITS) - 1


class NoCodeError(Exception):
    """A stream lies outside of all symbols of stage `stage`."""

    def __init__(self, stage: int) -> None:
        super().__init__(stage)
        self.stage = stage


class _OutsideError(Exception):
    pass


class _Decoder:
    """Decodes a stream by quantiles: a symbol is the one whose part of 2^24 holds the `quantile`,
    and `take` goes behind it.
    """

    def __init__(self, stream: bytes) -> None:
        words = np.frombuffer(stream + bytes(-len(stream) % 4), ">u4")
        self._next = iter(words.tolist())
        self._read = 0  # words
        self._low, self._range = 0, _STATE
        self._above = 0  # how far the stream lies above `_low`
        for _ in range(2):
            self._shift_in()

    def quantile(self) -> int:
        found = self._above // (self._range >> PRECISION_BITS)
        if found >> PRECISION_BITS:
            raise _OutsideError
        return found

    def take(self, low: int, high: int) -> None:
        scale = self._range >> PRECISION_BITS
        self._above -= scale * low
        self._low += scale * low
        self._range = scale * (high - low)
        if self._range >> _WORD_BITS == 0:
            self._range <<= _WORD_BITS
            self._low <<= _WORD_BITS
            self._shift_in()
        self._low &= _STATE

    def _shift_in(self) -> None:
        self._above = self._above << _WORD_BITS | next(self._next, 0)
        self._read += 1

    def take_symbol(self, bounds: np.ndarray) -> int:
        """Decode a symbol whose share begins at one of `bounds` and ends at the next."""
        symbol = int(np.searchsorted(bounds, self.quantile(), side="right")) - 1
        self.take(int(bounds[symbol]), int(bounds[symbol + 1]))
        return symbol

    def take_word(self, shares: np.ndarray) -> int:
        """Decode a codeword of a row of `StageNetwork.shares`."""
        word, low, high = find(shares, self.quantile())
        self.take(low, high)
        return word

    @property
    def place(self) -> tuple[int, int]:
        """How many words the decoder is done with, and the 64 bits of its low end behind them."""
        return self._read - 2, self._low


def decode_side_by_side(
    streams: Sequence[bytes],
    stages: Sequence[StageLayout],
    tables: EntropyTables,
    depths: Sequence[np.ndarray],
) -> list[tuple[np.ndarray, list[tuple[int, int]]]]:
    """Decode the streams of packets, without ends of stages, of `depths` (channels, frames) each.

    Returns codes (channels, stages, frames) of each, and where its decoder is after each stage.
    Raises `NoCodeError` where one of them is not a code.
    """
    channels, frames = depths[0].shape
    decoders = [_Decoder(stream) for stream in streams]
    deepest = [extremes(of_packet)[1] for of_packet in depths]
    places: list[list[tuple[int, int]]] = [[] for _ in streams]
    there = np.concatenate([present(of_packet, len(stages)) for of_packet in depths], axis=1)
    indices = np.full(there.shape, NONE, np.int32)  # (stages, packets · channels, frames)
    words: list[np.ndarray] = []
    of_rows = [decoder for decoder in decoders for _ in range(channels)]
    for number, stage in enumerate(stages[: max(deepest)]):
        words.append(np.full(there.shape[1:], NONE, np.int32))
        try:
            _decode_words(of_rows, channels, tables, there[number], words)
            positions = _decode_positions(of_rows, stage, words[-1])
        except _OutsideError as error:
            raise NoCodeError(number) from error
        indices[number] = np.where(
            there[number], words[-1] << stage.position_bits | positions, NONE
        )
        for decoder, depth, of_packet in zip(decoders, deepest, places, strict=True):
            if number < depth:
                of_packet.append(decoder.place)
    by_packet = indices.reshape(len(stages), len(streams), channels, frames)
    codes = np.ascontiguousarray(by_packet.transpose(1, 2, 0, 3))
    return list(zip(codes, places, strict=True))


def _decode_words(
    decoders: Sequence[_Decoder],
    channels: int,
    tables: EntropyTables,
    there: np.ndarray,
    words: list[np.ndarray],
) -> None:
    """Decode the codewords of a stage, the last of `words`, that are `there` (rows, frames): a row
    is a channel of a packet, and has its packet's decoder.
    """
    number, own = len(words) - 1, words[-1]
    table = tables.stages[number]
    if isinstance(table, StageTable):
        _decode_by_table(decoders, table, tables.context_shift(number), there, words)
        return
    sums = table.sums(words, tables.points)
    behind = tables.own_sums[number]
    if not behind:
        rows, wanted, found = np.nonzero(there)[0].tolist(), sums[there], []
        for piece in pieces_of(len(wanted)):
            shares = table.shares(wanted[piece])
            found += [decoders[r].take_word(s) for r, s in zip(rows[piece], shares, strict=True)]
        own[there] = found
        return
    for channel in range(channels):
        for frame in range(there.shape[1]):
            rows = np.flatnonzero(there[channel::channels, frame]) * channels + channel
            if not len(rows):
                continue
            totals = sums[rows, frame]
            for distance, points in behind:
                if distance <= frame:
                    totals += points[own[rows, frame - distance]]
            for row, shares in zip(rows.tolist(), table.shares(totals), strict=True):
                own[row, frame] = decoders[row].take_word(shares)


def _decode_by_table(
    decoders: Sequence[_Decoder],
    table: StageTable,
    shift: int,
    there: np.ndarray,
    words: list[np.ndarray],
) -> None:
    own = words[-1]
    for row, frame in np.argwhere(there).tolist():
        context = 0
        if table.source == "previous_frame":
            before = int(own[row, frame - 1]) if frame else NONE
            context = table.start_context if before == NONE else before >> shift
        elif table.source == "previous_stage":
            context = int(words[-2][row, frame]) >> shift
        own[row, frame] = decoders[row].take_symbol(table.bounds[context])


def _decode_positions(
    decoders: Sequence[_Decoder], stage: StageLayout, words: np.ndarray
) -> np.ndarray:
    """Decode the positions of a stage's codewords; 0 where there is none."""
    positions = np.zeros_like(words)
    if stage.position_bits:
        bounds = np.arange((1 << stage.position_bits) + 1) << PRECISION_BITS - stage.position_bits
        for row, frame in np.argwhere((words != NONE) & (words < stage.codewords - 1)).tolist():
            positions[row, frame] = decoders[row].take_symbol(bounds)
    return positions
