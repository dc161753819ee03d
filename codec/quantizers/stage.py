"""One stage of the residual quantizer: project to few dimensions, quantize, project back."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from ..layouts.config import StageConfig
from .diveq import Estimate, Noise, nearest
from .sf_diveq import curve_table, nearest_on_curve

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Estimator: TypeAlias = "Callable[[Tensor, Tensor, Noise, int | None], Estimate]"
"""From latents (n, dim), a codebook, noise, and position bits; see `sf_diveq.quantize`."""


def _estimator_of(config: StageConfig) -> Estimator:
    return importlib.import_module(f".{config.traits.module}", __package__).quantize


@dataclass(frozen=True)
class StageStatistics:
    """Statistics of one stage and step for the training loop, as tensors that stay on the device.

    `use` counts how often each codeword was chosen; `mean` and `mean_square` are those of the
    projected latents before normalisation; `error` is the mean squared quantization error, in units
    of the normalised latents' own variance.
    """

    use: Float[Tensor, " codewords"]
    mean: Float[Tensor, " dim"]
    mean_square: Float[Tensor, " dim"]
    error: Float[Tensor, ""]


class QuantizerStage(nn.Module):
    """latent (N, C) → z (N, D) → nearest entry of a table → latent (N, C).

    W projects to few dimensions and Wᵀ back, as in DAC's factorised stages, but tied and with
    orthonormal rows, so that a stage takes out of the latent exactly what it transmits and the next
    one quantizes a true residual. With free projections nothing kept them inverse to each other
    under DiVeQ, and later stages added nothing.

    Training quantizes the normalised z = (W·latent − center) / scale. `center` and `scale` are
    running statistics that the training loop moves by `update_normalisation`: DiVeQ's gradient for
    z has no component along the error, so nothing else holds the latents at the scale of the
    codebook and of the noise.

    For inference `folded` stages have W in `projection` as it is, and centre and scale folded into
    the codebook.
    """

    center: Tensor
    scale: Tensor
    use: Tensor

    def __init__(
        self, config: StageConfig, latent_channels: int, estimator: Estimator | None = None
    ) -> None:
        """`estimator` is that of training, by default the one of the stage's kind."""
        super().__init__()
        self.config = config
        self.estimator = estimator or _estimator_of(config)
        self.is_folded = False
        self.projection = nn.Parameter(torch.randn(config.dim, latent_channels))
        self.codebook = nn.Parameter(torch.randn(config.codewords, config.dim))
        self.register_buffer("center", torch.zeros(config.dim))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer(
            "use", torch.zeros(config.codewords)
        )  # decaying counts, see update_use

    def directions(self) -> Float[Tensor, "dim channels"]:
        """Orthonormalise the rows of `projection`: W = L⁻¹·projection with L·Lᵀ =
        projection·projectionᵀ.
        """
        if self.is_folded:
            return self.projection
        lower, _ = torch.linalg.cholesky_ex(
            self.projection @ self.projection.T
        )  # _ex: no host synchronisation
        return torch.linalg.solve_triangular(lower, self.projection, upper=False)

    def forward(
        self, latent: Float[Tensor, "n channels"], position_bits: int | None = None
    ) -> tuple[Float[Tensor, "n channels"], Int[Tensor, " n"], StageStatistics]:
        """Quantize with DiVeQ's gradient.

        For an SF stage `position_bits` None draws one random position per segment (the paper's
        training); a number uses the finite table that the bitstream transmits (the last phase of
        training).
        """
        directions = self.directions()
        projected = latent @ directions.T
        z = (projected - self.center) / self.scale
        quantized, codeword = self.estimator(z, self.codebook, self._noise, position_bits)
        statistics = self._statistics(projected.detach(), z.detach(), quantized.detach(), codeword)
        return (quantized * self.scale + self.center) @ directions, codeword, statistics

    def _noise(self, z: Tensor) -> Tensor | None:
        if self.config.traits.is_detached or self.config.noise_variance == 0:
            return None
        return torch.randn_like(z) * self.config.noise_variance**0.5

    def _statistics(
        self, projected: Tensor, z: Tensor, quantized: Tensor, codeword: Tensor
    ) -> StageStatistics:
        ones = torch.ones_like(codeword, dtype=torch.float32)
        return StageStatistics(
            use=torch.zeros_like(self.use).index_add_(0, codeword, ones),
            mean=projected.mean(0),
            mean_square=projected.square().mean(0),
            error=(quantized - z).square().mean() / z.var(0, correction=0).mean().clamp_min(1e-12),
        )

    @torch.no_grad()
    def encode(
        self, latent: Float[Tensor, "n channels"], position_bits: int = 0
    ) -> Int[Tensor, " n"]:
        """Return the index of the nearest entry of the stage's table: codeword << position_bits |
        position.
        """
        return self.nearest(latent @ self.directions().T, position_bits)

    @torch.no_grad()
    def nearest(
        self,
        z: Float[Tensor, "n dim"],
        position_bits: int = 0,
        scores: Float[Tensor, "n codewords"] | None = None,
    ) -> Int[Tensor, " n"]:
        """`encode` of a projected latent; for `scores` see `diveq.nearest`."""
        table = self.table()
        return (
            nearest_on_curve(z, table, position_bits)
            if position_bits
            else nearest(z, table, scores)
        )

    @torch.no_grad()
    def decode(
        self, index: Int[Tensor, " n"], position_bits: int = 0
    ) -> Float[Tensor, "n channels"]:
        """Map table entries back to the latent."""
        return self.entries(index, position_bits) @ self.directions()

    def entries(self, index: Int[Tensor, " n"], position_bits: int = 0) -> Float[Tensor, "n dim"]:
        """Look up table entries; zero where the index is -1, for none."""
        table = self.table(position_bits)
        return torch.cat([table, torch.zeros_like(table[:1])])[index]

    def table(self, position_bits: int = 0) -> Float[Tensor, "entries dim"]:
        """Return all points that an index can name, at the latent's own scale.

        A DiVeQ stage has only its codebook, position_bits 0.
        """
        codebook = self.codebook if self.is_folded else self.codebook * self.scale + self.center
        return curve_table(codebook, position_bits) if position_bits else codebook

    @torch.no_grad()
    def update_normalisation(self, statistics: StageStatistics, momentum: float | Tensor) -> None:
        """Move the running centre and scale toward a step's (already averaged over processes).

        The scale moves in the logarithm: now and then a batch's latents are ten times as large as
        all others, which an average of variances would follow threefold in one step at momentum
        0.1, and this by a quarter.
        """
        self.center.copy_(torch.lerp(self.center, statistics.mean, momentum))
        variance = (statistics.mean_square - statistics.mean.square()).mean().clamp_min(1e-12)
        self.scale.copy_(torch.lerp(self.scale.log(), 0.5 * variance.log(), momentum).exp())

    @torch.no_grad()
    def update_use(self, statistics: StageStatistics, decay: float) -> None:
        """Add a step's counts to the decaying counts of how often each codeword was used."""
        self.use.mul_(decay).add_(statistics.use)

    @torch.no_grad()
    def fold(self, trained: QuantizerStage) -> None:
        """Become the inference form of a trained stage: the same function in plain matrices."""
        self.projection.copy_(trained.directions())
        self.codebook.copy_(trained.table())
        self.forget_statistics()
        self.is_folded = True

    @torch.no_grad()
    def unfold(self, folded: QuantizerStage) -> None:
        """Invert `fold`: become a stage in training form that computes the same, with a codebook of
        unit variance.

        The codebook stands in for the latents that centre and scale were taken from.
        """
        self.projection.copy_(folded.projection)
        self.center.copy_(folded.codebook.mean(0))
        self.scale.copy_((folded.codebook - self.center).square().mean().sqrt().clamp_min(1e-6))
        self.codebook.copy_((folded.codebook - self.center) / self.scale)

    @torch.no_grad()
    def forget_statistics(self) -> None:
        """Reset centre, scale and use, which a model file does not store."""
        self.center.zero_()
        self.scale.fill_(1.0)
        self.use.zero_()
