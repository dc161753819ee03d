"""Score a model file on a folder of speech at several bitrates, from coded files: OUT.json and OUT.md.

python -m recipes.evaluate --model runs/mine/model.safetensors --data speech/test --out runs/mine/test
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codec import Codec, ConfigError, atomic_output
from codec.training.export import code_commit
from codec.training.validation import audio_files, rate_table, read_held_out

from .folder.export import format_rows
from .held_out import spread
from .run_script import run_script, score_workers


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which model to score, and on what."""

    model: Path
    """A model file, or the name of a shipped model."""
    data: Path
    """Folder tree of audio that the model was not trained on."""
    out: Path
    """What the two results are called, without ".json" and ".md"."""
    clips: int | None = None
    """How many clips to measure, evenly spread over the sorted paths; None is all."""
    stage_counts: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 10, 12)
    """How many quantizer stages to decode from; what the model lacks is left out."""
    device: str = "auto"
    workers: int = 2
    """Processes that score."""


def main(arguments: Arguments) -> None:
    codec = Codec.load(arguments.model, device=arguments.device)
    counts = [count for count in arguments.stage_counts if count <= len(codec.config.stages)]
    if not counts:
        raise ConfigError(f"{arguments.model} has {len(codec.config.stages)} stages; give a stage count up to that")
    paths = audio_files(arguments.data)
    clips = read_held_out(spread(paths, arguments.clips), codec.config.sample_rate_hz)
    with score_workers(arguments.workers) as workers:
        rows = rate_table(codec, clips, counts, workers)
    result: dict[str, Any] = {
        "model": str(arguments.model),
        "fingerprint": codec.fingerprint.hex(),
        "data": arguments.data.name,
        "files": len(paths),
        "clips": len(clips),
        "seconds": sum(len(clip.wave) for clip in clips) / codec.config.sample_rate_hz,
        "code": code_commit(),
        "rows": rows,
    }
    text = as_markdown(result)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    _write(Path(f"{arguments.out}.json"), json.dumps(result, indent=2) + "\n")
    _write(Path(f"{arguments.out}.md"), text)
    print(text, end="")


def as_markdown(result: dict[str, Any]) -> str:
    """The table, and what it was measured on."""
    sample = "all" if result["clips"] == result["files"] else f"{result['clips']}, evenly spread,"
    return (
        f"Model `{result['model']}` ({result['fingerprint']}) on `{result['data']}`: {sample} of {result['files']} "
        f"files, {result['seconds'] / 60:.1f} minutes; bitrates of the whole files; code {result['code']}.\n\n"
        f"{format_rows(result['rows'])}\n"
    )


def _write(path: Path, text: str) -> None:
    with atomic_output(path, overwrite=True) as file:
        file.write(text.encode())


if __name__ == "__main__":
    run_script(main, Arguments)
