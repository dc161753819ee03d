"""The filterbank layout as nodes of a graph, layer by layer as `codec.model.filterbank`."""

from __future__ import annotations

from ...layouts.config import FilterbankLayout
from .parts import Part, conv, conv_transpose, residual_unit, snake


def filterbank_encoder(part: Part, x: str, layout: FilterbankLayout, latent_channels: int) -> str:
    """`FilterbankEncoder`: wave → latent (batch, latent_channels, frames)."""
    layers, width, causal = part.children(), layout.encoder_width, layout.causal
    x = conv(next(layers), x, 1, width, layout.frontend_kernel, causal=causal, stride=layout.frontend_stride)
    for stride in layout.strides:
        for dilation in layout.dilations:
            x = residual_unit(next(layers), x, width, layout.residual_kernel, dilation, causal=causal)
        x = snake(next(layers), x, width)
        x = conv(next(layers), x, width, 2 * width, 2 * stride, causal=causal, stride=stride)
        width *= 2
    x = snake(next(layers), x, width)
    return conv(next(layers), x, width, latent_channels, 3, causal=causal)


def filterbank_decoder(part: Part, x: str, layout: FilterbankLayout, latent_channels: int) -> str:
    """`FilterbankDecoder`: latent → wave (batch, 1, frames·hop)."""
    layers, width, causal = part.children(), layout.decoder_width, layout.causal
    x = conv(next(layers), x, latent_channels, width, 7, causal=causal)
    for stride in reversed(layout.strides):
        x = snake(next(layers), x, width)
        x = conv_transpose(next(layers), x, width, width // 2, 2 * stride, causal=causal, stride=stride)
        width //= 2
        for dilation in layout.dilations:
            x = residual_unit(next(layers), x, width, layout.residual_kernel, dilation, causal=causal)
    x = snake(next(layers), x, width)
    return conv_transpose(
        next(layers), x, width, 1, layout.frontend_kernel, causal=causal, stride=layout.frontend_stride
    )
