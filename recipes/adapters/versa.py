"""VERSA: the two folders that its scorer compares, originals and what a model makes of them.

    python -m recipes.adapters.versa --data speech/val --out runs/versa --bitrates 1.5,3,6
    python -m versa.bin.scorer --io dir --gt runs/versa/original --pred runs/versa/3_kbps \\
        --score_config egs/speech_cpu.yaml --output_file runs/versa/3_kbps.jsonl

A clip has one name in all folders: WAV, at its own rate, mono, of one length.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from codec import DEFAULT_MODEL, AudioError, Codec, atomic_output
from codec.audio import walk_audio
from codec.audio.sound import read_sound

from ..rates import Bitrates
from ..run_script import run_script

_ORIGINAL = "original"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to code, and at which bitrates."""

    data: Path
    """Folder tree of speech."""
    out: Path
    """Gets the folder `original`, and one of each bitrate."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    bitrates: Bitrates = (1.5, 3.0, 6.0)
    """In kbps."""
    force: bool = False
    """Replace what is there."""


def main(arguments: Arguments) -> None:
    clips = sorted(walk_audio(arguments.data))
    if not clips:
        raise AudioError(f"there is no audio below {arguments.data}; give a folder of speech")
    codec = Codec.load(arguments.model)
    for clip in clips:
        wave, rate = read_sound(clip, None)
        mono, name = wave.mean(axis=0), _name(clip.relative_to(arguments.data))
        _write(arguments, _ORIGINAL, name, mono, rate)
        for kbps in arguments.bitrates:
            coded = codec.encode(mono, sample_rate_hz=rate, bitrate_kbps=kbps)
            _write(arguments, f"{kbps:g}_kbps", name, codec.decode(coded).wave[0], rate)
    print(f"{len(clips)} clips in each folder of {arguments.out}", file=sys.stderr)


def _name(path: Path) -> str:
    """A clip's name in folders that have no folders in them."""
    return "-".join(path.with_suffix("").parts) + ".wav"


def _write(arguments: Arguments, folder: str, name: str, wave: np.ndarray, rate: int) -> None:
    (arguments.out / folder).mkdir(parents=True, exist_ok=True)
    with atomic_output(arguments.out / folder / name, overwrite=arguments.force) as file:
        soundfile.write(file, wave, rate, format="WAV")


if __name__ == "__main__":
    run_script(main, Arguments)
