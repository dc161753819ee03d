"""What measurements on held-out clips share: arguments, clips, and scoring with progress."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from codec.errors import ConfigError
from codec.evaluation.candidates import Candidate
from codec.evaluation.evaluate import NO_METRICS, evaluate
from codec.evaluation.recordings import Recordings
from codec.evaluation.result import Clip, Evaluation
from codec.evaluation.signal import Original, Source, find_sources
from codec.metrics import Metric

from ..held_out import spread
from ..run_script import score_workers
from ..stderr_progress import Report, progress_on_stderr

__all__ = [
    "ClipArguments",
    "Scoring",
    "scoring",
]


@dataclass(frozen=True, kw_only=True)
class ClipArguments:
    """Which clips to measure on."""

    data: Path
    """Folder tree of audio that no model was trained on."""
    clips: int | None = None
    """How many clips, evenly spread over the sorted names; None is all."""
    workers: int = 2
    """Processes that score; they wait while codecs are timed."""
    force: bool = False
    """Replace the results of an earlier run."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ConfigError(f"--workers is at least 1, not {self.workers}")
        if self.clips is not None and self.clips < 1:
            raise ConfigError(f"--clips is at least 1, not {self.clips}")

    @property
    def data_name(self) -> str:
        return self.data.resolve().name

    def sources(self) -> list[Source]:
        return spread(find_sources(self.data), self.clips)


class Scoring:
    """Codes and scores clips, and reports on stderr how many are done, and which fail."""

    def __init__(self, workers: Executor | int, report: Report, total: int) -> None:
        self._workers = workers
        self._report = report
        self._total = total
        self._done = 0

    def evaluate(
        self,
        data: str,
        originals: Sequence[Original],
        candidates: Sequence[Candidate],
        *,
        metrics: Sequence[str] | None,
        extra_metrics: Mapping[str, Metric] = NO_METRICS,
        recordings: Recordings | None = None,
    ) -> Evaluation:
        """Code the originals with each candidate, and score what is decoded."""

        def on_reference(name: str, of_systems: Mapping[str, Clip]) -> None:
            self._done += 1
            self._report(self._done, self._total)
            for system, clip in of_systems.items():
                for reason in clip.failures():
                    print(f"{data}, {name}, {system}: {reason}", file=sys.stderr)

        return evaluate(
            originals,
            candidates,
            data=data,
            metrics=metrics,
            extra_metrics=extra_metrics,
            workers=self._workers,
            recordings=recordings,
            on_reference=on_reference,
        )


@contextmanager
def scoring(label: str, *, total: int, workers: int) -> Iterator[Scoring]:
    """Start the processes that score, and the progress bar."""
    with (
        score_workers(workers) as executor,
        progress_on_stderr(label, unit="files") as report,
    ):
        yield Scoring(executor or 1, report, total)
