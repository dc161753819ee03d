"""Codes by their definition, in double precision: what any search for them is held against."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from codec.quantizers import ResidualQuantizer


@torch.no_grad()
def assert_nearest(
    quantizer: ResidualQuantizer,
    latent: torch.Tensor,
    codes: torch.Tensor,
    position_bits: Sequence[int],
    *,
    tolerance: float,
) -> None:
    """Each code (batch, stages, frames) names an entry that is as near as any to what those before
    it left.

    `tolerance` is by how much, as a share of a typical distance: of entries equally near to a
    float, either may be chosen.
    """
    residual = latent.transpose(1, 2).flatten(0, 1).double()
    assert codes.shape == (len(latent), len(position_bits), latent.shape[2])
    by_stage = codes.transpose(0, 1).flatten(1).long()
    for stage, code, bits in zip(quantizer, by_stage, position_bits, strict=False):
        directions, table = stage.directions().double(), stage.table(bits).double()
        distances = torch.cdist(residual @ directions.T, table)
        chosen = distances.gather(1, code[:, None])[:, 0]
        assert (chosen - distances.min(1).values).max() < tolerance * distances.mean()
        residual = residual - table[code] @ directions
