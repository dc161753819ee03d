"""Runs work in threads: one for the command, so that the main thread can handle signals, and some
for tasks.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from codec import ConfigError
from codec.files.stop import check_stopped

from .files import Meter
from .plan import Task
from .progress import size_of

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """The product of a task: seconds of audio, bytes of its `.dvq` side, and notes for the user."""

    seconds: float
    coded_bytes: int
    channels: int = 1
    notes: list[str] = field(default_factory=list)


Skipped = Literal["done", "busy"]
"""Why nothing was made: the target was there before, or another process is writing it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskWork:
    """What a verb does with a task; `is_done` says whether the target that is there is what `make`
    would make.
    """

    make: Callable[[Task, Meter], Made]
    is_done: Callable[[Task], bool]


Outcome = tuple[Task, "Made | Skipped | Exception"]


def in_thread(run: Callable[[], int]) -> int:
    """Run a function in another thread, while the main thread waits for stop signals.

    A signal raises in the main thread alone, and only between two steps of Python: a main thread
    that opens a pipe nobody writes to, or computes, would not see it, and one in a callback of
    libsndfile would lose it.
    """
    running = threading.Lock()  # a bare one: what waits by code in Python may be torn by a signal
    codes: list[int] = []
    errors: list[BaseException] = []

    def attempt() -> None:
        try:
            codes.append(run())
        except BaseException as error:
            errors.append(error)
        running.release()

    running.acquire()
    threading.Thread(target=attempt, name="command", daemon=True).start()
    # In steps: Windows delivers Ctrl-C to no thread that waits for ever.
    while not running.acquire(timeout=_POLL_SECONDS):
        check_stopped()
    if errors:
        raise errors[0]
    return codes[0]


def in_threads(
    tasks: Sequence[Task],
    work: Callable[[Task, Meter], Made | Skipped],
    *,
    jobs: int,
    advance: Callable[[int], object],
) -> Generator[Outcome, None, None]:
    """Yield each task with its product or its error as they end. Closing the generator drops tasks
    that have not begun.

    Args:
        tasks: at least one.
        work: what to do with each; its errors are passed on, except those which the next task would
            meet as well.
        jobs: how many tasks to do at the same time.
        advance: is told, from any thread, how many more bytes of sources are read.
    """
    from concurrent.futures import ThreadPoolExecutor, as_completed

    def attempt(task: Task) -> Outcome:
        meter = Meter(size_of(task), advance)
        try:
            return task, work(task, meter)
        except (BrokenPipeError, ConfigError):
            raise
        except Exception as error:
            return task, error
        finally:
            meter.finish()

    with ThreadPoolExecutor(min(jobs, len(tasks))) as pool:
        try:
            for future in as_completed([pool.submit(attempt, task) for task in tasks]):
                yield future.result()
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
