"""Files that appear whole or not at all: written beside their final name, then renamed."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import OutputError

try:
    import fcntl
except ImportError:  # on Windows, an open file cannot be removed: the same as a lock
    fcntl = None

__all__ = [
    "abandon_outputs",
    "atomic_output",
    "atomic_path",
    "is_being_written",
    "is_special_file",
    "refuse_existing",
    "remove_stale_part",
    "remove_stale_parts",
    "scratch_path",
]

_ABANDON_SECONDS = 0.3

_unfinished: set[Path] = set()
_changing = threading.Lock()  # held while a file is begun or gets its final name


def abandon_outputs() -> None:
    """Remove all unfinished files of this process, which is about to end: no thread begins or
    finishes one any more.
    """
    _changing.acquire(timeout=_ABANDON_SECONDS)  # for ever
    for path in list(_unfinished):
        with contextlib.suppress(OSError):
            path.unlink()


def refuse_existing(*targets: Path, overwrite: bool) -> None:
    """Raise `OutputError` where a target exists, unless it may be replaced."""
    for target in targets:
        if not overwrite and target.exists():
            raise OutputError(_exists(target))


def is_special_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a pipe, a terminal or a device such as `/dev/null`: nothing there can be
    replaced.
    """
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


@contextlib.contextmanager
def atomic_output(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Give a binary file that takes the name `path` when the block ends without an exception.

    A pipe or a device is written directly, whatever `overwrite` says: nothing is lost there.

    Args:
        path: The final name. Its folder must exist.
        overwrite: Replace an existing file, whose permission bits are kept. Else an existing file
            is an error, when the block is entered and again at its end.

    Raises:
        OutputError: The target exists, is a folder, or cannot be created. `path` is then as it was.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with atomic_output(Path(folder) / "greeting") as file:
        ...         _ = file.write(b"hello")
        ...     (Path(folder) / "greeting").read_bytes()
        b'hello'
    """
    if is_special_file(path):
        with open(path, "wb") as file:
            yield file
        return
    with atomic_path(path, overwrite=overwrite) as temporary, open(temporary, "wb") as file:
        yield file


@contextlib.contextmanager
def atomic_path(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Like `atomic_output`, for writers that want a file's name: gives that of an empty file in the
    same folder.
    """
    target = Path(
        os.path.realpath(path)
    )  # through symbolic links: the link stays, its target is replaced
    _check_target(target, overwrite=overwrite)
    with _new_part(target) as temporary:
        yield temporary
        with _changing:
            _publish(temporary, target, overwrite=overwrite)
            _unfinished.discard(temporary)


@contextlib.contextmanager
def scratch_path() -> Iterator[Path]:
    """Give the name of an empty temporary file, which is removed when the block ends."""
    from tempfile import mkstemp

    with _changing:
        descriptor, name = mkstemp()
        _unfinished.add(Path(name))
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        _remove(Path(name))


def is_being_written(path: str | os.PathLike[str]) -> bool:
    """Whether a live process, this one included, is writing the file of this name by
    `atomic_path`.
    """
    remove_stale_part(path)
    return any(part.exists() for part in _parts_of(Path(os.path.realpath(path))))


def remove_stale_part(path: str | os.PathLike[str]) -> None:
    """Remove what a killed process has left of its attempt to write the file of this name."""
    for part in _parts_of(Path(os.path.realpath(path))):
        _remove_if_stale(part)


def remove_stale_parts(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes have left in a folder of their attempts to write files there."""
    for part in Path(folder).glob(".*.part"):
        _remove_if_stale(part)


def _remove_if_stale(part: Path) -> None:
    with contextlib.suppress(
        OSError
    ):  # there is none, or it is locked, or this file system has no locks
        if fcntl is None:
            part.unlink()
            return
        descriptor = _open_to_lock(part)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, part):
                part.unlink()
        finally:
            os.close(descriptor)


def _open_to_lock(part: Path) -> int:
    """Open for writing, as NFS wants it for a lock that excludes others; a file that may only be
    read can be locked elsewhere.
    """
    try:
        return os.open(part, os.O_RDWR)
    except PermissionError:
        return os.open(part, os.O_RDONLY)


def _parts_of(target: Path) -> list[Path]:
    """The names under which a file is written, one for each of its writers; of one length for all
    files, as names have up to 255 bytes.
    """
    from hashlib import sha256  # in here: to read files takes no name of a part

    digest = sha256(os.fsencode(target.name)).hexdigest()
    return [target.with_name(f".{digest[:16]}{writer}.part") for writer in ("", "-2", "-3", "-4")]


@contextlib.contextmanager
def _new_part(target: Path) -> Iterator[Path]:
    """An empty file beside the target, locked while it is written so that nobody takes it for a
    leftover.
    """
    remove_stale_part(target)
    try:
        with _changing:
            path, descriptor = _create(target)
            _unfinished.add(path)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error
    if fcntl is None:
        os.close(descriptor)  # Windows renames no open file
    try:
        yield path
    finally:
        _remove(path)
        if fcntl is not None:
            os.close(descriptor)


def _create(target: Path) -> tuple[Path, int]:
    """A new file, open and locked, with the target's permission bits, or those that the umask
    leaves a new file.
    """
    path, descriptor = _open_first_free(_parts_of(target))
    try:
        if target.exists():
            os.chmod(path, stat.S_IMODE(target.stat().st_mode))
    except OSError:
        path.unlink()
        os.close(descriptor)
        raise
    return path, descriptor


def _open_first_free(parts: list[Path]) -> tuple[Path, int]:
    """Other processes and threads may write the same target: the first to end gives it its
    name.
    """
    for part in parts[:-1]:
        with contextlib.suppress(FileExistsError):
            return part, _open_locked(part)
    return parts[-1], _open_locked(parts[-1])


def _open_locked(path: Path) -> int:
    # os.open and not tempfile, whose files are private (0600) whatever the umask says.
    descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    if fcntl is not None:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
    if not _is_at(
        descriptor, path
    ):  # another process, which looks for leftovers, has locked it first
        os.close(descriptor)
        raise FileExistsError(path)
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except OSError:
        return False


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()
    _unfinished.discard(path)


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise OutputError(f"cannot write {target}: there is no folder {target.parent}")
    refuse_existing(target, overwrite=overwrite)
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"cannot write {target}: it is read-only")


def _exists(target: Path) -> str:
    return f"{target} exists already; --force, or overwrite=True in Python, replaces it"


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    try:
        if overwrite:
            os.replace(temporary, target)
        else:
            _rename_to_new(temporary, target)
    except FileExistsError as error:
        raise OutputError(_exists(target)) from error
    except OSError as error:
        raise OutputError(f"cannot write {target}: {error.strerror}") from error


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename, failing when `target` exists: a hard link does both at once."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    # a file system without hard links (FAT, some network mounts): the check and the rename are two
    except OSError:
        if target.exists():
            raise FileExistsError(target) from None
        os.rename(temporary, target)
