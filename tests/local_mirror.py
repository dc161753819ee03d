"""A web server on this machine for tests of downloads, which can break off, refuse, or ignore
ranges.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import soundfile
from synthesis import synthesize_speech


@dataclass
class Mirror:
    """Files by name, what was asked for, and how the next answers go wrong."""

    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str | None]] = field(default_factory=list)  # name, Range
    break_after: list[int] = field(
        default_factory=list
    )  # the next answers end after so many bytes of the body
    statuses: list[int] = field(default_factory=list)  # the next answers are errors
    knows_ranges: bool = True
    url: str = ""

    def sums(self) -> str:
        """As `sha256sum` prints them."""
        return "".join(
            f"{hashlib.sha256(content).hexdigest()}  {name}\n"
            for name, content in self.files.items()
        )


@contextlib.contextmanager
def serve() -> Iterator[Mirror]:
    """A running mirror on 127.0.0.1."""
    mirror = Mirror()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self.path.lstrip("/")
            mirror.requests.append((name, self.headers["Range"]))
            content = mirror.files.get(name)
            if mirror.statuses or content is None:
                self.send_error(mirror.statuses.pop(0) if mirror.statuses else 404)
                return
            self._answer(content)

        def _answer(self, content: bytes) -> None:
            found = (
                re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
                if mirror.knows_ranges
                else None
            )
            start = int(found[1]) if found else 0
            if found and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.end_headers()
                return
            self.send_response(206 if found else 200)
            if found:
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            body = content[start:]
            self.wfile.write(body[: mirror.break_after.pop(0)] if mirror.break_after else body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests look at `Mirror.requests`."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    mirror.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def write_libritts(
    root: Path, subset: str, speakers: dict[str, int], *, seconds: float = 2.0
) -> Path:
    """A tree as that of LibriTTS: so many clips by each speaker, at 24 kHz. Returns the folder
    "LibriTTS".
    """
    for speaker, clips in speakers.items():
        folder = root / "LibriTTS" / subset / speaker / "1001"
        folder.mkdir(parents=True)
        for number in range(clips):
            name = f"{speaker}_1001_{number:06}_000000"
            speech = synthesize_speech(seconds, sample_rate_hz=24_000, seed=int(speaker) + number)
            soundfile.write(folder / f"{name}.wav", speech, 24_000, subtype="PCM_16")
            (folder / f"{name}.normalized.txt").write_text("words")
    (root / "LibriTTS" / "LICENSE.txt").write_text("CC BY 4.0")
    return root / "LibriTTS"


def packed(folder: Path, path: Path) -> bytes:
    """A .tar.gz of the folder, as the official ones are."""
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        archive.add(folder, folder.name)
    return path.read_bytes()
