"""The command line's own errors, and any error in one line."""

from __future__ import annotations

from codec import DiveqCodecError


class CommandError(Exception):
    """A command that cannot be done: exit code 1."""


class UsageError(CommandError):
    """Arguments that make no sense together: exit code 2."""


def display_name(path: str) -> str:
    """Return what messages call a source."""
    return "standard input" if path == "-" else path


def printable(text: str) -> str:
    """Escape line breaks, control characters and bytes that are no text, for one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def describe(error: BaseException, *, source: str | None = None) -> str:
    """An error in one line, which names `source`."""
    if isinstance(error, (DiveqCodecError, CommandError)):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        message = " ".join(str(error).split())
        text = f"unexpected {type(error).__name__}: {message} (--debug shows where)"
    if source is not None and display_name(source) not in text:
        text = f"{display_name(source)}: {text}"
    return printable(text)
