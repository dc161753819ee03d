"""The residual quantizer as nodes of a graph: what `ResidualQuantizer.encode` and `.decode`
compute.

SF stages take their number of positions per segment from the graph's input `positions`, one for
each stage, so that one graph serves all; it is 1 for a stage without a curve. Index = codeword ·
positions + position.

A stage sees the residual as z, its projection, with a 1 behind it: so a product with one matrix
gives z·p + offset for all points p.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ...layouts.config import LOST, ModelConfig, StageConfig
from .graph import Graph
from .parts import Part

_RUN = 64  # scores that are compared at once


@dataclass(frozen=True)
class Stage:
    """`directions` (dim, channels) project down and, transposed, back; `codebook` is (codewords,
    dim).
    """

    config: StageConfig
    directions: np.ndarray
    codebook: np.ndarray


def has_curves(config: ModelConfig) -> bool:
    """Return whether any stage has positions between its codewords."""
    return any(stage.is_space_filling for stage in config.stages)


def positions_input(graph: Graph, config: ModelConfig) -> str:
    """The graph's input `positions`, where any stage takes it."""
    return graph.input("positions", "int32", [len(config.stages)]) if has_curves(config) else ""


def lost_frames(graph: Graph, codes: str) -> str:
    """Compute which frames of codes (batch, stages, frames) are lost: (batch, frames)."""
    first = graph.node("Gather", codes, graph.integer(0), axis=1)
    return graph.node("Equal", first, graph.constant(np.array(LOST, np.int32)))


def quantize(part: Part, latent: str, positions: str, config: ModelConfig) -> str:
    """Add the quantizer: latent (batch, channels, frames) → int32 codes (batch, stages, frames).

    As in `ResidualQuantizer.encode` the residual is kept as all stages see it; after a stage, that
    of those before it means nothing any more.
    """
    graph, stages = part.graph, stages_of(part, config)
    views, ones = views_of(stages)
    latent = graph.node("Transpose", latent, perm=[0, 2, 1])
    seen = graph.node("MatMul", latent, graph.constant(views.T))
    seen = graph.node("Add", seen, graph.constant(ones))
    codes, start = [], 0
    for number, stage in enumerate(stages):
        end = start + stage.config.dim + 1
        z = graph.slice(seen, start, end, axis=2)
        if stage.config.is_space_filling:
            count = graph.node("Gather", positions, graph.integer(number))
            code, entry = _nearest_on_curve(graph, z, stage.codebook, graph.cast(count, "float32"))
        else:
            code, entry = _nearest(graph, z, stage.codebook)
        codes.append(code)
        if number + 1 < len(stages):
            overlap = graph.constant(partial(np.matmul, stage.directions, views.T))
            taken = graph.node("MatMul", entry, overlap)
            seen = graph.node("Sub", seen, taken)
        start = end
    found = graph.cast(graph.node("Concat", *codes, axis=2), "int32")
    return graph.node("Transpose", found, perm=[0, 2, 1])


def dequantize(part: Part, codes: str, positions: str, config: ModelConfig) -> str:
    """Add the dequantizer: int32 codes (batch, any first stages, frames), -1 for none → latent
    (batch, channels, frames).

    All stages' codewords stand in one table, at the latent's own size, so that the stages are
    looked up at once.
    """
    graph = part.graph
    stages = stages_of(part, config)
    sizes = [len(stage.codebook) for stage in stages]
    table = graph.constant(partial(_codewords, stages))
    none = graph.constant(np.array(sum(sizes) + 1, np.int32))
    starts = np.cumsum([0, *sizes[:-1]], dtype=np.int32)
    starts = _of_first_stages(graph, codes, graph.constant(starts))
    if has_curves(config):
        entries = _on_curves(
            graph, codes, _of_first_stages(graph, codes, positions), table, starts, none
        )
    else:
        entries = graph.node("Gather", table, _row(graph, codes, codes, starts, none))
    latent = graph.node("ReduceSum", entries, graph.integers(1), keepdims=0)
    return graph.node("Transpose", latent, perm=[0, 2, 1])


def _codewords(stages: Sequence[Stage]) -> np.ndarray:
    """All stages' codewords; and in three rows behind, where a segment would end that the last
    codeword of all does not have, and what -1 stands for.
    """
    latents = [stage.codebook @ stage.directions for stage in stages]
    return np.concatenate([*latents, latents[-1][-1:], np.zeros_like(latents[-1][:2])])


def stages_of(part: Part, config: ModelConfig) -> list[Stage]:
    """Read the stages' weights."""
    stages = part.child("stages").children()
    return [
        Stage(
            stage,
            child.weight("projection", stage.dim, config.latent_channels).astype(np.float32),
            child.weight("codebook", stage.codewords, stage.dim).astype(np.float32),
        )
        for stage, child in zip(config.stages, stages, strict=False)
    ]


def views_of(stages: Sequence[Stage]) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the offset that make of a latent what all stages see of it: (views, channels)
    and (views,).
    """
    views = [np.pad(stage.directions, [(0, 1), (0, 0)]) for stage in stages]
    ones = [np.eye(len(view), dtype=np.float32)[-1] for view in views]
    return np.concatenate(views), np.concatenate(ones)


def scoring_of(points: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """The matrix that makes z·p + offset, for all points p, of what a stage sees."""
    return np.column_stack([points, offsets]).T


def closeness_of(codebook: np.ndarray) -> np.ndarray:
    """The matrix that makes z·c − ‖c‖²/2, for all codewords c, of what a stage sees: largest where
    ‖z − c‖ is least.
    """
    return scoring_of(codebook, -0.5 * np.square(codebook).sum(1))


def _nearest(graph: Graph, z: str, codebook: np.ndarray) -> tuple[str, str]:
    """Index (batch, frames, 1) and value (batch, frames, dim) of the nearest codeword."""
    closeness = graph.node("MatMul", z, graph.constant(partial(closeness_of, codebook)))
    index = _argmax(graph, closeness, len(codebook))
    return index, graph.node("GatherND", graph.constant(codebook), index)


def _argmax(graph: Graph, scores: str, count: int) -> str:
    """Index (batch, frames, 1) of the largest of `count` scores (a power of two), the first of
    equals.

    onnxruntime finds a largest value five times as fast as its place: so first the largest of each
    run, then the run, and then the place in it.
    """
    length = min(_RUN, count)
    runs = graph.node("Reshape", scores, graph.integers(0, 0, count // length, length))
    run = graph.node("ArgMax", graph.node("ReduceMax", runs, axes=[3], keepdims=0), axis=2)
    place = graph.node("ArgMax", graph.node("GatherND", runs, run, batch_dims=2), axis=2)
    return graph.node("Add", graph.node("Mul", run, graph.integer(length)), place)


def _nearest_on_curve(graph: Graph, z: str, codebook: np.ndarray, count: str) -> tuple[str, str]:
    """Index and value of the nearest of `count` (a float) evenly spaced points on each segment.

    With d the segment that starts at c, and λ how far along it a point lies, the closeness of c +
    λd to z is that of c plus λ(z·d − c·d) − λ²‖d‖²/2. This is a parabola in λ, so a segment's
    nearest point is the one nearest to its top at λ = (z·d − c·d)/‖d‖². The last codeword has no
    segment, so there d = 0 and λ = 0.
    """
    segments = np.diff(codebook, axis=0, append=codebook[-1:])
    lengths = np.square(segments).sum(1)
    slopes = scoring_of(segments, -(codebook * segments).sum(1))
    slope = graph.node("MatMul", z, graph.constant(slopes))
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 0)
    top = graph.node("Mul", graph.node("Mul", slope, graph.constant(scale)), count)
    last = graph.node("Sub", count, graph.number(1))
    position = graph.node("Clip", graph.node("Round", top), graph.number(0), last)
    share = graph.node("Div", position, count)
    bend = graph.node("Mul", share, graph.constant(-0.5 * lengths))
    gain = graph.node("Mul", share, graph.node("Add", slope, bend))
    closeness = graph.node("MatMul", z, graph.constant(closeness_of(codebook)))
    codeword = _argmax(graph, graph.node("Add", closeness, gain), len(codebook))

    share = graph.node("GatherElements", share, codeword, axis=2)
    position = graph.node("GatherElements", position, codeword, axis=2)
    index = graph.node("Add", graph.node("Mul", graph.cast(codeword, "float32"), count), position)
    start = graph.node("GatherND", graph.constant(codebook), codeword)
    along = graph.node("Mul", share, graph.node("GatherND", graph.constant(segments), codeword))
    return graph.cast(index, "int64"), graph.node("Add", start, along)


def _row(graph: Graph, codes: str, words: str, starts: str, none: str) -> str:
    """The table's row of each codeword, or that of nothing where the code is -1."""
    is_none = graph.node("Less", codes, graph.constant(np.array(0, np.int32)))
    return graph.node("Where", is_none, none, graph.node("Add", words, starts))


def _on_curves(graph: Graph, codes: str, counts: str, table: str, starts: str, none: str) -> str:
    """The table's rows, or points between them: (batch, stages, frames, channels)."""
    row = _row(graph, codes, graph.node("Div", codes, counts), starts, none)
    start = graph.node("Gather", table, row)
    end = graph.node("Gather", table, graph.node("Add", row, graph.constant(np.array(1, np.int32))))
    position = graph.cast(graph.node("Mod", codes, counts), "float32")
    share = graph.unsqueeze(graph.node("Div", position, graph.cast(counts, "float32")), 3)
    return graph.node("Add", start, graph.node("Mul", share, graph.node("Sub", end, start)))


def _of_first_stages(graph: Graph, codes: str, values: str) -> str:
    """Of values (all stages), those of the stages that `codes` has, as (stages, 1)."""
    count = graph.node("Shape", codes, start=1, end=2)
    return graph.unsqueeze(graph.node("Slice", values, graph.integers(0), count), 1)
