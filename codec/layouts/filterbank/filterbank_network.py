"""DAC's layout behind a strided filterbank: convolutions that halve the rate and double the width,
and back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .filterbank_layout import FilterbankLayout
from .layers import Conv, ConvTranspose, ResidualUnit, Snake

if TYPE_CHECKING:
    from jaxtyping import Float

# of the last layer at the start: speech at -26 dBFS has an RMS of 0.05, far below that inside
_OUTPUT_GAIN = 0.1


class FilterbankEncoder(nn.Sequential):
    """Waveform → latent: strided filterbank, (residual units, strided convolution) per stride,
    convolution.
    """

    def __init__(self, layout: FilterbankLayout, latent_channels: int) -> None:
        width, causal = layout.encoder_width, layout.causal
        layers: list[nn.Module] = [
            Conv(1, width, layout.frontend_kernel, causal=causal, stride=layout.frontend_stride)
        ]
        for stride in layout.strides:
            layers += [
                ResidualUnit(width, layout.residual_kernel, d, causal=causal)
                for d in layout.dilations
            ]
            layers += [
                Snake(width),
                Conv(width, 2 * width, 2 * stride, causal=causal, stride=stride),
            ]
            width *= 2
        layers += [Snake(width), Conv(width, latent_channels, 3, causal=causal)]
        super().__init__(*layers)

    @torch.no_grad()
    def subtract_mean(self, mean: Float[Tensor, " channels"]) -> None:
        """Change the last bias so that latents come out with `mean` subtracted."""
        last = self[-1]
        assert isinstance(last, Conv)
        assert last.conv.bias is not None
        last.conv.bias.sub_(mean)


class FilterbankDecoder(nn.Sequential):
    """Latent → waveform: the encoder's mirror."""

    def __init__(self, layout: FilterbankLayout, latent_channels: int) -> None:
        width, causal = layout.decoder_width, layout.causal
        layers: list[nn.Module] = [Conv(latent_channels, width, 7, causal=causal)]
        for stride in reversed(layout.strides):
            layers += [
                Snake(width),
                ConvTranspose(width, width // 2, 2 * stride, causal=causal, stride=stride),
            ]
            width //= 2
            layers += [
                ResidualUnit(width, layout.residual_kernel, d, causal=causal)
                for d in layout.dilations
            ]
        layers += [
            Snake(width),
            ConvTranspose(
                width,
                1,
                layout.frontend_kernel,
                causal=causal,
                stride=layout.frontend_stride,
                gain=_OUTPUT_GAIN,
            ),
        ]
        super().__init__(*layers)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride] (of a Sequential's one input)
        self,
        latent: Float[Tensor, "batch channels frames"],
        noise: Tensor | None = None,
        lost: Tensor | None = None,
    ) -> Float[Tensor, "batch 1 time"]:
        """Decode; this layout knows neither noise nor lost frames."""
        return super().forward(latent)

    @torch.no_grad()
    def add_mean(self, mean: Float[Tensor, " channels"]) -> None:
        """Change the first bias so that latents with `mean` subtracted are accepted; at the edges,
        where zeros are padded, this is not exact.
        """
        first = self[0]
        assert isinstance(first, Conv)
        assert first.conv.bias is not None
        first.conv.bias.add_(first.conv.weight.sum(-1) @ mean)
