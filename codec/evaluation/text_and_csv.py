"""An evaluation as text: for people, and for programs that read tables."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from .result import Clip, Evaluation, Mean, Reference, System

__all__ = ["evaluation_csv", "evaluation_text"]

_FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def evaluation_text(evaluation: Evaluation) -> str:
    """The means of each system with their intervals, and what they were measured on."""
    return "\n".join(_lines(evaluation)) + "\n"


def _lines(evaluation: Evaluation) -> Iterator[str]:
    seconds = sum(reference.seconds for reference in evaluation.references)
    clips = len(evaluation.references)
    yield (
        f"{evaluation.data}: {clips} clip{'s' * (clips != 1)}, {seconds:.1f} s; means with 95 % "
        f"intervals over clips"
    )
    titles = {name: _title(evaluation, name) for name in evaluation.metrics}
    width = max(map(len, titles.values()), default=0)
    blocks = [("original", evaluation.original_means)] if evaluation.original_means else []
    blocks += [(", ".join(_facts(system)), system.means) for system in evaluation.systems]
    delays = [""] * (len(blocks) - len(evaluation.systems)) + [
        _delays(system) for system in evaluation.systems
    ]
    for (head, means), delay in zip(blocks, delays, strict=True):
        yield ""
        yield head
        for name, title in titles.items():
            if name in means:
                yield f"  {title:<{width}}  {_figures(means[name], clips)}".rstrip()
        if delay:
            yield f"  {delay}"


def _title(evaluation: Evaluation, name: str) -> str:
    metric, direction = evaluation.metric(name), evaluation.direction(name)
    remarks = [metric.unit] * bool(metric.unit) + [direction] * (direction != "higher is better")
    return f"{metric.title} ({', '.join(remarks)})" if remarks else metric.title


def _facts(system: System) -> Iterator[str]:
    yield system.name
    if system.kbps is not None:
        yield f"{system.kbps:.3f} kbps"
    if system.encode_speed is not None and system.decode_speed is not None:
        yield (
            f"encodes at {system.encode_speed:.1f} and decodes at {system.decode_speed:.1f} x real "
            f"time"
        )
    if system.note:
        yield system.note


def _figures(mean: Mean, clips: int) -> str:
    remarks = [f"n = {mean.clips}"] if mean.clips < clips else []
    remarks += [f"{mean.failed} failed"] if mean.failed else []
    remark = ", ".join(remarks)
    if mean.mean is None:
        return f"{'-':>8}  {'':<19}  {remark}"
    interval = "" if mean.low is None or mean.high is None else f"[{mean.low:.3f}, {mean.high:.3f}]"
    return f"{mean.mean:8.3f}  {interval:<19}  {remark}"


def _delays(system: System) -> str:
    delays = sorted({clip.delay_samples for clip in system.clips if clip.scores})
    if not any(delays):
        return ""
    found = str(delays[0]) if len(delays) == 1 else f"{delays[0]} to {delays[-1]}"
    return f"delay of {found} samples removed"


def evaluation_csv(evaluation: Evaluation) -> str:
    """One line per system and clip; what failed has an empty cell, and its reason in the last one.

    An apostrophe stands before a name that a spreadsheet would take for a formula.

    The system of the originals, where metrics judge them, is called "original".
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["system", "clip", "seconds", "bits", "delay_samples", *evaluation.metrics, "failure"]
    )
    if evaluation.original_means:
        for reference in evaluation.references:
            original = Clip(name=reference.name, scores=reference.scores)
            writer.writerow(_row(evaluation, "original", reference, original))
    for system in evaluation.systems:
        for reference, clip in zip(evaluation.references, system.clips, strict=True):
            writer.writerow(_row(evaluation, system.name, reference, clip))
    return text.getvalue()


def _row(evaluation: Evaluation, system: str, reference: Reference, clip: Clip) -> list[object]:
    values = [
        clip.scores[name].value if name in clip.scores else None for name in evaluation.metrics
    ]
    failures = "; ".join(clip.failures())
    names = _cell_text(system), _cell_text(clip.name)
    values += [_cell_text(failures)]
    return [*names, reference.seconds, clip.bits, clip.delay_samples, *values]


def _cell_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: the apostrophe before it says so."""
    return f"'{text}" if text.startswith(_FORMULA_SIGNS) else text
