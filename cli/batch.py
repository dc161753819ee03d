"""Working through many files: none is stopped by another's error, and a summary stands at the end."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .arguments import Many
from .console import note, report
from .errors import display_name
from .files import Meter
from .plan import PIPE, Plan, Task, check
from .progress import progress_bar
from .workers import Made, Work, in_threads


@dataclass(kw_only=True, slots=True)
class Summary:
    """The sums over all files."""

    files: int = 0
    failures: int = 0
    passed_over: int = 0
    seconds: float = 0.0
    coded_bytes: int = 0

    def add(self, made: Made) -> None:
        self.files += 1
        self.seconds += made.seconds
        self.coded_bytes += made.coded_bytes

    def line(self, verb_done: str, wall_seconds: float) -> str:
        """All in one line; `wall_seconds` is how long the work took."""
        failed = f", {self.failures} failed" if self.failures else ""
        passed_over = f", {self.passed_over} passed over" if self.passed_over else ""
        line = f"{self.files} file{'s' * (self.files != 1)} {verb_done}{failed}{passed_over}"
        if not self.seconds:
            return line
        rate = 8e-3 * self.coded_bytes / self.seconds
        speed = self.seconds / wall_seconds
        return (
            f"{line}: {self.seconds:.2f} s of audio, {self.coded_bytes:,} bytes, "
            f"{rate:.2f} kbps, {speed:.1f} x real time"
        )


def run_batch(plan: Plan, load: Callable[[], Work], options: Many, *, verb: str, debug: bool) -> int:
    """Do all tasks of a plan; returns the exit code, 1 where any failed.

    Args:
        plan: sources and targets.
        load: loads the model and returns the work on one task. Not called where no task can succeed.
        options: jobs, manners, and whether folders are to be made.
        verb: "encode" or "decode".
        debug: show tracebacks.
    """
    summary = Summary(passed_over=plan.passed_over)
    todo = [task for task in plan.tasks if _can_start(task, summary, options, debug)]
    started = time.perf_counter()
    if todo:
        work = load()
        started = time.perf_counter()
        _do(todo, _with_folder(work) if options.out_dir else work, summary, options, title=verb, debug=debug)
    is_worth_saying = len(plan.tasks) > 1 or (summary.files and plan.tasks[0].target != PIPE)
    if is_worth_saying and not options.quiet:
        note(summary.line(f"{verb}d", time.perf_counter() - started))
    return 1 if summary.failures else 0


def _can_start(task: Task, summary: Summary, options: Many, debug: bool) -> bool:
    try:
        check(task, force=options.force)
    except Exception as error:
        summary.failures += 1
        report(error, source=task.source, debug=debug)
        return False
    return True


def _with_folder(work: Work) -> Work:
    """The same work, that makes the target's folder before."""

    def work_in_folder(task: Task, meter: Meter) -> Made:
        Path(task.target).parent.mkdir(parents=True, exist_ok=True)
        return work(task, meter)

    return work_in_folder


def _do(tasks: Sequence[Task], work: Work, summary: Summary, options: Many, *, title: str, debug: bool) -> None:
    with (
        progress_bar(title, tasks, quiet=options.quiet) as progress,
        contextlib.closing(in_threads(tasks, work, jobs=options.jobs, advance=progress.advance)) as outcomes,
    ):
        for task, outcome in outcomes:
            progress.file_done()
            with progress.set_aside():
                _account(task, outcome, summary, debug=debug)


def _account(task: Task, outcome: Made | Exception, summary: Summary, *, debug: bool) -> None:
    if isinstance(outcome, Made):
        summary.add(outcome)
        for text in outcome.notes:
            note(f"{display_name(task.source)}: {text}")
    else:
        summary.failures += 1
        report(outcome, source=task.source, debug=debug)
