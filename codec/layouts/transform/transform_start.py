"""Sets the transform layout's weights before its first step: from waves, or from a model with more
look-ahead, fewer blocks or shorter latents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .transform_layout import TransformLayout
from .transform_network import Block, TransformDecoder, TransformEncoder

if TYPE_CHECKING:
    from jaxtyping import Float


@torch.no_grad()
def start_from_waves(
    encoder: TransformEncoder, decoder: TransformDecoder, waves: Float[Tensor, "batch 1 time"]
) -> None:
    """Set the outer layers to the principal components of the waves' features, most important
    first, and those between blocks and latent to the components of these over the frames of a
    latent.

    Features are weighted by what an error in them does to the waveform, but by its square root: a
    coefficient by its band's long-term level to the power of a half, as the high frequencies of
    speech are weak and yet heard; the level of a band of n coefficients like √n of them.
    """
    hop, bands = encoder.analysis.hop, encoder.analysis.bands
    features = encoder.analysis(waves).flatten(0, 1).double()
    power = (2 * features[:, hop:]).exp()  # of each band, in each frame
    frame_power = bands.spread(power).mean(1, keepdim=True)
    long_term = (power / frame_power).mean(0).sqrt()
    weight = (long_term / long_term.mean()).sqrt()
    count = torch.bincount(bands.band_of)
    weight = torch.cat([bands.spread(weight), weight * count.sqrt()])
    weighted = features * weight
    mean = weighted.mean(0)
    components = _principal(weighted - mean)[: encoder.entry.out_features]
    within = F.pad(
        (weighted - mean) @ components.T, (0, encoder.entry.out_features - len(components))
    )
    joint = _principal(within.reshape(-1, encoder.exit.in_features))[: encoder.exit.out_features]

    _set(encoder.entry, components * weight, -(components @ mean))
    _set(encoder.exit, joint)
    _set(decoder.entry, joint.T)
    _set(decoder.exit, components.T / weight[:, None], mean / weight)
    if decoder.excitation is not None:
        decoder.excitation.gain.zero_()  # u comes with an RMS near 1


@torch.no_grad()
def limit_look_ahead(
    weights: Mapping[str, Tensor], theirs: TransformLayout, ours: TransformLayout
) -> None:
    """Rewrite, in place, the weights of a layout with more look-ahead for the look-ahead of `ours`,
    to train on from them.

    A frame keeps its weight; the weights of frames that are out of sight now go to the last frame
    in sight.
    """
    for side, before, after in (
        ("encoder", theirs.encoder_reach, ours.encoder_reach),
        ("decoder", theirs.decoder_reach, ours.decoder_reach),
    ):
        for block, lost in enumerate(a - b for a, b in zip(before, after, strict=False)):
            if lost == 0:
                continue
            kernel = weights[
                f"{side}.blocks.{block}.depthwise.weight"
            ]  # channels 1 kernel, from past to future
            moved = F.pad(kernel[..., :-lost], (lost, 0))
            moved[..., -1] += kernel[..., -lost:].sum(-1)
            kernel.copy_(moved)


@torch.no_grad()
def pass_new_blocks(
    encoder: TransformEncoder, decoder: TransformDecoder, theirs: TransformLayout
) -> None:
    """Make the blocks after those of `theirs` the identity, from which training changes them."""
    blocks = [
        *list(encoder.blocks)[theirs.encoder_blocks :],
        *list(decoder.blocks)[theirs.decoder_blocks :],
    ]
    for block in blocks:
        assert isinstance(block, Block)
        block.narrow.weight.zero_()
        block.narrow.bias.zero_()
    for entry in list(decoder.noise)[theirs.decoder_blocks :]:
        assert isinstance(entry, nn.Linear)
        entry.weight.zero_()


@torch.no_grad()
def join_latents(weights: dict[str, Tensor], count: int) -> None:
    """Rewrite, in place, the weights of a model for latents of `count` times as many frames: each
    is so many of the old ones, one after another.

    The quantizer's weights are dropped.
    """
    for name in [name for name in weights if name.startswith("quantizer.")]:
        del weights[name]
    for name in ("encoder.exit.weight", "decoder.entry.weight"):
        weights[name] = torch.block_diag(*[weights[name]] * count)
    for name in ("encoder.exit.bias", "decoder.entry.bias", "decoder.unknown"):
        if name in weights:
            weights[name] = weights[name].repeat(count)


def _principal(x: Float[Tensor, "n values"]) -> Float[Tensor, "values values"]:
    """Directions of the largest variance first, for x of zero mean."""
    _, directions = torch.linalg.eigh(x.T @ x)  # in ascending order
    return directions.flip(1).T


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    """Fill the upper left of the weight and the front of the bias, with zeros behind."""
    layer.weight.zero_()
    layer.weight[: weight.shape[0], : weight.shape[1]] = weight.to(layer.weight)
    layer.bias.zero_()
    if bias is not None:
        layer.bias[: len(bias)] = bias.to(layer.bias)
