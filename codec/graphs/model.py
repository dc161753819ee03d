"""Encoder and decoder as graphs, layer by layer as `codec.model.model` makes them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..config import ModelConfig
from .graph import Graph
from .parts import Part, conv, conv_transpose, misfit, residual_unit, snake
from .quantizer import dequantize, has_curves, quantize


@dataclass(frozen=True, kw_only=True)
class ModelGraphs:
    """A model as two graphs.

    encoder: wave float32 (batch, 1, frames·hop) → codes int32 (batch, stages, frames).
    decoder: codes int32 (batch, any number of first stages, frames) → wave float32 (batch, 1, frames·hop).

    Where the model has SF stages, both take `positions` int32 (stages,): positions per segment, 1 for other stages.
    """

    encoder: Graph
    decoder: Graph


def model_graphs(config: ModelConfig, weights: Mapping[str, np.ndarray]) -> ModelGraphs:
    """The graphs of a model's folded weights.

    Raises:
        CheckpointError: The weights do not fit the configuration.
    """
    encoder, decoder = (Part(Graph(name), weights, "") for name in ("encoder", "decoder"))
    _build_encoder(encoder, config)
    _build_decoder(decoder, config)
    if unused := sorted(set(weights) - encoder.taken - decoder.taken):
        raise misfit(unused[0])
    return ModelGraphs(encoder=encoder.graph, decoder=decoder.graph)


def _build_encoder(model: Part, config: ModelConfig) -> None:
    graph = model.graph
    wave = graph.input("wave", "float32", ["batch", 1, "samples"])
    latent = _encoder(model.child("encoder"), wave, config)
    codes = quantize(model.child("quantizer"), latent, _positions(graph, config), config)
    graph.output("codes", codes, "int32", ["batch", len(config.stages), "frames"])


def _build_decoder(model: Part, config: ModelConfig) -> None:
    graph = model.graph
    codes = graph.input("codes", "int32", ["batch", "stages", "frames"])
    latent = dequantize(model.child("quantizer"), codes, _positions(graph, config), config)
    wave = _decoder(model.child("decoder"), latent, config)
    graph.output("wave", wave, "float32", ["batch", 1, "samples"])


def _positions(graph: Graph, config: ModelConfig) -> str:
    return graph.input("positions", "int32", [len(config.stages)]) if has_curves(config) else ""


def _encoder(part: Part, x: str, config: ModelConfig) -> str:
    """`model.Encoder`: wave → latent (batch, latent_channels, frames)."""
    layers, width, causal = part.children(), config.encoder_width, config.causal
    x = conv(next(layers), x, 1, width, config.frontend_kernel, causal=causal, stride=config.frontend_stride)
    for stride in config.strides:
        for dilation in config.dilations:
            x = residual_unit(next(layers), x, width, config.residual_kernel, dilation, causal=causal)
        x = snake(next(layers), x, width)
        x = conv(next(layers), x, width, 2 * width, 2 * stride, causal=causal, stride=stride)
        width *= 2
    x = snake(next(layers), x, width)
    return conv(next(layers), x, width, config.latent_channels, 3, causal=causal)


def _decoder(part: Part, x: str, config: ModelConfig) -> str:
    """`model.Decoder`: latent → wave (batch, 1, frames·hop)."""
    layers, width, causal = part.children(), config.decoder_width, config.causal
    x = conv(next(layers), x, config.latent_channels, width, 7, causal=causal)
    for stride in reversed(config.strides):
        x = snake(next(layers), x, width)
        x = conv_transpose(next(layers), x, width, width // 2, 2 * stride, causal=causal, stride=stride)
        width //= 2
        for dilation in config.dilations:
            x = residual_unit(next(layers), x, width, config.residual_kernel, dilation, causal=causal)
    x = snake(next(layers), x, width)
    return conv_transpose(
        next(layers), x, width, 1, config.frontend_kernel, causal=causal, stride=config.frontend_stride
    )
