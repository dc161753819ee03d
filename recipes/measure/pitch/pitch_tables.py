"""Renders `PitchFindings` as Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from ...markdown import number, score, table
from .pitch_figures import GROSS, STRETCH_FRAMES, PitchFigures
from .pitch_findings import METRICS, Group, PitchFindings
from .track import HOP_SECONDS, NOISE_DB, SETTINGS

__all__ = ["as_markdown"]

_PITCH_HEADS = ("voicing lost", "invented", "gross errors", "fine error, cents", "contour")
_SCORE_HEADS, _SCORE_DIGITS = ("PESQ-WB", "ESTOI"), (2, 3)


def as_markdown(findings: PitchFindings) -> str:
    """The clips and the tracker's own error; then a table per bitrate; and what must be known to
    read them.
    """
    return "\n".join(_lines(findings)) + "\n"


def _lines(findings: PitchFindings) -> Iterator[str]:
    groups = findings.groups()
    yield findings.subject.title(len(findings.measured))
    yield ""
    yield f"The tracker alone: originals beside themselves with white noise {NOISE_DB} dB below."
    yield ""
    yield table(
        ("", "clips", "voiced, s", *_PITCH_HEADS),
        [[group.name, str(group.clips), _seconds(group), *_pitch(group.floor)] for group in groups],
    )
    for place, kbps in enumerate(findings.subject.bitrates_kbps):
        yield ""
        yield f"{kbps:g} kbps:"
        yield ""
        yield table(
            ("", "kbps", *_PITCH_HEADS, *_SCORE_HEADS), [_coded(group, place) for group in groups]
        )
    yield ""
    yield from _notes(findings)


def _coded(group: Group, place: int) -> list[str]:
    system = group.systems[place]
    scores = [
        score(system.means[name], digits)
        for name, digits in zip(METRICS, _SCORE_DIGITS, strict=True)
    ]
    return [group.name, number(system.kbps, 2), *_pitch(system.pitch), *scores]


def _seconds(group: Group) -> str:
    return f"{group.floor.voiced_frames * HOP_SECONDS:.0f}"


def _pitch(figures: PitchFigures) -> list[str]:
    shares = [
        "-" if share is None else f"{100 * share:.1f} %"
        for share in (figures.lost, figures.invented, figures.gross)
    ]
    return [*shares, number(figures.fine_cents, 1), number(figures.contour, 3)]


def _notes(findings: PitchFindings) -> Iterator[str]:
    yield (
        "- Voicing lost: of the frames voiced in the original, those without a pitch when decoded, "
        "as where a voice "
        "turns hoarse; invented: of its other frames, those with one. Gross errors: of the frames "
        "voiced in both, "
        f"those off by more than {100 * GROSS:g} %; fine error: the median size over the rest. "
        f"Contour: the "
        "correlation of logarithmic pitch, less its mean, over stretches of the rest of at least "
        f"{1000 * STRETCH_FRAMES * HOP_SECONDS:g} ms. Frames of all clips of a group count alike."
    )
    yield "- Above a table stands the bitrate asked for; kbps are those of whole files."
    yield f"- Tracker: {SETTINGS}. Recordings are grouped by the median pitch of the original."
    yield "- Synthesised: sentences spoken by espeak-ng in a low and a high voice; no recordings."
    for reason in findings.left_out:
        yield f"- Left out: {reason}."
