"""The part of a report in which clips are heard: controls, and each clip's recordings as embedded
JSON.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from ..evaluation.result import Evaluation
from .embedded_clips import RecordedClip, Recording
from .figures import metric_decimals, plural, value
from .markup import Markup, embedded_json, join, tag
from .selection import is_recorded

__all__ = ["clip_anchor", "embedded_data", "listening_panel", "transport"]

_SCORES = 3
"""How many metrics are named beside each version of a clip."""


def clip_anchor(clip: int) -> str:
    """The id of a clip that can be heard."""
    return f"clip-{clip}"


def listening_panel(
    evaluation: Evaluation,
    clips: Sequence[RecordedClip],
    missing: Sequence[str],
    links_from: Path | None,
) -> Markup:
    """Controls and data; or why nothing can be heard.

    Args:
        evaluation: For names and scores.
        clips: What can be heard.
        missing: Why some clips cannot, a sentence each.
        links_from: The folder of the page, to link audio files from there; None embeds them.
    """
    total = len(evaluation.references)
    if not clips:
        words = tag(
            "p",
            "No recordings: the evaluation names none, or they could not be read.",
            class_="note",
        )
        return join((words, _missing(missing)))
    with_links = ", whose audio lies in files beside this page" if links_from else ""
    choice = f"{plural(len(clips), 'clip')} of {total:,}{with_links}"
    if len(clips) + len(missing) < sum(is_recorded(evaluation, clip) for clip in range(total)):
        choice += ", chosen evenly from the worst to the best"
    options = (
        tag("option", evaluation.references[clip.clip].name, value=clip_anchor(clip.clip))
        for clip in clips
    )
    return tag(
        "div",
        tag(
            "p",
            f"{choice}. Choose a version with a click or its number key: the place stays. Levels "
            f"are as in the files.",
        ),
        tag("noscript", tag("p", "Listening needs JavaScript; all else on this page does not.")),
        tag(
            "div",
            tag("label", "Clip", tag("select", *options, data_part="clip"), class_="clip"),
            transport(),
            tag("p", class_="note", data_part="note"),
            tag(
                "ol",
                data_part="versions",
                class_="versions",
                role="radiogroup",
                aria_label="Versions",
            ),
            hidden=True,
            data_part="player",
        ),
        _missing(missing),
        *(
            embedded_data(clip_anchor(clip.clip), _clip_data(evaluation, clip, links_from))
            for clip in clips
        ),
    )


def transport() -> Markup:
    """The controls of `player.js`."""
    return tag(
        "div",
        tag("button", "Play", type="button", class_="main", data_part="play"),
        tag("input", type="range", min=0, max=1000, value=0, aria_label="Place", data_part="place"),
        tag("output", data_part="time", aria_live="off"),
        tag("label", tag("input", type="checkbox", data_part="loop"), "Loop"),
        tag("p", class_="failed", role="status", data_part="message"),
        class_="transport",
    )


def embedded_data(name: str, data: object) -> Markup:
    """Data for scripts, read when it is needed."""
    return tag("script", embedded_json(data), type="application/json", id=name)


def _missing(missing: Sequence[str]) -> Markup | None:
    if not missing:
        return None
    summary = tag("summary", f"{plural(len(missing), 'clip')} cannot be heard here")
    return tag("details", summary, tag("ul", *(tag("li", reason) for reason in missing)))


def _clip_data(
    evaluation: Evaluation, clip: RecordedClip, links_from: Path | None
) -> dict[str, object]:
    note = (
        f"Spectrograms: 0 to {clip.top_hz / 1000:g} kHz upward, {clip.seconds:.1f} s, light is "
        f"loud (80 dB)."
    )
    if clip.unreadable:
        note += f" Not to be heard: {'; '.join(clip.unreadable)}."
    return {
        "seconds": clip.seconds,
        "note": note,
        "versions": [
            {
                "name": "Reference"
                if recording.system is None
                else evaluation.systems[recording.system].name,
                "scores": _scores(evaluation, clip.clip, recording.system),
                "audio": recording.flac if links_from is None else _link(recording, links_from),
                "spectrogram": recording.spectrogram,
            }
            for recording in clip.recordings
        ],
    }


def _link(recording: Recording, folder: Path) -> str:
    path = Path(os.path.relpath(recording.path, folder)).as_posix()
    return quote(os.fsencode(path))  # a file's name may be no text


def _scores(evaluation: Evaluation, clip: int, system: int | None) -> str:
    if system is None:
        return ""
    scores = evaluation.systems[system].clips[clip].scores
    metrics = [metric for metric in evaluation.metrics[:_SCORES] if metric in scores]
    return " · ".join(
        f"{evaluation.metric(metric).title} "
        f"{_number(scores[metric].value, metric_decimals(evaluation, metric))}"
        for metric in metrics
    )


def _number(number: float | None, decimals: int) -> str:
    return "failed" if number is None else value(number, decimals)
