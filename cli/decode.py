"""`diveq-codec decode`: `.dvq` to audio."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Literal, Optional

from tyro.conf import arg

from .arguments import Count, Debug, Engine, Flag, Many, Paths, Text, check_positive
from .batch import run_batch
from .console import binary_stdout
from .errors import UsageError
from .files import Meter, open_source
from .plan import PIPE, STREAM_SUFFIX, Conversion, Plan, Task
from .workers import Made, Work

if TYPE_CHECKING:
    from codec import Codec, DecodedFile, StreamReader

_MAX_RATE_HZ = 768_000  # as encoding takes


@dataclass(frozen=True, kw_only=True, slots=True)
class Decode:
    """Decode .dvq files to audio.

    $ diveq-codec decode out.dvq speech.wav                     the suffix names the format
    $ diveq-codec decode out.dvq                                into out.wav, beside it
    $ diveq-codec decode a.dvq coded/ --out-dir heard           coded/x/y.dvq becomes heard/x/y.wav
    $ diveq-codec decode - - < out.dvq > speech.wav             pipes carry WAV

    A file that fails is reported and does not stop the rest; the exit code is then 1.
    """

    paths: Paths
    """SOURCE.dvq [TARGET], or with --out-dir any number of sources."""
    rate: Annotated[str, arg(metavar="original|model|HZ", help_behavior_hint="")] = "original"
    """Sample rate of the audio: by default that of what was encoded, else the model's, or any."""
    stages: Count = None
    """Decode only the first N stages."""
    max_hours: Annotated[Optional[float], arg(metavar="HOURS", help_behavior_hint="")] = None  # noqa: UP045
    """The most audio to decode, over all channels. By default 24 hours, and of a small file less: five minutes, and a
    second for every ten bytes."""
    recover: Flag = False
    """Put silence where the stream is damaged, and say what was lost, instead of failing."""
    format: Annotated[Text, arg(metavar="FORMAT")] = None
    """wav, flac, mp3, ogg, opus, … for targets that are not named. By default wav."""
    subtype: Annotated[Text, arg(metavar="SUBTYPE")] = None
    """Sample format, as libsndfile calls it: PCM_16, PCM_24, FLOAT, … By default the format's usual one."""
    engine: Annotated[Engine, arg(name="")] = field(default_factory=Engine)
    many: Annotated[Many, arg(name="")] = field(default_factory=Many)
    debug: Debug = False

    def __post_init__(self) -> None:
        check_positive(stages=self.stages, **{"max-hours": self.max_hours})
        _parsed_rate(self.rate)

    def run(self) -> int:
        """Decode all sources."""
        self.engine.share_threads(self.many.jobs)
        return run_batch(self._plan(), self._load, self.many, verb="decode", debug=self.debug)

    def _plan(self) -> Plan:
        from codec import WRITABLE_SUFFIXES

        made_suffix = "." + (self.format or "wav").lower().removeprefix(".")
        if made_suffix not in WRITABLE_SUFFIXES:
            known = " ".join(sorted(suffix.removeprefix(".") for suffix in WRITABLE_SUFFIXES))
            raise UsageError(f"--format {self.format} is unknown; known: {known}")
        if self.format is not None and self.many.out_dir is None and (len(self.paths) == 2 or PIPE in self.paths):
            raise UsageError("--format is for targets that are not named; a target's suffix names its format")
        conversion = Conversion(
            source_suffixes=(STREAM_SUFFIX,), target_suffixes=WRITABLE_SUFFIXES, made_suffix=made_suffix
        )
        return conversion.plan(self.paths, self.many.out_dir)

    def _load(self) -> Work:
        from codec import Codec  # noqa: F401 (torch is loaded here, before the work is timed)

        models = _Models(self.engine)

        def work(task: Task, meter: Meter) -> Made:
            return self._decode(models, task, meter)

        return work

    def _decode(self, models: _Models, task: Task, meter: Meter) -> Made:
        from codec import StreamReader

        with open_source(task.source, meter) as source:
            stream = StreamReader(source)
            decoded = models.for_stream(stream).decode_file(
                stream,
                binary_stdout() if task.target == PIPE else task.target,
                sample_rate_hz=_parsed_rate(self.rate),
                stages=self.stages,
                recover=self.recover,
                max_seconds=None if self.max_hours is None else 3600 * self.max_hours,
                subtype=self.subtype,
                overwrite=self.many.force,
            )
        seconds = decoded.samples / decoded.sample_rate_hz
        return Made(seconds=seconds, coded_bytes=stream.offset, notes=list(_notes(decoded)))


def _parsed_rate(text: str) -> int | Literal["original", "model"]:
    if text == "original" or text == "model":
        return text
    if not (text.isdecimal() and 1 <= int(text) <= _MAX_RATE_HZ):
        raise UsageError(f"--rate is original, model, or 1 to {_MAX_RATE_HZ} Hz, not {text!r}")
    return int(text)


class _Models:
    """The model that is named, for all streams; else each stream's own among the shipped ones, loaded once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._named = None if engine.model is None else engine.load()
        self._by_fingerprint: dict[bytes, Codec] = {}
        self._lock = threading.Lock()

    def for_stream(self, stream: StreamReader) -> Codec:
        if self._named is not None:
            return self._named
        with self._lock:
            fingerprint = stream.header.fingerprint
            if fingerprint not in self._by_fingerprint:
                self._by_fingerprint[fingerprint] = self._engine.load_for(stream)
            return self._by_fingerprint[fingerprint]


def _notes(decoded: DecodedFile) -> Iterator[str]:
    for start, seconds, reason in decoded.lost:
        yield f"lost {seconds:.2f} s at {start:.2f} s: {reason}" if seconds else f"at {start:.2f} s: {reason}"
    if decoded.clipped:
        yield f"{decoded.clipped} samples were louder than the format holds, and are clipped"
