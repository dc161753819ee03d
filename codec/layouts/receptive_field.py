"""The receptive field of a layout, in frames, and how a convolution's padding is shared. Integers
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


def split_padding(total: int, causal: bool) -> tuple[int, int]:
    """Share a convolution's padding between left and right; a causal one has all of it on the
    left.
    """
    left = total if causal else (total + 1) // 2
    return left, total - left


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """The receptive field of a layer: how many frames before and after a frame take part in
    computing it.
    """

    before: int
    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Layer:
    """A layer that sees frames of `width` values around one frame: what it has to remember of a
    stream.
    """

    before: int
    after: int
    width: int


def look_ahead(layers: Sequence[Layer]) -> int:
    """Count the frames of input that must arrive before the first output."""
    return sum(layer.after for layer in layers)


def context(layers: Sequence[Layer], *, before: int = 0, after: int = 0) -> Context:
    """Sum the receptive fields of consecutive layers, with so many frames more on both sides."""
    return Context(
        before=before + sum(layer.before for layer in layers), after=after + look_ahead(layers)
    )
