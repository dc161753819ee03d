"""The report: what an evaluation found, on one page."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from ..evaluation.result import Evaluation, read_evaluation
from .code_use import code_use
from .document import document
from .figures import plural
from .listening_panel import clip_anchor, listening_panel
from .markup import Markup, join, tag
from .metric_panels import metric_panels
from .recordings import record_clips
from .selection import choose_clips
from .tables import clips_table, failures_table, results_table, speed_table

__all__ = ["report_page"]


def report_page(
    evaluation: str | PathLike[str], *, clips: int = 8, links_from: str | PathLike[str] | None = None
) -> str:
    """An evaluation as one HTML page that fetches nothing: charts, tables, and clips to listen to.

    Args:
        evaluation: The JSON file; recordings are looked for where it names them, relative to its folder.
        clips: At most as many are there to listen to, 0 or more, evenly chosen from the worst to the best; fewer
            where they would take the page beyond 20 MB.
        links_from: The folder in which the page will lie, to link the recordings' files from there; by default the
            recordings are embedded in the page.

    Raises:
        ConfigError: The file cannot be read, or is no evaluation.
    """
    found, folder = read_evaluation(evaluation), Path(evaluation).parent
    recorded, missing = record_clips(found, folder, choose_clips(found, clips))
    links = None if links_from is None else Path(links_from)
    anchors = {clip.clip: clip_anchor(clip.clip) for clip in recorded}
    listening = tag(
        "section",
        tag("h2", "Listen"),
        listening_panel(found, recorded, missing, links),
        id="listen",
        class_="listening",
        tabindex=-1,
        **({"data_part": "listening"} if recorded else {}),
    )
    body = tag("main", _head(found), *_sections(found, anchors, listening))
    return document(
        _title(found),
        body,
        styles=("page.css", "report.css"),
        scripts=("player.js", "report.js"),
        linked_audio=links is not None,
    )


def _title(evaluation: Evaluation) -> str:
    return f"Speech codecs on {evaluation.data}"


def _head(evaluation: Evaluation) -> Markup:
    seconds = sum(reference.seconds for reference in evaluation.references)
    scope = (
        f"{plural(len(evaluation.systems), 'system')} on {plural(len(evaluation.references), 'clip')}, "
        f"{seconds / 60:.1f} minutes, by {plural(len(evaluation.metrics), 'metric')}."
    )
    pages = [("results", "Results"), ("quality", "Rate and quality"), ("listen", "Listen"), ("clips", "Clips")]
    if any(system.stages for system in evaluation.systems):
        pages.insert(3, ("codes", "Code use"))
    links = (tag("li", tag("a", words, href=f"#{name}")) for name, words in pages)
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


def _sections(evaluation: Evaluation, anchors: dict[int, str], listening: Markup) -> list[Markup]:
    speeds, failures = speed_table(evaluation), failures_table(evaluation)
    stages = [part for part in map(code_use, evaluation.systems) if part is not None]
    sections = [
        _section("results", "Results", results_table(evaluation)),
        _section("quality", "Rate and quality", metric_panels(evaluation, anchors)),
        listening,
    ]
    if stages:
        words = (
            "Pictures: how often each codeword occurs, from the most to the least frequent, on a square-root scale; "
            "the dashed line is equal use, the top nine times as much."
        )
        sections.append(_section("codes", "Code use by stage", join((tag("p", words), *stages))))
    if speeds is not None:
        sections.append(_section("speed", "Speed", speeds))
    sections.append(_section("clips", "Clips", clips_table(evaluation)))
    if failures is not None:
        sections.append(_section("failures", "Failures", failures))
    return sections


def _section(name: str, title: str, content: Markup) -> Markup:
    return tag("section", tag("h2", title), content, id=name)
