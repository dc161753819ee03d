"""Sort VCTK 0.92 by speakers: OUT/train and OUT/held_out, one folder per speaker, first microphone,
as links.

    python -m recipes.runs.vctk.prepare VCTK-Corpus-0.92 corpora/vctk

VCTK 0.92: Yamagishi, Veaux, MacDonald, https://datashare.ed.ac.uk/handle/10283/3443, CC BY 4.0; 110
speakers, 48 kHz, wav48_silence_trimmed/p225/p225_001_mic1.flac.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from codec import ConfigError

from ...run_script import run_script

AUDIO_FOLDER = "wav48_silence_trimmed"
TRAIN, HELD_OUT = "train", "held_out"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which corpus to sort, and to where."""

    root: Annotated[Path, tyro.conf.Positional]
    """The unpacked corpus, with the folder wav48_silence_trimmed."""
    out: Annotated[Path, tyro.conf.Positional]
    """Folder to make."""
    held_out: tuple[str, ...] = ("p360", "p361", "p362", "p363", "p364", "p374", "p376", "s5")
    """Speakers to measure on: by default the last eight. The paper does not say which it took."""


def main(arguments: Arguments) -> None:
    speakers = _speakers(arguments.root)
    missing = sorted(set(arguments.held_out) - speakers.keys())
    if missing:
        raise ConfigError(
            f"{arguments.root} has no speaker {', '.join(missing)}; choose others with --held-out"
        )
    if arguments.out.exists():
        raise ConfigError(f"{arguments.out} exists already; delete it to sort the corpus anew")
    staging = arguments.out.with_name(f".{arguments.out.name}.part")
    shutil.rmtree(staging, ignore_errors=True)
    for speaker, files in speakers.items():
        folder = staging / (HELD_OUT if speaker in arguments.held_out else TRAIN) / speaker
        folder.mkdir(parents=True)
        for file in files:
            _link(file, folder / file.name)
    staging.rename(arguments.out)
    clips = sum(map(len, speakers.values()))
    print(
        f"{clips} clips, {len(speakers)} speakers, {len(arguments.held_out)} of them held out",
        file=sys.stderr,
    )


def _speakers(root: Path) -> dict[str, list[Path]]:
    """Each speaker's clips from the first microphone, which all speakers have."""
    folder = root / AUDIO_FOLDER
    if not folder.is_dir():
        raise ConfigError(
            f"{root} has no folder {AUDIO_FOLDER}; unpack VCTK-Corpus-0.92.zip and give its folder"
        )
    speakers = {
        path.name: sorted(path.glob("*_mic1.flac"))
        for path in sorted(folder.iterdir())
        if path.is_dir()
    }
    return {speaker: files for speaker, files in speakers.items() if files}


def _link(source: Path, target: Path) -> None:
    try:
        target.symlink_to(source.resolve())
    except OSError:  # Windows, without the right to make links
        shutil.copyfile(source, target)


if __name__ == "__main__":
    run_script(main, Arguments)
