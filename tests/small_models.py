"""Small models of both layouts, with changes to theirs."""

from __future__ import annotations

import dataclasses
from typing import Any

from codec.layouts.config import ModelConfig
from codec.layouts.presets import tiny
from codec.layouts.transform.transform_layout import TransformLayout


def tiny_filterbank(**changes: Any) -> ModelConfig:
    """`tiny`, with another filterbank."""
    layout = tiny().filterbank
    assert layout is not None
    return dataclasses.replace(tiny(), filterbank=dataclasses.replace(layout, **changes))


def tiny_noisy(**changes: Any) -> ModelConfig:
    """`tiny_transform` with little look-ahead, noise, and a vector for lost frames."""
    return tiny_transform(
        **{
            "encoder_look_ahead": (1, 0),
            "decoder_look_ahead": (0, 1, 0),
            "level_look_ahead": 0,
            "noise_channels": 2,
            "conceals": True,
        }
        | changes
    )


def tiny_transform(**changes: Any) -> ModelConfig:
    """`tiny` in the transform layout."""
    layout = TransformLayout(bands=(20, 60, 240), width=24, encoder_blocks=2, decoder_blocks=3, kernel=3)
    return dataclasses.replace(tiny(), filterbank=None, transform=dataclasses.replace(layout, **changes))
