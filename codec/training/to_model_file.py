"""Converts a training state to the model file that `Codec.load` takes."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from ..bitstream import EntropyTables, StageLayout, fit_tables
from ..checkpoint import Checkpoint
from ..errors import CheckpointError
from ..layouts.config import ModelConfig
from ..model import CodecModel
from ..quantizers import sort_codebook

WeightType = Literal["float16", "float32"]


def averaged_model(state: dict[str, Any]) -> CodecModel:
    """The averaged weights of a training state (`load_state`), folded for inference.

    The codebooks of DiVeQ stages are put in tour order: it changes no sound, and gives the high
    bits of an index a meaning that the entropy coder uses. SF codebooks are in the order of their
    curve already.

    Raises:
        CheckpointError: The run had not begun to quantize, or the weights are not those of its
            configuration.
    """
    trainer = state["trainer"]
    if not trainer["quantizing"]:
        raise CheckpointError(
            f"at step {trainer['steps']} the run has no codebooks yet, so there is no model: train "
            f"on, "
            "until its first validation"
        )
    model = CodecModel(ModelConfig.from_dict(state["model_config"]))
    try:
        model.load_state_dict(trainer["averaged"])
    except RuntimeError as error:
        raise CheckpointError(
            f"the state's weights do not fit its configuration: {error}"
        ) from error
    model = model.folded()
    for stage in model.quantizer:
        if not stage.config.is_space_filling:
            sort_codebook(stage)
    return model


def to_checkpoint(
    model: CodecModel,
    *,
    weight_type: WeightType = "float16",
    tables: EntropyTables | None = None,
    facts: dict[str, Any] | None = None,
) -> Checkpoint:
    """Convert a folded model to the content of a model file.

    Raises:
        CheckpointError: A weight is not finite, or beyond float16's 65504.
    """
    return Checkpoint(
        config=model.config,
        weights={
            name: _as_stored(name, value, weight_type) for name, value in model.named_parameters()
        },
        tables=tables.to_arrays() if tables else {},
        facts=facts or {},
    )


def _as_stored(name: str, value: torch.Tensor, weight_type: WeightType) -> np.ndarray:
    array = value.detach().cpu().numpy()
    if not np.isfinite(array).all():
        raise CheckpointError(
            f"the weights {name} hold NaN or infinite values: the training has failed"
        )
    largest, limit = float(np.abs(array).max(initial=0)), float(np.finfo(weight_type).max)
    if largest > limit:
        raise CheckpointError(
            f"the weights {name} reach {largest:.4g}, beyond {weight_type}: export float32"
        )
    return array.astype(weight_type)


def model_tables(config: ModelConfig, codes: Sequence[np.ndarray]) -> EntropyTables:
    """Entropy tables for codes of many clips, for a model of this configuration."""
    layout = tuple(StageLayout(stage.bits) for stage in config.stages)
    return fit_tables(codes, layout)


def code_commit() -> str:
    """The git commit of this source tree, with "+" where it has changes; "unknown" outside of a
    checkout.
    """
    here = Path(__file__)
    try:
        # An installed package may lie in the repository of something else, which does not track it.
        _git(here.parent, "ls-files", "--error-unmatch", here.name)
        return _git(here.parent, "describe", "--always", "--abbrev=12", "--dirty=+")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, check=True, text=True
    ).stdout.strip()
