"""DiVeQ and SF-DiVeQ against their closed forms and against the authors' package `diveq` (0.1.3).

Departures from the package, each deliberate: `noise_variance` is a variance (the package passes its
`noise_var` as a standard deviation); inference reads a finite table (the package's SF inference
returns a continuous point that no index can name); SF-DiVeQ-Detach aims its second error at the
second codeword (the package's `SFDIVEQDetach` aims both at the first, so its value is not on the
curve); no warm-up counters in `forward`; codewords are replaced by an explicit method.
"""

from __future__ import annotations

import pytest
import torch
from jaxtyping import TypeCheckError
from torch.autograd.functional import jacobian

from codec.layouts.config import StageConfig
from codec.quantizers import QuantizerStage, curve_table, diveq, nearest, nearest_on_curve, sf_diveq

D = 5


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_without_noise_the_forward_value_is_the_codeword():
    z, codeword = rows(7, D, seed=0), rows(7, D, seed=1)
    torch.testing.assert_close(diveq(z, codeword, None), codeword, rtol=0, atol=1e-12)


def test_jacobians_are_the_closed_forms():
    z, codeword = rows(1, D, seed=0), rows(1, D, seed=1)
    u = torch.nn.functional.normalize(codeword - z)[0]
    along = torch.outer(u, u)
    by_z = jacobian(lambda value: diveq(value, codeword, None)[0], z)[:, 0]  # pyright: ignore[reportCallIssue]
    by_codeword = jacobian(lambda value: diveq(z, value, None)[0], codeword)[:, 0]  # pyright: ignore[reportCallIssue]
    torch.testing.assert_close(by_z, torch.eye(D, dtype=torch.float64) - along)
    torch.testing.assert_close(by_codeword, along)


def test_sf_jacobians_are_the_closed_forms():
    z, start, end = rows(1, D, seed=0), rows(1, D, seed=1), rows(1, D, seed=2)
    position = torch.tensor([[0.3]], dtype=torch.float64)
    torch.testing.assert_close(
        sf_diveq(z, start, end, position, None, None), torch.lerp(start, end, position)
    )
    along = [torch.outer(u, u) for u in torch.nn.functional.normalize(torch.cat([start, end]) - z)]
    expected = torch.eye(D, dtype=torch.float64) - 0.7 * along[0] - 0.3 * along[1]
    by_z = jacobian(lambda value: sf_diveq(value, start, end, position, None, None)[0], z)[:, 0]
    by_end = jacobian(lambda value: sf_diveq(z, start, value, position, None, None)[0], end)[:, 0]
    torch.testing.assert_close(by_z, expected)
    torch.testing.assert_close(by_end, 0.3 * along[1])


def test_a_latent_on_its_codeword_has_finite_gradients():
    z = rows(3, D, seed=0).requires_grad_()
    codeword = z.detach().clone().requires_grad_()
    diveq(z, codeword, None).sum().backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert torch.isfinite(codeword.grad).all()


def test_noise_is_a_variance():
    z, codeword = torch.zeros(200_000, 2), torch.tensor([[1.0, 0.0]]).expand(200_000, 2)
    noise = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0)) * 1e-3**0.5
    off_axis = diveq(z, codeword, noise)[:, 1]
    assert off_axis.var().item() == pytest.approx(1e-3, rel=0.02)


@pytest.mark.parametrize(
    ("kind", "theirs"),
    [
        ("diveq", lambda authors, **kw: authors.DIVEQ(codebook_reset=False, noise_var=0.03, **kw)),
        ("diveq_detach", lambda authors, **kw: authors.DIVEQDetach(codebook_reset=False, **kw)),
        (
            "sf_diveq",
            lambda authors, **kw: authors.SFDIVEQ(skip_iters=0, avg_iters=0, noise_var=0.03, **kw),
        ),
    ],
)
def test_stage_equals_the_authors_package(kind, theirs):
    """Equal seed and codebook: forward value, index, gradient of latent and of codebook agree."""
    reference = theirs(
        pytest.importorskip("diveq"), num_embeddings=16, embedding_dim=D, allow_warning=False
    )
    stage = QuantizerStage(
        StageConfig(kind=kind, bits=4, dim=D, noise_variance=0.03**2), latent_channels=D
    )
    with torch.no_grad():
        stage.codebook.copy_(rows(16, D, seed=3))
        reference.codebook.copy_(rows(16, D, seed=3))
        stage.projection.copy_(torch.eye(D))
    ours_z = rows(40, D, seed=4).float().requires_grad_()
    theirs_z = ours_z.detach().clone().requires_grad_()
    weights = rows(40, D, seed=5).float()

    torch.manual_seed(6)
    quantized, index, _ = stage(ours_z)
    torch.manual_seed(6)
    expected, expected_index = reference(theirs_z)[:2]
    (quantized * weights).sum().backward()
    (expected * weights).sum().backward()

    assert torch.equal(index, expected_index)
    torch.testing.assert_close(quantized, expected)
    torch.testing.assert_close(ours_z.grad, theirs_z.grad)
    torch.testing.assert_close(stage.codebook.grad, reference.codebook.grad)


def test_the_detached_sf_stage_lands_on_the_curve():
    stage = QuantizerStage(StageConfig(kind="sf_diveq_detach", bits=3, dim=D), latent_channels=D)
    z = rows(40, D, seed=4).float()
    with torch.no_grad():
        stage.projection.copy_(torch.eye(D))
    quantized, segment, _ = stage(z)
    start, end = stage.codebook[segment], stage.codebook[segment + 1]
    around = (quantized - start).norm(dim=1) + (end - quantized).norm(dim=1)
    torch.testing.assert_close(around, (end - start).norm(dim=1), rtol=1e-4, atol=1e-4)


def test_shapes_are_checked_in_tests():
    with pytest.raises(TypeCheckError, match="codeword"):
        diveq(torch.zeros(3, 2), torch.zeros(4, 2), None)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_of_equally_near_points_the_first_is_taken(dtype):
    z = torch.randn(50, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    points = torch.randn(40, 3, dtype=dtype, generator=torch.Generator().manual_seed(1))
    assert torch.equal(nearest(z, points.repeat(3, 1)), nearest(z, points))
    assert torch.equal(
        nearest(z, points), torch.addmm(-0.5 * points.square().sum(1), z, points.T).argmax(1)
    )


@pytest.mark.parametrize("position_bits", [0, 1, 3, 7])
def test_nearest_on_curve_is_the_nearest_of_the_table(position_bits):
    z = torch.randn(500, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    codebook = torch.randn(32, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    codebook[7] = codebook[6]  # a segment of no length
    index = nearest_on_curve(z, codebook, position_bits)
    table = curve_table(codebook, position_bits)
    chosen, least = (
        torch.cdist(z, table).gather(1, index[:, None])[:, 0],
        torch.cdist(z, table).min(1).values,
    )
    torch.testing.assert_close(chosen, least, rtol=0, atol=1e-12)
    assert torch.equal(index, torch.cdist(z, table).argmin(1))


def test_nearest_is_the_brute_force_nearest():
    z, points = rows(50, D, seed=7), rows(33, D, seed=8)
    assert torch.equal(nearest(z, points), torch.cdist(z, points).argmin(1))


def test_curve_table_lists_the_codewords_and_the_points_between():
    codebook = torch.tensor([[0.0], [1.0], [3.0]])
    assert curve_table(codebook, 0)[:, 0].tolist() == [0, 1, 3]
    assert curve_table(codebook, 1)[:, 0].tolist() == [0, 0.5, 1, 2, 3]
    assert curve_table(codebook, 2)[:, 0].tolist() == [0, 0.25, 0.5, 0.75, 1, 1.5, 2, 2.5, 3]
