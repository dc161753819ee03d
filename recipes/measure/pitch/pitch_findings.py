"""What was measured on each clip, and the figures of groups of clips."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from codec.evaluation.result import Clip, Mean
from codec.evaluation.summary import summarise

from ..harness import Subject
from .pitch_figures import PitchFigures, pitch_figures
from .track import SETTINGS, Track

__all__ = ["METRICS", "CodedPitch", "Group", "MeasuredClip", "PitchAtBitrate", "PitchFindings"]

METRICS = ("pesq_wb", "estoi")
_LOW_HZ, _HIGH_HZ = 150, 230


@dataclass(frozen=True, kw_only=True)
class CodedPitch:
    """A clip at a bitrate: its pitch once decoded; its scores, and the bits of the whole file."""

    track: Track
    scores: Clip


@dataclass(frozen=True, kw_only=True)
class MeasuredClip:
    """A clip; `language` of what is synthesised; `noisy` is tracked with a trace of noise, `coded`
    per bitrate.
    """

    name: str
    seconds: float
    language: str | None
    original: Track
    noisy: Track
    coded: tuple[CodedPitch, ...]

    @property
    def median_hz(self) -> float | None:
        """The pitch of the voice, None where none is found."""
        voiced = self.original[~np.isnan(self.original)]
        return float(np.median(voiced)) if len(voiced) else None


@dataclass(frozen=True, kw_only=True)
class PitchAtBitrate:
    """A bitrate, as asked for, on a group of clips; `kbps` is that of the whole files."""

    bitrate_kbps: float
    kbps: float
    pitch: PitchFigures
    means: dict[str, Mean]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Some clips: the figures of the tracker alone, and those of each bitrate."""

    name: str
    clips: int
    floor: PitchFigures
    systems: tuple[PitchAtBitrate, ...]


@dataclass(frozen=True, kw_only=True)
class PitchFindings:
    """All clips on one model; `left_out` says which languages could not be spoken, and why."""

    subject: Subject
    measured: Sequence[MeasuredClip]
    left_out: tuple[str, ...]

    def groups(self) -> list[Group]:
        """Recordings: all, and by the pitch of the voice; then what is synthesised, by language.
        None is empty.
        """
        of_name: dict[str, list[MeasuredClip]] = {"all recordings": []}
        of_name |= {height: [] for height in _HEIGHTS}
        for clip in self.measured:
            for name in _groups_of(clip):
                of_name.setdefault(name, []).append(clip)
        return [self._group(name, clips) for name, clips in of_name.items() if clips]

    def to_dict(self) -> dict[str, Any]:
        """Plain types of JSON."""
        return {
            **self.subject.to_dict(),
            "tracker": SETTINGS,
            "groups": [dataclasses.asdict(group) for group in self.groups()],
            "clips": [{"name": clip.name, "median_hz": clip.median_hz} for clip in self.measured],
            "left_out": list(self.left_out),
        }

    def _group(self, name: str, clips: Sequence[MeasuredClip]) -> Group:
        return Group(
            name=name,
            clips=len(clips),
            floor=pitch_figures([(clip.original, clip.noisy) for clip in clips]),
            systems=tuple(
                self._system(place, clips) for place in range(len(self.subject.bitrates_kbps))
            ),
        )

    def _system(self, place: int, clips: Sequence[MeasuredClip]) -> PitchAtBitrate:
        coded = [clip.coded[place] for clip in clips]
        return PitchAtBitrate(
            bitrate_kbps=self.subject.bitrates_kbps[place],
            kbps=1e-3
            * sum(one.scores.bits or 0 for one in coded)
            / sum(clip.seconds for clip in clips),
            pitch=pitch_figures(
                [(clip.original, one.track) for clip, one in zip(clips, coded, strict=True)]
            ),
            means=summarise([one.scores for one in coded], METRICS),
        )


_HEIGHTS = (f"voices below {_LOW_HZ} Hz", f"{_LOW_HZ} to {_HIGH_HZ} Hz", f"above {_HIGH_HZ} Hz")


def _groups_of(clip: MeasuredClip) -> list[str]:
    if clip.language is not None:
        return [f"{clip.language}, synthesised"]
    if clip.median_hz is None:
        return ["all recordings"]
    return ["all recordings", _HEIGHTS[(clip.median_hz >= _LOW_HZ) + (clip.median_hz > _HIGH_HZ)]]
