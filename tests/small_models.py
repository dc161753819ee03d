"""Small models of both layouts, with changes to theirs."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import torch
from synthesis import synthesize_speech

from codec.checkpoint import Checkpoint
from codec.layouts.config import ModelConfig, StageConfig
from codec.layouts.presets import tiny
from codec.layouts.stage_kinds import StageKind
from codec.layouts.transform.transform_layout import TransformLayout
from codec.model import CodecModel


def tiny_filterbank(**changes: Any) -> ModelConfig:
    """`tiny`, with another filterbank."""
    layout = tiny().filterbank
    assert layout is not None
    return dataclasses.replace(tiny(), filterbank=dataclasses.replace(layout, **changes))


def shallow(kind: StageKind = "diveq", stages: int = 2) -> ModelConfig:
    """`tiny` with a quarter of its layers and small codebooks, where many steps are trained."""
    config = tiny_filterbank(
        strides=(40,), dilations=(1,), encoder_width=16, decoder_width=32, frontend_kernel=16
    )
    return dataclasses.replace(config, stages=(StageConfig(kind=kind, bits=4, dim=4),) * stages)


def tiny_noisy(**changes: Any) -> ModelConfig:
    """`tiny_transform` with little look-ahead, noise, and a vector for lost frames."""
    return tiny_transform(
        **{
            "encoder_look_ahead": (1, 0),
            "decoder_look_ahead": (0, 1, 0),
            "level_look_ahead": 0,
            "noise_channels": 2,
            "noise_bands": 1,
            "conceals": True,
        }
        | changes
    )


def tiny_transform(**changes: Any) -> ModelConfig:
    """`tiny` in the transform layout."""
    layout = TransformLayout(
        bands=(20, 60, 240), width=24, encoder_blocks=2, decoder_blocks=3, kernel=3
    )
    return dataclasses.replace(
        tiny(), filterbank=None, transform=dataclasses.replace(layout, **changes)
    )


@functools.cache
def started_checkpoint(config: ModelConfig) -> Checkpoint:
    """A model whose codebooks were started from speech-like latents; its sound is noise, its codes
    are varied.
    """
    torch.manual_seed(5)
    model = CodecModel(config)
    if config.conceals:
        torch.nn.init.normal_(model.decoder.unknown)
    wave = torch.from_numpy(synthesize_speech(4.0, seed=2))[None, None]
    with torch.no_grad():
        latents = (
            model.encoder(wave[..., : wave.shape[2] // config.hop * config.hop])
            .transpose(1, 2)
            .flatten(0, 1)
        )
        model.start_quantizing(latents, torch.Generator().manual_seed(0))
    weights = {name: value.detach().numpy() for name, value in model.folded().named_parameters()}
    return Checkpoint(config=config, weights=weights)
