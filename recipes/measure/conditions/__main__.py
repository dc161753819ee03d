"""How quality holds up when speech is not clean: one model, held-out clips, a condition after
another.

python -m recipes.measure.conditions --model speech_16khz \\
    --data speech/val --out runs/conditions --bitrates 1.5,3,6

Writes runs/conditions.json and runs/conditions.md.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from codec import DEFAULT_MODEL, Codec
from codec.errors import ConfigError
from codec.evaluation.evaluate import evaluate
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.result import Clip
from codec.evaluation.signal import Source, find_sources
from codec.training.data.manifest import SPEAKER_RULES

from ...held_out import spread
from ...progress import Report, progress_on_stderr
from ...rates import Bitrates
from ...run_script import run_script, score_workers
from ..two_files import TwoFiles
from .clips import CONDITIONS, MUSIC, ChangedClip, Corpus, music_clips
from .findings import Findings, Measured
from .table import as_markdown

SPEECH_METRICS = ("pesq_wb", "estoi", "mel_distance", "si_sdr")
MUSIC_METRICS = ("mel_distance", "si_sdr")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to measure, and on what."""

    data: Path
    """Folder tree of speech that the model was not trained on."""
    out: Path
    """Where the results go: OUT.json and OUT.md."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    bitrates: Bitrates = (1.5, 3.0, 6.0)
    """The bitrates to measure, in kbps."""
    clips: int | None = None
    """How many clips, evenly spread over the sorted names; None is all."""
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""
    workers: int = 2
    """Processes that score."""
    force: bool = False
    """Replace the results of an earlier run."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers is at least 1, not {self.workers}")
        if self.clips is not None and self.clips < 1:
            raise ConfigError(f"--clips is at least 1, not {self.clips}")


def main(arguments: Arguments) -> None:
    files = TwoFiles(arguments.out, arguments.force)
    files.check()
    codec = Codec.load(arguments.model)
    findings = Findings(
        model=codec.name,
        fingerprint=codec.fingerprint.hex(),
        data=arguments.data.resolve().name,
        bitrates_kbps=arguments.bitrates,
        measured=_measure(arguments, codec),
    )
    tables = as_markdown(findings)
    files.write(findings.to_dict(), tables)
    print(tables, end="")


def _measure(arguments: Arguments, codec: Codec) -> list[Measured]:
    rate = codec.config.sample_rate_hz
    sources = find_sources(arguments.data)
    corpus = Corpus(sources, _speakers(arguments, sources), sample_rate_hz=rate)
    chosen = spread(sources, arguments.clips)
    work = [
        (condition.name, [ChangedClip.of(condition, corpus, s) for s in chosen])
        for condition in CONDITIONS
    ]
    work.append((MUSIC, music_clips(len(chosen), sample_rate_hz=rate)))
    total = sum(len(clips) for _, clips in work)
    with (
        nullcontext(1) if arguments.workers == 1 else score_workers(arguments.workers) as workers,
        progress_on_stderr(f"{len(work)} conditions, {len(chosen)} clips", unit="files") as report,
    ):
        run = _Run(codec, arguments.bitrates, workers, report, total)
        return [run.measure(name, clips) for name, clips in work]


def _speakers(arguments: Arguments, sources: Sequence[Source]) -> list[str]:
    rule, root = SPEAKER_RULES[arguments.speakers], arguments.data.resolve().name
    return [rule(PurePath(root, source.name)) for source in sources]


class _Run:
    """One condition after another; says how far it is, and what fails."""

    def __init__(
        self,
        codec: Codec,
        bitrates_kbps: Sequence[float],
        workers: Executor | int,
        report: Report,
        total: int,
    ) -> None:
        self._codec = codec
        self._bitrates_kbps = bitrates_kbps
        self._workers = workers
        self._report = report
        self._total = total
        self._done = 0

    def measure(self, condition: str, clips: Sequence[ChangedClip]) -> Measured:
        def on_reference(name: str, of_systems: Mapping[str, Clip]) -> None:
            self._done += 1
            self._report(self._done, self._total)
            for system, clip in of_systems.items():
                for reason in clip.failures():
                    print(f"{condition}, {name}, {system}: {reason}", file=sys.stderr)

        evaluation = evaluate(
            clips,
            model_candidates(self._codec, bitrates_kbps=self._bitrates_kbps),
            data=condition,
            metrics=MUSIC_METRICS if condition == MUSIC else SPEECH_METRICS,
            workers=self._workers,
            on_reference=on_reference,
        )
        turned_down_db = tuple(clip.turned_down_db for clip in clips if clip.turned_down_db)
        return Measured(condition=condition, evaluation=evaluation, turned_down_db=turned_down_db)


if __name__ == "__main__":
    run_script(main, Arguments)
