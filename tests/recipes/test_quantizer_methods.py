"""The baselines against closed forms and independent computations, the measures against brute
force, whole runs.
"""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.nn.functional as F

from codec import ConfigError
from codec.quantizers import ResidualQuantizer
from recipes.studies.quantizers import baselines, study_tables
from recipes.studies.quantizers.methods import (
    METHODS,
    TITLES,
    Method,
    converted,
    make_quantizer,
    stage_configs,
)
from recipes.studies.quantizers.stored_results import read_results

N, K, D = 40, 16, 5


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, a codebook, and the gradient that comes from behind the quantizer."""
    return (
        rows(N, D, seed=0).requires_grad_(),
        rows(K, D, seed=1).requires_grad_(),
        rows(N, D, seed=2),
    )


def gradients(quantized, z, codebook, behind):
    """Of z and of the codebook, of sum(behind · quantized)."""
    return torch.autograd.grad((quantized * behind).sum(), [z, codebook], allow_unused=True)


def nearest_codeword(z, codebook):
    return codebook[torch.cdist(z, codebook).argmin(1)].detach()


def test_an_attached_loss_adds_its_gradient_once():
    value, other = rows(3, 2, seed=0).requires_grad_(), rows(4, seed=1).requires_grad_()
    attached = baselines.attach_loss(value, other.square().sum())
    assert torch.equal(attached, value)
    (attached.sum() + 2 * attached[0, 0]).backward()
    expected = torch.ones(3, 2, dtype=torch.float64)
    expected[0, 0] = 3
    torch.testing.assert_close(value.grad, expected)
    torch.testing.assert_close(other.grad, 2 * other.detach())


def test_straight_through_is_the_identity_plus_its_two_losses(case):
    z, codebook, behind = case
    quantized, index = baselines.straight_through(z, codebook, commitment=0.3)
    by_z, by_codebook = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    torch.testing.assert_close(quantized.detach(), codeword)
    torch.testing.assert_close(by_z, behind + 0.3 * 2 * (z.detach() - codeword) / (N * D))
    expected = torch.zeros(K, D, dtype=torch.float64)
    for row in range(N):
        expected[index[row]] += 2 * (codeword[row] - z.detach()[row]) / (N * D)
    torch.testing.assert_close(by_codebook, expected)


def test_rotation_trick_turns_the_gradient_in_the_plane_of_latent_and_codeword(case):
    z, codebook, behind = case
    quantized, _ = baselines.rotation_trick(z, codebook, commitment=0.0)
    by_z, _ = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    torch.testing.assert_close(quantized.detach(), codeword)
    for row in range(N):
        torch.testing.assert_close(
            by_z[row], scaled_rotation(z[row].detach(), codeword[row]).T @ behind[row]
        )


def scaled_rotation(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """‖target‖/‖source‖ times the rotation by the angle between them, in an orthonormal basis of
    their plane.
    """
    e = source / source.norm()
    across = target - (target @ e) * e
    p = across / across.norm()
    angle = math.atan2(float(across.norm()), float(target @ e))
    rotation = torch.eye(D, dtype=torch.float64) + (math.cos(angle) - 1) * (
        torch.outer(e, e) + torch.outer(p, p)
    )
    rotation += math.sin(angle) * (torch.outer(p, e) - torch.outer(e, p))
    return rotation * target.norm() / source.norm()


def test_noise_substitution_has_the_error_s_length_and_the_gradient_of_it(case):
    z, codebook, behind = case
    torch.manual_seed(3)
    quantized, _ = baselines.noise_substitution(z, codebook)
    by_z, by_codebook = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    error = codeword - z.detach()
    step = (quantized - z).detach()
    torch.testing.assert_close(step.norm(dim=1), error.norm(dim=1))
    assert (F.cosine_similarity(step, error).abs() < 0.999).all()
    v, u = F.normalize(step), F.normalize(error)
    along_v = (behind * v).sum(1, keepdim=True)
    torch.testing.assert_close(by_z, behind - along_v * u)  # (I − v uᵀ)ᵀ
    index = torch.cdist(z, codebook).argmin(1)
    torch.testing.assert_close(
        by_codebook, torch.zeros(K, D).double().index_add_(0, index, along_v * u)
    )


def test_gumbel_softmax_draws_codewords_by_their_distance():
    codebook = torch.tensor([[0.0], [0.5], [2.0]]).requires_grad_()
    z = torch.full((60_000, 1), 0.2).requires_grad_()
    torch.manual_seed(0)
    quantized, index = baselines.gumbel_softmax(z, codebook)
    expected = torch.softmax(-(codebook.detach()[:, 0] - 0.2).square() / baselines.TEMPERATURE, 0)
    drawn = torch.cdist(quantized.detach(), codebook.detach()).argmin(1).bincount(
        minlength=3
    ) / len(z)
    torch.testing.assert_close(drawn, expected, atol=0.01, rtol=0)
    assert index.unique().tolist() == [0]
    (by_codebook,) = torch.autograd.grad(quantized.mean(), codebook, retain_graph=True)
    assert by_codebook.abs().min() > 0  # all codewords get a gradient, drawn or not
    (by_z,) = torch.autograd.grad(quantized.sum(), z)
    assert by_z.abs().max() > 0


def test_ema_equals_the_usual_pair_of_averages():
    """Averages of counts and of sums, as in van den Oord et al., on three steps; the codeword is
    their quotient.
    """
    decay = 0.9
    (stage,) = make_quantizer("ema", stage_configs("ema", 1, bits=3, dim=D), D)
    with torch.no_grad():
        stage.codebook.copy_(rows(8, D, seed=1))
        stage.projection.copy_(torch.eye(D))
        stage.use.fill_(2.0)
    codebook = stage.codebook.detach().clone()
    counts = torch.full((8,), 2.0 * (1 - decay))
    sums = counts[:, None] * codebook
    for step in range(3):
        z = rows(30, D, seed=10 + step).float().requires_grad_()
        quantized, index, statistics = stage(z)
        quantized.sum().backward()
        assert stage.codebook.grad is None
        onehot = F.one_hot(torch.cdist(z.detach(), codebook).argmin(1), 8).float()
        assert torch.equal(onehot.argmax(1), index)
        counts = decay * counts + (1 - decay) * onehot.sum(0)
        sums = decay * sums + (1 - decay) * onehot.T @ z.detach()
        codebook = sums / counts[:, None]
        stage.update_use(statistics, decay)
        torch.testing.assert_close(stage.codebook.detach(), codebook)


def test_once_on_the_sum_is_diveq_of_the_whole_chain():
    configs = stage_configs("diveq_sum", 3, bits=3, dim=2, noise_variance=0.0)
    torch.manual_seed(0)
    quantizer = make_quantizer("diveq_sum", configs, 4)
    latent = rows(7, 4, 1, seed=1).float().requires_grad_()
    result = quantizer(latent)
    expected = quantizer.decode(quantizer.encode(latent.detach(), [0] * 3), [0] * 3)
    torch.testing.assert_close(result.latent.detach(), expected)
    behind = rows(7, 4, seed=2).float()
    (by_latent,) = torch.autograd.grad(
        (result.latent[:, :, 0] * behind).sum(), latent, retain_graph=True
    )
    u = F.normalize((expected - latent.detach())[:, :, 0])
    torch.testing.assert_close(by_latent[:, :, 0], behind - (behind * u).sum(1, keepdim=True) * u)
    for stage in quantizer:
        assert (
            torch.autograd.grad(result.latent.sum(), stage.codebook, retain_graph=True)[0]
            .abs()
            .max()
            > 0
        )


@pytest.mark.parametrize("method", METHODS)
def test_every_method_transmits_what_it_decodes(method: Method):
    """For inference all are the codec's own quantizer; and converted, they hold the very same
    parameters.
    """
    configs = stage_configs(method, 3, bits=3, dim=2)
    torch.manual_seed(0)
    plain = ResidualQuantizer(configs, 4)
    quantizer = converted(plain, method)
    assert [id(p) for p in quantizer.parameters()] == [id(p) for p in plain.parameters()]
    latent = rows(9, 4, 6, seed=1).float()
    codes = quantizer.encode(latent, [0] * 3)
    assert torch.equal(codes, plain.encode(latent, [0] * 3))
    output = quantizer(latent.requires_grad_())
    output.latent.sum().backward()
    assert latent.grad is not None
    assert latent.grad.isfinite().all()
    if method not in ("nsvq", "st_gumbel") and "sf_" not in method:
        assert torch.equal(output.codes, codes) or configs[0].noise_variance > 0


def test_mixed_stages_change_their_kind_in_the_middle():
    assert [s.kind for s in stage_configs("sf_first", 3)] == ["sf_diveq", "sf_diveq", "diveq"]
    assert [s.kind for s in stage_configs("sf_last", 4)] == ["diveq"] * 2 + ["sf_diveq"] * 2


def test_the_report_of_this_repository_is_that_of_its_results():
    text = (study_tables.HERE / "RESULTS.md").read_text(encoding="utf-8")
    results = {"codec": read_results(study_tables.HERE / "results/codec.jsonl")}
    assert study_tables.filled(text, results) == text
    assert set(study_tables.BLOCKS) == set(re.findall(r"<!-- begin (\w+) -->", text))
    with pytest.raises(ConfigError, match="'nose'"):
        study_tables.filled("<!-- begin nose -->\n<!-- end -->", results)


def test_every_method_has_a_title_of_its_own():
    assert set(TITLES) == set(METHODS)
    assert len(set(TITLES.values())) == len(METHODS)
