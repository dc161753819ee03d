"""From a training state to the model file that `Codec.load` takes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..bitstream import EntropyTables, StageLayout
from ..checkpoint import Checkpoint
from ..config import ModelConfig
from ..model import CodecModel
from ..quantizers import sort_codebook

_WEIGHT_TYPES = {"float16": np.float16, "float32": np.float32}


def averaged_model(state: dict[str, Any]) -> CodecModel:
    """The averaged weights of a training state (`load_state`), folded for inference.

    The codebooks of DiVeQ stages are put in tour order: it changes no sound, and gives the high bits of an index
    a meaning that the entropy coder uses. SF codebooks are in the order of their curve already.
    """
    model = CodecModel(ModelConfig.from_dict(state["model_config"]))
    model.load_state_dict(state["trainer"]["averaged"])
    model = model.folded()
    for stage in model.quantizer:
        if not stage.config.is_space_filling:
            sort_codebook(stage)
    return model


def to_checkpoint(
    model: CodecModel,
    *,
    weight_type: Literal["float16", "float32"] = "float16",
    tables: EntropyTables | None = None,
    facts: dict[str, Any] | None = None,
) -> Checkpoint:
    """A folded model as the content of a model file."""
    return Checkpoint(
        config=model.config,
        weights={name: _as_stored(name, value, weight_type) for name, value in model.named_parameters()},
        tables=tables.to_arrays() if tables else {},
        facts=facts or {},
    )


def _as_stored(name: str, value: torch.Tensor, weight_type: str) -> np.ndarray:
    array = value.detach().cpu().numpy()
    stored = array.astype(_WEIGHT_TYPES[weight_type])
    if not np.isfinite(stored).all():
        raise ValueError(f"{name} does not fit {weight_type}; export float32")
    return stored


def fit_tables(config: ModelConfig, codes: Sequence[np.ndarray]) -> EntropyTables:
    """Entropy tables for codes (stages, frames) of many clips, coded by a model of this configuration."""
    layout = tuple(StageLayout(stage.bits) for stage in config.stages)
    return EntropyTables.fit(codes, layout)


def code_commit() -> str:
    """The git commit of this source tree, with "+" where it has changes; "unknown" outside of a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--dirty=+"], cwd=here, capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit.stdout.decode().strip()
