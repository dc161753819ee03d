"""The residual chain: files decode to what the model itself reconstructs, prefixes, dropout,
folding.
"""

from __future__ import annotations

import copy

import pytest
import torch
from nearness import assert_nearest

from codec.layouts.config import StageConfig
from codec.quantizers import ResidualQuantizer, initialise

KINDS = ["diveq", "diveq_detach", "sf_diveq", "sf_diveq_detach"]
MIXED = [StageConfig(kind=kind, bits=5, dim=4) for kind in KINDS]


@pytest.fixture
def latent() -> torch.Tensor:
    mix = torch.randn(12, 12, generator=torch.Generator().manual_seed(1))
    return torch.einsum(
        "dc,bct->bdt", mix, torch.randn(3, 12, 100, generator=torch.Generator().manual_seed(2))
    )


@pytest.fixture
def quantizer(latent) -> ResidualQuantizer:
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(MIXED, latent_channels=12)
    initialise(quantizer, latent.transpose(1, 2).flatten(0, 1), torch.Generator().manual_seed(3))
    return quantizer


@pytest.mark.parametrize("bits", [(0, 0, 0, 0), (0, 0, 2, 1)])
def test_decode_gives_the_latent_whose_residual_the_stages_saw(quantizer, latent, bits):
    codes = quantizer.encode(latent, bits)
    assert codes.shape == (3, 4, 100)
    residual = latent.clone()
    for count in range(1, 5):
        partial = quantizer.decode(codes[:, :count], bits[:count])
        assert (latent - partial).square().mean() < residual.square().mean()
        residual = latent - partial


@pytest.mark.parametrize("bits", [(0, 0, 0, 0), (0, 0, 2, 1), (0, 0, 7), (0,)])
def test_each_code_is_the_nearest_to_what_the_stages_before_it_left(quantizer, latent, bits):
    for stage in quantizer:
        stage.center.copy_(torch.linspace(-0.3, 0.4, 4))
        stage.scale.fill_(1.7)
    assert_nearest(quantizer, latent, quantizer.encode(latent, bits), bits, tolerance=1e-6)


def test_stages_of_different_sizes_chain(latent):
    sizes = [(5, 4), (3, 6), (6, 1)]
    torch.manual_seed(0)
    quantizer = ResidualQuantizer(
        [StageConfig(bits=bits, dim=dim) for bits, dim in sizes], latent_channels=12
    )
    codes = quantizer.encode(latent, (0, 0, 0))
    residual = latent.transpose(1, 2).flatten(0, 1)
    for stage, code in zip(quantizer, codes.transpose(0, 1).flatten(1), strict=True):
        assert torch.equal(code, stage.encode(residual))
        residual = residual - stage.decode(code)


def test_the_training_forward_on_the_table_reconstructs_what_the_codes_decode_to(latent):
    stages = [StageConfig(kind=kind, bits=5, dim=4, noise_variance=0) for kind in KINDS]
    quantizer = ResidualQuantizer(stages, latent_channels=12)
    initialise(quantizer, latent.transpose(1, 2).flatten(0, 1), torch.Generator().manual_seed(3))
    result = quantizer(latent, position_bits=0)
    codes = quantizer.encode(latent, (0, 0, 0, 0))
    assert torch.equal(result.codes, codes)
    torch.testing.assert_close(
        result.latent, quantizer.decode(codes, (0, 0, 0, 0)), rtol=1e-4, atol=1e-4
    )


def test_finer_positions_of_an_sf_stage_lower_its_error(latent):
    quantizer = ResidualQuantizer([StageConfig(kind="sf_diveq", bits=5, dim=4)], latent_channels=12)
    initialise(quantizer, latent.transpose(1, 2).flatten(0, 1), torch.Generator().manual_seed(3))
    stage = next(iter(quantizer))
    z = latent.transpose(1, 2).flatten(0, 1) @ stage.directions().T
    errors = []
    for bits in range(4):
        table = stage.table(bits)
        errors.append(
            (table[quantizer.encode(latent, (bits,)).flatten()] - z).square().mean().item()
        )
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.97 * errors[0]


def test_dropped_stages_neither_add_nor_train(quantizer, latent):
    active = torch.tensor([0, 2, 4])[:, None].expand(-1, latent.shape[2])
    torch.manual_seed(0)
    result = quantizer(latent, active, 0)
    assert result.latent[0].abs().max() == 0
    codes = quantizer.encode(latent, (0, 0, 0, 0))
    two = quantizer.decode(codes[1:2, :2], (0, 0))
    assert (
        result.latent[1] - two
    ).square().mean() < 0.02 * two.square().mean()  # but for the training noise
    result.latent[1].sum().backward()
    used = [
        stage.codebook.grad is not None and bool(stage.codebook.grad.abs().sum() > 0)
        for stage in quantizer
    ]
    assert used == [True, True, False, False]


def test_projections_are_orthonormal_and_take_out_what_they_transmit(quantizer, latent):
    stage = quantizer.stages[0]
    with torch.no_grad():
        stage.projection.copy_(torch.randn(4, 12, generator=torch.Generator().manual_seed(5)))
    w = stage.directions()
    torch.testing.assert_close(w @ w.T, torch.eye(4), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        w.T @ w @ stage.projection.T, stage.projection.T, rtol=0, atol=1e-4
    )  # the same rows
    rows = latent.transpose(1, 2).flatten(0, 1)
    left = rows - stage.decode(stage.encode(rows))
    torch.testing.assert_close(left - left @ w.T @ w, rows - rows @ w.T @ w, rtol=0, atol=1e-4)


def test_folding_changes_nothing(quantizer, latent):
    for stage in quantizer:
        stage.center.copy_(torch.linspace(-0.3, 0.4, 4))
        stage.scale.fill_(1.7)
    folded = copy.deepcopy(quantizer)
    folded.fold(quantizer)
    codes = quantizer.encode(latent, (0, 0, 1, 1))
    assert torch.equal(folded.encode(latent, (0, 0, 1, 1)), codes)
    torch.testing.assert_close(
        folded.decode(codes, (0, 0, 1, 1)), quantizer.decode(codes, (0, 0, 1, 1))
    )
    assert all(stage.scale.item() == 1 and stage.center.abs().max() == 0 for stage in folded)


def test_statistics_describe_the_batch(quantizer, latent):
    result = quantizer(latent)
    first = result.statistics[0]
    assert first.use.sum().item() == 300
    assert torch.equal(
        first.use, torch.bincount(result.codes[:, 0].flatten(), minlength=32).float()
    )
    flat = latent.transpose(1, 2).flatten(0, 1) @ quantizer.stages[0].directions().T
    torch.testing.assert_close(first.mean, flat.mean(0))
    torch.testing.assert_close(first.mean_square, flat.square().mean(0))
    assert 0.01 < first.error.item() < 0.6


def test_update_normalisation_reaches_unit_scale(quantizer, latent):
    rows = 5 * latent.transpose(1, 2).flatten(0, 1) + 2
    stage = quantizer.stages[0]
    for _ in range(200):
        _, _, statistics = stage(rows)
        stage.update_normalisation(statistics, momentum=0.1)
    z = (rows @ stage.directions().T - stage.center) / stage.scale
    torch.testing.assert_close(z.mean(0), torch.zeros(4), rtol=0, atol=1e-3)
    assert z.square().mean().item() == pytest.approx(1, abs=1e-3)


def test_one_wild_batch_hardly_moves_the_scale(quantizer, latent):
    stage = quantizer.stages[0]
    before = stage.scale.item()
    _, _, statistics = stage(10 * latent.transpose(1, 2).flatten(0, 1))
    stage.update_normalisation(statistics, momentum=0.1)
    assert stage.scale.item() / before == pytest.approx(10**0.1, rel=0.02)


def test_quantization_stays_in_float32_under_autocast(quantizer, latent):
    codes = quantizer.encode(latent, (0, 0, 0, 0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(quantizer(latent, position_bits=0).codes[:, 0], codes[:, 0])
        assert quantizer(latent).latent.dtype == torch.float32
