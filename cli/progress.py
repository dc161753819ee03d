"""The progress bar: on a terminal, on stderr, over the bytes of all sources."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Protocol

from .plan import Task

_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 30


class Progress(Protocol):
    """Where progress goes."""

    def advance(self, count: int) -> None:
        """Count so many more bytes of sources as read; called from any thread."""
        ...

    def file_done(self) -> None: ...

    def set_aside(self) -> contextlib.AbstractContextManager[object]:
        """Leave the terminal to messages."""
        ...


class _Silent:
    def advance(self, count: int) -> None:
        pass

    def file_done(self) -> None:
        pass

    def set_aside(self) -> contextlib.AbstractContextManager[object]:
        return contextlib.nullcontext()


@contextlib.contextmanager
def progress_bar(title: str, tasks: Sequence[Task], *, quiet: bool) -> Iterator[Progress]:
    """A bar on stderr where that is a terminal, else nothing."""
    if quiet or not sys.stderr.isatty():
        yield _Silent()
        return
    bar = _Bar(title, len(tasks), sum(size_of(task) for task in tasks))
    try:
        yield bar
    finally:
        bar.erase()


def size_of(task: Task) -> int:
    """Bytes of a task's source; 0 where it is a pipe, or missing."""
    try:
        return os.path.getsize(task.source)
    except OSError:
        return 0


class _Bar:
    """One line that is drawn over itself, in plain ASCII: `encode 3/8 [####......] 0:05 left
    0:12`.
    """

    def __init__(self, title: str, files: int, size: int) -> None:
        self._title, self._files, self._size = title, files, size
        self._files_done = self._bytes_done = 0
        self._started = time.monotonic()
        self._next_draw = 0.0
        self._drawn = ""
        self._lock = threading.RLock()

    def advance(self, count: int) -> None:
        with self._lock:
            self._bytes_done += count
            self._draw()

    def file_done(self) -> None:
        with self._lock:
            self._files_done += 1
            self._next_draw = 0.0
            self._draw()

    @contextlib.contextmanager
    def set_aside(self) -> Iterator[None]:
        with self._lock:
            self.erase()
            yield

    def erase(self) -> None:
        self._write("")
        sys.stderr.write("\r")
        sys.stderr.flush()

    def _draw(self) -> None:
        now = time.monotonic()
        if now >= self._next_draw:
            self._next_draw = now + _REDRAW_SECONDS
            self._write(self._line(now - self._started)[: shutil.get_terminal_size().columns - 1])

    def _write(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(len(self._drawn)))
        sys.stderr.flush()
        self._drawn = line

    def _line(self, seconds: float) -> str:
        count = f" {self._files_done}/{self._files}" if self._files > 1 else ""
        if not self._size:  # a pipe: nobody knows how much will come
            return f"{self._title}{count} {_clock(seconds)}"
        share = min(self._bytes_done / self._size, 1.0)
        bar = ("#" * round(share * _BAR_WIDTH)).ljust(_BAR_WIDTH, ".")
        left = f" left {_clock(seconds / share - seconds)}" if share else ""
        return f"{self._title}{count} [{bar}] {_clock(seconds)}{left}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
