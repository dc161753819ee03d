"""Threads that work on tasks, so that Ctrl-C and one task's error find the rest in order."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from codec import ConfigError

from .files import Meter
from .plan import Task
from .progress import size_of

_POLL_SECONDS = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """What a task made: seconds of audio, bytes of its `.dvq` side, and what the user should know of it."""

    seconds: float
    coded_bytes: int
    notes: list[str] = field(default_factory=list)


Work = Callable[[Task, Meter], Made]
Outcome = tuple[Task, Made | Exception]
_Queue = queue.SimpleQueue[Future[Outcome]]


def in_threads(
    tasks: Sequence[Task], work: Work, *, jobs: int, advance: Callable[[int], object]
) -> Generator[Outcome, None, None]:
    """Each task with what it made, or with its error, as they end. Closing the generator stops the rest.

    Even a single task has a thread of its own: Ctrl-C comes to the main thread, and so never into a callback of
    libsndfile, where an exception would be lost.

    Args:
        tasks: at least one.
        work: what to do with each; its errors are passed on, except those which the next task would meet as well.
        jobs: how many tasks to do at the same time.
        advance: is told, from any thread, how many more bytes of sources are read.
    """
    stop = threading.Event()
    ended: _Queue = queue.SimpleQueue()

    def attempt(task: Task) -> Outcome:
        meter = Meter(size_of(task), advance, stop)
        try:
            meter.check()
            return task, work(task, meter)
        except (BrokenPipeError, ConfigError):
            raise
        except Exception as error:
            return task, error
        finally:
            meter.finish()

    with ThreadPoolExecutor(min(jobs, len(tasks))) as pool:
        try:
            for task in tasks:
                pool.submit(attempt, task).add_done_callback(ended.put)
            for _ in tasks:
                yield _next(ended).result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _next(ended: _Queue) -> Future[Outcome]:
    """The next future to end. Waits in steps: Windows delivers Ctrl-C to no thread that waits for ever."""
    while True:
        try:
            return ended.get(timeout=_POLL_SECONDS)
        except queue.Empty:
            continue
