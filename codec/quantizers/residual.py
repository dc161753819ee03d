"""Residual quantization: stage s quantizes the residual of stages 1…s−1. Any prefix of stages
decodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from ..layouts.config import StageConfig
from .stage import QuantizerStage, StageStatistics

if TYPE_CHECKING:
    from jaxtyping import Float, Int


@dataclass(frozen=True)
class Quantized:
    """`latent`: the quantized latent, with DiVeQ's gradient. `codes`: the codewords, without SF
    positions.
    """

    latent: Float[Tensor, "batch channels frames"]
    codes: Int[Tensor, "batch stages frames"]
    statistics: list[StageStatistics]


class ResidualQuantizer(nn.Module):
    """A chain of `QuantizerStage`s on a latent of `latent_channels`; always computed in float32."""

    def __init__(self, stages: Sequence[StageConfig], latent_channels: int) -> None:
        super().__init__()
        self.stages = nn.ModuleList(QuantizerStage(config, latent_channels) for config in stages)

    def __iter__(self) -> Iterator[QuantizerStage]:
        return cast("Iterator[QuantizerStage]", iter(self.stages))

    def forward(
        self,
        latent: Float[Tensor, "batch channels frames"],
        active_stages: Int[Tensor, "batch frames"] | None = None,
        position_bits: int | None = None,
    ) -> Quantized:
        """Quantize for training.

        `active_stages` (quantizer dropout) says how many stages each frame keeps; later stages
        still quantize its residual, so that their statistics stay those of the whole batch.
        `position_bits`: see `QuantizerStage.forward`.
        """
        batch, _, frames = latent.shape
        if active_stages is None:
            active_stages = torch.full((batch, frames), len(self.stages), device=latent.device)
        active = active_stages.flatten()[:, None]
        with torch.autocast(latent.device.type, enabled=False):
            residual = latent.float().transpose(1, 2).flatten(0, 1)
            total = torch.zeros_like(residual)
            codes, statistics = [], []
            for number, stage in enumerate(self):
                quantized, code, stage_statistics = stage(residual, position_bits)
                residual = residual - quantized
                total = total + quantized * (number < active)
                codes.append(code)
                statistics.append(stage_statistics)
        return Quantized(
            latent=total.unflatten(0, (batch, -1)).transpose(1, 2),
            codes=torch.stack(codes).unflatten(1, (batch, -1)).transpose(0, 1),
            statistics=statistics,
        )

    @torch.no_grad()
    def encode(
        self, latent: Float[Tensor, "batch channels frames"], position_bits: Sequence[int]
    ) -> Int[Tensor, "batch stages frames"]:
        """Encode by the first `len(position_bits)` stages; each subtracts the table entry that it
        chose.

        Stages see the residual r only as r·Wᵀ, W their directions. So r is kept as all of them see
        it: the latent is projected once, and an entry e of stage s takes e·(W_s·W_tᵀ) off what a
        later stage t sees.
        """
        stages = list(self)[: len(position_bits)]
        directions = torch.cat([stage.directions() for stage in stages])
        overlaps = directions @ directions.T
        seen = latent.transpose(1, 2).flatten(0, 1) @ directions.T
        scores = seen.new_empty(len(seen), max(stage.config.codewords for stage in stages))
        codes, start = [], 0
        for stage, bits in zip(stages, position_bits, strict=True):
            end = start + stage.config.dim
            codes.append(
                stage.nearest(seen[:, start:end], bits, scores[:, : stage.config.codewords])
            )
            entries, later = stage.table(bits)[codes[-1]], seen[:, end:]
            torch.addmm(later, entries, overlaps[start:end, end:], alpha=-1, out=later)
            start = end
        return torch.stack(codes).unflatten(1, (len(latent), -1)).transpose(0, 1)

    @torch.no_grad()
    def decode(
        self, codes: Int[Tensor, "batch stages frames"], position_bits: Sequence[int]
    ) -> Float[Tensor, "batch channels frames"]:
        """Sum the entries that codes of the first stages name; -1 adds nothing."""
        flat = codes.transpose(0, 1).flatten(1)
        stages = list(self)[: len(flat)]
        entries = [
            stage.entries(code, bits)
            for stage, code, bits in zip(stages, flat, position_bits, strict=True)
        ]
        latent = torch.cat(entries, dim=1) @ torch.cat([stage.directions() for stage in stages])
        return latent.unflatten(0, (len(codes), -1)).transpose(1, 2)

    def unfold(self, folded: ResidualQuantizer) -> None:
        """See `QuantizerStage.unfold`; stages that `folded` does not have stay as they are."""
        for stage, folded_stage in zip(self, folded, strict=False):
            stage.unfold(folded_stage)

    def fold(self, trained: ResidualQuantizer) -> None:
        """See `QuantizerStage.fold`."""
        for stage, trained_stage in zip(self, trained, strict=True):
            stage.fold(trained_stage)
