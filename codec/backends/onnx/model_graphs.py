"""Encoder and decoder as graphs, layer by layer as PyTorch's modules make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ...layouts.config import ModelConfig
from ...layouts.filterbank.filterbank_layout import FilterbankLayout
from ...layouts.filterbank.filterbank_nodes import filterbank_decoder, filterbank_encoder
from ...layouts.transform.transform_layout import TransformLayout
from ...layouts.transform.transform_nodes import transform_decoder, transform_encoder
from .graph import Graph
from .parts import Part, misfit
from .quantizer_graph import dequantize, lost_frames, positions_input, quantize

# The functions that build a layout's encoder and decoder.
NODES: dict[type, tuple[Callable[..., str], Callable[..., str]]] = {
    TransformLayout: (transform_encoder, transform_decoder),
    FilterbankLayout: (filterbank_encoder, filterbank_decoder),
}


@dataclass(frozen=True, kw_only=True)
class ModelGraphs:
    """A model as two graphs.

    encoder: wave float32 (batch, 1, frames·hop) → codes int32 (batch, stages, frames).
    decoder: codes int32 (batch, any number of first stages, frames) → wave float32 (batch, 1,
    frames·hop); a code of -1 stands for none, of a frame that has fewer stages.

    Where the model has noise, the decoder takes `noise` float32 (1 or batch, frames, values), which
    `codec.layouts.noise` makes. Where it conceals, codes of LOST stand for a lost frame.

    Where the model has SF stages, both take `positions` int32 (stages,): positions per segment, 1
    for other stages.
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
    encoder, _ = NODES[type(config.layout)]
    latent = encoder(model.child("encoder"), wave, config.layout, config.latent_channels)
    codes = quantize(model.child("quantizer"), latent, positions_input(graph, config), config)
    graph.output("codes", codes, "int32", ["batch", len(config.stages), "frames"])


def _build_decoder(model: Part, config: ModelConfig) -> None:
    graph = model.graph
    codes = graph.input("codes", "int32", ["batch", "stages", "frames"])
    noise = (
        graph.input("noise", "float32", ["noises", "frames", config.noise_values])
        if config.noise_values
        else ""
    )
    latent = dequantize(model.child("quantizer"), codes, positions_input(graph, config), config)
    lost = lost_frames(graph, codes) if config.conceals else ""
    _, decoder = NODES[type(config.layout)]
    wave = decoder(
        model.child("decoder"), latent, noise, lost, config.layout, config.latent_channels
    )
    graph.output("wave", wave, "float32", ["batch", 1, "samples"])
