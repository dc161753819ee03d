"""Fetches a file over HTTP, and resumes broken transfers."""

from __future__ import annotations

import errno
import hashlib
import re
import shutil
import time
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from codec import DiveqCodecError

from ...stderr_progress import Report

_BLOCK = 1 << 20
_TIMEOUT_S = 60.0
_PARTIAL, _BEHIND_THE_END = 206, 416
_TEMPORARY = {408, 425, 429}  # and all from 500 on
_LOCAL = {errno.ENOSPC, errno.EACCES, errno.EROFS}


class DownloadError(DiveqCodecError):
    """An archive that cannot be fetched, or is not what it should be."""


def fetch(
    url: str,
    path: Path,
    *,
    sha256: str,
    report: Report | None = None,
    attempts: int = 8,
    pause_s: float = 1.0,
) -> None:
    """Fetch `url` as `path`, which appears only when its checksum is right.

    What has arrived is kept as `path` + ".part"; the next attempt, or the next call, goes on behind
    it.

    Args:
        url: of the file.
        path: where it goes; its folder exists.
        sha256: of the whole file, in hexadecimal digits.
        report: told the bytes that are here, and of how many.
        attempts: how many may fail one after the other without a byte in between.
        pause_s: after the first failure; it grows by as much with each one that brought nothing.

    Raises:
        DownloadError: the server refuses, the attempts are used up, the disk is full, or the
            checksum is wrong.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(
            f"{url} is not an HTTP address; a mirror starts with https:// or http://"
        )
    part = path.with_name(path.name + ".part")
    fruitless = 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, report or _ignore)
            break
        except (OSError, HTTPException) as error:  # URLError is an OSError
            fruitless = 0 if _size(part) > before else fruitless + 1
            if _is_final(error) or fruitless >= attempts:
                kept = f"; {_size(part)} bytes are kept, run again to go on" if _size(part) else ""
                raise DownloadError(f"cannot fetch {url}: {_reason(error)}{kept}") from error
        time.sleep(pause_s * (fruitless + 1))
    found = file_sha256(part)
    if found != sha256:
        part.unlink()
        raise DownloadError(
            f"{url} has SHA-256 {found}, expected {sha256}; what was fetched is deleted: "
            "run again, or choose another --mirror"
        )
    part.replace(path)


def file_sha256(path: Path) -> str:
    """In hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _transfer(url: str, part: Path, report: Report) -> None:
    """One attempt: what lies behind the end of `part`, to its end. An attempt that falls short is
    an OSError.
    """
    have = _size(part)
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response: HTTPResponse = urlopen(request, timeout=_TIMEOUT_S)
    except HTTPError as error:
        if error.code != _BEHIND_THE_END:
            raise
        if _numbers(error.headers["Content-Range"]) == [have]:  # "bytes */have": nothing is missing
            return
        part.unlink()  # longer than the server's file, so not a part of it
        raise ConnectionError(
            "what was here is longer than the server's file, and is deleted"
        ) from error
    with response, part.open("ab") as file:
        if response.status == _PARTIAL:
            start, _, total = _numbers(response.headers["Content-Range"])
            if start != have:
                raise ConnectionError(f"asked for bytes from {have} on, got those from {start} on")
        else:  # the server knows no ranges, and sends all of it
            file.truncate(0)
            have, length = 0, response.headers["Content-Length"]
            total = int(length) if length else None
        _check_space(part, total, have)
        _append(response, file, have, total, report)


def _append(
    response: HTTPResponse, file: BinaryIO, have: int, total: int | None, report: Report
) -> None:
    while block := response.read(_BLOCK):
        file.write(block)
        have += len(block)
        report(have, total)
    if total is not None and have != total:
        raise ConnectionError(f"the connection ended after {have} of {total} bytes")


def _check_space(part: Path, total: int | None, have: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if total is not None and total - have > free:
        raise DownloadError(
            f"{part} lacks {total - have} bytes, but its disk has only {free} bytes free"
        )


def _numbers(content_range: str | None) -> list[int]:
    """Of "bytes 100-199/1000": [100, 199, 1000]."""
    numbers = [int(digits) for digits in re.findall(r"\d+", content_range or "")]
    if len(numbers) not in (1, 3):
        raise ConnectionError(f"the server's Content-Range {content_range!r} cannot be used")
    return numbers


def _is_final(error: Exception) -> bool:
    """Whether another attempt would fail the same way."""
    if isinstance(error, HTTPError):
        return error.code < 500 and error.code not in _TEMPORARY
    return isinstance(error, OSError) and error.errno in _LOCAL


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"HTTP {error.code} {error.reason}"
    return str(error.reason if isinstance(error, URLError) else error)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _ignore(_done: float, _total: int | None) -> None:
    """No progress."""
