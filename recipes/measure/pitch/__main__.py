"""How well a model keeps pitch, on held-out clips and on synthesised sentences of tonal languages.

python -m recipes.measure.pitch --model speech_16khz \\
    --data speech/val --out runs/pitch --bitrates 1.5,3,6

Writes runs/pitch.json and runs/pitch.md.
"""

from __future__ import annotations

import sys

from codec import Codec
from codec.errors import ConfigError
from codec.evaluation.candidates import Decoded
from codec.evaluation.model_candidate import ModelCandidate, model_candidates
from codec.evaluation.result import StageUse
from codec.evaluation.signal import NamedSignal, Signal
from codec.training.validation import read_clip

from ...run_script import run_script
from ..harness import ModelArguments, Subject, measure_model, scoring
from .pitch_findings import METRICS, CodedPitch, MeasuredClip, PitchFindings
from .pitch_tables import as_markdown
from .sentences import LANGUAGES, spoken
from .track import Track, track_pitch, with_trace_of_noise


def main(arguments: ModelArguments) -> None:
    measure_model(arguments, measure, as_markdown)


def measure(arguments: ModelArguments, codec: Codec) -> PitchFindings:
    """Recordings and synthesised sentences at each bitrate."""
    rate = codec.config.sample_rate_hz
    recordings = [
        NamedSignal.mono(source.name, read_clip(source.path, rate), rate)
        for source in arguments.sources()
    ]
    sentences, left_out = _sentences(rate)
    originals = recordings + [sentence for of_one in sentences.values() for sentence in of_one]
    candidates = [
        _PitchTracker(candidate)
        for candidate in model_candidates(codec, bitrates_kbps=arguments.bitrates)
    ]
    label = f"{len(recordings)} clips, {len(originals) - len(recordings)} sentences"
    with scoring(label, total=len(originals), workers=arguments.workers) as scores:
        evaluation = scores.evaluate(arguments.data_name, originals, candidates, metrics=METRICS)
    languages = {
        sentence.name: language for language, of_one in sentences.items() for sentence in of_one
    }
    measured = []
    for place, original in enumerate(originals):
        coded = [
            CodedPitch(track=candidate.tracks[original.name], scores=system.clips[place])
            for candidate, system in zip(candidates, evaluation.systems, strict=True)
            if original.name in candidate.tracks
        ]
        if len(coded) == len(candidates):  # else it is on stderr why
            language = languages.get(original.name)
            measured.append(_measured(original, language, tuple(coded)))
    return PitchFindings(subject=Subject.of(arguments, codec), measured=measured, left_out=left_out)


def _measured(
    original: NamedSignal, language: str | None, coded: tuple[CodedPitch, ...]
) -> MeasuredClip:
    wave, rate = original.signal.wave[0], original.signal.sample_rate_hz
    return MeasuredClip(
        name=original.name,
        seconds=original.signal.seconds,
        language=language,
        original=track_pitch(wave, rate),
        noisy=track_pitch(with_trace_of_noise(wave), rate),
        coded=coded,
    )


def _sentences(sample_rate_hz: int) -> tuple[dict[str, list[NamedSignal]], tuple[str, ...]]:
    """All that can be spoken, by language; and which languages cannot, with the reason."""
    sentences: dict[str, list[NamedSignal]] = {}
    left_out = []
    for language in LANGUAGES:
        try:
            clips = list(spoken(language, sample_rate_hz))
        except ConfigError as error:
            left_out.append(f"{language.name} ({error})")
            print(f"left out: {left_out[-1]}", file=sys.stderr)
            continue
        sentences[language.name] = [
            NamedSignal.mono(name, wave, sample_rate_hz) for name, wave in clips
        ]
    return sentences, tuple(left_out)


class _PitchTracker:
    """A candidate that keeps the pitch of what it decodes, by the clip's name."""

    align = False

    def __init__(self, candidate: ModelCandidate) -> None:
        self.name, self.family, self.note = candidate.name, candidate.family, candidate.note
        self.tracks: dict[str, Track] = {}
        self._candidate = candidate

    def decode(self, name: str, signal: Signal) -> Decoded:
        decoded = self._candidate.decode(name, signal)
        self.tracks[name] = track_pitch(decoded.signal.wave[0], decoded.signal.sample_rate_hz)
        return decoded

    def stages(self) -> tuple[StageUse, ...]:
        return self._candidate.stages()


if __name__ == "__main__":
    run_script(main, ModelArguments)
