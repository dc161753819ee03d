"""Opens the source and target of a task, and counts what is read."""

from __future__ import annotations

import contextlib
import io
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO, cast

from codec import atomic_output

from .console import binary_stdout, was_closed
from .messages import CommandError, display_name
from .plan import PIPE

_BUFFER_BYTES = 1 << 16


class Meter:
    """How much of a source of `size` bytes has been read."""

    def __init__(self, size: int = 0, advance: Callable[[int], object] = int) -> None:
        self._left = size
        self._advance = advance
        self.bytes_read = 0

    def reached(self, position: int) -> None:
        """Record that reading has come to `position`; going back and reading again counts once."""
        new = position - self.bytes_read
        if new > 0:
            self.bytes_read = position
            self._report(new)

    def finish(self) -> None:
        """Count the rest of the file as read."""
        self._report(self._left)

    def _report(self, count: int) -> None:
        count = min(count, self._left)  # of a pipe the size is unknown, and nothing is reported
        self._left -= count
        if count:
            self._advance(count)


class _MeteredFile(io.FileIO):
    """A file or standard input."""

    def __init__(self, path: str, meter: Meter) -> None:
        file = sys.stdin.fileno() if path == PIPE else path
        super().__init__(file, "rb", closefd=path != PIPE)
        self.name = display_name(path)
        self._meter = meter
        self._seeks = can_seek(self)

    def readinto(self, buffer) -> int | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        count = super().readinto(buffer)
        self._meter.reached(self.tell() if self._seeks else self._meter.bytes_read + (count or 0))
        return count


def can_seek(file: BinaryIO | io.FileIO) -> bool:
    """Whether a file of the system can go back: no pipe, which on Windows says so (CPython issue
    86768), no device.
    """
    mode = os.fstat(file.fileno()).st_mode
    return file.seekable() and not (stat.S_ISCHR(mode) or stat.S_ISFIFO(mode))


def check_stdin() -> None:
    """Refuse a standard input that is closed or a terminal."""
    if was_closed(sys.stdin):
        raise CommandError("standard input is closed; redirect a file into it, or name one")
    if sys.stdin.isatty():
        raise CommandError("standard input is a terminal; redirect a file into it, or name one")


@contextlib.contextmanager
def open_source(path: str, meter: Meter | None = None) -> Iterator[BinaryIO]:
    """Open a file or standard input for reading."""
    if path == PIPE:
        check_stdin()
    with io.BufferedReader(_MeteredFile(path, meter or Meter()), _BUFFER_BYTES) as file:
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
