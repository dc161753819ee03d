"""The building blocks of `codec.model.layers` as nodes of a graph: same weights, same names, same result."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...errors import CheckpointError
from ...layouts.receptive_field import split_padding
from .graph import Graph


@dataclass(frozen=True)
class Part:
    """A module of the model: where its nodes go and what its weights are called. Follows torch's names."""

    graph: Graph
    weights: Mapping[str, np.ndarray]
    prefix: str
    taken: set[str] = field(default_factory=set)

    def child(self, name: str) -> Part:
        """The module of that name inside of this one."""
        return Part(self.graph, self.weights, f"{self.prefix}{name}.", self.taken)

    def children(self) -> Iterator[Part]:
        """The modules of an `nn.Sequential`, one after the other."""
        return (self.child(str(number)) for number in itertools.count())

    def weight(self, name: str, *shape: int) -> np.ndarray:
        """A weight as float32, which must have this shape."""
        name = self.prefix + name
        found = self.weights.get(name)
        if found is None or found.shape != shape:
            raise misfit(name)
        self.taken.add(name)
        return found.astype(np.float32)

    def constant(self, name: str, *shape: int) -> str:
        """A weight as a value of the graph."""
        return self.graph.constant(self.weight(name, *shape))


def misfit(name: str) -> CheckpointError:
    """The error of a weight that is missing, too many, or of another shape."""
    return CheckpointError(f"the model file does not fit its configuration, e.g. at {name!r}")


def conv(
    part: Part,
    x: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    causal: bool,
    stride: int = 1,
    dilation: int = 1,
) -> str:
    """`layers.Conv`: (batch, channels_in, frames·stride) → (batch, channels_out, frames)."""
    return part.graph.node(
        "Conv",
        x,
        part.constant("conv.weight", channels_out, channels_in, kernel),
        part.constant("conv.bias", channels_out),
        strides=[stride],
        dilations=[dilation],
        pads=split_padding((kernel - 1) * dilation + 1 - stride, causal),
    )


def conv_transpose(
    part: Part, x: str, channels_in: int, channels_out: int, kernel: int, *, causal: bool, stride: int
) -> str:
    """`layers.ConvTranspose`: (batch, channels_in, frames) → (batch, channels_out, frames·stride)."""
    right, left = split_padding(kernel - stride, causal)  # mirrored, as there
    return part.graph.node(
        "ConvTranspose",
        x,
        part.constant("conv.weight", channels_in, channels_out, kernel),
        part.constant("conv.bias", channels_out),
        strides=[stride],
        pads=[left, right],
    )


def snake(part: Part, x: str, channels: int) -> str:
    """`layers.Snake`: x + sin²(αx)/α."""
    graph = part.graph
    alpha = part.weight("alpha", 1, channels, 1)
    sine = graph.node("Sin", graph.node("Mul", x, graph.constant(alpha)))
    square = graph.node("Mul", sine, sine)
    return graph.node("Add", x, graph.node("Mul", square, graph.constant(1 / (alpha + np.float32(1e-9)))))


def residual_unit(part: Part, x: str, channels: int, kernel: int, dilation: int, *, causal: bool) -> str:
    """`layers.ResidualUnit`: x + conv₁(snake(dilated conv(snake(x))))."""
    layers = part.child("layers").children()
    y = snake(next(layers), x, channels)
    y = conv(next(layers), y, channels, channels, kernel, causal=causal, dilation=dilation)
    y = snake(next(layers), y, channels)
    y = conv(next(layers), y, channels, channels, 1, causal=causal)
    return part.graph.node("Add", x, y)
