"""The range decoder of FORMAT.md, symbol by symbol: for shares that follow from what it decodes."""

from __future__ import annotations

import numpy as np

from .entropy import EntropyTables, StageTable
from .entropy_network import PRECISION_BITS, find, pieces_of
from .layout import StageLayout
from .stage_counts import NONE

_WORD_BITS = 32
_STATE = (1 << 2 * _WORD_BITS) - 1


class NoCodeError(Exception):
    """The stream lies outside of all symbols."""


class IntervalDecoder:
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
            raise NoCodeError
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

    @property
    def place(self) -> tuple[int, int]:
        """How many words the decoder is done with, and the 64 bits of its low end behind them."""
        return self._read - 2, self._low


def decode_words(
    decoder: IntervalDecoder,
    tables: EntropyTables,
    there: np.ndarray,
    so_far: list[np.ndarray],
) -> np.ndarray:
    """Decode the codewords (channels, frames) of the stage after those of `so_far`; NONE where they
    are not `there`.
    """
    number = len(so_far)
    table = tables.stages[number]
    words = np.full(there.shape, NONE, np.int32)
    if isinstance(table, StageTable):
        is_chain = table.source == "previous_frame"
        rows = None if is_chain else tables.rows(number, words, so_far[-1] if number else None)
        for channel, frame in np.argwhere(there).tolist():
            if rows is None:
                before = int(words[channel, frame - 1]) if frame else NONE
                shift = tables.context_shift(number)
                row = table.bounds[table.start_context if before == NONE else before >> shift]
            else:
                row = table.bounds[rows[channel, frame]]
            word = int(np.searchsorted(row, decoder.quantile(), side="right")) - 1
            decoder.take(int(row[word]), int(row[word + 1]))
            words[channel, frame] = word
        return words
    sums = table.sums([*so_far, words], tables.points)
    behind = tables.own_sums[number]
    if not behind:
        wanted, found = sums[there], []
        for piece in pieces_of(len(wanted)):
            found += [_decode_word(decoder, shares) for shares in table.shares(wanted[piece])]
        words[there] = found
        return words
    for channel, frame in np.argwhere(there).tolist():
        total = sums[channel, frame : frame + 1]
        for distance, rows in behind:
            if distance <= frame:
                total = total + rows[words[channel, frame - distance]]
        words[channel, frame] = _decode_word(decoder, table.shares(total)[0])
    return words


def _decode_word(decoder: IntervalDecoder, shares: np.ndarray) -> int:
    word, low, high = find(shares, decoder.quantile())
    decoder.take(low, high)
    return word


def decode_positions(decoder: IntervalDecoder, stage: StageLayout, words: np.ndarray) -> np.ndarray:
    """Decode the positions of a stage's codewords; 0 where there is none."""
    positions, bits = np.zeros_like(words), PRECISION_BITS - stage.position_bits
    if stage.position_bits:
        for place in np.argwhere((words != NONE) & (words < stage.codewords - 1)):
            positions[tuple(place)] = position = decoder.quantile() >> bits
            decoder.take(position << bits, (position + 1) << bits)
    return positions
