"""Processes many files: an error stops only its own file, and a summary stands at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from codec.files.output import is_being_written, remove_stale_part

from .console import note, report
from .files import Meter
from .messages import display_name
from .options import Manners, Many
from .plan import PIPE, Task, TaskPlan, check, check_source, has_target
from .progress import Progress, progress_bar
from .workers import Made, Skipped, TaskWork, in_threads

_POLL_SECONDS = 0.2


@dataclass(kw_only=True, slots=True)
class Summary:
    """The sums over all files."""

    files: int = 0
    done_before: int = 0
    failures: int = 0
    passed_over: int = 0
    seconds: float = 0.0
    channel_seconds: float = 0.0
    coded_bytes: int = 0

    def add(self, made: Made) -> None:
        self.files += 1
        self.seconds += made.seconds
        self.channel_seconds += made.seconds * made.channels
        self.coded_bytes += made.coded_bytes

    def line(self, verb_done: str, wall_seconds: float) -> str:
        """All in one line; `wall_seconds` is how long the work took."""
        counts = [
            (self.done_before, "done before"),
            (self.failures, "failed"),
            (self.passed_over, "passed over"),
        ]
        said = "".join(f", {count} {words}" for count, words in counts if count)
        line = f"{self.files} file{'s' * (self.files != 1)} {verb_done}{said}"
        if not self.seconds:
            return line
        kbits = 8e-3 * self.coded_bytes
        each = f" ({kbits / self.channel_seconds:.2f} a channel)" * (
            self.channel_seconds > self.seconds
        )
        return (
            f"{line}: {self.seconds:.2f} s of audio, {self.coded_bytes:,} bytes, "
            f"{kbits / self.seconds:.2f} kbps{each}, {self.seconds / wall_seconds:.1f} x real time"
        )


def run_batch(
    plan: TaskPlan,
    load: Callable[[], TaskWork],
    options: Many,
    manners: Manners,
    *,
    verb: str,
    done: str,
) -> int:
    """Do all tasks of a plan; returns the exit code, 1 where any failed.

    Args:
        plan: sources and targets.
        load: loads the model and returns the work on one task. Not called where no task can
            succeed.
        options: jobs, and what to do with targets that are there.
        manners: what is said.
        verb: "encode", "decode" or "cut".
        done: what the summary says of files: "encoded".
    """
    batch = _Batch(options=options, manners=manners)
    batch.summary.passed_over = plan.passed_over
    for error in plan.unreadable:
        batch.fail(error)
    todo = [task for task in plan.tasks if batch.can_start(task)]
    started = time.perf_counter()
    if todo:
        work = load()
        started = time.perf_counter()
        batch.do(todo, work, title=verb)
    summary = batch.summary
    is_worth_saying = len(plan.tasks) > 1 or (
        summary.files + summary.done_before and plan.tasks[0].target != PIPE
    )
    if is_worth_saying and not manners.quiet:
        note(summary.line(done, time.perf_counter() - started))
    return 1 if summary.failures else 0


@dataclass(kw_only=True, slots=True)
class _Batch:
    options: Many
    manners: Manners
    summary: Summary = field(default_factory=Summary)

    def fail(self, error: Exception, task: Task | None = None) -> None:
        self.summary.failures += 1
        report(error, source=None if task is None else task.source, debug=self.manners.debug)

    def can_start(self, task: Task) -> bool:
        """Report, before the model is loaded, what would fail in any case."""
        try:
            if self.options.skip_existing:
                check_source(task)
            else:
                check(task, force=self.options.force)
        except Exception as error:
            self.fail(error, task)
            return False
        return True

    def do(self, tasks: Sequence[Task], work: TaskWork, *, title: str) -> None:
        """All tasks; at last those which another process was doing when it was their turn."""
        with progress_bar(title, tasks, quiet=self.manners.quiet) as progress:
            busy = self._pass(tasks, lambda task, meter: self._attempt(work, task, meter), progress)
            while busy:
                busy = self._pass(
                    busy, lambda task, meter: self._after_others(work, task, meter), progress
                )

    def _pass(
        self,
        tasks: Sequence[Task],
        attempt: Callable[[Task, Meter], Made | Skipped],
        progress: Progress,
    ) -> list[Task]:
        busy: list[Task] = []
        outcomes = in_threads(tasks, attempt, jobs=self.options.jobs, advance=progress.advance)
        with contextlib.closing(outcomes):
            for task, outcome in outcomes:
                if outcome == "busy":
                    busy.append(task)
                    continue
                progress.file_done()
                with progress.set_aside():
                    self._account(task, outcome)
        return busy

    def _attempt(self, work: TaskWork, task: Task, meter: Meter) -> Made | Skipped:
        if task.target == PIPE:
            return work.make(task, meter)
        remove_stale_part(task.target)
        found = "exists already"
        if self.options.skip_existing:
            found += ", damaged or made otherwise"
            if has_target(task) and work.is_done(task):
                return "done"
            if is_being_written(task.target):
                return "busy"
        try:
            check(task, force=self.options.force, found=found)
            if self.options.out_dir is not None:
                Path(task.target).parent.mkdir(parents=True, exist_ok=True)
            return work.make(task, meter)
        except Exception:
            # Another process may have been quicker.
            if self.options.skip_existing and has_target(task) and work.is_done(task):
                return "done"
            raise

    def _after_others(self, work: TaskWork, task: Task, meter: Meter) -> Made | Skipped:
        while is_being_written(task.target):
            time.sleep(_POLL_SECONDS)
        return self._attempt(work, task, meter)

    def _account(self, task: Task, outcome: Made | Skipped | Exception) -> None:
        if isinstance(outcome, Made):
            self.summary.add(outcome)
            for text in outcome.notes:
                note(f"{display_name(task.source)}: {text}")
        elif isinstance(outcome, Exception):
            self.fail(outcome, task)
        else:
            self.summary.done_before += 1
