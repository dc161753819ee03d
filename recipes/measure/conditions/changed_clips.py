"""The conditions, and clips under them: mono, at the model's rate. What goes into the codec is also
the reference.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from codec.errors import AudioError
from codec.evaluation.signal import Signal, Source
from codec.training.validation import read_clip

from .changes import (
    Wave,
    add_offset_and_rumble,
    add_talker,
    at_level,
    reverberate,
    with_noise,
    within_full_scale,
)
from .music import passage

__all__ = [
    "AS_IT_IS",
    "CONDITIONS",
    "MUSIC",
    "ChangedClip",
    "Condition",
    "Corpus",
    "level_condition",
    "music_clips",
]

AS_IT_IS = "as it is"
MUSIC = "music, synthesised"
MOST_PASSAGES = 8
_REVERB_SECONDS, _REVERB_RATIO_DB = 0.5, 0.0
_RUMBLE = 0.02  # of full scale


class Corpus:
    """All clips at hand, and who speaks in each.

    Args:
        sources: Sorted; the order decides whose speech is added to whose.
        speakers: One of each source.
        sample_rate_hz: That of the model.
    """

    def __init__(
        self, sources: Sequence[Source], speakers: Sequence[str], *, sample_rate_hz: int
    ) -> None:
        self.sources = list(sources)
        self.sample_rate_hz = sample_rate_hz
        self._speakers = list(speakers)

    def wave(self, source: Source) -> Wave:
        """Read the clip, its channels averaged, at the model's rate."""
        return read_clip(source.path, self.sample_rate_hz)

    def by_another(self, source: Source) -> Source:
        """Find the next clip, after the last one the first, in which somebody else speaks.

        Raises:
            AudioError: There is only one speaker.
        """
        place = self.sources.index(source)
        for other in range(place + 1, place + len(self.sources)):
            if self._speakers[other % len(self.sources)] != self._speakers[place]:
                return self.sources[other % len(self.sources)]
        raise AudioError(
            f"all {len(self.sources)} clips are by the speaker {self._speakers[place]!r}: see "
            f"--speakers"
        )


@dataclass(frozen=True, kw_only=True)
class Condition:
    """What is done to a clip; `is_limited`: it is then turned down where its peak is above full
    scale.
    """

    name: str
    change: Callable[[Corpus, Source], Wave]
    is_limited: bool = True


class ChangedClip:
    """A clip under a condition. Once read, `turned_down_db` says by how much it was kept below full
    scale.
    """

    def __init__(
        self, name: str, make: Callable[[], Wave], *, sample_rate_hz: int, is_limited: bool = True
    ) -> None:
        self.name = name
        self.turned_down_db = 0.0
        self._make = make
        self._sample_rate_hz = sample_rate_hz
        self._is_limited = is_limited

    @classmethod
    def of(cls, condition: Condition, corpus: Corpus, source: Source) -> ChangedClip:
        """One of the corpus."""
        make = partial(condition.change, corpus, source)
        rate = corpus.sample_rate_hz
        return cls(source.name, make, sample_rate_hz=rate, is_limited=condition.is_limited)

    def read(self) -> Signal:
        """Make it; an `AudioError` where that cannot be."""
        wave = self._make()
        if self._is_limited:
            wave, self.turned_down_db = within_full_scale(wave)
        return Signal(wave=wave[None], sample_rate_hz=self._sample_rate_hz)


def music_clips(count: int, *, sample_rate_hz: int) -> list[ChangedClip]:
    """Make so many passages, but at most eight."""
    return [
        ChangedClip(
            f"passage {number}",
            partial(passage, number, sample_rate_hz),
            sample_rate_hz=sample_rate_hz,
        )
        for number in range(min(count, MOST_PASSAGES))
    ]


def _key(source: Source) -> int:
    """Return a clip's random key, from its name alone: with fewer clips, each is still changed in
    the same way.
    """
    return zlib.crc32(source.name.encode())


def _as_it_is(corpus: Corpus, source: Source) -> Wave:
    return corpus.wave(source)


def _at_level(corpus: Corpus, source: Source, *, dbfs: float) -> Wave:
    return at_level(corpus.wave(source), corpus.sample_rate_hz, dbfs)


def _with_noise(corpus: Corpus, source: Source, *, snr_db: float) -> Wave:
    return with_noise(corpus.wave(source), corpus.sample_rate_hz, key=_key(source), snr_db=snr_db)


def _reverberant(corpus: Corpus, source: Source) -> Wave:
    wave, rate = corpus.wave(source), corpus.sample_rate_hz
    return reverberate(
        wave, rate, key=_key(source), seconds=_REVERB_SECONDS, ratio_db=_REVERB_RATIO_DB
    )


def _two_speakers(corpus: Corpus, source: Source) -> Wave:
    other = corpus.by_another(source)
    return add_talker(corpus.wave(source), corpus.wave(other), corpus.sample_rate_hz)


def _with_rumble(corpus: Corpus, source: Source) -> Wave:
    return add_offset_and_rumble(corpus.wave(source), corpus.sample_rate_hz, amount=_RUMBLE)


def level_condition(dbfs: int) -> str:
    """The name of the condition at a level."""
    return f"at {dbfs} dBFS"


CONDITIONS = (
    Condition(name=AS_IT_IS, change=_as_it_is, is_limited=False),
    *(
        Condition(name=level_condition(dbfs), change=partial(_at_level, dbfs=dbfs))
        for dbfs in (-40, -26, -10)
    ),
    *(
        Condition(name=f"noise, {snr_db} dB SNR", change=partial(_with_noise, snr_db=snr_db))
        for snr_db in (20, 10)
    ),
    Condition(name=f"reverberant, RT60 {_REVERB_SECONDS:g} s", change=_reverberant),
    Condition(name="two speakers at once", change=_two_speakers),
    Condition(name=f"offset and rumble of {_RUMBLE:.0%}", change=_with_rumble),
)
