"""The quantizers that DiVeQ is compared with, as short as they are; they live here and never in
`codec`.

An estimator takes latents z and a codebook and gives the quantized latents, with the method's
gradient, and the index of the nearest codeword. What a method adds to the loss (commitment,
codebook) is attached to its output, so that the trainer, which knows of no such terms, needs no
change. Everything around the estimator is the codec's own
stage: projection, normalisation, replacement of unused codewords, tables for inference.

- STE: straight-through (van den Oord et al., 2017) with codebook and commitment loss.
- EMA: the same with codewords that follow the mean of their latents (same paper, appendix A.1).
- rotation: the rotation trick (Fifty et al., 2024, equation 3) with codebook and commitment loss.
- ST-Gumbel: straight-through Gumbel-softmax (Jang et al., 2017) over negative squared distances.
- NSVQ: noise substitution (Vali, Bäckström, 2022): the error's length in a random direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.layouts.config import StageConfig
from codec.quantizers import (
    Estimate,
    Quantized,
    QuantizerStage,
    ResidualQuantizer,
    StageStatistics,
    diveq,
    nearest,
)
from codec.quantizers.diveq import error_length, unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Estimating: TypeAlias = 'Callable[[Float[Tensor, "n d"], Float[Tensor, "k d"]], Estimate]'

COMMITMENT = 0.25  # usual weight of the commitment loss; that of the codebook loss is 1
TEMPERATURE = 0.5  # of the Gumbel-softmax, in squared distances of latents of unit variance


class _Attach(torch.autograd.Function):
    """The identity of its first argument; differentiating through it also differentiates the second
    one.
    """

    @staticmethod
    def forward(ctx: Any, value: Tensor, loss: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return gradient, gradient.new_ones(())


def attach_loss(value: Float[Tensor, "n d"], loss: Float[Tensor, ""]) -> Float[Tensor, "n d"]:
    """Return `value` such that any loss made of it has the gradient of that loss + `loss`."""
    return _Attach.apply(value, loss)  # pyright: ignore[reportReturnType]


def commitment_loss(z: Float[Tensor, "n d"], codeword: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Pulls latents to their codewords, and not the other way."""
    return F.mse_loss(z, codeword.detach())


def codebook_loss(z: Float[Tensor, "n d"], codeword: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Pulls codewords to their latents, and not the other way."""
    return F.mse_loss(codeword, z.detach())


def straight_through(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], commitment: float = COMMITMENT
) -> Estimate:
    """Return the codeword, and pass its gradient to z unchanged."""
    index = nearest(z, codebook)
    codeword = codebook[index]
    quantized = z + (codeword - z).detach()
    return attach_loss(
        quantized, commitment * commitment_loss(z, codeword) + codebook_loss(z, codeword)
    ), index


def moving_average(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], commitment: float = COMMITMENT
) -> Estimate:
    """Straight-through for z; the codebook gets no gradient, `MovingAverageStage` moves it."""
    index = nearest(z, codebook)
    codeword = codebook[index].detach()
    return attach_loss(
        z + (codeword - z).detach(), commitment * commitment_loss(z, codeword)
    ), index


def rotation_trick(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], commitment: float = COMMITMENT
) -> Estimate:
    """The codeword as z rotated and scaled onto it, both constants: the gradient turns with the
    codeword.

    The rotation in the plane of the directions e of z and q of the codeword is I − 2rrᵀ + 2qeᵀ, r =
    (e + q)/‖e + q‖.
    """
    index = nearest(z, codebook)
    codeword = codebook[index]
    e, q = unit(z), unit(codeword)
    r = unit(e + q)
    scale = codeword.detach().norm(dim=1, keepdim=True) / z.detach().norm(
        dim=1, keepdim=True
    ).clamp_min(1e-12)
    along_r, along_e = (z * r).sum(1, keepdim=True), (z * e).sum(1, keepdim=True)
    rotated = scale * (z - 2 * along_r * r + 2 * along_e * q)
    return attach_loss(
        rotated, commitment * commitment_loss(z, codeword) + codebook_loss(z, codeword)
    ), index


def gumbel_softmax(z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Estimate:
    """Draw a codeword by its distance, with the gradient of the soft choice; the index returned is
    that of the nearest.
    """
    distance = z.square().sum(1, keepdim=True) - 2 * z @ codebook.T + codebook.square().sum(1)
    chosen = F.gumbel_softmax(-distance / TEMPERATURE, tau=1.0, hard=True)
    return chosen @ codebook, distance.argmin(1)


def noise_substitution(z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Estimate:
    """z plus an error as long as the true one, in a random direction."""
    index = nearest(z, codebook)
    return z + error_length(z, codebook[index]) * unit(torch.randn_like(z)), index


def lookup(z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"]) -> Estimate:
    """The codeword, without any gradient for z; `OnceOnTheSum` adds it."""
    index = nearest(z, codebook)
    return codebook[index], index


class BaselineStage(QuantizerStage):
    """A stage of the codec with another estimator. For inference it is a DiVeQ stage: nearest entry
    and look-up.
    """

    def __init__(self, config: StageConfig, latent_channels: int, estimate: Estimating) -> None:
        super().__init__(config, latent_channels, lambda z, codebook, *_: estimate(z, codebook))


class MovingAverageStage(QuantizerStage):
    """EMA: with counts N and the mean m of the n latents of this step, N ← γN + n, c ← c + n (m −
    c) / N.

    That is the usual pair of averages, of counts and of sums, solved for the codeword. N are the
    decaying counts that every stage keeps, so the decay γ is that of `update_use`, and a replaced
    codeword keeps its new place. It sees the
    last forward pass of this process: no micro-batches, one process.
    """

    def __init__(
        self, config: StageConfig, latent_channels: int, commitment: float = COMMITMENT
    ) -> None:
        super().__init__(config, latent_channels, self._estimate)
        self._commitment = commitment
        self.sums = torch.zeros(
            config.codewords, config.dim
        )  # of the last step's latents; no state of a run

    @torch.no_grad()
    def trust_codebook(self, latents_per_step: float, steps: float) -> None:
        """Weigh each codeword as if it were the mean of its fair share of so many steps: at weight
        0, where counts begin, the first latent that falls to a codeword takes its place."""
        self.use.fill_(steps * latents_per_step / len(self.codebook))

    def _estimate(self, z: Tensor, codebook: Tensor, *_: object) -> Estimate:
        quantized, index = moving_average(z, codebook, self._commitment)
        self.sums = torch.zeros_like(codebook).index_add_(0, index, z.detach())
        return quantized, index

    @torch.no_grad()
    def update_use(self, statistics: StageStatistics, decay: float) -> None:
        super().update_use(statistics, decay)
        moved = self.sums - statistics.use[:, None] * self.codebook
        self.codebook.add_(moved / self.use.clamp_min(1e-5)[:, None])


class OnceOnTheSum(ResidualQuantizer):
    """DiVeQ as the authors' residual modules apply it: plain look-up in every stage, one error
    vector for the sum.
    """

    def __init__(self, stages: Sequence[StageConfig], latent_channels: int) -> None:
        super().__init__(stages, latent_channels)
        for number, config in enumerate(stages):
            self.stages[number] = BaselineStage(config, latent_channels, lookup)

    def forward(
        self,
        latent: Float[Tensor, "batch channels frames"],
        active_stages: Int[Tensor, "batch frames"] | None = None,
        position_bits: int | None = None,
    ) -> Quantized:
        quantized = super().forward(latent.detach(), active_stages, position_bits)
        z, total = (x.transpose(1, 2).flatten(0, 1) for x in (latent.float(), quantized.latent))
        first = next(iter(self))
        spread = (
            first.scale * first.config.noise_variance**0.5
        )  # at the scale of the latents, not of the stage
        result = diveq(
            z, total, torch.randn_like(z) * spread if first.config.noise_variance else None
        )
        return Quantized(
            result.unflatten(0, (len(latent), -1)).transpose(1, 2),
            quantized.codes,
            quantized.statistics,
        )
