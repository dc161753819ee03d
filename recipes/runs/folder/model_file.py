"""Make a model file of a run's state: averaged weights, entropy tables from training clips, scores
on held-out clips.

python -m recipes.runs.folder.model_file --run runs/mine --validation speech/val \\
    --model runs/mine/model.safetensors
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from codec.bitstream import NONE, EntropyTables
from codec.errors import CheckpointError
from codec.training.data.clips import Manifest, read_manifest
from codec.training.state import load_state, training_facts
from codec.training.to_model_file import averaged_model, model_tables, to_checkpoint
from codec.training.validation import (
    HeldOut,
    audio_files,
    codec_of,
    rate_table,
    read_clip,
    read_held_out,
)

from ...markdown import table
from ...rates import StageCounts
from ...run_script import run_script, score_workers

MANIFEST = "manifest.jsonl"
TABLE_MINUTES = 600.0
_MOST_SHIFTS = 8


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which run to make a model file of."""

    run: Path
    """The run's folder, with `state.pt` and `manifest.jsonl`."""
    validation: Path
    """Folder tree of audio to measure on."""
    model: Path
    """The model file to write."""
    weight_type: Literal["float16", "float32"] = "float16"
    table_minutes: float = TABLE_MINUTES
    """How much training audio the entropy tables are fitted on; where there is less, it is used
    again, shifted.
    """
    stage_counts: StageCounts = (1, 2, 3, 4, 6, 8, 10, 12, 14, 20, 28)
    workers: int = 2
    """Processes that score; 1 scores in this one."""
    force: bool = False
    """Overwrite an existing model file."""


def main(arguments: Arguments) -> None:
    if arguments.model.exists() and not arguments.force:  # before an hour of scoring, not after it
        raise CheckpointError(
            f"{arguments.model} exists already; choose another name, or allow overwriting with "
            f"--force"
        )
    state = load_state(arguments.run)
    manifest = read_manifest(arguments.run / MANIFEST)
    clips = read_held_out(
        audio_files(arguments.validation), state["model_config"]["sample_rate_hz"]
    )
    with score_workers(arguments.workers) as workers:
        export(
            state,
            manifest,
            clips,
            arguments.model,
            weight_type=arguments.weight_type,
            table_minutes=arguments.table_minutes,
            stage_counts=arguments.stage_counts,
            workers=workers,
            overwrite=arguments.force,
        )


def export(
    state: dict[str, Any],
    manifest: Manifest,
    clips: Sequence[HeldOut],
    path: Path,
    *,
    weight_type: Literal["float16", "float32"] = "float16",
    table_minutes: float = TABLE_MINUTES,
    stage_counts: Sequence[int],
    workers: Executor | None = None,
    overwrite: bool = False,
) -> None:
    """Write the model file, with the facts of its training and its scores on `clips` (from coded
    files).
    """
    model = averaged_model(state)
    stages = [count for count in stage_counts if count <= len(model.config.stages)]
    tables = fitted_tables(to_checkpoint(model, weight_type=weight_type), manifest, table_minutes)
    codec = codec_of(to_checkpoint(model, weight_type=weight_type, tables=tables))
    rows = rate_table(codec, clips, stages, workers)
    facts = training_facts(state) | {"validation": rows}
    checkpoint = to_checkpoint(model, weight_type=weight_type, tables=tables, facts=facts)
    checkpoint.save(path, overwrite=overwrite)
    print(format_rows(rows))


def fitted_tables(checkpoint: Any, manifest: Manifest, minutes: float) -> EntropyTables:
    """Tables for the codes of clips spread evenly over the training data, or of all clips, several
    times.

    Each time the frames begin elsewhere: that gives other codes of the same kind, and so better
    tables.
    """
    codec = codec_of(checkpoint)
    rate, hop = codec.config.sample_rate_hz, codec.config.hop
    share = 60 * minutes / manifest.seconds
    every, times = max(1, round(1 / share)), min(max(1, round(share)), _MOST_SHIFTS)
    codes = []
    for clip in manifest.clips[::every]:
        wave = read_clip(manifest.root / clip.path, rate)
        shifts = [wave[hop * time // times :] for time in range(times)]
        versions = [encoded.codes[0] for encoded in codec.encode_batch(shifts, sample_rate_hz=rate)]
        frames = min(version.shape[1] for version in versions)
        shifted = np.stack([version[:, :frames] for version in versions])
        codes.append(shifted[..., (shifted != NONE).all((0, 1))])  # digital silence has no stages
    return model_tables(codec.config, codes)


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The table of `rate_table` as Markdown."""
    names = list(rows[0])
    cells = [
        [f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in names]
        for row in rows
    ]
    return table(names, cells)


if __name__ == "__main__":
    run_script(main, Arguments)
