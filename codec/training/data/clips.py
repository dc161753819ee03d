"""The manifest file: a header line, then one line of JSON per clip of audio."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ManifestError
from ...files.output import atomic_output

__all__ = [
    "LEVELS_PER_SECOND",
    "LOWEST_LEVEL_DB",
    "Manifest",
    "TrainingClip",
    "json_line",
    "read_manifest",
    "write_manifest",
]

FORMAT = "diveq-codec manifest"
VERSION = 1
LEVELS_PER_SECOND = 10
LOWEST_LEVEL_DB = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingClip:
    """One audio file.

    `path` is relative to the manifest's root, with forward slashes; `frames` counts samples per
    channel; `sha256` is that of the file. `levels` has one byte per 0.1 s (block k starts at frame
    k · rate // 10): the RMS level of the mean of the channels, without its offset, in whole dB
    *below* full scale, 0 to 120.
    """

    path: str
    frames: int
    sample_rate_hz: int
    channels: int
    speaker: str
    sha256: str
    levels: bytes

    def __post_init__(self) -> None:
        if self.frames < 1 or self.sample_rate_hz < LEVELS_PER_SECOND or self.channels < 1:
            raise ValueError(
                f"frames {self.frames}, sample_rate_hz {self.sample_rate_hz}, channels "
                f"{self.channels}"
            )
        expected = level_count(self.frames, self.sample_rate_hz)
        if len(self.levels) != expected:
            raise ValueError(
                f"{len(self.levels)} levels, expected {expected} for {self.seconds:.1f} s"
            )

    @property
    def seconds(self) -> float:
        return self.frames / self.sample_rate_hz


def level_count(frames: int, sample_rate_hz: int) -> int:
    """Blocks of 0.1 s in a clip; the last one may be shorter."""
    return -(-frames * LEVELS_PER_SECOND // sample_rate_hz)


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Clips, in the order of the file, and the folder that their paths start from."""

    root: Path
    clips: tuple[TrainingClip, ...]

    @property
    def seconds(self) -> float:
        return sum(clip.seconds for clip in self.clips)

    def checksum(self) -> str:
        """SHA-256 over the clips, wherever they lie: equal for the same files in the same order."""
        return hashlib.sha256(b"\n".join(map(_to_line, self.clips))).hexdigest()


def write_manifest(
    manifest: Manifest, path: str | os.PathLike[str], *, overwrite: bool = False
) -> None:
    """Write the file; its header gives the root relative to the file's folder, so that both can
    move together.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "root": _relative_root(manifest.root, Path(path)),
    }
    with atomic_output(path, overwrite=overwrite) as file:
        for line in (json_line(header), *map(_to_line, manifest.clips)):
            file.write(line + b"\n")


def read_manifest(
    path: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None
) -> Manifest:
    """Read and check a manifest.

    Args:
        path: The file, from `write_manifest` or `python -m codec.training.data.manifest`.
        root: Where the audio lies now, if not where the header says.

    Raises:
        ManifestError: The file is missing, has no clips, or a line is not as it should be; names
            file and line.
    """
    name = os.fspath(path)
    try:
        # splitlines would end a line at U+2028 and U+0085, too, which names may hold
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"cannot read the manifest {name}: {error}") from error
    header_root = _read_header(lines, name)
    clips = tuple(
        _from_line(line, f"{name}, line {number}")
        for number, line in enumerate(lines[1:], start=2)
        if line
    )
    if not clips:
        raise ManifestError(f"the manifest {name} lists no clips")
    return Manifest(
        root=Path(root) if root is not None else Path(path).parent / header_root, clips=clips
    )


def _relative_root(root: Path, manifest: Path) -> str:
    try:
        return Path(os.path.relpath(root.resolve(), manifest.resolve().parent)).as_posix()
    except ValueError:  # another drive, on Windows
        return root.resolve().as_posix()


def json_line(fields: dict[str, Any]) -> bytes:
    """JSON in UTF-8, without an end of line. The bytes of a file's name that are no UTF-8 become
    escapes (`\\udcff` for 0xff), from which `json.loads` makes the name again.
    """
    return json.dumps(fields, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _to_line(clip: TrainingClip) -> bytes:
    fields = {field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)}
    return json_line(fields | {"levels": base64.b64encode(clip.levels).decode()})


def _read_header(lines: list[str], name: str) -> str:
    header = _json_object(lines[0], f"{name}, line 1")
    if header.get("format") != FORMAT or not isinstance(header.get("root"), str):
        raise ManifestError(
            f"{name} is no manifest: line 1 is not its header; make one with "
            f"codec.training.data.manifest"
        )
    if header.get("version") != VERSION:
        raise ManifestError(
            f"{name} is a manifest of version {header.get('version')}; this program reads {VERSION}"
        )
    return header["root"]


_FIELD_TYPES: dict[str, type] = {
    "path": str,
    "frames": int,
    "sample_rate_hz": int,
    "channels": int,
    "speaker": str,
    "sha256": str,
    "levels": str,
}


def _from_line(line: str, place: str) -> TrainingClip:
    fields = _json_object(line, place)
    if fields.keys() != _FIELD_TYPES.keys():
        wrong = ", ".join(sorted(fields.keys() ^ _FIELD_TYPES.keys()))
        raise ManifestError(
            f"{place}: missing or unknown: {wrong}; a clip has {', '.join(_FIELD_TYPES)}"
        )
    for key, expected in _FIELD_TYPES.items():
        if type(fields[key]) is not expected:
            raise ManifestError(f"{place}: {key} is {fields[key]!r}, expected {expected.__name__}")
    try:
        fields["levels"] = base64.b64decode(fields["levels"], validate=True)
        return TrainingClip(**fields)
    except (ValueError, binascii.Error) as error:
        raise ManifestError(f"{place}: {error}") from error


def _json_object(line: str, place: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        raise ManifestError(f"{place}: not JSON ({error.msg} at column {error.colno})") from error
    if not isinstance(value, dict):
        raise ManifestError(f"{place}: expected a JSON object, found {type(value).__name__}")
    return value
