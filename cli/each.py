"""Verbs that look at files one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .console import report
from .errors import UsageError


def for_each(paths: Iterable[str], look: Callable[[str], bool], *, debug: bool) -> int:
    """Look at each file; an error is reported and does not stop the rest.

    Returns the exit code: 1 where `look` said False, or failed, for any.
    """
    if not paths:
        raise UsageError("no file is named: give .dvq files, or - for standard input")
    all_good = True
    for path in paths:
        try:
            all_good &= look(path)
        except BrokenPipeError:
            raise
        except Exception as error:
            report(error, source=path, debug=debug)
            all_good = False
    return 0 if all_good else 1
