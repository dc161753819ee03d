"""The residual quantizer's search in NumPy, for the few frames of a stream's step.

There a graph's nodes cost more than what they compute, and all stages would be searched whether or
not they are sent.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...layouts.config import ModelConfig
from .graph import Graph
from .parts import Part
from .quantizer_graph import closeness_of, stages_of, views_of


class QuantizerSearch:
    """What the stages see of latents, as a graph of `streaming_graph` computes it → the nearest
    codewords.
    """

    def __init__(self, config: ModelConfig, weights: Mapping[str, np.ndarray]) -> None:
        self._stages = stages_of(Part(Graph("search"), weights, "quantizer."), config)
        views, _ = views_of(self._stages)
        self._closeness = [
            np.ascontiguousarray(closeness_of(stage.codebook)) for stage in self._stages
        ]
        self._overlaps = [stage.directions @ views.T for stage in self._stages]

    def codes(self, seen: np.ndarray, stages: int) -> np.ndarray:
        """Search the first `stages`: (batch, frames, views) → int32 (batch, stages, frames).

        As in `ResidualQuantizer.encode` each stage takes its codeword off what later ones see.
        """
        batch, frames, views = seen.shape
        rows = seen.reshape(-1, views)
        codes = np.empty((stages, len(rows)), np.int32)
        start = 0
        for number, stage in enumerate(self._stages[:stages]):
            end = start + stage.config.dim + 1
            nearest = (rows[:, start:end] @ self._closeness[number]).argmax(axis=1)
            rows = rows - stage.codebook.take(nearest, axis=0) @ self._overlaps[number]
            codes[number] = nearest
            start = end
        return np.ascontiguousarray(codes.reshape(stages, batch, frames).swapaxes(0, 1))
