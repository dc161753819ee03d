"""Counts how often each codeword of each quantizer stage is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..bitstream import NONE
from .result import StageUse

if TYPE_CHECKING:
    from jaxtyping import Int

__all__ = ["StageCounter"]


class StageCounter:
    """Counts codewords over clips; `bits` of each stage say how many it has."""

    def __init__(self, bits: Sequence[int]) -> None:
        self._counts = [np.zeros(1 << stage_bits, dtype=np.int64) for stage_bits in bits]

    def add(self, codes: Int[np.ndarray, "channels stages frames"]) -> None:
        """Count the codes of a clip, all channels alike, where it and its frames have the stage."""
        for words, counts in zip(codes.swapaxes(0, 1), self._counts, strict=False):
            counts += np.bincount(words[words != NONE], minlength=len(counts))

    def use(self) -> tuple[StageUse, ...]:
        """Return the counts; a stage that was never used has 0 of everything."""
        return tuple(map(_use_of, self._counts))


def _use_of(counts: np.ndarray) -> StageUse:
    shares = counts[counts > 0] / max(1, counts.sum())
    return StageUse(
        bits=len(counts).bit_length() - 1,
        used=len(shares) / len(counts),
        entropy_bits=float(-np.sum(shares * np.log2(shares))) + 0.0,  # not -0.0
        histogram=tuple(counts.tolist()),
    )
