"""`diveq-codec models`: the models that are found by name."""

from __future__ import annotations

import json as json_format
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import arg

from .console import note, show, show_data
from .options import Debug, Json, Paths

if TYPE_CHECKING:
    from codec import ModelInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """List the models, or describe model files."""

    paths: Annotated[Paths, arg(metavar="[NAME|PATH...]")]
    """Models to describe, by name, file or run's folder; by default all that are found by name:
    the shipped ones, and those in the folders that $DIVEQ_MODELS lists."""
    json: Json = False
    debug: Debug = False

    def run(self) -> int:
        """List them, the default one marked."""
        from codec import found_models, model_info

        models = [model_info(name) for name in self.paths] if self.paths else found_models()
        if not models:
            note("no model came with this version; give a model file with --model")
        for facts in map(model_facts, models):
            if self.json:
                show_data(json_format.dumps(facts))
                continue
            for line in _lines(facts):
                show(line)
        return 0


def model_facts(model: ModelInfo) -> dict[str, Any]:
    """What `--json` prints; `trained` is what the model file says of its making."""
    from codec import DEFAULT_MODEL, shipped_models

    config = model.config
    shipped = {other.path for other in shipped_models()}
    kbps = [stage.bits * config.frame_rate_hz / 1000 for stage in config.stages]
    return {
        "name": model.name,
        "default": model.name == DEFAULT_MODEL and model.path in shipped,
        "path": str(model.path),
        "fingerprint": model.fingerprint.hex(),
        "sample_rate_hz": config.sample_rate_hz,
        "frame_rate_hz": config.frame_rate_hz,
        "stages": len(config.stages),
        "least_kbps": kbps[0],
        "most_kbps": sum(kbps),
        "bytes": model.size_bytes,
        "trained": dict(model.facts),
    }


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts for people."""
    yield f"{facts['name']}{' (default)' if facts['default'] else ''}"
    yield f"  fingerprint  {facts['fingerprint']}"
    yield f"  rate         {facts['sample_rate_hz']} Hz, {facts['frame_rate_hz']:g} frames/s"
    yield (
        f"  bitrate      {facts['least_kbps']:g} to {facts['most_kbps']:g} kbps, {facts['stages']} "
        f"stages"
    )
    yield f"  size         {facts['bytes'] / 1e6:.1f} MB"
    for name, value in facts["trained"].items():
        if isinstance(value, float):
            value = f"{value:,.0f}"
        if isinstance(value, str | int):  # settings and tables of scores are for --json
            yield f"  {name.replace('_', ' '):<12} {value}"
