"""Writes the results of `diveq-codec eval`, and reports failures."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .console import note, show, show_data
from .files import open_target
from .messages import CommandError, UsageError
from .plan import PIPE, Task, has_target

if TYPE_CHECKING:
    from codec import Clip, Evaluation


class Failures:
    """Counts and reports failures, a line for each file.

    Args:
        strays: Decoded files that have no original.
    """

    def __init__(self, strays: Iterable[Path]) -> None:
        self.count = 0
        for stray in strays:
            self._tell(f"{stray}: there is no original of this name")

    def tell(self, name: str, clips: Mapping[str, Clip]) -> None:
        """Report what failed on an original, by the system's name; systems that fail alike share a
        line.
        """
        systems: dict[str, list[str]] = {}
        for system, clip in clips.items():
            if failures := clip.failures():
                systems.setdefault("; ".join(failures), []).append(system)
        told = [
            text if len(names) == len(clips) else f"({', '.join(names)}) {text}"
            for text, names in systems.items()
        ]
        if told:
            self._tell(f"{name}: {'; '.join(told)}")

    def _tell(self, text: str) -> None:
        self.count += 1
        note(f"error: {text}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outputs:
    """Where the result goes: a folder, files, or `-` for standard output, which else takes the
    table.
    """

    folder: str | None
    json: str | None
    csv: str | None
    force: bool

    def check(self) -> None:
        """Detect at once what could not be written in the end."""
        targets = [target for target in (self._in_folder(), self.json, self.csv) if target]
        if len({os.path.realpath(target) for target in targets}) < len(targets):
            raise UsageError(f"the JSON and the CSV would both become {self.csv}: name two files")
        for target in targets:
            if has_target(Task(PIPE, target)) and not self.force:
                raise CommandError(f"{target} exists already; --force replaces it")
        for target in (self.json, self.csv):
            if target not in (None, PIPE) and not Path(target).resolve().parent.is_dir():
                raise CommandError(
                    f"cannot write {target}: there is no folder {Path(target).parent}"
                )

    def write(self, evaluation: Evaluation) -> None:
        """All of it: the files first, so that nothing is lost where printing fails."""
        from codec import evaluation_csv, evaluation_text

        if self.folder is not None:
            Path(self.folder).mkdir(parents=True, exist_ok=True)
        makers = {
            self._in_folder(): evaluation.to_json,
            self.json: evaluation.to_json,
            self.csv: lambda: evaluation_csv(evaluation),
        }
        for target in makers:
            if target not in (None, PIPE):
                with open_target(target, overwrite=self.force) as file:
                    # Bytes of a file's name that are no text are the same bytes in the file.
                    file.write(makers[target]().encode("utf-8", "surrogateescape"))
        if PIPE in makers:
            show_data(makers[PIPE]().rstrip("\n"))
        else:
            for line in evaluation_text(evaluation).splitlines():
                show(line)

    def _in_folder(self) -> str | None:
        return None if self.folder is None else str(Path(self.folder) / "evaluation.json")
