"""Waveform → MDCT → levels of bands and shapes within them, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mdct import LEVEL_CENTRE, LEVEL_RANGE, QUIETEST, band_of, band_pool, mdct_basis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from jaxtyping import Float


class Bands(nn.Module):
    """Sums and copies between coefficients and the bands that they belong to."""

    band_of: Tensor
    pool: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("band_of", torch.from_numpy(band_of(widths)), persistent=False)
        self.register_buffer("pool", torch.from_numpy(band_pool(widths)), persistent=False)

    def mean(self, x: Float[Tensor, "*shape hop"]) -> Float[Tensor, "*shape bands"]:
        return x @ self.pool

    def level(self, x: Float[Tensor, "*shape hop"]) -> Float[Tensor, "*shape bands"]:
        """The RMS, above zero."""
        return (self.mean(x.square()) + QUIETEST).sqrt()

    def spread(self, x: Float[Tensor, "*shape bands"]) -> Float[Tensor, "*shape hop"]:
        return x[..., self.band_of]


class Analysis(nn.Module):
    """Waveform → [u, log g] per frame; frame t is centred on samples t·hop … (t+1)·hop."""

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop = layout.transform_hop
        self.neighbours = (1, layout.level_look_ahead)
        self.bands = Bands(layout.bands)
        self.register_buffer(
            "basis", torch.from_numpy(mdct_basis(layout.transform_hop))[:, None], persistent=False
        )

    def forward(
        self, wave: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch frames features"]:
        half = self.hop // 2
        coefficients = F.conv1d(F.pad(wave, (half, half)), self.basis, stride=self.hop).transpose(
            1, 2
        )
        power = self.bands.mean(coefficients.square()).transpose(1, 2)  # batch bands frames
        padded = F.pad(power, self.neighbours, mode="replicate")
        smooth = F.avg_pool1d(padded, 1 + sum(self.neighbours), stride=1).transpose(1, 2)
        return self.features(coefficients, smooth)

    def features(
        self,
        coefficients: Float[Tensor, "batch frames hop"],
        power: Float[Tensor, "batch frames bands"],
    ) -> Float[Tensor, "batch frames features"]:
        """[u, log g] from MDCT coefficients and the smoothed mean power of their bands."""
        level = (power + QUIETEST).sqrt()
        return torch.cat(
            [coefficients / self.bands.spread(level), level.log() - LEVEL_CENTRE], dim=-1
        )


class Synthesis(nn.Module):
    """The inverse of `Analysis`: [u, log g] → g·u → waveform, frames overlapping by half."""

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop, self.noise_bins = layout.transform_hop, layout.noise_bins
        self.bands = Bands(layout.bands)
        self.register_buffer(
            "basis", torch.from_numpy(mdct_basis(layout.transform_hop)), persistent=False
        )

    def forward(
        self, features: Float[Tensor, "batch frames features"]
    ) -> Float[Tensor, "batch 1 time"]:
        half = self.hop // 2
        hops = overlap_add(self.coefficients(features) @ self.basis)
        return hops.flatten(1)[:, None, half:-half]

    def coefficients(
        self, features: Float[Tensor, "batch frames features"]
    ) -> Float[Tensor, "batch frames hop"]:
        """g·u."""
        shape, log_level = features[..., : self.hop], features[..., self.hop :]
        level = (log_level + LEVEL_CENTRE).clamp(*LEVEL_RANGE).exp()
        return shape * self.bands.spread(level)

    def fill(
        self,
        features: Float[Tensor, "batch frames features"],
        noise: Float[Tensor, "_ frames values"] | None,
    ) -> Float[Tensor, "batch frames features"]:
        """Put the last of the noise in place of the shapes of the noise bands, at their RMS."""
        if not self.noise_bins:
            return features
        assert noise is not None
        start = self.hop - self.noise_bins
        level = self.bands.spread(self.bands.level(features[..., : self.hop]))[..., start:]
        filled = noise[..., -self.noise_bins :] * level
        return torch.cat([features[..., :start], filled, features[..., self.hop :]], dim=-1)


def overlap_add(spans: Float[Tensor, "batch frames span"]) -> Float[Tensor, "batch hops hop"]:
    """The waveform of frames that span two hops each, in hops: one more than frames."""
    first, second = spans.chunk(2, dim=-1)  # batch frames hop
    return F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))
