"""Sources and targets of a task: files and pipes that count what is read, and can be stopped."""

from __future__ import annotations

import contextlib
import io
import os
import select
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from codec import atomic_output

from .console import binary_stdout, was_closed
from .errors import CommandError, Interrupted, display_name
from .plan import PIPE

_BUFFER_BYTES = 1 << 16
_POLL_SECONDS = 0.2


class Meter:
    """How much of a source of `size` bytes has been read, and whether to stop."""

    def __init__(self, size: int = 0, advance: Callable[[int], object] = int, stop: threading.Event | None = None):
        self._left = size
        self._advance = advance
        self._stop = stop
        self.bytes_read = 0

    def reached(self, position: int) -> None:
        """Reading has come to `position`; going back and reading again counts once."""
        new = position - self.bytes_read
        if new > 0:
            self.bytes_read = position
            self._report(new)

    def finish(self) -> None:
        """The file is done with, however much of it was read."""
        self._report(self._left)

    def check(self) -> None:
        """Raise `Interrupted` after Ctrl-C."""
        if self._stop is not None and self._stop.is_set():
            raise Interrupted

    def _report(self, count: int) -> None:
        count = min(count, self._left)  # of a pipe the size is unknown, and nothing is reported
        self._left -= count
        if count:
            self._advance(count)


class _MeteredFile(io.FileIO):
    """A file or standard input. With `stoppable`, reading ends soon after Ctrl-C, even where a pipe brings nothing."""

    def __init__(self, path: str, meter: Meter, *, stoppable: bool) -> None:
        file = sys.stdin.fileno() if path == PIPE else path
        super().__init__(file, "rb", closefd=path != PIPE)
        self.name = display_name(path)
        self._meter = meter
        # libsndfile reads seekable files through a C callback, out of which no exception finds its way.
        self._seeks = can_seek(self)
        self._stoppable = stoppable or not self._seeks

    def readinto(self, buffer) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if self._stoppable:
            self._meter.check()
            while not self._is_ready():
                self._meter.check()
        count = super().readinto(buffer)
        self._meter.reached(self.tell() if self._seeks else self._meter.bytes_read + (count or 0))
        return count

    def _is_ready(self) -> bool:
        if os.name != "posix" or self._seeks:
            return True
        return bool(select.select([self], [], [], _POLL_SECONDS)[0])


def can_seek(file: BinaryIO | io.FileIO) -> bool:
    """Whether a file of the system can go back: no pipe, which on Windows says so (CPython issue 86768), no device."""
    mode = os.fstat(file.fileno()).st_mode
    return file.seekable() and not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode))


@contextlib.contextmanager
def open_source(path: str, meter: Meter | None = None, *, stoppable: bool = True) -> Iterator[BinaryIO]:
    """Open a file or standard input for reading; `stoppable` is for readers written in Python."""
    if path == PIPE and was_closed(sys.stdin):
        raise CommandError("standard input is closed; redirect a file into it, or name one")
    if path == PIPE and sys.stdin.isatty():
        raise CommandError("standard input is a terminal; redirect a file into it, or name one")
    with io.BufferedReader(_MeteredFile(path, meter or Meter(), stoppable=stoppable), _BUFFER_BYTES) as file:
        yield cast(BinaryIO, file)


@contextlib.contextmanager
def open_target(path: str, *, overwrite: bool) -> Iterator[BinaryIO]:
    """Standard output, or a file that appears whole or not at all."""
    if path == PIPE:
        yield (stdout := binary_stdout())
        stdout.flush()
        return
    with atomic_output(path, overwrite=overwrite) as file:
        yield file


def stoppable(file: BinaryIO, meter: Meter) -> BinaryIO:
    """A file to write to, until Ctrl-C."""
    return cast(BinaryIO, _StoppableWriter(file, meter))


class _StoppableWriter(io.BufferedIOBase):
    def __init__(self, file: BinaryIO, meter: Meter) -> None:
        self._file = file
        self._meter = meter

    def write(self, data) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        self._meter.check()
        return self._file.write(data)
