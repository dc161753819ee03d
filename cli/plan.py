"""From paths to tasks: which source becomes which target. Nothing is written before the plan is whole."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .errors import CommandError, UsageError, display_name

PIPE = "-"
STREAM_SUFFIX = ".dvq"


@dataclass(frozen=True, slots=True)
class Task:
    """One file to make; `-` is standard input or output."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """All tasks, and how many files of folders are left out because their names say that they are something else."""

    tasks: list[Task]
    passed_over: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What becomes what: by which suffixes (with their dot) sources and targets are known.

    `made_suffix` is that of targets which nobody named.
    """

    source_suffixes: Collection[str]
    target_suffixes: Collection[str]
    made_suffix: str

    def plan(self, paths: tuple[str, ...], out_dir: str | None) -> Plan:
        """`SOURCE [TARGET]`, or with `out_dir` any number of sources, files and folders."""
        if not paths:
            raise UsageError("no source is named: give a file, or - for standard input")
        if out_dir is None:
            return Plan(tasks=[self._one(*paths)]) if len(paths) <= 2 else self._refuse_many(paths)
        if PIPE in paths:
            raise UsageError("standard input has no name to use in --out-dir: give - and a target alone")
        if Path(out_dir).exists() and not Path(out_dir).is_dir():
            raise CommandError(f"--out-dir {out_dir} is a file, not a folder")
        tasks: list[Task] = []
        passed_over = 0
        for path in dict.fromkeys(map(Path, paths)):
            files, others = self._files(path)
            passed_over += others
            folder = path if path.is_dir() else path.parent
            tasks += [Task(str(file), self._made(Path(out_dir) / file.relative_to(folder))) for file in files]
        tasks = list(dict.fromkeys(tasks))
        _check_collisions(tasks)
        return Plan(tasks=tasks, passed_over=passed_over)

    def _one(self, source: str, target: str | None = None) -> Task:
        if source != PIPE and Path(source).is_dir():
            raise UsageError(f"{source} is a folder: say with --out-dir where its files go")
        if target is None:
            return Task(source, PIPE if source == PIPE else self._made(Path(source)))
        if Path(target).is_dir():
            raise UsageError(f"{target} is a folder: give a file name, or --out-dir {target}")
        if not (target == PIPE or _is_special(target) or Path(target).suffix.lower() in self.target_suffixes):
            known = " ".join(sorted(self.target_suffixes))
            raise UsageError(f"{target} is no target, whose name ends in {known}; for several sources give --out-dir")
        return Task(source, target)

    def _refuse_many(self, paths: tuple[str, ...]) -> Plan:
        raise UsageError(f"{len(paths)} paths: for several sources give --out-dir; else a source and a target")

    def _files(self, path: Path) -> tuple[list[Path], int]:
        """The file itself, or a folder's files with our suffixes; and how many others are there."""
        if not path.is_dir():
            return [path], 0
        visible = sorted(_visible_files(path))
        files = [file for file in visible if file.suffix.lower() in self.source_suffixes]
        if not files:
            known = " ".join(sorted(self.source_suffixes))
            raise CommandError(f"the folder {path} holds no file to work on (looked for {known})")
        return files, len(visible) - len(files)

    def _made(self, path: Path) -> str:
        return str(path.with_suffix(self.made_suffix))


def check(task: Task, *, force: bool) -> None:
    """Find at no cost what would make a task fail: no source, or a target that may not be replaced."""
    if task.source != PIPE and not Path(task.source).exists():
        raise CommandError(f"{task.source}: no such file")
    target = Path(task.target)
    if task.target != PIPE and target.exists() and not (force or _is_special(task.target)):
        raise CommandError(f"{display_name(task.source)}: {target} exists already; --force replaces it")


def _is_special(path: str) -> bool:
    """Whether `path` is a pipe or a device, such as /dev/null."""
    return Path(path).exists() and not Path(path).is_file() and not Path(path).is_dir()


def _visible_files(folder: Path) -> Iterator[Path]:
    """The files below `folder`, but for hidden ones and those in hidden folders."""
    for root, folders, names in os.walk(folder, onerror=_raise):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(root, name)


def _raise(error: OSError) -> None:
    raise error


def _check_collisions(tasks: Iterable[Task]) -> None:
    sources: dict[str, str] = {}
    for task in tasks:
        key = os.path.normcase(os.path.abspath(task.target))
        other = sources.setdefault(key, task.source)
        if other != task.source:
            raise CommandError(f"{other} and {task.source} would both become {task.target}; nothing is written")
