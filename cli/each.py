"""Runs a verb on `.dvq` files one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from .console import report
from .messages import UsageError
from .plan import PIPE, STREAM_SUFFIX, Found, find_files


def for_each(paths: Iterable[str], look: Callable[[str], bool], *, debug: bool) -> int:
    """Look at each file, also those in folders; an error is reported and does not stop the rest.

    Returns the exit code: 1 where `look` said False, or failed, for any.
    """
    if not paths:
        raise UsageError("no file is named: give .dvq files, folders, or - for standard input")
    all_good = True
    for path in paths:
        found = Found(files=[path]) if path == PIPE else find_files(Path(path), (STREAM_SUFFIX,))
        for error in found.unreadable:
            report(error, debug=debug)
            all_good = False
        for file in found.files:
            all_good &= _looked(file, look, debug=debug)
    return 0 if all_good else 1


def _looked(file: str, look: Callable[[str], bool], *, debug: bool) -> bool:
    try:
        return look(file)
    except BrokenPipeError:
        raise
    except Exception as error:
        report(error, source=file, debug=debug)
        return False
