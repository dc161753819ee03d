"""The progress bar: on a terminal, on stderr, over the bytes of all sources."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Protocol

from .plan import Task


class Progress(Protocol):
    """Where progress goes."""

    def advance(self, count: int) -> None:
        """So many more bytes of sources are read; called from any thread."""
        ...

    def file_done(self) -> None: ...


class _Silent:
    def advance(self, count: int) -> None:
        pass

    def file_done(self) -> None:
        pass


@contextlib.contextmanager
def progress_bar(title: str, tasks: Sequence[Task], *, quiet: bool) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield _Silent()
        return
    with _RichBar(title, len(tasks), sum(size_of(task) for task in tasks)) as bar:
        yield bar


def size_of(task: Task) -> int:
    """Bytes of a task's source; 0 where it is a pipe, or missing."""
    try:
        return os.path.getsize(task.source)
    except OSError:
        return 0


class _RichBar:
    def __init__(self, title: str, files: int, size: int) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._files = files
        self._done = 0
        self._bar = Progress(
            TextColumn(f"{title} {{task.fields[count]}}"),
            BarColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=False,  # stdout may be a pipe that takes the data
        )
        self._task = self._bar.add_task("", total=size or None, count=self._count())

    def __enter__(self) -> _RichBar:
        self._bar.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._bar.stop()

    def advance(self, count: int) -> None:
        self._bar.advance(self._task, count)

    def file_done(self) -> None:
        self._done += 1
        self._bar.update(self._task, count=self._count())

    def _count(self) -> str:
        return f"{self._done}/{self._files}" if self._files > 1 else ""
