"""Fitting entropy tables: per stage the context that spends the fewest bits on clips that it was
not counted on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from .entropy import ContextSource, EntropyTables, StageTable
from .layout import StageLayout, find_bad_index

# Every fourth clip judges the tables that the others make.
_HELD_OUT_EVERY = 4
# How many counts of the static table each context starts from; the held-out clips choose.
_SMOOTHINGS = (4, 16, 64, 256, 1024, 4096)
_STATIC_SMOOTHING = 0.5
# Twice the rows must save this share of the bits, or the smaller table stays.
_LEAST_GAIN = 0.0025
_LARGEST_COUNT = (1 << 16) - 1


@dataclass(frozen=True)
class _Context:
    """The candidate contexts of one source: its codeword for every word, and how many bits that
    has.
    """

    source: ContextSource
    bits: int
    words: np.ndarray


@dataclass(frozen=True)
class _Choice:
    bits: float
    source: ContextSource = "none"
    context_bits: int = 0
    smoothing: int = 0


def fit_tables(
    codes: Iterable[np.ndarray], layout: Sequence[StageLayout], *, max_context_bits: int = 6
) -> EntropyTables:
    """Fit entropy tables to codes: for each stage the context that spends the fewest bits on clips
    held out.

    `codes` are integer arrays, one per clip, in the range of `layout`: (stages, frames), or
    (versions, stages, frames) where a clip was coded several times (channels, shifts of its
    frames), which are held out together. The same codes give the same tables.
    """
    if max_context_bits < 0:
        raise ValueError(f"max_context_bits is at least 0, not {max_context_bits}")
    clips = list(_checked_words(codes, layout))
    if not clips:
        raise ValueError("tables are fitted to at least one frame of codes; none was given")
    words = np.concatenate([clip.swapaxes(0, 1).reshape(len(layout), -1) for clip in clips], axis=1)
    lengths = [clip.shape[2] for clip in clips for _ in clip]
    first_of_clip = np.zeros(words.shape[1], bool)
    first_of_clip[np.cumsum([0, *lengths[:-1]])] = True
    held_out = _held_out([clip[:, 0].size for clip in clips])
    tables = []
    for number, stage in enumerate(layout):
        contexts = [_Context("previous_frame", stage.codebook_bits, np.roll(words[number], 1))]
        if number > 0:
            contexts.append(
                _Context("previous_stage", layout[number - 1].codebook_bits, words[number - 1])
            )
        tables.append(
            _fit_stage(words[number], contexts, held_out, first_of_clip, max_context_bits)
        )
    return EntropyTables(tuple(tables))


def _checked_words(
    codes: Iterable[np.ndarray], layout: Sequence[StageLayout]
) -> Iterator[np.ndarray]:
    """The codewords (versions, stages, frames) of each clip that has frames."""
    positions = np.array([stage.position_bits for stage in layout], np.int32)[:, None]
    for clip in codes:
        clip = np.asarray(clip)
        if clip.dtype.kind not in "iu" or clip.ndim not in (2, 3) or clip.shape[-2] != len(layout):
            raise ValueError(
                f"codes are integers (stages = {len(layout)}, frames), not {clip.dtype} of shape "
                f"{clip.shape}"
            )
        versions = clip[None] if clip.ndim == 2 else clip
        if fault := find_bad_index(versions, layout):
            raise ValueError(fault)
        if versions.size:
            yield versions.astype(np.int32) >> positions


def _held_out(lengths: list[int]) -> np.ndarray:
    """Choose the held-out frames: those of every fourth clip, or the last quarter of the
    only clip.
    """
    if len(lengths) == 1:
        return np.arange(lengths[0]) >= lengths[0] - lengths[0] // _HELD_OUT_EVERY
    clip_of_frame = np.repeat(np.arange(len(lengths)), lengths)
    return clip_of_frame % _HELD_OUT_EVERY == 1


def _fit_stage(
    words: np.ndarray,
    contexts: list[_Context],
    held_out: np.ndarray,
    first_of_clip: np.ndarray,
    max_bits: int,
) -> StageTable:
    codewords = contexts[0].bits
    static = _static_shares(words[~held_out], 1 << codewords)
    choice = _Choice(_cost(static[words[held_out]]))
    for context in contexts:
        # The first frame of a clip has no previous one, and costs the same in every candidate.
        usable = (
            ~first_of_clip if context.source == "previous_frame" else np.ones_like(first_of_clip)
        )
        constant = _cost(static[words[held_out & ~usable]])
        for context_bits in range(1, min(max_bits, context.bits) + 1):
            rows = context.words >> context.bits - context_bits
            counts = _count(rows, words, ~held_out & usable, context_bits, len(static))
            judged = held_out & usable
            for smoothing in _SMOOTHINGS:
                shares = _smooth(counts, static, smoothing)[rows[judged], words[judged]]
                candidate = _Choice(
                    _cost(shares) + constant, context.source, context_bits, smoothing
                )
                more_bits = max(context_bits - choice.context_bits, 0)
                if candidate.bits < choice.bits * (1 - _LEAST_GAIN) ** more_bits:
                    choice = candidate
    return _final_table(words, contexts, first_of_clip, choice, 1 << codewords)


def _final_table(
    words: np.ndarray,
    contexts: list[_Context],
    first_of_clip: np.ndarray,
    choice: _Choice,
    codewords: int,
) -> StageTable:
    """Count the chosen context's table on all clips."""
    static = _static_shares(words, codewords)
    if choice.source == "none":
        return StageTable("none", 0, _to_counts(static[None]))
    (context,) = (context for context in contexts if context.source == choice.source)
    rows = context.words >> context.bits - choice.context_bits
    is_frame = choice.source == "previous_frame"
    counted = ~first_of_clip if is_frame else np.ones_like(first_of_clip)
    shares = _smooth(
        _count(rows, words, counted, choice.context_bits, codewords), static, choice.smoothing
    )
    if is_frame:
        shares = np.concatenate([shares, static[None]])
    return StageTable(choice.source, choice.context_bits, _to_counts(shares))


def _static_shares(words: np.ndarray, codewords: int) -> np.ndarray:
    counts = np.bincount(words, minlength=codewords) + _STATIC_SMOOTHING
    return counts / counts.sum()


def _count(
    rows: np.ndarray, words: np.ndarray, where: np.ndarray, context_bits: int, codewords: int
) -> np.ndarray:
    cells = np.bincount(
        rows[where].astype(np.int64) * codewords + words[where], minlength=codewords << context_bits
    )
    return cells.reshape(-1, codewords)


def _smooth(counts: np.ndarray, static: np.ndarray, smoothing: int) -> np.ndarray:
    """Shares per row, as if each row had begun with `smoothing` counts of the static table."""
    return (counts + smoothing * static) / (counts.sum(axis=1, keepdims=True) + smoothing)


def _cost(shares: np.ndarray) -> float:
    return float(-np.log2(shares).sum())


def _to_counts(shares: np.ndarray) -> np.ndarray:
    """Counts of 1 to 65535, the largest of each row being 65535."""
    scaled = np.rint(shares / shares.max(axis=1, keepdims=True) * _LARGEST_COUNT)
    return np.maximum(scaled, 1).astype(np.uint16)
