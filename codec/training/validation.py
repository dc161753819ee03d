"""Measures the quality of a model on held-out clips, from the bits that a file would hold."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..api import Codec
from ..audio import open_audio, resample_blocks, walk_audio
from ..checkpoint import Checkpoint
from ..errors import AudioError
from ..evaluation.evaluate import evaluate
from ..evaluation.model_candidate import model_candidates
from ..evaluation.result import System
from ..evaluation.signal import NamedSignal
from ..model import CodecModel
from .logs import RunLog
from .to_model_file import to_checkpoint

MEASURES = ("pesq_wb", "estoi", "stoi", "si_sdr", "mel_distance")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A clip (samples,) at the model's rate; `name` is its own in TensorBoard."""

    name: str
    wave: np.ndarray


def audio_files(folder: Path) -> list[Path]:
    """All audio files below a folder, sorted by path."""
    paths = sorted(walk_audio(folder))
    if not paths:
        raise AudioError(f"no audio files below {folder}")
    return paths


def read_held_out(paths: Sequence[Path], sample_rate_hz: int) -> list[HeldOut]:
    """The files, decoded, at the rate asked for, named by their place below the folder that holds
    them all.
    """
    root = os.path.commonpath([path.parent for path in paths])
    names = [path.relative_to(root).with_suffix("").as_posix() for path in paths]
    return [
        HeldOut(name=name, wave=read_clip(path, sample_rate_hz))
        for name, path in zip(names, paths, strict=True)
    ]


def read_clip(path: Path, sample_rate_hz: int) -> np.ndarray:
    """A whole file, its channels averaged as in training: float32 (samples,) at the rate asked
    for.
    """
    with open_audio(path) as reader:
        blocks = (block.mean(axis=0, keepdims=True) for block in reader.blocks())
        parts = resample_blocks(
            blocks, from_hz=reader.sample_rate_hz, to_hz=sample_rate_hz, channels=1
        )
        return np.concatenate([np.zeros((1, 0), np.float32), *parts], axis=1)[0]


def rate_table(
    codec: Codec,
    clips: Sequence[HeldOut],
    stage_counts: Sequence[int],
    workers: Executor | None = None,
    progress: Callable[[int, int], None] = lambda done, clips: None,
) -> list[dict[str, Any]]:
    """One row per stage count: kbps really spent (the whole `.dvq` file's bits) and the mean of
    each measure.

    A measure that fails on a clip is left out of the mean and counted in `failed`. Metrics run in
    `workers`; `progress` is told how many clips are done.
    """
    rate = codec.config.sample_rate_hz
    done = itertools.count(1)
    evaluation = evaluate(
        [NamedSignal.mono(clip.name, clip.wave, rate) for clip in clips],
        model_candidates(codec, stage_counts=stage_counts),
        data="held out",
        metrics=MEASURES,
        workers=workers or 1,
        on_reference=lambda _name, _decoded: progress(next(done), len(clips)),
    )
    return [
        _row(stages, system)
        for stages, system in zip(stage_counts, evaluation.systems, strict=True)
    ]


def _row(stages: int, system: System) -> dict[str, Any]:
    means = {name: mean.mean for name, mean in system.means.items()}
    failed = sum(mean.failed for mean in system.means.values())
    return {"stages": stages, "kbps": system.kbps, **means, "failed": failed}


class Validator:
    """Scores the averaged model during a run, and lets the first clips be heard in TensorBoard."""

    def __init__(
        self,
        clips: Sequence[HeldOut],
        stage_counts: Sequence[int],
        *,
        audio_clips: int = 2,
        workers: Executor | None = None,
    ) -> None:
        self.clips, self.stage_counts, self.workers = clips, stage_counts, workers
        self._heard = clips[:audio_clips]
        self._originals_logged = False

    def __call__(self, model: CodecModel, log: RunLog, step: int) -> dict[str, Any]:
        device = str(next(model.parameters()).device)
        codec = codec_of(to_checkpoint(model.folded(), weight_type="float32"), device=device)
        self._log_audio(codec, log, step)
        rows = rate_table(codec, self.clips, self.stage_counts, self.workers)
        return {
            f"{row['stages']}_stages": {k: v for k, v in row.items() if k != "stages"}
            for row in rows
        }

    def _log_audio(self, codec: Codec, log: RunLog, step: int) -> None:
        rate = codec.config.sample_rate_hz
        for clip in self._heard:
            if not self._originals_logged:
                log.audio(step, f"{clip.name}/original", clip.wave, rate)
            decoded = codec.decode(codec.encode(clip.wave, sample_rate_hz=rate))
            log.audio(step, f"{clip.name}/decoded", decoded.wave[0], rate)
        self._originals_logged = True


def codec_of(checkpoint: Checkpoint, *, device: str = "auto") -> Codec:
    """Make a codec of a model that has no file yet."""
    return Codec(checkpoint, name="in training", device=device)
