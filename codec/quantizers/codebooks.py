"""Changes codebooks outside of the gradient: initialises them from data, sorts them along a tour,
replaces unused codewords.

DiVeQ's gradient does not pull latents toward the codebook, so stages that start at random stay
unused. `initialise` starts all stages from latents collected at the end of a warm-up without
quantization. Every function is deterministic given its generator (on the CPU), so that all
processes of a run agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from .diveq import nearest
from .stage import QuantizerStage

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def kmeans(
    vectors: Float[Tensor, "n d"],
    clusters: int,
    generator: torch.Generator,
    *,
    iterations: int = 20,
) -> Float[Tensor, "clusters d"]:
    """Run Lloyd's algorithm from a random subset; an empty cluster restarts at a random vector."""
    count = len(vectors)
    if count < clusters:
        raise ValueError(f"k-means needs at least {clusters} vectors, got {count}")
    centers = vectors[torch.randperm(count, generator=generator)[:clusters].to(vectors.device)]
    for _ in range(iterations):
        index = nearest(vectors, centers)
        sums = torch.zeros_like(centers).index_add_(0, index, vectors)
        sizes = torch.zeros_like(centers[:, :1]).index_add_(
            0, index, torch.ones_like(vectors[:, :1])
        )
        spare = vectors[torch.randint(count, (clusters,), generator=generator).to(vectors.device)]
        centers = torch.where(sizes > 0, sums / sizes.clamp_min(1), spare)
    return centers


def tour(points: Float[Tensor, "k d"]) -> Int[Tensor, " k"]:
    """Order points so that neighbours are near: a greedy nearest-neighbour tour from an outermost
    point, then 2-opt.

    SF-DiVeQ's curve joins consecutive codewords, so their order is the curve; and in this order the
    high bits of an index name a region, which gives the entropy coder its contexts.
    """
    distance = torch.cdist(points.double(), points.double()).cpu().numpy()
    order = _greedy(distance)
    for _ in range(200):
        if not _two_opt_pass(order, distance):
            break
    return torch.from_numpy(order).to(points.device)


def _greedy(distance: np.ndarray) -> np.ndarray:
    count = len(distance)
    order = np.empty(count, dtype=np.int64)
    visited = np.zeros(count)  # infinite where the tour has been
    order[0] = distance.sum(1).argmax()
    for i in range(1, count):
        visited[order[i - 1]] = np.inf
        order[i] = (distance[order[i - 1]] + visited).argmin()
    return order


def _two_opt_pass(order: np.ndarray, distance: np.ndarray) -> bool:
    """Reverse, for each edge in turn, the stretch behind it that shortens the path most; return
    False if none did.
    """
    improved = False
    for i in range(len(order) - 3):
        a, b = order[i], order[i + 1]
        c, d = order[i + 2 : -1], order[i + 3 :]
        gain = distance[a, b] + distance[c, d] - distance[a, c] - distance[b, d]
        best = int(gain.argmax())
        if gain[best] > 1e-12:
            order[i + 1 : i + 3 + best] = order[i + 1 : i + 3 + best][::-1].copy()
            improved = True
    return improved


@torch.no_grad()
def sort_codebook(stage: QuantizerStage) -> None:
    """Put a codebook in tour order. For an SF stage this changes the curve: only before its
    training.
    """
    order = tour(stage.codebook)
    stage.codebook.copy_(stage.codebook[order])
    stage.use.copy_(stage.use[order])


@torch.no_grad()
def initialise(
    stages: Iterable[QuantizerStage],
    latents: Float[Tensor, "n channels"],
    generator: torch.Generator,
) -> list[float]:
    """Initialise a chain of stages from latents of mean zero; return the share of energy left after
    each.

    Stage by stage on the residual so far: `projection` from its principal directions, turned at
    random so that each dimension carries alike; codewords by k-means, in tour order.
    """
    residual = latents.float()
    energy = residual.square().sum()
    left = []
    for stage in stages:
        _start_projection(stage, residual, generator)
        z = (residual @ stage.projection.T - stage.center) / stage.scale
        stage.codebook.copy_(kmeans(z, len(stage.codebook), generator))
        sort_codebook(stage)
        residual = residual - stage.decode(stage.encode(residual))
        left.append(float(residual.square().sum() / energy))
    return left


def _start_projection(stage: QuantizerStage, residual: Tensor, generator: torch.Generator) -> None:
    mean = residual.mean(0)
    centered = residual - mean
    _, directions = torch.linalg.eigh(centered.T @ centered / len(residual))
    principal = directions[:, -stage.config.dim :]
    turn, _ = torch.linalg.qr(torch.randn(stage.config.dim, stage.config.dim, generator=generator))
    stage.projection.copy_((principal @ turn.to(principal)).T)
    stage.center.copy_(stage.projection @ mean)
    stage.scale.copy_((centered @ stage.projection.T).square().mean().sqrt().clamp_min(1e-6))


@torch.no_grad()
def replace_unused(
    stage: QuantizerStage,
    generator: torch.Generator,
    *,
    threshold: float = 0.01,
    jitter: float = 0.03,
) -> int:
    """Restart codewords used less than `threshold` of their fair share beside used ones; return how
    many.

    The neighbours are drawn in proportion to their use; `jitter` is the distance's standard
    deviation per dimension, in latents of unit scale. A restarted codeword counts as fairly used,
    so that it has time to find its place. SF stages need none of this.
    """
    use = stage.use.cpu()
    dead = use < threshold * use.mean()
    count = int(dead.sum())
    if not count:
        return 0
    beside = torch.multinomial(
        torch.where(dead, 0.0, use), count, replacement=True, generator=generator
    )
    offset = jitter * torch.randn(count, stage.config.dim, generator=generator)
    where = dead.to(stage.codebook.device)
    stage.codebook[where] = stage.codebook[beside.to(stage.codebook.device)] + offset.to(
        stage.codebook
    )
    stage.use[where] = use.mean().to(stage.use)
    return count
