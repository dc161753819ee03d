"""Gives upper bands the harmonics of the lowest: noise there costs a voice its own, and this costs
no bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .lapped_transform import Bands, overlap_add
from .mdct import mdct_basis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from jaxtyping import Float

_GATE_WEIGHT_GAIN = 0.04  # gates start nearly alike in all frames
_GATE_BIAS = -1.2  # and let through 0.23 of the power
_LOG_EXCITATION_GAIN = 1.48  # the RMS of trained decoders' u is near 4.4


class Excitation(nn.Module):
    """Fine structure of the upper bands from the waveform of the lowest: rectified, it has the
    harmonics of the voice at all frequencies.

    A gate a per upper band and frame mixes the shape u′ of the rectified waveform into the
    decoder's u, at constant power but for a learned gain: √(1 − a)·u + √a·gain·u′.
    """

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop = layout.transform_hop
        self.lower, self.bins = layout.excitation_bands, layout.excitation_bins
        self.bands = Bands(layout.bands)
        self.gate = nn.Linear(layout.width, layout.excited_bands)
        self.gain = nn.Parameter(torch.full((layout.excited_bands,), _LOG_EXCITATION_GAIN))
        with torch.no_grad():
            self.gate.weight.mul_(_GATE_WEIGHT_GAIN)
            self.gate.bias.fill_(_GATE_BIAS)
        self.register_buffer(
            "basis", torch.from_numpy(mdct_basis(layout.transform_hop)), persistent=False
        )

    def forward(
        self,
        x: Float[Tensor, "batch frames width"],
        features: Float[Tensor, "batch frames features"],
        coefficients: Float[Tensor, "batch frames hop"],
    ) -> Float[Tensor, "batch frames features"]:
        """Mix the excitation into [u, log g], by the last block's output x and g·u."""
        hops = overlap_add(self.spans(coefficients))
        return self.mix(features, self.gates(x), hops.abs())

    def spans(
        self, coefficients: Float[Tensor, "batch frames hop"]
    ) -> Float[Tensor, "batch frames span"]:
        """What the lowest bands of each frame add to the waveform."""
        return coefficients[..., : self.bins] @ self.basis[: self.bins]

    def gates(
        self, x: Float[Tensor, "batch frames width"]
    ) -> Float[Tensor, "batch frames excited"]:
        """The gates in front of their sigmoid."""
        return self.gate(x.to(self.basis.dtype))

    def mix(
        self,
        features: Float[Tensor, "batch frames features"],
        gates: Float[Tensor, "batch frames excited"],
        rectified: Float[Tensor, "batch hops hop"],
    ) -> Float[Tensor, "batch frames features"]:
        """Mix the shape of the rectified waveform into that of the features; hops are one more than
        frames.
        """
        spans = torch.cat([rectified[:, :-1], rectified[:, 1:]], dim=-1)  # batch frames 2·hop
        coefficients = spans @ self.basis.T
        excitation = coefficients / self.bands.spread(self.bands.level(coefficients))
        # The roots by logarithms: where a gate is 0 or 1, the gradient of √ would be infinite.
        added = (F.logsigmoid(gates) / 2 + self.gain).exp()
        kept = (F.logsigmoid(-gates) / 2).exp()
        added = self.bands.spread(F.pad(added, (self.lower, 0)))
        kept = self.bands.spread(F.pad(kept, (self.lower, 0), value=1.0))
        shape = kept * features[..., : self.hop] + added * excitation
        return torch.cat([shape, features[..., self.hop :]], dim=-1)
