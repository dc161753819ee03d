"""A model as ONNX graphs in a folder, for programs in other languages; this package itself runs
model files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from os import PathLike
from pathlib import Path
from typing import Any

from ...audio.high_pass import coefficients
from ...checkpoint import Checkpoint
from ...errors import CheckpointError, OutputError
from ...files.output import atomic_output
from ...model_lookup import find_model
from .model_graphs import model_graphs

__all__ = ["export_onnx"]

FORMAT = "diveq-codec onnx 1"
DESCRIPTION = "model.json"


def export_onnx(
    name_or_path: str | PathLike[str], folder: str | PathLike[str], *, overwrite: bool = False
) -> dict[str, int]:
    """Write a model as `encoder.onnx`, `decoder.onnx`, `tables.safetensors` and `model.json`;
    returns their sizes.

    encoder.onnx: `wave` float32 (batch, 1, frames·hop), high-passed by the filter of which
    model.json has the coefficients (`codec/audio/high_pass.py`) → `codes` int32 (batch, stages,
    frames).
    decoder.onnx: `codes` int32 (batch, any number of first stages, frames), -1 where a frame has no
    more stages → `wave` float32 (batch, 1, frames·hop).
    Where the model has SF-DiVeQ stages, both also take `positions` int32 (stages,): how many
    positions an index has per codeword, 2^position_bits, and 1 for DiVeQ stages.
    tables.safetensors, where the model has them: the integer counts of the entropy coder
    (bitstream/FORMAT.md). model.json: fingerprint, configuration, the frames that each graph sees
    around one, how the model was trained, and the SHA-256 of the other files. It is written last.

    Args:
        name_or_path: a shipped model's name, or a model file.
        folder: made if it is not there.
        overwrite: replace files of these names.

    Raises:
        CheckpointError: no such model, or it is damaged; or the files cannot be written, or exist.

    Example:
        >>> import tempfile
        >>> from codec import DEFAULT_MODEL
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(export_onnx(DEFAULT_MODEL, folder))
        ['decoder.onnx', 'encoder.onnx', 'model.json', 'tables.safetensors']
    """
    checkpoint = Checkpoint.load(find_model(name_or_path))
    files = _files(checkpoint)
    files[DESCRIPTION] = json.dumps(_description(checkpoint, files), indent=1).encode()
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with atomic_output(Path(folder) / name, overwrite=overwrite) as file:
                file.write(content)
    except (OutputError, OSError) as error:
        raise CheckpointError(f"the graphs are not written: {error}") from error
    return {name: len(content) for name, content in files.items()}


def _files(checkpoint: Checkpoint) -> dict[str, bytes]:
    from safetensors.numpy import save

    graphs = model_graphs(checkpoint.config, checkpoint.weights)
    metadata = {"format": FORMAT, "fingerprint": checkpoint.fingerprint().hex()}
    files = {
        "encoder.onnx": graphs.encoder.to_bytes(metadata),
        "decoder.onnx": graphs.decoder.to_bytes(metadata),
    }
    if checkpoint.tables:
        files["tables.safetensors"] = save(dict(checkpoint.tables), metadata)
    return files


def _description(checkpoint: Checkpoint, files: dict[str, bytes]) -> dict[str, Any]:
    config = checkpoint.config
    numerator, denominator = coefficients(config.sample_rate_hz)
    return {
        "format": FORMAT,
        "fingerprint": checkpoint.fingerprint().hex(),
        "config": config.to_dict(),
        "hop": config.hop,
        "high_pass": {"numerator": numerator, "denominator": denominator},
        "encoder_context_frames": dataclasses.asdict(config.layout.encoder_context),
        "decoder_context_frames": dataclasses.asdict(config.layout.decoder_context),
        "facts": dict(checkpoint.facts),
        "sha256": {name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
    }
