"""Make a model file of a run's state: averaged weights, entropy tables from training clips, scores
on held-out clips.

python -m recipes.runs.folder.model_file --run runs/mine --validation speech/val \\
    --model runs/mine/model.safetensors
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any, Literal

import numpy as np

from codec import Codec
from codec.bitstream import NONE, EntropyTables
from codec.checkpoint import Checkpoint
from codec.errors import CheckpointError, ConfigError
from codec.files.output import refuse_existing
from codec.layouts.config import ModelConfig
from codec.streams.allocation import allocate, frame_powers, stages_per_db
from codec.training.data.clips import Manifest, read_manifest
from codec.training.entropy_networks import MOST_STAGES, add_networks
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

from ...held_out import spread
from ...markdown import table
from ...rates import StageCounts
from ...run_script import run_script, score_workers
from ...stderr_progress import progress_on_stderr
from .run_manifest import MANIFEST

TABLE_MINUTES = 600.0
_MOST_SHIFTS = 8
_PACKET_SECONDS = 2  # as files of low rates have them
_TABLES_SHARE = 0.7  # of the time there is; the scores take the rest
_CODING_SHARE = 0.5  # of the time for tables, where networks take the rest


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
    networks: int | None = None
    """How many first stages may have a network in their entropy tables: smaller files, which take
    longer to code. By default 6, and none in a model for calls.
    """
    stage_counts: StageCounts = (1, 2, 3, 4, 6, 8, 10, 12, 14, 20, 28)
    workers: int = 2
    """Processes that score; 1 scores in this one."""
    force: bool = False
    """Overwrite an existing model file."""

    def __post_init__(self) -> None:
        if not 0 < self.table_minutes < math.inf:
            raise ConfigError(f"table_minutes is positive, not {self.table_minutes}")
        if self.workers < 1:
            raise ConfigError(f"workers is at least 1, not {self.workers}")


def main(arguments: Arguments) -> None:
    # before an hour of scoring, not after it
    refuse_existing(arguments.model, overwrite=arguments.force)
    if not arguments.model.parent.is_dir():
        raise CheckpointError(
            f"cannot write {arguments.model}: there is no folder {arguments.model.parent}"
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
            networks=arguments.networks,
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
    networks: int | None = None,
    stage_counts: Sequence[int],
    workers: Executor | None = None,
    overwrite: bool = False,
    until: float = math.inf,
) -> None:
    """Write the model file, with the facts of its training and its scores on `clips` (from coded
    files).

    It is done at `until` (`time.monotonic`) or soon after it: tables are then fitted to fewer
    codes, and fewer clips are scored.
    """
    model = averaged_model(state)
    stages = stage_counts_of(model.config, stage_counts)
    plain = to_checkpoint(model, weight_type=weight_type)
    tables = fitted_tables(
        plain, manifest, table_minutes, networks, until=_part(until, _TABLES_SHARE)
    )
    codec = codec_of(to_checkpoint(model, weight_type=weight_type, tables=tables))
    rows = _scores(codec, clips, stages, workers, until)
    facts = training_facts(state) | {"validation": rows}
    checkpoint = to_checkpoint(model, weight_type=weight_type, tables=tables, facts=facts)
    checkpoint.save(path, overwrite=overwrite)
    print(format_rows(rows))


def stage_counts_of(config: ModelConfig, stage_counts: Sequence[int]) -> list[int]:
    """Those of the numbers of stages that the model has."""
    stages = len(config.stages)
    counts = [count for count in stage_counts if count <= stages]
    if not counts:
        raise ConfigError(f"the model has {stages} stages, and all of stage_counts are more")
    return counts


def _part(until: float, share: float) -> float:
    """When `share` of the time from now on is over."""
    return monotonic() + share * (until - monotonic())


def _scores(
    codec: Codec,
    clips: Sequence[HeldOut],
    stages: Sequence[int],
    workers: Executor | None,
    until: float,
) -> list[dict[str, Any]]:
    """The `rate_table` of as many clips as can be scored in the time."""
    if until < math.inf:
        begun = monotonic()
        rate_table(codec, clips[:1], stages, workers)
        now = monotonic()
        clips = spread(clips, max(1, int((until - now) / (now - begun))))
    label = f"scoring {len(clips)} clips with {len(stages)} numbers of stages"
    with progress_on_stderr(label, unit="files") as report:
        return rate_table(codec, clips, stages, workers, progress=report)


def fitted_tables(
    checkpoint: Checkpoint,
    manifest: Manifest,
    minutes: float,
    networks: int | None = None,
    *,
    until: float = math.inf,
) -> EntropyTables:
    """Tables for the codes of clips spread evenly over the training data, or of all clips, several
    times; with a network for the first stages, up to `networks`.

    Each time the frames begin elsewhere: that gives other codes of the same kind, and so better
    tables. Where `until` comes first, there are fewer codes, of clips drawn from all.
    """
    codec, config = codec_of(checkpoint), checkpoint.config
    if networks is None:
        networks = 0 if _is_for_calls(config) else MOST_STAGES
    share = 60 * minutes / manifest.seconds
    every, times = max(1, round(1 / share)), min(max(1, round(share)), _MOST_SHIFTS)
    codes, at_rates = [], []
    rng = np.random.default_rng(len(manifest.clips))
    clips = manifest.clips[::every]
    coding_until = _part(until, _CODING_SHARE if networks else 1.0)
    label = f"entropy tables: coding {len(clips)} clips, {times} time(s) each"
    with progress_on_stderr(label, unit="share") as report:
        begun = monotonic()
        for done, chosen in enumerate(rng.permutation(len(clips)), start=1):
            wave = read_clip(manifest.root / clips[chosen].path, config.sample_rate_hz)
            versions, waves = _shifted(codec, wave, times)
            codes.append(versions[..., (versions != NONE).all((0, 1))])  # silence has no stages
            if networks:
                pairs = zip(versions, waves, strict=True)
                at_rates.append(np.stack([_at_a_rate(*pair, config, rng) for pair in pairs]))
            now = monotonic()
            if now >= coding_until:
                break
            report(max(done / len(clips), (now - begun) / (coding_until - begun)), 1)
    tables = model_tables(config, codes)
    if not networks:
        return tables
    points = [
        checkpoint.weights[f"quantizer.stages.{number}.codebook"].astype(np.float32)
        for number in range(len(config.stages))
    ]
    label = f"entropy tables: networks for up to {networks} stages"
    with progress_on_stderr(label, unit="share") as report:
        return add_networks(
            tables,
            at_rates,
            points,
            packet_frames=round(_PACKET_SECONDS * config.frame_rate_hz),
            stages=networks,
            until=until,
            report=lambda words: print(words, file=sys.stderr, flush=True),
            progress=report,
        )


def _shifted(codec: Codec, wave: np.ndarray, times: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Codes (times, stages, frames) of a wave whose frames begin elsewhere each time, and the
    samples of these frames.
    """
    rate, hop = codec.config.sample_rate_hz, codec.config.hop
    shifts = [wave[hop * time // times :] for time in range(times)]
    versions = [encoded.codes[0] for encoded in codec.encode_batch(shifts, sample_rate_hz=rate)]
    frames = min(version.shape[1] for version in versions)
    waves = [np.resize(shift, frames * hop) for shift in shifts]
    return np.stack([version[:, :frames] for version in versions]), waves


def _is_for_calls(config: ModelConfig) -> bool:
    """Whether packets hold few frames, of which a network sees little, and have little time."""
    return config.transform is not None and bool(config.transform.encoder_look_ahead)


def _at_a_rate(
    codes: np.ndarray, wave: np.ndarray, config: ModelConfig, rng: np.random.Generator
) -> np.ndarray:
    """Codes (stages, frames) of a wave as they are at one of the bitrates that the model has."""
    bits = [stage.bits for stage in config.stages]
    depths = allocate(
        frame_powers(wave, config.hop)[None],
        bits,
        rng.uniform(bits[0], sum(bits)),
        config.least_stages,
        stages_per_db(config.frame_rate_hz),
    )
    return np.where(np.arange(len(codes))[:, None] < depths, codes, NONE)


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
