"""Model files: safetensors with the configuration as JSON in the metadata. Loading needs nothing
else.

Tensors named `model.*` are the weights (float16 or float32, weight norm and running statistics
folded), tensors named `entropy.*` the integer tables of the entropy coder. The fingerprint that a
`.dvq` file carries is the first 6 bytes of a SHA-256 over the configuration and all tensors, so a
renamed model file still matches and a changed one does not. The stored fingerprint is also the
file's checksum: loading compares it with the content.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np

from .bitstream import EntropyTables, StageLayout
from .bitstream.header import FINGERPRINT_BYTES
from .errors import BitstreamError, CheckpointError, ConfigError, OutputError
from .files.output import atomic_output, is_special_file
from .layouts.config import ModelConfig

FORMAT = "diveq-codec model 1"
SUFFIX = ".safetensors"

_WEIGHTS, _TABLES = "model.", "entropy."
_INFINITE_HALF = 0x7C00  # the bits of a float16, but for its sign; NaNs are above


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A model file's content. `facts` says how the model was trained; it takes no part in
    coding.
    """

    config: ModelConfig
    weights: Mapping[str, np.ndarray]
    tables: Mapping[str, np.ndarray] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def fingerprint(self) -> bytes:
        """6 bytes that name the weights, the tables and the configuration; computed once."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> bytes:
        # Through the strict reader, so that a whole number in a field for fractions counts as what
        # a file gives back.
        config = ModelConfig.from_dict(self.config.to_dict())
        digest = hashlib.sha256(json.dumps(_departures(config), sort_keys=True).encode())
        for name, tensor in sorted(self._tensors().items()):
            little = np.ascontiguousarray(tensor, dtype=tensor.dtype.newbyteorder("<"))
            digest.update(f"{name} {tensor.dtype.name} {tensor.shape}\n".encode())
            digest.update(little.data)
        return digest.digest()[:FINGERPRINT_BYTES]

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file, whole or not at all; an existing one only with `overwrite`.

        Raises:
            CheckpointError: It cannot be written, or holds what a model file has no place for:
                weights that are neither float16 nor float32 or not finite, tables that are not
                integers, facts that are not JSON.
        """
        from safetensors.numpy import save

        tensors = self._tensors()
        for name, tensor in tensors.items():
            if fault := _misplaced(name, tensor.dtype.name):
                raise CheckpointError(f"a model file cannot hold the tensor {fault}")
        if fault := self._not_finite():
            raise CheckpointError(f"the model is not saved: {fault}")
        metadata = {
            "format": FORMAT,
            "fingerprint": self.fingerprint().hex(),
            "config": json.dumps(self.config.to_dict()),
            "facts": _to_json(self.facts),
        }
        try:
            with atomic_output(path, overwrite=overwrite) as file:
                file.write(
                    save(
                        {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()},
                        metadata,
                    )
                )
        except (OutputError, OSError) as error:
            raise CheckpointError(f"the model is not saved: {error}") from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Checkpoint:
        """Read a model file.

        Raises:
            CheckpointError: There is none, it is damaged, or it is not a model file of this
                version; the message says which.
        """
        with _open(path) as file:
            header = _header(path, file)
            tensors = _tensors_of(path, file)
        checkpoint = cls(
            config=header.config,
            weights=_with_prefix(tensors, _WEIGHTS),
            tables=_with_prefix(tensors, _TABLES),
            facts=header.facts,
        )
        found = checkpoint.fingerprint()
        if found != header.fingerprint:
            raise CheckpointError(
                f"{path} is damaged: its content has the fingerprint {found.hex()}, "
                f"and it says {header.fingerprint.hex()}; fetch it again"
            )
        if fault := checkpoint._not_finite() or checkpoint._misfit():
            raise CheckpointError(f"{path} cannot code: {fault}")
        return checkpoint

    def _not_finite(self) -> str | None:
        """The first tensor that no model can compute with, if any."""
        for name, tensor in self._tensors().items():
            if not _is_finite(tensor):
                return f"the tensor {name!r} holds NaN or infinite values"
        return None

    def _misfit(self) -> str | None:
        """Why the entropy tables cannot code this model's indices, if so."""
        if not self.tables:
            return None
        try:
            tables = EntropyTables.from_arrays(self.tables)
            tables.check_fits([StageLayout(stage.bits) for stage in self.config.stages])
        except (BitstreamError, ConfigError) as error:
            return f"its entropy tables do not fit its configuration ({error})"
        return None

    def _tensors(self) -> dict[str, np.ndarray]:
        weights = {_WEIGHTS + name: tensor for name, tensor in self.weights.items()}
        return weights | {_TABLES + name: tensor for name, tensor in self.tables.items()}


@dataclass(frozen=True)
class Header:
    """What a model file says about itself before its tensors."""

    config: ModelConfig
    fingerprint: bytes
    facts: dict[str, Any]


def read_header(path: str | PathLike[str]) -> Header:
    """Read a model file's header, without its tensors.

    Raises:
        CheckpointError: There is no such file, or it is not a model file of this version.
    """
    with _open(path) as file:
        return _header(path, file)


def _open(path: str | PathLike[str]) -> Any:
    from safetensors import SafetensorError, safe_open

    if is_special_file(path):  # safetensors would wait for a pipe, and hear no stop signal
        raise CheckpointError(f"{path} is not a readable model file: it is a pipe or a device")
    try:
        return safe_open(path, framework="np")
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no model file {path}") from error
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is not a readable model file: {error}") from error


def _header(path: str | PathLike[str], file: Any) -> Header:
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        found = repr(metadata["format"]) if "format" in metadata else "none"
        raise CheckpointError(
            f"{path} is not a model file of this version: its format is {found}, not {FORMAT!r}"
        )
    try:
        config = ModelConfig.from_dict(json.loads(metadata.get("config", "")))
    except (ValueError, RecursionError, ConfigError) as error:
        raise CheckpointError(f"{path} has a configuration that cannot be used: {error}") from error
    try:
        facts = json.loads(metadata.get("facts", "{}"))
        fingerprint = bytes.fromhex(metadata.get("fingerprint", ""))
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header: {error}") from error
    if not isinstance(facts, dict) or len(fingerprint) != FINGERPRINT_BYTES:
        raise CheckpointError(
            f"{path} has a damaged header: its facts or its fingerprint cannot be read"
        )
    return Header(config, fingerprint, facts)


def _tensors_of(path: str | PathLike[str], file: Any) -> dict[str, np.ndarray]:
    tensors = {}
    for name in file.keys():  # noqa: SIM118 (not a dict)
        kind = str(file.get_slice(name).get_dtype())
        if fault := _misplaced(name, _NUMPY_NAMES.get(kind, kind)):
            raise CheckpointError(f"{path} holds the tensor {fault}")
        tensors[name] = file.get_tensor(name)
    return tensors


_NUMPY_NAMES = {
    "F16": "float16",
    "F32": "float32",
    "I8": "int8",
    "U16": "uint16",
    "U32": "uint32",
    "I32": "int32",
}


def _misplaced(name: str, type_name: str) -> str | None:
    """Return why a tensor does not belong in a model file, or None."""
    if name.startswith(_WEIGHTS):
        allowed = ("float16", "float32")
    elif name.startswith(_TABLES):
        allowed = ("int8", "uint16", "uint32", "int32")
    else:
        return f"{name!r}, which belongs to no part of a model"
    return (
        None
        if type_name in allowed
        else f"{name!r} of the type {type_name}, not {' or '.join(allowed)}"
    )


def _departures(value: Any) -> Any:
    """A configuration as JSON types, without the fields that have their defaults.

    So a field that a later version adds, with the default that keeps old models as they are,
    changes no fingerprint; the default of a field that was released may never change.
    """
    if isinstance(value, tuple):
        return [_departures(item) for item in value]
    if not dataclasses.is_dataclass(value):
        return value
    fields = {field.name: field.default for field in dataclasses.fields(value)}
    return {
        name: _departures(getattr(value, name))
        for name, default in fields.items()
        if getattr(value, name) != default
    }


def _to_json(facts: Mapping[str, Any]) -> str:
    try:
        return json.dumps(dict(facts), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"the facts of a model are plain JSON (no NaN, no arrays): {error}"
        ) from error


def _is_finite(tensor: np.ndarray) -> bool:
    """Whether all values are finite; of float16 by their bits, as NumPy's own test takes long."""
    if tensor.dtype == np.float16:
        return bool((tensor.view(np.uint16) & 0x7FFF).max(initial=0) < _INFINITE_HALF)
    return bool(np.isfinite(tensor).all())


def _with_prefix(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
