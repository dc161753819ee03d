"""Finds model files: by the name of a model, by a path, by the fingerprint of a stream."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from .checkpoint import SUFFIX, read_header
from .errors import CheckpointError
from .layouts.config import ModelConfig

DEFAULT_MODEL = "speech_16khz"  # the shipped model that encodes where none is named
LIVE_MODEL = "speech_16khz_live"  # the shipped model for calls, which looks little ahead
MODEL_FILE = "model.safetensors"  # the model in a run's folder, and on the hub
MODELS_VARIABLE = "DIVEQ_MODELS"  # folders of models, with the separator of PATH between them


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A model, as its file's header describes it."""

    name: str
    path: Path
    fingerprint: bytes
    config: ModelConfig
    facts: Mapping[str, Any]
    size_bytes: int


def shipped_models() -> list[ModelInfo]:
    """The models that came with the package, by name; only the files' headers are read."""
    return [model_info(path) for path in _model_files(_models_folder())]


def found_models() -> list[ModelInfo]:
    """The models that are found by name: the shipped ones, and those in the folders that
    $DIVEQ_MODELS lists.
    """
    models = []
    for path in _found_files().values():
        with contextlib.suppress(CheckpointError):  # these folders may hold other files, too
            models.append(model_info(path))
    return models


def model_info(name_or_path: str | PathLike[str]) -> ModelInfo:
    """Read what a model's file, found as by `find_model`, states about itself, without its
    weights.
    """
    named = is_model_name(name_or_path)
    path = find_model(name_or_path) if named else _in_folder(Path(name_or_path))
    header = read_header(path)
    return ModelInfo(
        name=model_name(path),
        path=path,
        fingerprint=header.fingerprint,
        config=header.config,
        facts=header.facts,
        size_bytes=path.stat().st_size,
    )


def find_model(name_or_path: str | PathLike[str]) -> Path:
    """Return the file of a model's name, or the path itself; for a run's folder, the model file in
    it.

    Names are those of shipped models, and of files in the folders that $DIVEQ_MODELS lists.
    """
    if is_model_name(name_or_path):
        return _found_files()[str(name_or_path)]
    path = _in_folder(Path(name_or_path))
    if path.is_file():
        return path
    if path.is_dir():
        raise CheckpointError(
            f"the folder {name_or_path} holds no {MODEL_FILE}: has its run come to its end?"
        )
    raise CheckpointError(f"no model file at {name_or_path}, and no model of that name; {_known()}")


def is_model_name(name: str | PathLike[str]) -> bool:
    """Whether a model is found by this name; a file or folder that is called so comes after it."""
    return str(name) in _found_files()


def model_with_fingerprint(fingerprint: bytes) -> Path:
    """The model that a stream's fingerprint names, among those that are found by name."""
    for info in found_models():
        if info.fingerprint == fingerprint:
            return info.path
    raise CheckpointError(
        f"no model at hand has the fingerprint {fingerprint.hex()}: name its file by --model "
        f"(Codec.load), or put it "
        f"into a folder that {MODELS_VARIABLE} lists; {_known()}"
    )


def _known() -> str:
    return f"known: {', '.join(_found_files()) or 'none'}"


def model_name(path: Path) -> str:
    """Return the display name of a model file: its own name, or that of its run's folder."""
    return path.resolve().parent.name if path.name == MODEL_FILE else path.stem


def _found_files() -> dict[str, Path]:
    """The shipped models, and those in the folders that the environment lists and in runs below
    them, by name.
    """
    folders = [Path(name) for name in os.environ.get(MODELS_VARIABLE, "").split(os.pathsep) if name]
    files = [*_model_files(_models_folder())]
    for folder in folders:
        files += [*_model_files(folder), *sorted(folder.glob(f"*/{MODEL_FILE}"))]
    by_name: dict[str, Path] = {}
    for path in files:
        by_name.setdefault(model_name(path), path)
    return by_name


def _model_files(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


def _in_folder(path: Path) -> Path:
    """The model file of a run's folder, where there is one; else the path itself."""
    return path / MODEL_FILE if (path / MODEL_FILE).is_file() else path


def _models_folder() -> Path:
    installed, in_a_checkout = (
        Path(__file__).parent / "checkpoints",
        Path(__file__).parents[1] / "checkpoints",
    )
    return installed if installed.is_dir() else in_a_checkout
