"""The clips that a run trains on: read once, and then those of its folder's manifest."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from codec.errors import ConfigError, OutputError
from codec.training.data.clips import Manifest, TrainingClip, read_manifest, write_manifest
from codec.training.data.manifest import SPEAKER_RULES, Rejected, build_manifest

from ...held_out import spread
from ...stderr_progress import progress_on_stderr

MANIFEST, REJECTED = "manifest.jsonl", "rejected.txt"
_CHECKED_CLIPS = 100  # of a manifest, spread over it


def run_manifest(
    out: Path, data: Path, subsets: Sequence[str], *, speakers: str, jobs: int
) -> Manifest:
    """The manifest of a run's folder; where there is none, that of all audio in `subsets` of
    `data`.

    Raises:
        ConfigError: No usable audio, or the manifest there is of other data.
        OutputError: The folder cannot be written to.
    """
    path = out / MANIFEST
    if not path.exists():
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror}") from error
        clips, rejected = _read_folders(data, subsets or ("",), speakers, jobs)
        lines = [f"{file.path}: {file.reason}\n" for file in rejected]
        text = "".join(lines)
        (out / REJECTED).write_text(text, encoding="utf-8", errors="surrogateescape")
        if not clips:
            raise ConfigError(f"no usable audio below {data}; {out / REJECTED} says why")
        write_manifest(Manifest(root=data, clips=tuple(clips)), path)
        told = f"{len(clips)} clips, {len(rejected)} files rejected"
        print(told, file=sys.stderr, flush=True)
    manifest = read_manifest(path, root=data)
    _check(manifest, path, subsets)
    return manifest


def are_apart(data: Path, subsets: Sequence[str], validation: Path) -> bool:
    """Whether none of the folders to train on holds that to measure on, or lies in it."""
    measured = validation.resolve()
    trained = [(data / subset).resolve() for subset in subsets or ("",)]
    return not any(one.is_relative_to(measured) or measured.is_relative_to(one) for one in trained)


def _check(manifest: Manifest, path: Path, subsets: Sequence[str]) -> None:
    """Refuse clips of a run in this folder that are not of the data asked for."""
    for clip in spread(manifest.clips, _CHECKED_CLIPS):
        in_subset = map(PurePosixPath(clip.path).is_relative_to, subsets or ("",))
        if not (any(in_subset) and (manifest.root / clip.path).is_file()):
            raise ConfigError(
                f"{path} lists {clip.path}, which is not of --data {manifest.root}"
                f"{' and its --subsets' if subsets else ''}: give the data that the run "
                f"began with, or begin in another folder"
            )


def _read_folders(
    data: Path, subsets: Sequence[str], speakers: str, jobs: int
) -> tuple[list[TrainingClip], list[Rejected]]:
    """The clips and the rejected files of all subsets, with paths from `data` on."""
    clips: list[TrainingClip] = []
    rejected: list[Rejected] = []
    for subset in subsets:
        folder = data / subset
        with progress_on_stderr(f"reading {folder}", unit="files") as report:
            part, refused = build_manifest(
                folder, speaker_rule=SPEAKER_RULES[speakers], jobs=jobs, progress=report
            )
        for found, all_found in ((part.clips, clips), (refused, rejected)):
            all_found += [
                dataclasses.replace(one, path=str(PurePosixPath(subset, one.path))) for one in found
            ]
    return clips, rejected
