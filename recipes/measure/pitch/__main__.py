"""How well a model keeps pitch, on held-out clips and on synthesised sentences of tonal languages.

python -m recipes.measure.pitch --model speech_16khz \\
    --data speech/val --out runs/pitch --bitrates 1.5,3,6

Writes runs/pitch.json and runs/pitch.md.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec import DEFAULT_MODEL, Codec
from codec.errors import AudioError, ConfigError
from codec.evaluation.model_candidate import ModelCandidate, model_candidates
from codec.evaluation.result import Clip
from codec.evaluation.signal import Signal, find_sources
from codec.metrics import score
from codec.training.validation import read_clip

from ...held_out import spread
from ...progress import progress_on_stderr
from ...rates import Bitrates
from ...run_script import run_script
from ..two_files import TwoFiles
from .findings import METRICS, Coded, Findings, Measured
from .sentences import LANGUAGES, spoken
from .table import as_markdown
from .track import Wave, track_pitch, with_trace_of_noise


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to measure, and on what."""

    data: Path
    """Folder tree of speech that the model was not trained on."""
    out: Path
    """Where the results go: OUT.json and OUT.md."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    bitrates: Bitrates = (1.5, 3.0, 6.0)
    """The bitrates to measure, in kbps."""
    clips: int | None = None
    """How many recordings, evenly spread over the sorted names; None is all."""
    force: bool = False
    """Replace the results of an earlier run."""

    def __post_init__(self) -> None:
        if self.clips is not None and self.clips < 1:
            raise ConfigError(f"--clips is at least 1, not {self.clips}")


@dataclass(frozen=True, kw_only=True)
class _Original:
    name: str
    wave: Wave
    language: str | None = None


def main(arguments: Arguments) -> None:
    files = TwoFiles(arguments.out, arguments.force)
    files.check()
    codec = Codec.load(arguments.model)
    rate = codec.config.sample_rate_hz
    candidates = model_candidates(codec, bitrates_kbps=arguments.bitrates)
    sources = spread(find_sources(arguments.data), arguments.clips)
    sentences, left_out = _sentences(rate)
    originals = [
        _Original(name=source.name, wave=read_clip(source.path, rate)) for source in sources
    ] + sentences
    measured = []
    with progress_on_stderr(
        f"{len(sources)} clips, {len(sentences)} sentences", unit="files"
    ) as report:
        for original in originals:
            measured.append(_measure(original, rate, candidates))
            report(len(measured), len(originals))
    findings = Findings(
        model=codec.name,
        fingerprint=codec.fingerprint.hex(),
        data=arguments.data.resolve().name,
        bitrates_kbps=arguments.bitrates,
        measured=measured,
        left_out=left_out,
    )
    tables = as_markdown(findings)
    files.write(findings.to_dict(), tables)
    print(tables, end="")


def _sentences(sample_rate_hz: int) -> tuple[list[_Original], tuple[str, ...]]:
    """All that can be spoken, and which languages cannot, with the reason."""
    sentences: list[_Original] = []
    left_out = []
    for language in LANGUAGES:
        try:
            clips = list(spoken(language, sample_rate_hz))
        except AudioError as error:
            left_out.append(f"{language.name} ({error})")
            print(f"left out: {left_out[-1]}", file=sys.stderr)
            continue
        sentences += [
            _Original(name=name, wave=wave, language=language.name) for name, wave in clips
        ]
    return sentences, tuple(left_out)


def _measure(
    original: _Original, sample_rate_hz: int, candidates: Sequence[ModelCandidate]
) -> Measured:
    return Measured(
        name=original.name,
        seconds=len(original.wave) / sample_rate_hz,
        language=original.language,
        original=track_pitch(original.wave, sample_rate_hz),
        noisy=track_pitch(with_trace_of_noise(original.wave), sample_rate_hz),
        coded=tuple(_code(original, sample_rate_hz, candidate) for candidate in candidates),
    )


def _code(original: _Original, sample_rate_hz: int, candidate: ModelCandidate) -> Coded:
    decoded = candidate.decode(
        original.name, Signal(wave=original.wave[None], sample_rate_hz=sample_rate_hz)
    )
    wave = decoded.signal.wave[0]
    scores = score(original.wave, wave, sample_rate_hz=sample_rate_hz, names=METRICS)
    clip = Clip(name=original.name, bits=decoded.bits, scores=scores)
    for reason in clip.failures():
        print(f"{original.name}, {candidate.name}: {reason}", file=sys.stderr)
    return Coded(track=track_pitch(wave, sample_rate_hz), scores=clip)


if __name__ == "__main__":
    run_script(main, Arguments)
