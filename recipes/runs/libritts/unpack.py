"""Unpacks an archive that might be hostile: regular files and folders below one folder, and nothing
else.

The standard library has a filter for this from Python 3.10.12 and 3.11.4 on only; writing the few
kinds of members that a corpus has ourselves is the same on all versions, and stricter: no links, no
permissions, no owners.
"""

from __future__ import annotations

import shutil
import tarfile
import zlib
from pathlib import Path, PureWindowsPath

from ...stderr_progress import Report
from .transfer import DownloadError


def unpack(archive: Path, folder: Path, report: Report) -> None:
    """Write the members of a .tar.gz below `folder`; what was written before an error stays for the
    caller to remove.

    Raises:
        DownloadError: the archive is damaged, or a member is neither file nor folder, or would lie
            outside.
    """
    size = archive.stat().st_size
    try:
        with archive.open("rb") as packed, tarfile.open(fileobj=packed, mode="r|gz") as members:
            for member in members:
                _write(members, member, folder)
                report(packed.tell(), size)
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DownloadError(f"cannot unpack {archive}: {error}") from error


def _write(members: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    target = folder / _checked_name(member)
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    content = members.extractfile(member)
    assert content is not None  # a regular file
    with content, target.open("wb") as file:
        shutil.copyfileobj(content, file)


def _checked_name(member: tarfile.TarInfo) -> str:
    if not (member.isfile() or member.isdir()):
        raise DownloadError(
            f"the archive's member {member.name!r} is neither file nor folder; the archive is "
            f"refused"
        )
    path = PureWindowsPath(
        member.name
    )  # splits at / and \, and knows drives: what is safe there is safe anywhere
    if path.anchor or ".." in path.parts or "\0" in member.name:
        raise DownloadError(
            f"the archive's member {member.name!r} would lie outside; the archive is refused"
        )
    return member.name
