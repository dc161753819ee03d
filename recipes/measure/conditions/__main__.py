"""How quality holds up when speech is not clean: one model, held-out clips, a condition after
another.

python -m recipes.measure.conditions --model speech_16khz \\
    --data speech/val --out runs/conditions --bitrates 1.5,3,6

Writes runs/conditions.json and runs/conditions.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from codec import Codec
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.signal import Source, find_sources
from codec.training.data.manifest import SPEAKER_RULES

from ...held_out import spread
from ...run_script import run_script
from ..harness import ModelArguments, Subject, measure_model, scoring
from .changed_clips import CONDITIONS, MUSIC, ChangedClip, Corpus, music_clips
from .condition_findings import ConditionFindings, MeasuredCondition
from .condition_tables import as_markdown

SPEECH_METRICS = ("pesq_wb", "estoi", "mel_distance", "si_sdr")
MUSIC_METRICS = ("mel_distance", "si_sdr")


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelArguments):
    """What to measure, and on what."""

    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""


def main(arguments: Arguments) -> None:
    measure_model(arguments, measure, as_markdown)


def measure(arguments: Arguments, codec: Codec) -> ConditionFindings:
    """The clips under each condition, and music, at each bitrate."""
    rate = codec.config.sample_rate_hz
    sources = find_sources(arguments.data)  # all: the second speaker may be in any
    corpus = Corpus(sources, _speakers(arguments, sources), sample_rate_hz=rate)
    chosen = spread(sources, arguments.clips)
    work = {
        condition.name: [ChangedClip.of(condition, corpus, source) for source in chosen]
        for condition in CONDITIONS
    }
    work[MUSIC] = music_clips(len(chosen), sample_rate_hz=rate)
    label = f"{len(work)} conditions, {len(chosen)} clips"
    total = sum(len(clips) for clips in work.values())
    measured = []
    with scoring(label, total=total, workers=arguments.workers) as scores:
        for condition, clips in work.items():
            evaluation = scores.evaluate(
                condition,
                clips,
                model_candidates(codec, bitrates_kbps=arguments.bitrates),
                metrics=MUSIC_METRICS if condition == MUSIC else SPEECH_METRICS,
            )
            turned_down_db = tuple(clip.turned_down_db for clip in clips if clip.turned_down_db)
            measured.append(
                MeasuredCondition(
                    condition=condition, evaluation=evaluation, turned_down_db=turned_down_db
                )
            )
    return ConditionFindings(subject=Subject.of(arguments, codec), measured=measured)


def _speakers(arguments: Arguments, sources: Sequence[Source]) -> list[str]:
    rule, root = SPEAKER_RULES[arguments.speakers], arguments.data_name
    return [rule(PurePath(root, source.name)) for source in sources]


if __name__ == "__main__":
    run_script(main, Arguments)
