"""The receptive field of a layout, in frames, and how a convolution's padding is shared. Integers only."""

from __future__ import annotations

from dataclasses import dataclass


def split_padding(total: int, causal: bool) -> tuple[int, int]:
    """Share a convolution's padding between left and right; a causal one has all of it on the left."""
    left = total if causal else (total + 1) // 2
    return left, total - left


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """How many frames before and after a frame take part in computing it."""

    before: int
    after: int
