"""The integer tables of the range coder: what they hold, how they are stored, what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from ..errors import BitstreamError
from .entropy_network import PRECISION_BITS, StageNetwork, pieces_of, word_bounds
from .layout import MAX_CODEBOOK_BITS, MAX_STAGES, StageLayout
from .stage_counts import NONE

ContextSource = Literal["none", "previous_frame", "previous_stage"]
_SOURCES: tuple[ContextSource, ...] = ("none", "previous_frame", "previous_stage")

_NETWORK = len(_SOURCES)  # stands for a network where a model file says what the source is
_PREFIX = "stage_"


@dataclass(frozen=True, eq=False)
class StageTable:
    """How often each codeword of a stage follows each context.

    The context is the top `context_bits` bits of another codeword: of the same stage and channel
    one frame earlier ("previous_frame"), or of the stage before, same channel and frame
    ("previous_stage"). `counts` has a row per context and a column per codeword, each at least 1;
    for "previous_frame" one more row, the last, serves the first frame of a packet. Bad arguments
    raise `ValueError`.
    """

    source: ContextSource
    context_bits: int
    counts: np.ndarray

    def __post_init__(self) -> None:
        if self.source not in _SOURCES:
            raise ValueError(
                f"a context source is one of {', '.join(_SOURCES)}, not {self.source!r}"
            )
        least, most = (0, 0) if self.source == "none" else (1, MAX_CODEBOOK_BITS)
        if not least <= self.context_bits <= most:
            raise ValueError(
                f"{self.source!r} has {least} to {most} context bits, not {self.context_bits}"
            )
        counts = np.array(self.counts)
        if counts.dtype.kind not in "iu" or counts.ndim != 2:
            raise ValueError(
                f"counts are a table of integers, not {counts.dtype} of shape {counts.shape}"
            )
        rows, codewords = counts.shape
        if rows != self.contexts:
            raise ValueError(f"counts have {rows} rows; the context needs {self.contexts}")
        if not 2 <= codewords <= 1 << MAX_CODEBOOK_BITS or codewords & (codewords - 1):
            raise ValueError(
                f"counts are for {codewords} codewords; a codebook has a power of two, up to 65536"
            )
        if (
            counts.min() < 1
            or counts.max() >= 1 << 32
            or counts.sum(axis=1, dtype=np.uint64).max() >= 1 << 32
        ):
            raise ValueError("counts are at least 1, and a row of them sums to less than 2^32")
        counts.flags.writeable = False
        object.__setattr__(self, "counts", counts)

    @property
    def codebook_bits(self) -> int:
        return self.counts.shape[1].bit_length() - 1

    @cached_property
    def bounds(self) -> np.ndarray:
        """The `cumulative_frequencies` of each row."""
        return cumulative_frequencies(self.counts)

    @property
    def mean_bits(self) -> float:
        """What a codeword takes, on average over the rows."""
        shares = self.counts / self.counts.sum(axis=1, keepdims=True)
        return float(-(shares * np.log2(shares)).sum(axis=1).mean())

    @property
    def start_context(self) -> int:
        """Return the row for a frame without a preceding one."""
        return 1 << self.context_bits

    @property
    def contexts(self) -> int:
        """Rows of `counts`."""
        return (1 << self.context_bits) + (self.source == "previous_frame")


def cumulative_frequencies(counts: np.ndarray) -> np.ndarray:
    """The bounds of each codeword's share of 2^24: (…, codewords) counts to (…, codewords + 1)
    int64.

    This is the one place where counts become what the coder works with, in integers only:
    bound k is k + floor(sum of the first k counts · (2^24 − codewords) / sum of all counts).
    """
    codewords = counts.shape[-1]
    sums = np.cumsum(
        counts, axis=-1, dtype=np.uint64
    )  # below 2^32, so that the products stay below 2^56
    spread = sums * np.uint64((1 << PRECISION_BITS) - codewords) // sums[..., -1:]
    bounds = np.zeros((*counts.shape[:-1], codewords + 1), np.int64)
    bounds[..., 1:] = spread.astype(np.int64) + np.arange(1, codewords + 1)
    return bounds


@dataclass(frozen=True, eq=False)
class EntropyTables:
    """A `StageTable` or a `StageNetwork` for each stage. They belong to a model like its weights,
    and the fingerprint covers them.

    Streams of fewer stages use the first tables. Bad arguments raise `ValueError`.
    """

    stages: tuple[StageTable | StageNetwork, ...]

    def __post_init__(self) -> None:
        if not 1 <= len(self.stages) <= MAX_STAGES:
            raise ValueError(f"there are 1 to {MAX_STAGES} stages, not {len(self.stages)}")
        for number, table in enumerate(self.stages):
            if isinstance(table, StageNetwork):
                before = self.stages[:number]
                table.check_sees(
                    number,
                    [s.points.shape[1] if isinstance(s, StageNetwork) else None for s in before],
                )
                continue
            if table.source == "none":
                continue
            if table.source == "previous_stage" and number == 0:
                raise ValueError("the first stage has no previous stage")
            if self.context_shift(number) < 0:
                raise ValueError(
                    f"stage {number} has more context bits, {table.context_bits}, than its source "
                    f"has bits"
                )

    @cached_property
    def has_networks(self) -> bool:
        return any(isinstance(table, StageNetwork) for table in self.stages)

    @cached_property
    def points(self) -> list[np.ndarray | None]:
        """The points of each stage that has a network, with zeros for NONE."""
        return [
            table.point_matrix if isinstance(table, StageNetwork) else None for table in self.stages
        ]

    @cached_property
    def own_sums(self) -> list[list[tuple[int, np.ndarray]]]:
        """`StageNetwork.own_sums` of each stage."""
        return [
            table.own_sums(number, self.points) if isinstance(table, StageNetwork) else []
            for number, table in enumerate(self.stages)
        ]

    def context_shift(self, number: int) -> int:
        """Shifting the source's codeword right by so many bits gives the context of stage
        `number`, which has a table.
        """
        table = self.stages[number]
        assert isinstance(table, StageTable)
        source = self.stages[number - 1] if table.source == "previous_stage" else table
        return source.codebook_bits - table.context_bits

    def rows(self, number: int, words: np.ndarray, previous_words: np.ndarray | None) -> np.ndarray:
        """The row of stage `number`'s table for each of its `words` (…, frames) in a packet.

        `previous_words` are the codewords of the stage before, None for the first stage. Words may
        be NONE; the frame after one has none before it.
        """
        table = self.stages[number]
        assert isinstance(table, StageTable)
        rows = np.zeros(words.shape, np.int64)
        if table.source == "previous_frame":
            before = words[..., :-1]
            rows[..., 0] = table.start_context
            rows[..., 1:] = np.where(
                before == NONE, table.start_context, before >> self.context_shift(number)
            )
        elif table.source == "previous_stage":
            assert previous_words is not None
            rows[...] = previous_words >> self.context_shift(number)
        return rows

    def check_fits(self, layout: Sequence[StageLayout]) -> None:
        """Raise a `BitstreamError` unless the first tables are for the stages of `layout`."""
        ours = [table.codebook_bits for table in self.stages[: len(layout)]]
        needed = [stage.codebook_bits for stage in layout]
        if ours != needed:
            raise BitstreamError(
                f"the model's entropy tables are for codebooks of {ours} bits, the stream has "
                f"{needed}: wrong model"
            )

    def intervals(self, words: Sequence[np.ndarray]) -> np.ndarray:
        """The bounds (2, n) of the shares of the last stage's codewords that are not NONE.

        `words` (channels, frames) are those of a packet, of stages from the first on.
        """
        number, own = len(words) - 1, words[-1]
        table = self.stages[number]
        there = own != NONE
        chosen = own[there]
        if isinstance(table, StageTable):
            previous = words[-2] if number else None
            rows = self.rows(number, own, previous)[there]
            return np.stack([table.bounds[rows, chosen], table.bounds[rows, chosen + 1]])
        sums = table.sums(words, self.points)[there]
        pieces = [
            word_bounds(table.shares(sums[piece]), chosen[piece]) for piece in pieces_of(len(sums))
        ]
        return np.concatenate([np.zeros((2, 0), np.int64), *pieces], axis=1)

    def code_length_bits(self, codes: np.ndarray, layout: Sequence[StageLayout]) -> np.ndarray:
        """Compute the bits that an ideal coder spends per stage on `codes` (stages, frames), coded
        as one packet.

        `codes` are indices in the range of `layout`, or NONE. Returns (stages,) float64.
        """
        self.check_fits(layout)
        bits = np.zeros(len(layout))
        words: list[np.ndarray] = []
        for number, stage in enumerate(layout):
            words.append(codes[None, number] >> stage.position_bits)  # NONE stays
            own = words[-1]
            inside = np.count_nonzero((own != NONE) & (own < stage.codewords - 1))
            bits[number] = self.word_length_bits(words) + stage.position_bits * inside
        return bits

    def word_length_bits(self, words: Sequence[np.ndarray]) -> float:
        """What an ideal coder spends on the last stage's codewords; `words` as in `intervals`."""
        lows, highs = self.intervals(words)
        return float((PRECISION_BITS - np.log2(highs - lows)).sum())

    @cached_property
    def expected_bits(self) -> tuple[float, ...] | None:
        """What a codeword of each stage takes on average; None without a network, as what tables
        save is small then.
        """
        if not self.has_networks:
            return None
        return tuple(
            table.expected_bits if isinstance(table, StageNetwork) else table.mean_bits
            for table in self.stages
        )

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The tables as integer arrays named `stage_0.context`, `stage_0.counts`, …, for a
        safetensors file.
        """
        arrays = {}
        for number, table in enumerate(self.stages):
            if isinstance(table, StageNetwork):
                arrays[f"{_PREFIX}{number}.context"] = np.array([_NETWORK, 0], np.int32)
                arrays |= {
                    f"{_PREFIX}{number}.{part}": array for part, array in table.to_arrays().items()
                }
                continue
            smallest = np.uint16 if table.counts.max() < 1 << 16 else np.uint32
            arrays[f"{_PREFIX}{number}.context"] = np.array(
                [_SOURCES.index(table.source), table.context_bits], np.int32
            )
            arrays[f"{_PREFIX}{number}.counts"] = table.counts.astype(smallest)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> EntropyTables:
        """The inverse of `to_arrays`; anything else is a `BitstreamError` that says what is
        wrong.
        """
        stages: dict[str, dict[str, np.ndarray]] = {}
        for name, array in arrays.items():
            stage, _, part = name.partition(".")
            stages.setdefault(stage, {})[part] = array
        needed = [f"{_PREFIX}{number}" for number in range(len(stages))]
        if not arrays or sorted(needed) != sorted(stages):
            raise BitstreamError(f"the entropy tables are incomplete: found {sorted(arrays)}")
        tables = []
        for number, name in enumerate(needed):
            try:
                tables.append(_stage_from(stages[name]))
            except KeyError as error:
                raise BitstreamError(
                    f"the entropy table of stage {number} is incomplete: found "
                    f"{sorted(stages[name])}"
                ) from error
            except ValueError as error:
                raise BitstreamError(
                    f"the entropy table of stage {number} is damaged: {error}"
                ) from error
        try:
            return cls(tuple(tables))
        except ValueError as error:
            raise BitstreamError(f"the entropy tables are damaged: {error}") from error


def _stage_from(arrays: dict[str, np.ndarray]) -> StageTable | StageNetwork:
    context = arrays.pop("context")
    if (
        context.shape != (2,)
        or context.dtype.kind not in "iu"
        or not 0 <= context[0] <= len(_SOURCES)
    ):
        raise ValueError(
            f"its context is a source of 0 to {len(_SOURCES)} and a number of bits, not {context}"
        )
    if context[0] == _NETWORK:
        if context[1] != 0:
            raise ValueError(f"a network has no context bits, not {context[1]}")
        return StageNetwork.from_arrays(arrays)
    counts = arrays.pop("counts")
    if arrays:
        raise ValueError(f"it has more than counts: {sorted(arrays)}")
    return StageTable(_SOURCES[context[0]], int(context[1]), counts)
