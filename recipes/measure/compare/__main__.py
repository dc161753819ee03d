"""Our models beside other codecs: the same clips, the same metrics, the same machine, one run.

python -m recipes.measure.compare --data speech/val --out runs/compare
diveq-codec report runs/compare/evaluation.json runs/compare/report.html

Codecs that are not installed are named and left out. Neural peers need their weights on the disk
(`--weights encodec FOLDER`); without, they are timed with random ones, and only timed. Nothing is
downloaded.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from codec import DEFAULT_MODEL, Codec, absent_metrics, load_metric
from codec.errors import ConfigError
from codec.evaluation.candidates import Candidate
from codec.evaluation.model_candidate import ModelCandidate, model_candidates
from codec.evaluation.recordings import Recordings
from codec.evaluation.result import Evaluation
from codec.evaluation.signal import Source
from codec.files.output import refuse_existing

from ...rates import Bitrates, StageCounts
from ...run_script import run_script
from ..harness import ClipArguments, scoring
from .codec2 import codec2_peers
from .neural import LAYOUTS, neural_peers, threads
from .opus_tools import opus_peers
from .peer import Peer
from .system_tables import as_markdown
from .timed import timed_system

RESULT = "evaluation.json"
PROGRAMS: dict[str, Callable[[], list[Peer]]] = {"opus": opus_peers, "codec2": codec2_peers}


@dataclass(frozen=True, kw_only=True)
class Arguments(ClipArguments):
    """What to compare, and on what."""

    out: Path
    """Folder for evaluation.json and the audio that it names."""
    systems: tuple[str, ...] = (*PROGRAMS, *LAYOUTS)
    """The other codecs."""
    models: tuple[str, ...] = (DEFAULT_MODEL,)
    """Ours: names of shipped models, or model files."""
    bitrates: Bitrates = ()
    """The bitrates of our models, in kbps; what one lacks is left out. By default, where there are
    no --stages, those of 1, 2, 4, 8, … and all stages."""
    stages: StageCounts = ()
    """The numbers of stages of our models, the same for every frame; what one lacks is left out."""
    weights: dict[str, Path] = field(default_factory=dict)
    """Folders with config.json and weights, by the codec: encodec FOLDER mimi FOLDER …"""
    metrics: tuple[str, ...] | None = None
    """None is all but ViSQOL, and but those whose packages are not installed."""
    plug_ins: tuple[str, ...] = ()
    """Metrics beside them, as module:name: recipes.measure.words:word_error_rate …"""
    threads: int = 1
    """Processor threads of the neural codecs, ours among them; programs have one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        known = (*PROGRAMS, *LAYOUTS)
        if unknown := [name for name in self.systems if name not in known]:
            raise ConfigError(
                f"there is no adapter for {', '.join(unknown)}; known: {', '.join(known)}"
            )
        if unknown := [name for name in self.weights if name not in LAYOUTS]:
            raise ConfigError(
                f"--weights are for {', '.join(LAYOUTS)}, not for {', '.join(unknown)}"
            )
        if self.threads < 1:
            raise ConfigError(f"--threads is at least 1, not {self.threads}")


def main(arguments: Arguments) -> None:
    refuse_existing(arguments.out / RESULT, overwrite=arguments.force)
    torch.set_num_threads(arguments.threads)
    sources = arguments.sources()
    evaluation = _with_timed(arguments, sources, _evaluate(arguments, sources))
    evaluation.write(arguments.out / RESULT, overwrite=arguments.force)
    print(as_markdown(evaluation))


def _evaluate(arguments: Arguments, sources: Sequence[Source]) -> Evaluation:
    extra_metrics = dict(map(load_metric, arguments.plug_ins))
    if arguments.metrics is None and (absent := absent_metrics()):
        _skip(", ".join(absent), "they need pip install 'diveq-codec[listeners]'")
    candidates = [*ours(arguments), *_others(arguments)]
    label = f"{len(candidates)} systems, {len(sources)} clips"
    with scoring(label, total=len(sources), workers=arguments.workers) as scores:
        return scores.evaluate(
            arguments.data_name,
            sources,
            candidates,
            metrics=arguments.metrics,
            extra_metrics=extra_metrics,
            recordings=Recordings(arguments.out, overwrite=arguments.force),
        )


def ours(arguments: Arguments) -> list[ModelCandidate]:
    """Make candidates of our models, each at those of the requested rates that it has."""
    found: list[ModelCandidate] = []
    for name in arguments.models:
        candidates = _at_rates(Codec.load(name, device="cpu"), arguments)
        for candidate in candidates:
            candidate.note = f"bits of whole .dvq files, {threads()}"
        found += candidates
    return found


def _at_rates(codec: Codec, arguments: Arguments) -> list[ModelCandidate]:
    """A model at those of the bitrates and numbers of stages that it has."""
    if not arguments.bitrates and not arguments.stages:
        return model_candidates(codec)
    bits = [stage.bits for stage in codec.config.stages]
    least, most = (
        frame_bits * codec.config.frame_rate_hz / 1000 for frame_bits in (bits[0], sum(bits))
    )
    bitrates = [kbps for kbps in arguments.bitrates if least <= kbps <= most]
    counts = [count for count in arguments.stages if count <= len(bits)]
    if not bitrates and not counts:
        _skip(codec.name, f"it has {least:g} to {most:g} kbps, and stages 1 to {len(bits)}")
        return []
    return model_candidates(codec, stage_counts=counts, bitrates_kbps=bitrates)


def _others(arguments: Arguments) -> list[Candidate]:
    """Make candidates of the codecs that can be scored; print the reason for the others."""
    found: list[Candidate] = []
    for name in arguments.systems:
        try:
            if name in PROGRAMS:
                found += PROGRAMS[name]()
            elif name in arguments.weights:
                found += neural_peers(LAYOUTS[name], arguments.weights[name])
        except ConfigError as error:
            _skip(name, error)
    return found


def _with_timed(
    arguments: Arguments, sources: Sequence[Source], evaluation: Evaluation
) -> Evaluation:
    """Add the neural peers that have no weights here."""
    systems = list(evaluation.systems)
    for name in arguments.systems:
        if name in LAYOUTS and name not in arguments.weights:
            try:
                systems.append(timed_system(LAYOUTS[name], sources, evaluation))
            except ConfigError as error:
                _skip(name, error)
    return dataclasses.replace(evaluation, systems=tuple(systems))


def _skip(name: str, reason: ConfigError | str) -> None:
    print(f"skipped {name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    run_script(main, Arguments)
