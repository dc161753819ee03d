"""Training states on disk: one file, whole or not at all, read without unpickling objects."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from ..errors import CheckpointError

STATE = "state.pt"
_FORMAT = "diveq-codec training state 1"


def save_state(folder: Path, state: dict[str, Any]) -> Path:
    """Write `folder/state.pt`; a crash in between leaves the previous one."""
    path = folder / STATE
    part = folder / (STATE + ".part")
    with part.open("wb") as file:
        torch.save({"format": _FORMAT, **state}, file)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    return path


def load_state(path: Path) -> dict[str, Any]:
    """Read a training state from its file or its folder."""
    path = path / STATE if path.is_dir() else path
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds; all mean that the file is not one of ours
        raise CheckpointError(f"{path} is not a readable training state: {error}") from error
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise CheckpointError(f"{path} is not a training state of this version; expected {_FORMAT!r}")
    return state
