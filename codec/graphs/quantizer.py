"""The residual quantizer as nodes of a graph: what `ResidualQuantizer.encode` and `.decode` compute.

SF stages take their number of positions per segment from the graph's input `positions`, one for each stage, so that
one graph serves all; it is 1 for a stage without a curve. Index = codeword · positions + position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..config import ModelConfig, StageConfig
from .graph import Graph
from .parts import Part


@dataclass(frozen=True)
class _Stage:
    """`directions` (dim, channels) project down and, transposed, back; `codebook` is (codewords, dim)."""

    config: StageConfig
    directions: np.ndarray
    codebook: np.ndarray


def has_curves(config: ModelConfig) -> bool:
    """Whether any stage has positions between its codewords."""
    return any(stage.is_space_filling for stage in config.stages)


def quantize(part: Part, latent: str, positions: str, config: ModelConfig) -> str:
    """Latent (batch, channels, frames) → int32 codes (batch, stages, frames)."""
    graph = part.graph
    residual = graph.node("Transpose", latent, perm=[0, 2, 1])
    codes = []
    for number, stage in enumerate(_stages(part, config)):
        z = graph.node("MatMul", residual, graph.constant(stage.directions.T))
        if stage.config.is_space_filling:
            count = graph.node("Gather", positions, graph.integer(number))
            code, entry = _nearest_on_curve(graph, z, stage.codebook, graph.cast(count, "float32"))
        else:
            code, entry = _nearest(graph, z, stage.codebook)
        codes.append(graph.unsqueeze(graph.cast(code, "int32"), 1))
        residual = graph.node("Sub", residual, graph.node("MatMul", entry, graph.constant(stage.directions)))
    return graph.node("Concat", *codes, axis=1)


def dequantize(part: Part, codes: str, positions: str, config: ModelConfig) -> str:
    """Int32 codes (batch, any first stages, frames) → latent (batch, channels, frames).

    All stages' codewords stand in one table, at the latent's own size, so that the stages are looked up at once.
    """
    graph = part.graph
    latents = [stage.codebook @ stage.directions for stage in _stages(part, config)]
    # One row more: where a segment would end that the last codeword of all does not have.
    table = graph.constant(np.concatenate([*latents, latents[-1][-1:]]))
    starts = np.cumsum([0, *(len(latent) for latent in latents[:-1])], dtype=np.int32)
    starts = _of_first_stages(graph, codes, graph.constant(starts))
    if has_curves(config):
        entries = _on_curves(graph, codes, _of_first_stages(graph, codes, positions), table, starts)
    else:
        entries = graph.node("Gather", table, graph.node("Add", codes, starts))
    latent = graph.node("ReduceSum", entries, graph.integers(1), keepdims=0)
    return graph.node("Transpose", latent, perm=[0, 2, 1])


def _stages(part: Part, config: ModelConfig) -> list[_Stage]:
    stages = part.child("stages").children()
    return [
        _Stage(
            stage,
            child.weight("projection", stage.dim, config.latent_channels),
            child.weight("codebook", stage.codewords, stage.dim),
        )
        for stage, child in zip(config.stages, stages, strict=False)
    ]


def _nearest(graph: Graph, z: str, codebook: np.ndarray) -> tuple[str, str]:
    """Index (batch, frames) and value (batch, frames, dim) of the nearest codeword."""
    index = graph.node("ArgMax", _closeness(graph, z, codebook), axis=2, keepdims=0)
    return index, graph.node("Gather", graph.constant(codebook), index)


def _closeness(graph: Graph, z: str, codebook: np.ndarray) -> str:
    """z·c − ‖c‖²/2 for all codewords c, largest where ‖z − c‖ is least: (batch, frames, codewords)."""
    products = graph.node("MatMul", z, graph.constant(codebook.T))
    return graph.node("Add", products, graph.constant(-0.5 * np.square(codebook).sum(1)))


def _nearest_on_curve(graph: Graph, z: str, codebook: np.ndarray, count: str) -> tuple[str, str]:
    """Index and value of the nearest of `count` (a float) evenly spaced points on each segment.

    With d the segment that starts at c, and λ how far along it a point lies, the closeness of c + λd to z is that of
    c plus λ(z·d − c·d) − λ²‖d‖²/2. This is a parabola in λ, so a segment's nearest point is the one nearest to its
    top at λ = (z·d − c·d)/‖d‖². The last codeword has no segment, so there d = 0 and λ = 0.
    """
    segments = np.diff(codebook, axis=0, append=codebook[-1:])
    lengths = np.square(segments).sum(1)
    slope = graph.node("MatMul", z, graph.constant(segments.T))
    slope = graph.node("Sub", slope, graph.constant((codebook * segments).sum(1)))
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    top = graph.node("Mul", graph.node("Mul", slope, graph.constant(scale)), count)
    last = graph.node("Sub", count, graph.number(1))
    position = graph.node("Clip", graph.node("Round", top), graph.number(0), last)
    share = graph.node("Div", position, count)
    bend = graph.node("Mul", share, graph.constant(-0.5 * lengths))
    gain = graph.node("Mul", share, graph.node("Add", slope, bend))
    codeword = graph.node("ArgMax", graph.node("Add", _closeness(graph, z, codebook), gain), axis=2, keepdims=1)

    share = graph.node("GatherElements", share, codeword, axis=2)
    position = graph.node("GatherElements", position, codeword, axis=2)
    index = graph.node("Add", graph.node("Mul", graph.cast(codeword, "float32"), count), position)
    codeword = graph.node("Squeeze", codeword, graph.integers(2))
    start = graph.node("Gather", graph.constant(codebook), codeword)
    along = graph.node("Mul", share, graph.node("Gather", graph.constant(segments), codeword))
    return graph.node("Squeeze", index, graph.integers(2)), graph.node("Add", start, along)


def _on_curves(graph: Graph, codes: str, counts: str, table: str, starts: str) -> str:
    """The table's rows, or points between them: (batch, stages, frames, channels)."""
    row = graph.node("Add", graph.node("Div", codes, counts), starts)
    start = graph.node("Gather", table, row)
    end = graph.node("Gather", table, graph.node("Add", row, graph.constant(np.array(1, np.int32))))
    position = graph.cast(graph.node("Mod", codes, counts), "float32")
    share = graph.unsqueeze(graph.node("Div", position, graph.cast(counts, "float32")), 3)
    return graph.node("Add", start, graph.node("Mul", share, graph.node("Sub", end, start)))


def _of_first_stages(graph: Graph, codes: str, values: str) -> str:
    """Of values (all stages), those of the stages that `codes` has, as (stages, 1)."""
    count = graph.node("Shape", codes, start=1, end=2)
    return graph.unsqueeze(graph.node("Slice", values, graph.integers(0), count), 1)
