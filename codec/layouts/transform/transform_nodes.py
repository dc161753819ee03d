"""The transform layout as nodes of a graph, layer by layer as
`codec.layouts.transform.transform_network`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from .mdct import LEVEL_CENTRE, LEVEL_RANGE, QUIETEST, band_of, band_pool, mdct_basis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from ...backends.onnx.graph import Graph
    from ...backends.onnx.parts import Part


def transform_encoder(part: Part, wave: str, layout: TransformLayout, latent_channels: int) -> str:
    """`TransformEncoder`: wave → latent (batch, latent_channels,
    latents).
    """
    x = linear(
        part.child("entry"),
        _analysis(part.graph, wave, layout),
        layout.transform_hop + len(layout.bands),
        layout.width,
    )
    for child, ahead in zip(part.child("blocks").children(), layout.encoder_reach, strict=False):
        x = _block(child, x, layout, ahead)
    latent = leave(part, x, layout, latent_channels)
    return part.graph.node("Transpose", latent, perm=[0, 2, 1])


def leave(part: Part, x: str, layout: TransformLayout, latent_channels: int) -> str:
    """`TransformEncoder.leave`, but for the order of axes: (batch, frames, width) → latent (batch,
    latents, latent_channels).
    """
    values = layout.frames_per_latent * layout.width
    if layout.frames_per_latent > 1:
        x = part.graph.node("Reshape", x, part.graph.integers(0, -1, values))
    return linear(part.child("exit"), x, values, latent_channels)


def transform_decoder(
    part: Part, latent: str, noise: str, lost: str, layout: TransformLayout, latent_channels: int
) -> str:
    """`TransformDecoder`: latent, noise (1 or batch, latents, values), lost (batch, latents) →
    wave.
    """
    x = enter(part, latent, lost, layout, latent_channels)
    if noise and layout.frames_per_latent > 1:
        values = part.graph.integers(0, -1, layout.noise_values_of_frame)
        noise = part.graph.node("Reshape", noise, values)
    blocks = part.child("blocks").children()
    for number, (child, ahead) in enumerate(zip(blocks, layout.decoder_reach, strict=False)):
        x = _block(child, add_noise(part, number, x, noise, layout), layout, ahead)
    made = linear(part.child("exit"), x, layout.width, layout.transform_hop + len(layout.bands))
    if layout.noise_bands:
        made = fill(part.graph, made, noise, layout)
    if layout.excitation_bands:
        made = _excite(part.child("excitation"), x, made, layout)
    return _synthesis(part.graph, made, layout)


def enter(part: Part, latent: str, lost: str, layout: TransformLayout, latent_channels: int) -> str:
    """`TransformDecoder.enter`: latent, lost (batch, latents) → (batch, frames, width)."""
    graph = part.graph
    x = graph.node("Transpose", latent, perm=[0, 2, 1])
    if layout.conceals:
        x = graph.node(
            "Where", graph.unsqueeze(lost, 2), part.constant("unknown", latent_channels), x
        )
    x = linear(part.child("entry"), x, latent_channels, layout.frames_per_latent * layout.width)
    if layout.frames_per_latent > 1:
        x = graph.node("Reshape", x, graph.integers(0, -1, layout.width))
    return x


def add_noise(part: Part, number: int, x: str, noise: str, layout: TransformLayout) -> str:
    """`TransformDecoder.add_noise`: noise (1 or batch, frames, values)."""
    graph, count = part.graph, layout.noise_channels
    if not count:
        return x
    entry = part.child("noise").child(str(number))
    values = graph.slice(noise, number * count, (number + 1) * count, axis=2)
    weight = graph.constant(entry.weight("weight", layout.width, count).T)
    return graph.node("Add", x, graph.node("MatMul", values, weight))


def _analysis_kernels(hop: int) -> np.ndarray:
    return mdct_basis(hop)[:, None]


def _analysis(graph: Graph, wave: str, layout: TransformLayout) -> str:
    """`Analysis`: wave (batch, 1, frames·hop) → [u, log g] (batch, frames, hop + bands)."""
    half = layout.transform_hop // 2
    basis = graph.constant(partial(_analysis_kernels, layout.transform_hop))
    coefficients = graph.node(
        "Conv", wave, basis, strides=[layout.transform_hop], pads=[half, half]
    )
    coefficients = graph.node("Transpose", coefficients, perm=[0, 2, 1])
    power = band_power(graph, coefficients, layout)
    first = graph.slice(power, 0, 1, axis=1)
    last = graph.slice(power, -1, None, axis=1)
    ahead = layout.level_look_ahead
    padded = graph.node("Concat", first, power, *[last] * ahead, axis=1)
    smooth = graph.node(
        "AveragePool", graph.node("Transpose", padded, perm=[0, 2, 1]), kernel_shape=[2 + ahead]
    )
    return features(graph, coefficients, graph.node("Transpose", smooth, perm=[0, 2, 1]), layout)


def band_power(graph: Graph, coefficients: str, layout: TransformLayout) -> str:
    """The mean squares of bands: (batch, frames, hop) → (batch, frames, bands)."""
    squares = graph.node("Mul", coefficients, coefficients)
    return graph.node("MatMul", squares, graph.constant(band_pool(layout.bands)))


def features(graph: Graph, coefficients: str, power: str, layout: TransformLayout) -> str:
    """`Analysis.features`: coefficients (batch, frames, hop) and power (batch, frames, bands) → [u,
    log g].
    """
    shape, level = _normalise(graph, coefficients, power, layout)
    log_level = graph.node("Sub", graph.node("Log", level), graph.number(LEVEL_CENTRE))
    return graph.node("Concat", shape, log_level, axis=-1)


def _normalise(
    graph: Graph, coefficients: str, power: str, layout: TransformLayout
) -> tuple[str, str]:
    """Coefficients over the level of their bands, (batch, frames, hop), and that level."""
    level = _level(graph, power)
    return graph.node("Div", coefficients, _spread(graph, level, layout)), level


def _level(graph: Graph, power: str) -> str:
    """The root of the power of bands, above zero."""
    return graph.node("Sqrt", graph.node("Add", power, graph.number(QUIETEST)))


def _synthesis(graph: Graph, features: str, layout: TransformLayout) -> str:
    """`Synthesis`: [u, log g] (batch, frames, hop + bands) → wave (batch, 1, frames·hop)."""
    half = layout.transform_hop // 2
    halves = overlapping(graph, coefficients_of(graph, features, layout), layout)
    hops = graph.node("Reshape", _overlap_add(graph, *halves), graph.integers(0, 1, -1))
    return graph.slice(hops, half, -half, axis=2)


def _overlap_add(graph: Graph, first: str, second: str) -> str:
    """`overlap_add`: the halves of frames (batch, frames, hop) → hops (batch, frames + 1, hop)."""
    first = graph.node("Pad", first, graph.integers(0, 0, 0, 0, 1, 0))  # one frame of zeros behind
    second = graph.node("Pad", second, graph.integers(0, 1, 0, 0, 0, 0))  # and one before
    return graph.node("Add", first, second)


def coefficients_of(graph: Graph, features: str, layout: TransformLayout) -> str:
    """`Synthesis.coefficients`: [u, log g] → g·u."""
    hop = layout.transform_hop
    shape, log_level = (
        graph.slice(features, 0, hop, axis=2),
        graph.slice(features, hop, None, axis=2),
    )
    log_level = graph.node("Add", log_level, graph.number(LEVEL_CENTRE))
    level = graph.node("Exp", graph.node("Clip", log_level, *map(graph.number, LEVEL_RANGE)))
    return graph.node("Mul", shape, _spread(graph, level, layout))


def fill(graph: Graph, features: str, noise: str, layout: TransformLayout) -> str:
    """`Synthesis.fill`: [u, log g], noise (1 or batch, frames, values) → [u, log g]."""
    hop, start = layout.transform_hop, layout.transform_hop - layout.noise_bins
    power = band_power(graph, graph.slice(features, 0, hop, axis=2), layout)
    level = graph.slice(_spread(graph, _level(graph, power), layout), start, None, axis=2)
    white = graph.slice(noise, -layout.noise_bins, None, axis=2)
    return graph.node(
        "Concat",
        graph.slice(features, 0, start, axis=2),
        graph.node("Mul", white, level),
        graph.slice(features, hop, None, axis=2),
        axis=2,
    )


def overlapping(
    graph: Graph, coefficients: str, layout: TransformLayout, bins: int | None = None
) -> tuple[str, str]:
    """The two hops of waveform (batch, frames, hop) that each frame spans, of its first `bins`
    coefficients or of all.
    """
    hop = layout.transform_hop
    frames = graph.node("MatMul", coefficients, graph.constant(lambda: mdct_basis(hop)[:bins]))
    return graph.slice(frames, 0, hop, axis=2), graph.slice(frames, hop, None, axis=2)


def mdct(graph: Graph, hops: str, layout: TransformLayout) -> str:
    """The MDCT of each hop with the next: (batch, frames + 1, hop) → (batch, frames, hop)."""
    spans = graph.node(
        "Concat", graph.slice(hops, 0, -1, axis=1), graph.slice(hops, 1, None, axis=1), axis=2
    )
    return graph.node("MatMul", spans, graph.constant(lambda: mdct_basis(layout.transform_hop).T))


def _excite(part: Part, x: str, features: str, layout: TransformLayout) -> str:
    """`Excitation`: the last block's output and [u, log g] → [u, log g]."""
    graph = part.graph
    halves = exciting(graph, coefficients_of(graph, features, layout), layout)
    rectified = graph.node("Abs", _overlap_add(graph, *halves))
    return mix(part, features, gates(part, x, layout), rectified, layout)


def exciting(graph: Graph, coefficients: str, layout: TransformLayout) -> tuple[str, str]:
    """`Excitation.spans`: what the lowest bands of each frame add to two hops."""
    lowest = graph.slice(coefficients, 0, layout.excitation_bins, axis=2)
    return overlapping(graph, lowest, layout, layout.excitation_bins)


def gates(part: Part, x: str, layout: TransformLayout) -> str:
    """`Excitation.gates`: (batch, frames, excited bands)."""
    return linear(part.child("gate"), x, layout.width, layout.excited_bands)


def mix(part: Part, features: str, gates: str, rectified: str, layout: TransformLayout) -> str:
    """`Excitation.mix`: [u, log g], gates, hops of the rectified waveform → [u, log g]."""
    graph, hop = part.graph, layout.transform_hop
    coefficients = mdct(graph, rectified, layout)
    power = band_power(graph, coefficients, layout)
    excitation, _ = _normalise(graph, coefficients, power, layout)
    gain = np.exp(part.weight("gain", layout.excited_bands).astype(np.float32))
    added = graph.node("Mul", _root_of_sigmoid(graph, gates), graph.constant(gain))
    kept = _root_of_sigmoid(graph, graph.node("Neg", gates))
    lower = graph.integers(0, 0, layout.excitation_bands, 0, 0, 0)
    added = _spread(graph, graph.node("Pad", added, lower), layout)
    kept = _spread(graph, graph.node("Pad", kept, lower, graph.number(1.0)), layout)
    own = graph.node("Mul", kept, graph.slice(features, 0, hop, axis=2))
    shape = graph.node("Add", own, graph.node("Mul", added, excitation))
    return graph.node("Concat", shape, graph.slice(features, hop, None, axis=2), axis=2)


def _root_of_sigmoid(graph: Graph, x: str) -> str:
    return graph.node("Sqrt", graph.node("Sigmoid", x))


def _block(part: Part, x: str, layout: TransformLayout, look_ahead: int) -> str:
    """`Block`: x + γ·perceptron(norm(depthwise convolution(x)))."""
    graph, width, depthwise = part.graph, layout.width, part.child("depthwise")
    seen = graph.node(
        "Conv",
        graph.node("Transpose", x, perm=[0, 2, 1]),
        depthwise.constant("weight", width, 1, layout.kernel),
        depthwise.constant("bias", width),
        group=width,
        pads=[layout.kernel - 1 - look_ahead, look_ahead],
    )
    return block(part, x, graph.node("Transpose", seen, perm=[0, 2, 1]), layout)


def block(part: Part, x: str, seen: str, layout: TransformLayout) -> str:
    """`Block`: x + γ·perceptron(norm(seen)), of what the depthwise convolution has seen."""
    graph, width, inner, norm = (
        part.graph,
        layout.width,
        layout.expansion * layout.width,
        part.child("norm"),
    )
    y = graph.node(
        "LayerNormalization",
        seen,
        norm.constant("weight", width),
        norm.constant("bias", width),
        axis=-1,
    )
    y = linear(part.child("widen"), y, width, inner)
    y = linear(part.child("narrow"), _gelu(graph, y), inner, width)
    return graph.node("Add", x, graph.node("Mul", y, part.constant("scale", width)))


def _gelu(graph: Graph, x: str) -> str:
    """x·Φ(x), Φ the normal distribution: ½·(x·(1 + erf(x/√2))), a form that onnxruntime knows and
    computes at once, with the bias before it.
    """
    error = graph.node("Erf", graph.node("Div", x, graph.number(2**0.5)))
    doubled = graph.node("Mul", x, graph.node("Add", error, graph.number(1.0)))
    return graph.node("Mul", doubled, graph.number(0.5))


def linear(part: Part, x: str, channels_in: int, channels_out: int) -> str:
    """A linear layer on the last axis."""
    weight = part.graph.constant(part.weight("weight", channels_out, channels_in).T)
    return part.graph.node(
        "Add", part.graph.node("MatMul", x, weight), part.constant("bias", channels_out)
    )


def _spread(graph: Graph, x: str, layout: TransformLayout) -> str:
    """`Bands.spread`: (batch, frames, bands) → (batch, frames, hop); a product with ones and zeros
    takes less than to gather values.
    """
    spread = np.eye(len(layout.bands), dtype=np.float32)[:, band_of(layout.bands)]
    return graph.node("MatMul", x, graph.constant(spread))
