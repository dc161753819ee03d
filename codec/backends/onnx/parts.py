"""A module of the model as a part of a graph: its weights, by torch's names."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from ...errors import CheckpointError
from .graph import Graph


@dataclass(frozen=True)
class Part:
    """A module of the model: where its nodes go and what its weights are called. Follows torch's
    names.
    """

    graph: Graph
    weights: Mapping[str, np.ndarray]
    prefix: str
    taken: set[str] = field(default_factory=set)

    def child(self, name: str) -> Part:
        """Return the submodule of that name."""
        return Part(self.graph, self.weights, f"{self.prefix}{name}.", self.taken)

    def children(self) -> Iterator[Part]:
        """Return the modules of an `nn.Sequential` in order."""
        return (self.child(str(number)) for number in itertools.count())

    def weight(self, name: str, *shape: int) -> np.ndarray:
        """Return a weight as stored, often in half precision, checked to have this shape."""
        name = self.prefix + name
        found = self.weights.get(name)
        if found is None or found.shape != shape:
            raise misfit(name)
        self.taken.add(name)
        return found

    def constant(self, name: str, *shape: int) -> str:
        """Add a weight to the graph as a constant."""
        return self.graph.constant(self.weight(name, *shape))


def misfit(name: str) -> CheckpointError:
    """The error of a weight that is missing, too many, or of another shape."""
    return CheckpointError(f"the model file does not fit its configuration, e.g. at {name!r}")
