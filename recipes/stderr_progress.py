"""Progress on stderr: a bar on a terminal, one line where there is none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

Report = Callable[[float, "int | None"], None]  # done, and of how much where that is known


@contextmanager
def progress_on_stderr(label: str, *, unit: Literal["bytes", "files", "share"]) -> Iterator[Report]:
    """Show progress, in counts or as a share, and give a function to report it to."""
    console = Console(stderr=True)
    if not console.is_terminal:
        print(label, file=sys.stderr, flush=True)
    counts = {
        "bytes": (DownloadColumn(), TransferSpeedColumn()),
        "files": (MofNCompleteColumn(),),
        "share": (TaskProgressColumn(),),
    }[unit]
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
