"""The filterbank layout as nodes of a graph, layer by layer as
`codec.layouts.filterbank.filterbank_network`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..receptive_field import split_padding
from .filterbank_layout import FilterbankLayout

if TYPE_CHECKING:
    from ...backends.onnx.parts import Part


def filterbank_encoder(part: Part, x: str, layout: FilterbankLayout, latent_channels: int) -> str:
    """`FilterbankEncoder`: wave → latent (batch, latent_channels, frames)."""
    layers, width, causal = part.children(), layout.encoder_width, layout.causal
    x = conv(
        next(layers),
        x,
        1,
        width,
        layout.frontend_kernel,
        causal=causal,
        stride=layout.frontend_stride,
    )
    for stride in layout.strides:
        for dilation in layout.dilations:
            x = residual_unit(
                next(layers), x, width, layout.residual_kernel, dilation, causal=causal
            )
        x = snake(next(layers), x, width)
        x = conv(next(layers), x, width, 2 * width, 2 * stride, causal=causal, stride=stride)
        width *= 2
    x = snake(next(layers), x, width)
    return conv(next(layers), x, width, latent_channels, 3, causal=causal)


def filterbank_decoder(
    part: Part, x: str, _noise: str, _lost: str, layout: FilterbankLayout, latent_channels: int
) -> str:
    """`FilterbankDecoder`: latent → wave (batch, 1, frames·hop)."""
    layers, width, causal = part.children(), layout.decoder_width, layout.causal
    x = conv(next(layers), x, latent_channels, width, 7, causal=causal)
    for stride in reversed(layout.strides):
        x = snake(next(layers), x, width)
        x = conv_transpose(
            next(layers), x, width, width // 2, 2 * stride, causal=causal, stride=stride
        )
        width //= 2
        for dilation in layout.dilations:
            x = residual_unit(
                next(layers), x, width, layout.residual_kernel, dilation, causal=causal
            )
    x = snake(next(layers), x, width)
    return conv_transpose(
        next(layers),
        x,
        width,
        1,
        layout.frontend_kernel,
        causal=causal,
        stride=layout.frontend_stride,
    )


def conv(
    part: Part,
    x: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    causal: bool,
    stride: int = 1,
    dilation: int = 1,
) -> str:
    """`layers.Conv`: (batch, channels_in, frames·stride) → (batch, channels_out, frames)."""
    return part.graph.node(
        "Conv",
        x,
        part.constant("conv.weight", channels_out, channels_in, kernel),
        part.constant("conv.bias", channels_out),
        strides=[stride],
        dilations=[dilation],
        pads=split_padding((kernel - 1) * dilation + 1 - stride, causal),
    )


def conv_transpose(
    part: Part,
    x: str,
    channels_in: int,
    channels_out: int,
    kernel: int,
    *,
    causal: bool,
    stride: int,
) -> str:
    """`layers.ConvTranspose`: (batch, channels_in, frames) → (batch, channels_out,
    frames·stride).
    """
    right, left = split_padding(kernel - stride, causal)  # mirrored, as there
    return part.graph.node(
        "ConvTranspose",
        x,
        part.constant("conv.weight", channels_in, channels_out, kernel),
        part.constant("conv.bias", channels_out),
        strides=[stride],
        pads=[left, right],
    )


def snake(part: Part, x: str, channels: int) -> str:
    """`layers.Snake`: x + sin²(αx)/α."""
    graph = part.graph
    alpha = part.weight("alpha", 1, channels, 1).astype(np.float32)
    sine = graph.node("Sin", graph.node("Mul", x, graph.constant(alpha)))
    square = graph.node("Mul", sine, sine)
    return graph.node(
        "Add", x, graph.node("Mul", square, graph.constant(1 / (alpha + np.float32(1e-9))))
    )


def residual_unit(
    part: Part, x: str, channels: int, kernel: int, dilation: int, *, causal: bool
) -> str:
    """`layers.ResidualUnit`: x + conv₁(snake(dilated conv(snake(x))))."""
    layers = part.child("layers").children()
    y = snake(next(layers), x, channels)
    y = conv(next(layers), y, channels, channels, kernel, causal=causal, dilation=dilation)
    y = snake(next(layers), y, channels)
    y = conv(next(layers), y, channels, channels, 1, causal=causal)
    return part.graph.node("Add", x, y)
