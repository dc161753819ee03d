"""The transform layout on a stream as graphs with state in and out, layer by layer as
`codec.model.streaming`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import numpy as np

from ...layouts.config import ModelConfig
from ...layouts.receptive_field import Layer, look_ahead
from ...layouts.transform.transform_layout import TransformLayout
from ...layouts.transform.transform_nodes import (
    add_noise,
    band_power,
    block,
    coefficients_of,
    enter,
    exciting,
    features,
    fill,
    gates,
    leave,
    linear,
    mdct,
    mix,
    overlapping,
)
from .graph import Graph
from .parts import Part
from .quantizer_graph import dequantize, lost_frames, positions_input, stages_of, views_of


class _Step:
    """The new frames on their way through the layers; `behind` is how many frames their numbers
    have fallen behind.

    Makes the inputs of `frame_inputs`, and `state_0`, …; and the outputs `window_0`, …, whose last
    frames are the new states.
    """

    def __init__(self, graph: Graph, layers: list[Layer], kernel: int) -> None:
        self._graph = graph
        self._layers = layers
        self._done = 0
        self.behind = 0
        self._inside = graph.input("inside", "bool", ["padded", 1])
        self._first = look_ahead(layers) + 1  # in `inside`, of the new frames
        self._parts: dict[int, str] = {}  # of `inside`, by their first frame
        self.spans = graph.input("spans", "int64", ["frames", kernel])

    def window(self, x: str) -> str:
        """Return the input window of the next layer: the frames that it kept, and the new ones."""
        graph, layer, name = self._graph, self._layers[self._done], f"state_{self._done}"
        kept = layer.before + layer.after
        before = graph.input(name, "float32", ["batch", kept, layer.width])
        window = graph.node("Concat", before, x, axis=1)
        graph.output(f"window_{self._done}", window, "float32", ["batch", "window", layer.width])
        self._done += 1
        self.behind += layer.after
        return window

    def is_inside(self, later: int = 0) -> str:
        """Whether the stream has the frames, or those so many `later`: (frames, 1)."""
        start = self._first - self.behind + later
        if start not in self._parts:
            part = self._graph.slice(self._inside, start, start - self._first or None, axis=0)
            self._parts[start] = part
        return self._parts[start]

    def inside(self, x: str) -> str:
        """Set frames outside of the stream to zero."""
        return self._graph.node("Where", self.is_inside(), x, self._graph.number(0.0))

    def level_power(self, power: str, after: int) -> str:
        """Average power over the frame before, the frame and `after` frames; at the stream's ends
        its last frame is repeated.
        """
        graph = self._graph
        own = graph.slice(power, 1, -after if after else None, axis=1)
        before = graph.slice(power, 0, -1 - after, axis=1)
        total = graph.node("Add", own, graph.node("Where", self.is_inside(-1), before, own))
        if after:
            following = graph.slice(power, 2, None, axis=1)
            following = graph.node("Where", self.is_inside(1), following, own)
            total = graph.node("Add", total, following)
        return graph.node("Div", total, graph.number(2.0 + after))


def frame_inputs(
    first: int, frames: int, end: int, *, look_ahead: int, kernel: int
) -> Mapping[str, np.ndarray]:
    """The inputs that say where a step's new frames are, in a stream of `end` frames.

    inside: whether the stream has them, and one and `look_ahead` frames before; spans: the places
    that each of them sees in the window of a block.
    """
    before, after = min(first, look_ahead + 1), min(end - first, frames)
    return _frame_inputs(before, frames, after, look_ahead, kernel)


@functools.lru_cache(maxsize=32)
def _frame_inputs(
    before: int, frames: int, after: int, look_ahead: int, kernel: int
) -> Mapping[str, np.ndarray]:
    """The same for most steps of a stream, that has so many frames before the first and after."""
    here = np.arange(-look_ahead - 1, frames)[:, None]
    spans = np.arange(frames)[:, None] + np.arange(kernel)
    return {"inside": (here >= -before) & (here < after), "spans": spans}


def encoder_step_graph(config: ModelConfig, weights: Mapping[str, np.ndarray]) -> Graph:
    """`encode_step`: hops float32 (batch, frames, hop), states → what the quantizer's stages see of
    the latents (batch, latents, views), windows.
    """
    layout = _layout(config)
    model = Part(Graph("encoder_step"), weights, "")
    graph, part = model.graph, model.child("encoder")
    hops = graph.input("hops", "float32", ["batch", "frames", layout.transform_hop])
    step = _Step(graph, layout.encoder_layers, layout.kernel)
    window = step.window(hops)
    window = step.window(mdct(graph, window, layout))
    power = band_power(graph, window, layout)
    power = step.level_power(power, layout.level_look_ahead)
    own = graph.slice(window, 1, -layout.level_look_ahead or None, axis=1)
    x = linear(
        part.child("entry"),
        features(graph, own, power, layout),
        layout.transform_hop + len(layout.bands),
        layout.width,
    )
    for child, ahead in zip(part.child("blocks").children(), layout.encoder_reach, strict=False):
        x = _block(step, child, x, layout, ahead)
    latent = leave(part, x, layout, config.latent_channels)
    views, ones = views_of(stages_of(model.child("quantizer"), config))
    seen = graph.node("MatMul", latent, graph.constant(views.T))
    seen = graph.node("Add", seen, graph.constant(ones))
    graph.output("seen", seen, "float32", ["batch", "latents", len(ones)])
    return graph


def decoder_step_graph(config: ModelConfig, weights: Mapping[str, np.ndarray]) -> Graph:
    """`decode_step`: codes, noise (1, look-ahead + frames, values), states → hops, windows."""
    layout = _layout(config)
    layers = layout.decoder_layers
    model = Part(Graph("decoder_step"), weights, "")
    graph, part = model.graph, model.child("decoder")
    codes = graph.input("codes", "int32", ["batch", "stages", "latents"])
    noise = (
        graph.input("noise", "float32", [1, "padded", layout.noise_values_of_frame])
        if config.noise_values
        else ""
    )
    step = _Step(graph, layers, layout.kernel)
    latent = dequantize(model.child("quantizer"), codes, positions_input(graph, config), config)
    lost = lost_frames(graph, codes) if config.conceals else ""
    x = enter(part, latent, lost, layout, config.latent_channels)

    def of_frames_here() -> str:
        start = look_ahead(layers) - step.behind
        return graph.slice(noise, start, -step.behind or None, axis=1) if noise else ""

    for number, ahead in enumerate(layout.decoder_reach):
        x = add_noise(part, number, x, of_frames_here(), layout)
        x = _block(step, part.child("blocks").child(str(number)), x, layout, ahead)
    made = linear(part.child("exit"), x, layout.width, layout.transform_hop + len(layout.bands))
    if layout.noise_bands:
        made = fill(graph, made, of_frames_here(), layout)
    if layout.excitation_bands:
        made = _excite(step, part.child("excitation"), x, made, layout)
    begun, rest = overlapping(graph, step.inside(coefficients_of(graph, made, layout)), layout)
    hops = graph.node("Add", begun, graph.slice(step.window(rest), 0, -1, axis=1))
    graph.output("hops", hops, "float32", ["batch", "frames", layout.transform_hop])
    return graph


def _block(step: _Step, part: Part, x: str, layout: TransformLayout, ahead: int) -> str:
    x = step.inside(x)
    window = step.window(x)
    own = part.graph.slice(window, layout.kernel - 1 - ahead, -ahead, axis=1) if ahead else x
    return block(part, own, _convolved(step, part.child("depthwise"), window, layout), layout)


def _convolved(step: _Step, part: Part, window: str, layout: TransformLayout) -> str:
    """The depthwise convolution of a window, as sums of products: `Conv` takes five times as long
    for a few frames.
    """
    graph, width = part.graph, layout.width
    taps = part.weight("weight", width, 1, layout.kernel)[:, 0].T
    seen = graph.node("Gather", window, step.spans, axis=1)
    products = graph.node("Mul", seen, graph.constant(taps))
    total = graph.node("ReduceSum", products, graph.integers(2), keepdims=0)
    return graph.node("Add", total, part.constant("bias", width))


def _excite(step: _Step, part: Part, x: str, made: str, layout: TransformLayout) -> str:
    """`_excite` of `codec.model.streaming`."""
    graph, hop = part.graph, layout.transform_hop
    begun, rest = exciting(graph, step.inside(coefficients_of(graph, made, layout)), layout)
    hops = graph.node("Add", begun, graph.slice(step.window(rest), 0, -1, axis=1))
    parts = graph.node("Abs", hops), made, gates(part, x, layout)
    window = step.window(graph.node("Concat", *parts, axis=2))
    frames = graph.slice(window, 0, -1, axis=1)
    gates_at = 2 * hop + len(layout.bands)
    return mix(
        part,
        graph.slice(frames, hop, gates_at, axis=2),
        graph.slice(frames, gates_at, None, axis=2),
        graph.slice(window, 0, hop, axis=2),
        layout,
    )


def _layout(config: ModelConfig) -> TransformLayout:
    assert config.transform is not None
    return config.transform
