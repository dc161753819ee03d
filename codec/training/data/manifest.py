"""Make a manifest from any folder tree of audio: what can be used, and why the rest cannot.

    python -m codec.training.data.manifest ROOT OUT.jsonl --speakers prefix

Files that cannot be used are listed with the reason in `OUT.rejected.jsonl`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Literal

import numpy as np

from ...audio import AudioReader, open_audio, walk_audio
from ...errors import AudioError, DiveqCodecError, ManifestError
from ...files.output import atomic_output, refuse_existing
from .clips import (
    LEVELS_PER_SECOND,
    LOWEST_LEVEL_DB,
    Manifest,
    TrainingClip,
    json_line,
    read_manifest,
    write_manifest,
)

__all__ = [
    "SPEAKER_RULES",
    "Limits",
    "Manifest",
    "Rejected",
    "TrainingClip",
    "build_manifest",
    "read_manifest",
    "write_manifest",
]

SpeakerRule = Callable[[PurePath], str]
Progress = Callable[[int, int], None]

_CLIPPED_FROM = 0.999
_READ_SECONDS = 10  # a whole number of level blocks, at any rate


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a clip must keep to be used.

    `silent_below_dbfs`: the loudest 0.1 s of the clip reaches this level. `max_clipped_share`: at
    most this share of the samples stands at full scale (0.999 and above).
    """

    min_seconds: float = 0.5
    max_seconds: float = 3600.0
    min_sample_rate_hz: int = 8000
    silent_below_dbfs: float = -60.0
    max_clipped_share: float = 0.001


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """An audio file that is not used, and why."""

    path: str
    reason: str


def speaker_from_folder(path: PurePath) -> str:
    """The folder that the file lies in."""
    return path.parent.name


def speaker_from_prefix(path: PurePath) -> str:
    """The file's name before its last underscore; the whole name where there is none."""
    return path.stem.rpartition("_")[0] or path.stem


def speaker_from_libritts(path: PurePath) -> str:
    """The layout root/speaker/chapter/file of LibriTTS, LibriSpeech and their subsets."""
    if len(path.parts) < 4:
        raise AudioError("no speaker folder: expected speaker/chapter/file, as in LibriTTS")
    return path.parent.parent.name


SPEAKER_RULES: dict[str, SpeakerRule] = {
    "folder": speaker_from_folder,
    "prefix": speaker_from_prefix,
    "libritts": speaker_from_libritts,
}


def build_manifest(
    root: str | os.PathLike[str],
    *,
    speaker_rule: SpeakerRule = speaker_from_folder,
    limits: Limits | None = None,
    jobs: int = 1,
    progress: Progress | None = None,
) -> tuple[Manifest, list[Rejected]]:
    """Read every audio file below `root`, and sort what can be used from what cannot.

    Args:
        root: A folder. Files count as audio by their suffix; hidden ones, and pipes and sockets,
            are passed over.
        speaker_rule: File path (the root's own name first) to speaker; an `AudioError` of it
            rejects the file.
        limits: What a clip must keep, or `Limits()`.
        jobs: Files read at the same time.
        progress: Called after each file with the files done and all files.

    Returns:
        The manifest and the rejected files, both sorted by path, whatever `jobs` is.
    """
    root = Path(root)
    paths = _find_audio(root)
    clips, rejected = [], []
    with ThreadPoolExecutor(jobs) as pool:  # decoding and sums release the interpreter lock
        results = pool.map(partial(_inspect, root, speaker_rule, limits or Limits()), paths)
        for done, result in enumerate(results, start=1):
            (rejected if isinstance(result, Rejected) else clips).append(result)
            if progress:
                progress(done, len(paths))
    return Manifest(root=root, clips=tuple(clips)), rejected


def _find_audio(root: Path) -> list[str]:
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder; give the folder that the audio files lie in")
    return sorted(path.relative_to(root).as_posix() for path in walk_audio(root))


def _inspect(
    root: Path, speaker_rule: SpeakerRule, limits: Limits, path: str
) -> TrainingClip | Rejected:
    try:
        speaker = speaker_rule(PurePath(root.resolve().name, path))
        with open_audio(root / path) as reader:
            levels, frames, clipped = _scan(reader, limits)
            clip = TrainingClip(
                path=path,
                frames=frames,
                sample_rate_hz=reader.sample_rate_hz,
                channels=reader.channels,
                speaker=speaker,
                sha256=_sha256(root / path),
                levels=levels,
            )
        _check(clip, clipped, limits)
    except (AudioError, OSError) as error:
        return Rejected(path=path, reason=str(error))
    return clip


def _scan(reader: AudioReader, limits: Limits) -> tuple[bytes, int, int]:
    """Levels, frames and clipped samples of a file; stops early where its rate or length is beyond
    the limits.
    """
    if reader.sample_rate_hz < limits.min_sample_rate_hz:
        raise AudioError(
            f"{reader.sample_rate_hz} Hz, below the limit of {limits.min_sample_rate_hz} Hz"
        )
    levels = bytearray()
    frames = clipped = 0
    for block in reader.blocks(_READ_SECONDS * reader.sample_rate_hz):
        levels += _levels(block, reader.sample_rate_hz)
        frames += block.shape[1]
        clipped += int(np.count_nonzero(np.abs(block) >= _CLIPPED_FROM))
        if frames > limits.max_seconds * reader.sample_rate_hz:
            raise AudioError(f"longer than the limit of {limits.max_seconds:g} s")
    if frames < limits.min_seconds * reader.sample_rate_hz or not frames:
        seconds = frames / reader.sample_rate_hz
        raise AudioError(f"{seconds:.3f} s, shorter than the limit of {limits.min_seconds:g} s")
    return bytes(levels), frames, clipped


def _levels(block: np.ndarray, sample_rate_hz: int) -> bytes:
    """RMS level of each 0.1 s, in whole dB below full scale."""
    mono = block.mean(axis=0, dtype=np.float64)
    count = -(-len(mono) * LEVELS_PER_SECOND // sample_rate_hz)
    starts = np.arange(count) * sample_rate_hz // LEVELS_PER_SECOND
    lengths = np.diff(starts, append=len(mono))
    variance = (
        np.add.reduceat(mono**2, starts) / lengths - (np.add.reduceat(mono, starts) / lengths) ** 2
    )
    below = -10 * np.log10(np.maximum(variance, 10.0 ** (-LOWEST_LEVEL_DB / 10)))
    return np.clip(np.rint(below), 0, LOWEST_LEVEL_DB).astype(np.uint8).tobytes()


def _check(clip: TrainingClip, clipped: int, limits: Limits) -> None:
    loudest_dbfs = -min(clip.levels)
    if loudest_dbfs < limits.silent_below_dbfs:
        raise AudioError(
            f"silent: its loudest 0.1 s has {loudest_dbfs} dBFS, below {limits.silent_below_dbfs:g}"
        )
    share = clipped / (clip.frames * clip.channels)
    if share > limits.max_clipped_share:
        raise AudioError(
            f"clipped: {share:.2%} of its samples stand at full scale, over "
            f"{limits.max_clipped_share:.2%}"
        )


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def main(
    root: Path,
    out: Path,
    /,
    speakers: Literal["folder", "prefix", "libritts"] = "folder",
    limits: Limits = Limits(),
    jobs: int = os.cpu_count() or 1,
    force: bool = False,
) -> None:
    """Make a manifest of the audio below a folder, for training.

    Args:
        root: Folder tree of audio files.
        out: Manifest to write, ".jsonl"; rejected files go beside it to ".rejected.jsonl".
        speakers: Where the speaker is named: the file's folder, the file name before its last
            underscore, or LibriTTS' layout speaker/chapter/file.
        limits: What a clip must keep to be used.
        jobs: Files read at the same time.
        force: Overwrite existing manifests.
    """
    from rich.console import Console
    from rich.progress import Progress as Bar

    rejected_path = out.with_suffix(".rejected.jsonl")
    refuse_existing(out, rejected_path, overwrite=force)
    console = Console(stderr=True)
    with Bar(console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=None)
        manifest, rejected = build_manifest(
            root,
            speaker_rule=SPEAKER_RULES[speakers],
            limits=limits,
            jobs=jobs,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
    with atomic_output(rejected_path, overwrite=force) as file:
        file.writelines(json_line(asdict(item)) + b"\n" for item in rejected)
    console.print(f"{len(rejected)} files rejected: {rejected_path}")
    if not manifest.clips:
        raise ManifestError(f"no usable audio below {root}, so there is no manifest")
    write_manifest(manifest, out, overwrite=force)
    speaker_count = len({clip.speaker for clip in manifest.clips})
    console.print(
        f"{len(manifest.clips)} clips, {manifest.seconds / 3600:.2f} hours, {speaker_count} "
        f"speakers: {out}"
    )


if __name__ == "__main__":
    import sys

    import tyro

    try:
        tyro.cli(main, prog="python -m codec.training.data.manifest")
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")
