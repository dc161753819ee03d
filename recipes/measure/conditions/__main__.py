"""How quality holds up when speech is not clean: one model, held-out clips, a condition after
another.

python -m recipes.measure.conditions --model speech_16khz \\
    --data speech/val --out runs/conditions --bitrates 1.5,3,6

Writes runs/conditions.json and runs/conditions.md.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from codec import DEFAULT_MODEL, Codec, atomic_output
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.signal import Source, find_sources
from codec.files.output import refuse_existing
from codec.training.data.manifest import SPEAKER_RULES

from ...held_out import spread
from ...rates import Bitrates
from ...run_script import run_script
from ..harness import ClipArguments, scoring
from .changed_clips import CONDITIONS, MUSIC, ChangedClip, Corpus, music_clips
from .condition_tables import MeasuredCondition, as_plain, as_tables

SPEECH_METRICS = ("pesq_wb", "estoi", "mel_distance", "si_sdr")
MUSIC_METRICS = ("mel_distance", "si_sdr")


@dataclass(frozen=True, kw_only=True)
class Arguments(ClipArguments):
    """What to measure, and on what."""

    out: Path
    """Where the results go: OUT.json and OUT.md."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    bitrates: Bitrates = (1.5, 3.0, 6.0)
    """The bitrates to measure, in kbps."""
    speakers: Literal["folder", "prefix", "libritts"] = "prefix"
    """How a path names its speaker."""


def main(arguments: Arguments) -> None:
    paths = [arguments.out.with_name(arguments.out.name + suffix) for suffix in (".json", ".md")]
    refuse_existing(*paths, overwrite=arguments.force)
    codec = Codec.load(arguments.model)
    measured = measure(arguments, codec)
    clips = len(measured[0].evaluation.references)
    title = f"{codec.name} ({codec.fingerprint.hex()}) on {arguments.data_name}, {clips} clips. "
    tables = title + as_tables(measured, arguments.bitrates)
    facts = {
        "model": codec.name,
        "fingerprint": codec.fingerprint.hex(),
        "data": arguments.data_name,
        "conditions": as_plain(measured, arguments.bitrates),
    }
    as_json = json.dumps(facts, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    for path, text in zip(paths, (as_json, tables), strict=True):
        with atomic_output(path, overwrite=arguments.force) as file:
            file.write(text.encode())
    print(tables, end="")


def measure(arguments: Arguments, codec: Codec) -> list[MeasuredCondition]:
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
    return measured


def _speakers(arguments: Arguments, sources: Sequence[Source]) -> list[str]:
    rule, root = SPEAKER_RULES[arguments.speakers], arguments.data_name
    return [rule(PurePath(root, source.name)) for source in sources]


if __name__ == "__main__":
    run_script(main, Arguments)
