"""Model files: safetensors with the configuration as JSON in the metadata. Loading needs nothing else.

Tensors named `model.*` are the weights (float16 or float32, weight norm and running statistics folded), tensors
named `entropy.*` the integer tables of the entropy coder. The fingerprint that a `.dvq` file carries is the
first 6 bytes of a SHA-256 over the configuration and all tensors, so a renamed model file still matches and a
changed one does not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .config import ModelConfig
from .errors import CheckpointError, ConfigError

FORMAT = "diveq-codec model 1"
SUFFIX = ".safetensors"
DEFAULT_MODEL = "speech_16khz_small"  # the shipped model that encodes where none is named
FINGERPRINT_BYTES = 6


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model file's content. `facts` says how the model was trained; it takes no part in coding."""

    config: ModelConfig
    weights: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> bytes:
        """6 bytes that name the weights, the tables and the configuration."""
        digest = hashlib.sha256(json.dumps(self.config.to_dict(), sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
            digest.update(f"{name} {tensor.dtype.name} {tensor.shape}\n".encode())
            digest.update(little.tobytes())
        return digest.digest()[:FINGERPRINT_BYTES]

    def save(self, path: str | Path) -> None:
        """Write the file, whole or not at all."""
        from safetensors.numpy import save_file

        path = Path(path)
        metadata = {
            "format": FORMAT,
            "fingerprint": self.fingerprint().hex(),
            "config": json.dumps(self.config.to_dict()),
            "facts": json.dumps(dict(self.facts)),
        }
        part = path.with_name(path.name + ".part")
        try:
            save_file({name: np.ascontiguousarray(t) for name, t in self._tensors().items()}, part, metadata)
            part.replace(path)
        except OSError as error:
            raise CheckpointError(f"cannot write {path}: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Checkpoint:
        """Read a model file; `CheckpointError` names what is wrong with it."""
        with _open(path) as file:
            metadata = _metadata(path, file)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        checkpoint = cls(
            config=_config(path, metadata),
            weights=_with_prefix(tensors, "model."),
            tables=_with_prefix(tensors, "entropy."),
            facts=json.loads(metadata.get("facts", "{}")),
        )
        found = checkpoint.fingerprint().hex()
        if metadata.get("fingerprint") != found:
            raise CheckpointError(
                f"{path} is damaged: its content has fingerprint {found}, it says {metadata.get('fingerprint')}"
            )
        return checkpoint

    def _tensors(self) -> dict[str, np.ndarray]:
        weights = {f"model.{name}": tensor for name, tensor in self.weights.items()}
        return weights | {f"entropy.{name}": tensor for name, tensor in self.tables.items()}


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """A shipped model, as its file's header describes it."""

    name: str
    path: Path
    fingerprint: bytes
    config: ModelConfig
    facts: Mapping[str, Any]
    size_bytes: int


def shipped_models() -> list[ModelInfo]:
    """The models that came with the package, by name; only the files' headers are read."""
    return [model_info(path) for path in sorted(_models_folder().glob(f"*{SUFFIX}"))]


def model_info(path: str | Path) -> ModelInfo:
    """What a model file says of itself, without reading its weights."""
    path = Path(path)
    with _open(path) as file:
        metadata = _metadata(path, file)
    return ModelInfo(
        name=path.stem,
        path=path,
        fingerprint=bytes.fromhex(metadata["fingerprint"]),
        config=_config(path, metadata),
        facts=json.loads(metadata.get("facts", "{}")),
        size_bytes=path.stat().st_size,
    )


def find_model(name_or_path: str | PathLike[str]) -> Path:
    """The file of a shipped model's name, or the path itself."""
    named = _models_folder() / f"{name_or_path}{SUFFIX}"
    if named.is_file():
        return named
    if Path(name_or_path).is_file():
        return Path(name_or_path)
    known = ", ".join(path.stem for path in sorted(_models_folder().glob(f"*{SUFFIX}"))) or "none"
    raise CheckpointError(f"no model file at {name_or_path}, and no shipped model of that name; shipped: {known}")


def model_with_fingerprint(fingerprint: bytes) -> Path:
    """The shipped model that a stream's fingerprint names."""
    for info in shipped_models():
        if info.fingerprint == fingerprint:
            return info.path
    known = ", ".join(f"{info.name} ({info.fingerprint.hex()})" for info in shipped_models()) or "none"
    raise CheckpointError(
        f"no shipped model has the fingerprint {fingerprint.hex()}; name the model's file. Shipped: {known}"
    )


def _models_folder() -> Path:
    from importlib.resources import files

    return Path(str(files("codec.checkpoints")))


def _open(path: str | Path):
    from safetensors import SafetensorError, safe_open

    try:
        return safe_open(path, framework="np")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable model file: {error}") from error


def _metadata(path: str | Path, file: Any) -> dict[str, str]:
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        found = metadata.get("format", "no format at all")
        raise CheckpointError(f"{path} is not a model of this version: it says {found!r}, expected {FORMAT!r}")
    return metadata


def _config(path: str | Path, metadata: Mapping[str, str]) -> ModelConfig:
    try:
        return ModelConfig.from_dict(json.loads(metadata.get("config", "")))
    except (json.JSONDecodeError, ConfigError) as error:
        raise CheckpointError(f"{path} has a configuration that cannot be used: {error}") from error


def _with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
