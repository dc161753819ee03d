"""Files that appear whole or not at all: written beside their final name, then renamed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..errors import AudioError

__all__ = ["atomic_output", "atomic_path", "is_special_file"]


def is_special_file(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a pipe, a terminal or a device such as `/dev/null`: nothing there can be replaced."""
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
        overwrite: Replace an existing file, whose permission bits are kept. Else an existing file is an error,
            when the block is entered and again at its end.

    Raises:
        AudioError: The target exists, is a folder, or cannot be created. `path` is then as it was.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with atomic_output(folder / "greeting") as file:
        ...     _ = file.write(b"hello")
        >>> (folder / "greeting").read_bytes()
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
    """Like `atomic_output`, for writers that want a file's name: gives that of an empty file in the same folder."""
    target = Path(os.path.realpath(path))  # through symbolic links: the link stays, its target is replaced
    _check_target(target, overwrite=overwrite)
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    try:
        _create(temporary, target)
        yield temporary
        _publish(temporary, target, overwrite=overwrite)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.is_dir():
        raise AudioError(f"cannot write {target}: it is a folder; give a file name")
    if not target.parent.is_dir():
        raise AudioError(f"cannot write {target}: there is no folder {target.parent}")
    if not overwrite and target.exists():
        raise AudioError(_exists(target))


def _exists(target: Path) -> str:
    return f"{target} exists already; choose another name, or allow overwriting (overwrite=True)"


def _create(temporary: Path, target: Path) -> None:
    """Make the empty file, with the target's permission bits, or those that the umask leaves a new file."""
    try:
        # os.open and not tempfile, whose files are private (0600) whatever the umask says.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            shutil.copymode(target, temporary)
    except OSError as error:
        raise AudioError(f"cannot write {target}: {error.strerror}") from error


def _publish(temporary: Path, target: Path, *, overwrite: bool) -> None:
    try:
        if overwrite:
            os.replace(temporary, target)
        else:
            _rename_to_new(temporary, target)
    except FileExistsError as error:
        raise AudioError(_exists(target)) from error
    except OSError as error:
        raise AudioError(f"cannot write {target}: {error.strerror}") from error


def _rename_to_new(temporary: Path, target: Path) -> None:
    """Rename, failing when `target` exists: a hard link does both at once."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links (FAT, some network mounts): the check and the rename are two
        if target.exists():
            raise FileExistsError(target) from None
        os.rename(temporary, target)
