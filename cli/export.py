"""`diveq-codec export`: a model as ONNX graphs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from .console import show
from .options import Debug, Force, Named


@dataclass(frozen=True, kw_only=True, slots=True)
class Export:
    """Write a model as ONNX graphs, for programs in other languages.

    $ diveq-codec export speech_16khz graphs/

    This command itself needs no export: it computes model files with onnxruntime where PyTorch is
    not installed. The folder will hold encoder.onnx (wave to codes), decoder.onnx (codes to wave),
    tables.safetensors (counts for the entropy coder) and model.json (what they are, and their
    SHA-256).
    """

    model: Annotated[Named, arg(metavar="NAME|PATH")]
    """A model's name, a model file, or a run's folder."""
    folder: Annotated[Named, arg(metavar="FOLDER")]
    """Where to write; made if it is not there."""
    force: Force = False
    debug: Debug = False

    def run(self) -> int:
        """Write the files and list them."""
        from codec import export_onnx

        for name, size in export_onnx(self.model, self.folder, overwrite=self.force).items():
            show(f"{Path(self.folder) / name}  {size:,} bytes")
        return 0
