"""The report: what an evaluation found, on one page."""

from __future__ import annotations

from datetime import date
from os import PathLike
from pathlib import Path

from .. import __version__
from ..evaluation.result import Evaluation, read_evaluation
from .code_use import code_use
from .document import document
from .embedded_clips import record_clips
from .figures import band_metrics, overall_metrics, plural
from .listening_panel import clip_anchor, listening_panel
from .markup import Markup, join, tag
from .metric_panels import metric_panels
from .selection import choose_clips
from .tables import clips_table, failures_table, results_table, speed_table

__all__ = ["report_page"]

_INTERVALS = "with 95 % intervals"
_BANDS = (
    "Harmonic contrast: how far the harmonics of voices stand out, against the original. "
    "Correlation: whether the "
    "waveform is kept (1), or another one has its place (0). Level: against the original."
)


def report_page(
    evaluation: str | PathLike[str],
    *,
    clips: int = 8,
    links_from: str | PathLike[str] | None = None,
) -> str:
    """An evaluation as one HTML page that fetches nothing: charts, tables, and clips to listen to.

    Args:
        evaluation: The JSON file; recordings are looked for where it names them, relative to its
            folder.
        clips: At most as many are there to listen to, 0 or more, evenly chosen from the worst to
            the best; fewer where they would take the page beyond 20 MB.
        links_from: The folder in which the page will lie, to link the recordings' files from there;
            by default the recordings are embedded in the page.

    Raises:
        ConfigError: The file cannot be read, or is no evaluation.
    """
    found, folder = read_evaluation(evaluation), Path(evaluation).parent
    recorded, missing = record_clips(found, folder, choose_clips(found, clips))
    links = None if links_from is None else Path(links_from)
    anchors = {clip.clip: clip_anchor(clip.clip) for clip in recorded}
    sections = {
        **_figures(found, anchors),
        "Listen": listening_panel(found, recorded, missing, links),
        **_details(found),
    }
    made = f"Made by diveq-codec report {__version__} on {date.today().isoformat()}."
    body = tag(
        "main",
        _head(found, list(sections)),
        *(_section(*section) for section in sections.items()),
        tag("footer", tag("p", made, class_="note")),
    )
    return document(
        _title(found),
        body,
        styles=("page.css", "report.css"),
        scripts=("player.js", "report.js"),
        linked_audio=links is not None,
    )


def _title(evaluation: Evaluation) -> str:
    return f"Speech codecs on {evaluation.data}"


def _head(evaluation: Evaluation, titles: list[str]) -> Markup:
    seconds = sum(reference.seconds for reference in evaluation.references)
    scope = (
        f"{plural(len(evaluation.systems), 'system')} on "
        f"{plural(len(evaluation.references), 'clip')}, "
        f"{seconds / 60:.1f} minutes, by {plural(len(evaluation.metrics), 'metric')}."
    )
    links = (tag("li", tag("a", title, href=f"#{_anchor(title)}")) for title in titles)
    return tag(
        "header",
        tag("h1", _title(evaluation)),
        tag("p", scope),
        _failures_note(evaluation),
        tag("nav", tag("ul", *links), aria_label="Sections"),
    )


def _failures_note(evaluation: Evaluation) -> Markup | None:
    clips = sum(clip.failure is not None for system in evaluation.systems for clip in system.clips)
    scores = sum(
        score.failure is not None
        for system in evaluation.systems
        for clip in system.clips
        for score in clip.scores.values()
    )
    if not clips and not scores:
        return None
    parts = [plural(clips, "clip") + " failed as a whole"] if clips else []
    parts += [plural(scores, "score") + " failed"] if scores else []
    words = f"{' and '.join(parts)}. Means leave them out; "
    return tag("p", words, tag("a", "the reasons are below", href="#failures"), ".", class_="alert")


def _figures(evaluation: Evaluation, anchors: dict[int, str]) -> dict[str, Markup]:
    """Titles and contents of the sections about all clips together."""
    parts = {
        "Results": results_table(
            evaluation, overall_metrics(evaluation), f"Means over all clips, {_INTERVALS}"
        )
    }
    if bands := band_metrics(evaluation):
        parts["Frequency bands"] = join(
            (
                tag("p", _BANDS),
                results_table(evaluation, bands, f"Means over all clips by band, {_INTERVALS}"),
            )
        )
    return {**parts, "Rate and quality": metric_panels(evaluation, anchors)}


def _details(evaluation: Evaluation) -> dict[str, Markup]:
    """Build the last sections; what the evaluation does not know is left out."""
    parts = {
        "Code use by stage": _code_use(evaluation),
        "Speed": speed_table(evaluation),
        "Clips": clips_table(evaluation),
        "Failures": failures_table(evaluation),
    }
    return {title: part for title, part in parts.items() if part is not None}


def _code_use(evaluation: Evaluation) -> Markup | None:
    stages = [part for part in map(code_use, evaluation.systems) if part is not None]
    words = (
        "Pictures: how often each codeword occurs, from the most to the least frequent, on a "
        "square-root scale; "
        "the dashed line is equal use, the top nine times as much."
    )
    return join((tag("p", words), *stages)) if stages else None


def _section(title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), content, id=_anchor(title), tabindex=-1)


def _anchor(title: str) -> str:
    return title.lower().replace(" ", "-")
