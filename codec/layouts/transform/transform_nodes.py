"""The transform layout as nodes of a graph, layer by layer as `codec.layouts.transform.transform_network`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .mdct import LEVEL_CENTRE, LEVEL_RANGE, QUIETEST, band_of, band_pool, mdct_basis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from ...backends.onnx.graph import Graph
    from ...backends.onnx.parts import Part


def transform_encoder(part: Part, wave: str, layout: TransformLayout, latent_channels: int) -> str:
    """`TransformEncoder`: wave → latent (batch, latent_channels, frames)."""
    features = _analysis(part.graph, wave, layout)
    x = _linear(part.child("entry"), features, layout.hop + len(layout.bands), layout.width)
    for block, ahead in zip(part.child("blocks").children(), layout.encoder_reach, strict=False):
        x = _block(block, x, layout, ahead)
    x = _linear(part.child("exit"), x, layout.width, latent_channels)
    return part.graph.node("Transpose", x, perm=[0, 2, 1])


def transform_decoder(
    part: Part, latent: str, noise: str, lost: str, layout: TransformLayout, latent_channels: int
) -> str:
    """`TransformDecoder`: latent, noise (1 or batch, frames, values), lost (batch, frames) → wave."""
    graph = part.graph
    x = graph.node("Transpose", latent, perm=[0, 2, 1])
    if layout.conceals:
        x = graph.node("Where", graph.unsqueeze(lost, 2), part.constant("unknown", latent_channels), x)
    x = _linear(part.child("entry"), x, latent_channels, layout.width)
    blocks = zip(part.child("blocks").children(), part.child("noise").children(), layout.decoder_reach, strict=False)
    for number, (block, entry, ahead) in enumerate(blocks):
        if count := layout.noise_channels:
            values = graph.slice(noise, number * count, (number + 1) * count, axis=2)
            weight = graph.constant(entry.weight("weight", layout.width, count).T)
            x = graph.node("Add", x, graph.node("MatMul", values, weight))
        x = _block(block, x, layout, ahead)
    features = _linear(part.child("exit"), x, layout.width, layout.hop + len(layout.bands))
    return _synthesis(part.graph, features, layout)


def _analysis(graph: Graph, wave: str, layout: TransformLayout) -> str:
    """`Analysis`: wave (batch, 1, frames·hop) → [u, log g] (batch, frames, hop + bands)."""
    half = layout.hop // 2
    basis = graph.constant(mdct_basis(layout.hop)[:, None])
    coefficients = graph.node("Conv", wave, basis, strides=[layout.hop], pads=[half, half])
    coefficients = graph.node("Transpose", coefficients, perm=[0, 2, 1])
    squares = graph.node("Mul", coefficients, coefficients)
    power = graph.node("MatMul", squares, graph.constant(band_pool(layout.bands)))
    first = graph.slice(power, 0, 1, axis=1)
    last = graph.slice(power, -1, None, axis=1)
    ahead = layout.level_look_ahead
    padded = graph.node("Concat", first, power, *[last] * ahead, axis=1)
    smooth = graph.node("AveragePool", graph.node("Transpose", padded, perm=[0, 2, 1]), kernel_shape=[2 + ahead])
    smooth = graph.node("Add", graph.node("Transpose", smooth, perm=[0, 2, 1]), graph.number(QUIETEST))
    level = graph.node("Sqrt", smooth)
    shape = graph.node("Div", coefficients, _spread(graph, level, layout))
    log_level = graph.node("Sub", graph.node("Log", level), graph.number(LEVEL_CENTRE))
    return graph.node("Concat", shape, log_level, axis=-1)


def _synthesis(graph: Graph, features: str, layout: TransformLayout) -> str:
    """`Synthesis`: [u, log g] (batch, frames, hop + bands) → wave (batch, 1, frames·hop)."""
    hop, half = layout.hop, layout.hop // 2
    shape, log_level = graph.slice(features, 0, hop, axis=2), graph.slice(features, hop, None, axis=2)
    log_level = graph.node("Add", log_level, graph.number(LEVEL_CENTRE))
    level = graph.node("Exp", graph.node("Clip", log_level, *map(graph.number, LEVEL_RANGE)))
    coefficients = graph.node("Mul", shape, _spread(graph, level, layout))
    frames = graph.node("MatMul", coefficients, graph.constant(mdct_basis(hop)))
    first, second = graph.slice(frames, 0, hop, axis=2), graph.slice(frames, hop, None, axis=2)
    first = graph.node("Pad", first, graph.integers(0, 0, 0, 0, 1, 0))  # one frame of zeros behind
    second = graph.node("Pad", second, graph.integers(0, 1, 0, 0, 0, 0))  # and one before
    hops = graph.node("Reshape", graph.node("Add", first, second), graph.integers(0, 1, -1))
    return graph.slice(hops, half, -half, axis=2)


def _block(part: Part, x: str, layout: TransformLayout, look_ahead: int) -> str:
    """`Block`: x + γ·perceptron(norm(depthwise convolution(x)))."""
    graph, width, inner = part.graph, layout.width, layout.expansion * layout.width
    depthwise, norm = part.child("depthwise"), part.child("norm")
    y = graph.node(
        "Conv",
        graph.node("Transpose", x, perm=[0, 2, 1]),
        depthwise.constant("weight", width, 1, layout.kernel),
        depthwise.constant("bias", width),
        group=width,
        pads=[layout.kernel - 1 - look_ahead, look_ahead],
    )
    y = graph.node("Transpose", y, perm=[0, 2, 1])
    y = graph.node("LayerNormalization", y, norm.constant("weight", width), norm.constant("bias", width), axis=-1)
    y = _linear(part.child("widen"), y, width, inner)
    y = _linear(part.child("narrow"), _gelu(graph, y), inner, width)
    return graph.node("Add", x, graph.node("Mul", y, part.constant("scale", width)))


def _gelu(graph: Graph, x: str) -> str:
    """x·Φ(x), Φ the normal distribution: ½·x·(1 + erf(x/√2))."""
    error = graph.node("Erf", graph.node("Mul", x, graph.number(0.5**0.5)))
    half = graph.node("Mul", x, graph.number(0.5))
    return graph.node("Mul", half, graph.node("Add", error, graph.number(1.0)))


def _linear(part: Part, x: str, channels_in: int, channels_out: int) -> str:
    weight = part.graph.constant(part.weight("weight", channels_out, channels_in).T)
    return part.graph.node("Add", part.graph.node("MatMul", x, weight), part.constant("bias", channels_out))


def _spread(graph: Graph, x: str, layout: TransformLayout) -> str:
    """`Bands.spread`: (batch, frames, bands) → (batch, frames, hop). Whole rows are gathered faster than values."""
    rows = graph.node(
        "Gather", graph.node("Transpose", x, perm=[0, 2, 1]), graph.constant(band_of(layout.bands)), axis=1
    )
    return graph.node("Transpose", rows, perm=[0, 2, 1])
