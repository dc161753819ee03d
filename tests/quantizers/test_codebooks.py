"""Start from data, order along a tour, replacement of unused codewords."""

from __future__ import annotations

import pytest
import torch

from codec.layouts.config import StageConfig
from codec.quantizers import (
    QuantizerStage,
    ResidualQuantizer,
    initialise,
    kmeans,
    replace_unused,
    tour,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def length(points: torch.Tensor) -> float:
    return (points[1:] - points[:-1]).norm(dim=1).sum().item()


def test_kmeans_finds_separate_clusters():
    centers = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    vectors = centers.repeat_interleave(100, 0) + 0.1 * torch.randn(300, 2, generator=generator())
    found = kmeans(vectors, 12, generator(4))
    assert torch.cdist(centers, found).min(1).values.max() < 0.1  # every cluster has a centre
    assert (
        torch.cdist(found, centers).min(1).values.max() < 0.3
    )  # and no centre stands between clusters


def test_kmeans_refuses_too_few_vectors():
    with pytest.raises(ValueError, match="at least 8 vectors, got 5"):
        kmeans(torch.zeros(5, 2), 8, generator())


def test_tour_is_a_permutation_and_finds_the_order_of_a_line():
    line = torch.linspace(0, 1, 50)[:, None] * torch.tensor([[1.0, 2.0]])
    shuffled = line[torch.randperm(50, generator=generator())]
    order = tour(shuffled)
    assert torch.equal(order.sort().values, torch.arange(50))
    assert length(shuffled[order]) == pytest.approx(length(line), rel=1e-5)


def test_tour_is_far_shorter_than_a_random_order():
    points = torch.randn(256, 4, generator=generator())
    assert length(points[tour(points)]) < 0.45 * length(points)


def test_initialise_leaves_little_of_the_energy_and_uses_every_codeword():
    mix = torch.randn(16, 16, generator=generator(1)) * torch.linspace(1, 0.05, 16)
    latents = torch.randn(4000, 16, generator=generator(2)) @ mix
    quantizer = ResidualQuantizer([StageConfig(bits=6, dim=4)] * 6, latent_channels=16)
    left = initialise(quantizer, latents, generator(3))
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.1
    codes = quantizer.encode(latents.T[None], (0,) * 6)
    for stage in range(6):
        assert len(codes[0, stage].unique()) == 64
    again = ResidualQuantizer([StageConfig(bits=6, dim=4)] * 6, latent_channels=16)
    initialise(again, latents, generator(3))
    assert torch.equal(again.stages[5].codebook, quantizer.stages[5].codebook)


def test_replacement_restarts_unused_codewords_beside_used_ones():
    stage = QuantizerStage(StageConfig(bits=3, dim=2), latent_channels=4)
    before = stage.codebook.detach().clone()
    stage.use.copy_(torch.tensor([10.0, 0, 20, 0, 0, 30, 40, 0]))
    assert replace_unused(stage, generator(), jitter=0.01) == 4
    used = [0, 2, 5, 6]
    assert torch.equal(stage.codebook[used], before[used])
    assert torch.cdist(stage.codebook[[1, 3, 4, 7]], before[used]).min(1).values.max() < 0.05
    assert stage.use.tolist() == [10, 12.5, 20, 12.5, 12.5, 30, 40, 12.5]


def test_replacement_without_any_use_changes_nothing():
    stage = QuantizerStage(StageConfig(bits=3, dim=2), latent_channels=4)
    before = stage.codebook.detach().clone()
    assert replace_unused(stage, generator()) == 0
    assert torch.equal(stage.codebook, before)
