"""Prints: data to stdout, messages to stderr, and no noise from libraries."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator
from typing import BinaryIO, TextIO

from .messages import CommandError, describe, printable

PROGRAM = "diveq-codec"


def show(line: str) -> None:
    """Print a line of a result to stdout; control characters are shown as escapes."""
    _print(printable(line), sys.stdout)


def show_data(text: str) -> None:
    """Print JSON or CSV to stdout as it is."""
    _print(text, sys.stdout)


def note(line: str) -> None:
    """Print a message to stderr, in one line."""
    _print(printable(f"{PROGRAM}: {line}"), sys.stderr)


def report(error: BaseException, *, source: str | None = None, debug: bool = False) -> None:
    """Print an error to stderr: one line, after its traceback with `debug`."""
    if debug:
        import traceback

        traceback.print_exception(error)
    note(f"error: {describe(error, source=source)}")


def _print(text: str, file: TextIO) -> None:
    """Print, with escapes for what the stream's encoding cannot say."""
    encoding = file.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), file=file)


def replace_closed_streams() -> None:
    """Python has None for a standard stream that is closed (`>&-`): put the null device in its
    place.

    It takes the stream's number as well, else the next file that is opened would, and get what C
    libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115, open to the end


def was_closed(stream: TextIO) -> bool:
    """Whether a standard stream was closed from the start."""
    return (
        getattr(stream, "name", None) == os.devnull
    )  # redirected there, it is still called <stdout>


def binary_stdout() -> BinaryIO:
    """Return the binary stdout for data; refuse a terminal, and a closed stdout."""
    if was_closed(sys.stdout):
        raise CommandError("standard output is closed; redirect it, or name a file")
    if sys.stdout.isatty():
        raise CommandError("binary data is not written to a terminal; redirect it, or name a file")
    return sys.stdout.buffer


@contextlib.contextmanager
def quiet_libraries(*, debug: bool) -> Iterator[None]:
    """Keep warnings that are for developers from users, unless they debug."""
    if debug:
        yield
        return
    os.environ.setdefault(
        "TORCH_CPP_LOG_LEVEL", "ERROR"
    )  # read when torch loads; NNPACK complains of old processors
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def discard_stdout() -> None:
    """Discard what is still buffered after a broken pipe, so that Python exits in silence."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
