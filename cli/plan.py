"""Plans tasks from paths: which source becomes which target. Nothing is written before the plan is
complete.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from codec.files.output import is_special_file

from .messages import CommandError, UsageError, display_name

PIPE = "-"
STREAM_SUFFIX = ".dvq"


@dataclass(frozen=True, slots=True)
class Task:
    """One file to make; `-` is standard input or output."""

    source: str
    target: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """The files of folders.

    `passed_over` counts those whose names say that they are something else, `unreadable` are the
    errors of folders that could not be listed.
    """

    files: list[str]
    passed_over: int = 0
    unreadable: list[Exception] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPlan:
    """All tasks, and what became of the rest of the folders; see `Found`."""

    tasks: list[Task]
    passed_over: int = 0
    unreadable: list[Exception] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """Which suffixes (with their dot) sources and targets have.

    `made_suffix` is that of targets which nobody named.
    """

    source_suffixes: Collection[str]
    target_suffixes: Collection[str]
    made_suffix: str

    def plan(self, paths: tuple[str, ...], out_dir: str | None) -> TaskPlan:
        """`SOURCE [TARGET]`, or with `out_dir` any number of sources, files and folders."""
        if not paths:
            raise UsageError("no source is named: give a file, or - for standard input")
        if out_dir is None:
            return (
                TaskPlan(tasks=[self._one(*paths)]) if len(paths) <= 2 else self._refuse_many(paths)
            )
        if PIPE in paths:
            raise UsageError(
                "standard input has no name to use in --out-dir: give - and a target alone"
            )
        if os.path.exists(out_dir) and not os.path.isdir(out_dir):
            raise CommandError(f"--out-dir {out_dir} is a file, not a folder")
        tasks: list[Task] = []
        passed_over = 0
        unreadable: list[Exception] = []
        for path in dict.fromkeys(map(Path, paths)):
            found = find_files(path, self.source_suffixes)
            passed_over += found.passed_over
            unreadable += found.unreadable
            folder = path if os.path.isdir(path) else path.parent
            tasks += [
                Task(file, self._made(Path(out_dir) / Path(file).relative_to(folder)))
                for file in found.files
            ]
        tasks = list(dict.fromkeys(tasks))
        _check_collisions(tasks)
        return TaskPlan(tasks=tasks, passed_over=passed_over, unreadable=unreadable)

    def _one(self, source: str, target: str | None = None) -> Task:
        if source != PIPE and os.path.isdir(source):
            raise UsageError(f"{source} is a folder: say with --out-dir where its files go")
        if target is None:
            return Task(source, PIPE if source == PIPE else self._made(Path(source)))
        if os.path.isdir(target):
            raise UsageError(f"{target} is a folder: give a file name, or --out-dir {target}")
        if not (
            target == PIPE
            or is_special_file(target)
            or Path(target).suffix.lower() in self.target_suffixes
        ):
            known = " ".join(sorted(self.target_suffixes))
            raise UsageError(
                f"{target} is no target, whose name ends in {known}; for several sources give "
                f"--out-dir"
            )
        return Task(source, target)

    def _refuse_many(self, paths: tuple[str, ...]) -> TaskPlan:
        raise UsageError(
            f"{len(paths)} paths: for several sources give --out-dir; else a source and a target"
        )

    def _made(self, path: Path) -> str:
        return str(path.with_suffix(self.made_suffix))


def find_files(path: Path, suffixes: Collection[str]) -> Found:
    """The file itself; or a folder's files with these suffixes, in the order of their names, but
    for hidden ones, and pipes and sockets, which might be waited for without end.
    """
    if not os.path.isdir(path):
        return Found(files=[_named(path)])
    unreadable: list[Exception] = []
    visible = sorted(_visible_files(path, unreadable.append))
    files = [
        _named(file)
        for file in visible
        if file.suffix.lower() in suffixes and not is_special_file(file)
    ]
    if not files and not unreadable:
        known = " ".join(sorted(suffixes))
        unreadable.append(
            CommandError(f"the folder {path} holds no file to work on (looked for {known})")
        )
    return Found(files=files, passed_over=len(visible) - len(files), unreadable=unreadable)


def _named(path: Path) -> str:
    """A path as text; the file of the name - is no pipe."""
    return f".{os.sep}{path}" if str(path) == PIPE else str(path)


def check_source(task: Task) -> None:
    """Find at no cost that there is no source."""
    if task.source != PIPE and not os.path.exists(task.source):
        raise CommandError(f"{task.source}: no such file")


def check(task: Task, *, force: bool, found: str = "exists already") -> None:
    """Detect cheaply what would make a task fail: no source, or a target that may not be
    replaced, of which `found` is said.
    """
    check_source(task)
    if has_target(task) and not force:
        raise CommandError(
            f"{display_name(task.source)}: {task.target} {found}; --force replaces it"
        )


def has_target(task: Task) -> bool:
    """Whether a file of the target's name is there, of which something would be lost."""
    return task.target != PIPE and os.path.exists(task.target) and not is_special_file(task.target)


def _visible_files(folder: Path, on_error: Callable[[OSError], object]) -> Iterator[Path]:
    """The files below `folder`, but for hidden ones and those in hidden folders."""
    for root, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith("."):
                yield Path(root, name)


def _check_collisions(tasks: Iterable[Task]) -> None:
    sources: dict[str, str] = {}
    for task in tasks:
        key = os.path.normcase(os.path.abspath(task.target))
        other = sources.setdefault(key, task.source)
        if other != task.source:
            raise CommandError(
                f"{other} and {task.source} would both become {task.target}; nothing is written"
            )
