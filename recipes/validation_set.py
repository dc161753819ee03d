"""Assemble the validation set, 52 clips of real speech, from the corpora that they come from.

python -m recipes.validation_set --corpora LibriTTS/ VCTK-Corpus-0.92/ LibriSpeech/ --out speech/val

`validation_set.jsonl` lists each clip: its name, corpus, speaker and length, the SHA-256 of its
samples (16 kHz, 16 bits, little-endian) and its level every tenth of a second. A recording with
these samples is the clip itself; one of the same length and the same levels is the same utterance
at another rate or gain, and is resampled to 16 kHz.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec.audio import AudioWriter, open_audio
from codec.errors import AudioError, ConfigError
from codec.evaluation.signal import Signal, find_sources, read_signal

from .run_script import run_script

__all__ = ["ListedClip", "describe", "find", "read_list"]

LIST = Path(__file__).with_name("validation_set.jsonl")
RATE_HZ = 16_000
_BLOCK = RATE_HZ // 10
_FLOOR_DB = 90  # below full scale
_LENGTH_SECONDS = 0.02  # by which excerpts of one utterance may differ
_ALIKE = (
    0.99  # correlation of levels; between any two of the 52, cut to one length, it is at most .90
)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where the corpora lie, and where the clips go."""

    corpora: tuple[Path, ...]
    """Folder trees, e.g. of LibriTTS, LibriSpeech, VCTK, MLS."""
    out: Path
    """The folder to write the clips into, as FLAC; clips that are there already are left."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedClip:
    """One line of the list; `levels` are dB above -90 dBFS, a byte each, as hexadecimal digits."""

    name: str
    corpus: str
    speaker: str
    samples: int
    sha256: str
    levels: str


def read_list(path: Path = LIST) -> list[ListedClip]:
    """All clips of a list."""
    return [
        ListedClip(**json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()
    ]


def describe(samples: np.ndarray, *, name: str, corpus: str, speaker: str) -> ListedClip:
    """The line for int16 samples (n,) at 16 kHz."""
    data = np.ascontiguousarray(samples, "<i2").tobytes()
    return ListedClip(
        name=name,
        corpus=corpus,
        speaker=speaker,
        samples=len(samples),
        sha256=hashlib.sha256(data).hexdigest(),
        levels=_levels(samples).astype(np.uint8).tobytes().hex(),
    )


def find(
    clips: Iterable[ListedClip], trees: Iterable[Path]
) -> Iterator[tuple[ListedClip, np.ndarray, bool]]:
    """Clips found below the trees: each with its int16 samples, and whether these are exact.

    A recording that cannot be read is passed over, with a line on standard error.
    """
    missing = {clip.name: clip for clip in clips}
    for source in (source for tree in trees for source in find_sources(tree)):
        try:
            found = _match(missing.values(), source.path)
        except AudioError as error:
            print(f"passed over: {error}", file=sys.stderr)
            continue
        if found:
            del missing[found[0].name]
            yield found


def _match(clips: Iterable[ListedClip], path: Path) -> tuple[ListedClip, np.ndarray, bool] | None:
    """The clip that a recording is, its int16 samples, and whether these are exact."""
    with open_audio(path) as reader:
        seconds = (reader.frames or 0) / reader.sample_rate_hz
    alike = [clip for clip in clips if abs(clip.samples / RATE_HZ - seconds) < _LENGTH_SECONDS]
    if not alike:
        return None
    samples = _as_int16(read_signal(path))
    sha256 = describe(samples, name="", corpus="", speaker="").sha256
    for clip in alike:
        if sha256 == clip.sha256 or _likeness(samples, clip) > _ALIKE:
            return clip, samples, sha256 == clip.sha256
    return None


def _as_int16(signal: Signal) -> np.ndarray:
    wave = (signal if signal.sample_rate_hz == RATE_HZ else signal.at(RATE_HZ)).wave.mean(axis=0)
    return np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)


def _levels(samples: np.ndarray) -> np.ndarray:
    """dB above -90 dBFS of each tenth of a second, rounded, at least 0."""
    blocks = samples[: len(samples) // _BLOCK * _BLOCK].reshape(-1, _BLOCK) / 32768
    decibels = 10 * np.log10(np.square(blocks).mean(axis=1) + 1e-12)
    return np.maximum(np.round(decibels + _FLOOR_DB), 0)


def _likeness(samples: np.ndarray, clip: ListedClip) -> float:
    """Correlation of the levels: 1 for the same utterance, whatever its gain."""
    own, listed = _levels(samples), np.frombuffer(bytes.fromhex(clip.levels), np.uint8)
    shared = min(len(own), len(listed))
    return float(np.corrcoef(own[:shared], listed[:shared])[0, 1])


def _write(samples: np.ndarray, path: Path) -> None:
    with AudioWriter(
        path, sample_rate_hz=RATE_HZ, channels=1, subtype="PCM_16", overwrite=True
    ) as writer:
        writer.write(samples[None] / 32768)


def main(arguments: Arguments) -> None:
    """Write what is found, then say what is missing and where to look for it."""
    clips = read_list()
    wanted = [clip for clip in clips if not (arguments.out / f"{clip.name}.flac").exists()]
    for tree in arguments.corpora:
        if not tree.is_dir():
            raise ConfigError(
                f"{tree} is no folder; name the top folders of corpora, e.g. LibriTTS"
            )
    arguments.out.mkdir(parents=True, exist_ok=True)
    found: set[str] = set()
    for clip, samples, is_exact in find(wanted, arguments.corpora):
        _write(samples, arguments.out / f"{clip.name}.flac")
        print(f"{clip.name}: {'exact' if is_exact else 'the same utterance, resampled'}")
        found.add(clip.name)
    for clip in wanted:
        if clip.name not in found:
            print(
                f"{clip.name}: not found; {clip.samples / RATE_HZ:.2f} s of speaker {clip.speaker} "
                f"of {clip.corpus}"
            )
    print(f"{len(clips) - len(wanted) + len(found)} of {len(clips)} clips are in {arguments.out}")


if __name__ == "__main__":
    run_script(main, Arguments)
