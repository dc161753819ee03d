"""`diveq-codec decode`: `.dvq` to audio."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Optional

from tyro.conf import arg

from .batch import run_batch
from .console import binary_stdout
from .files import Meter, open_source
from .messages import UsageError
from .options import Engine, Flag, Manners, Many, Paths, Stages, Text, default, group, number
from .plan import PIPE, STREAM_SUFFIX, Conversion, Task, TaskPlan
from .workers import Made, TaskWork

if TYPE_CHECKING:
    from codec import Codec, DecodedFile, StreamReader


@dataclass(frozen=True, kw_only=True, slots=True)
class Sound:
    """What is made of a stream."""

    rate: Annotated[
        str, arg(metavar="original|model|HZ", help_behavior_hint=default("original"))
    ] = "original"
    """Sample rate of the audio: that of what was encoded, the model's, or any from 1 kHz on."""
    stages: Stages = None
    """Decode only the first N stages."""
    max_hours: Annotated[
        Optional[float],  # noqa: UP045
        number(float, "--max-hours is a positive number of hours"),
        arg(metavar="HOURS", help_behavior_hint=default("24, and less for a small file")),
    ] = None
    """The most audio to decode, over all channels. A small file may decode to five minutes, and a
    second for every ten bytes."""
    recover: Flag = False
    """Put silence where the stream is damaged, and say what was lost, instead of failing."""
    format: Annotated[Text, arg(metavar="FORMAT", help_behavior_hint=default("wav"))] = None
    """wav, flac, mp3, ogg, opus, … for targets that are not named."""
    subtype: Annotated[
        Text, arg(metavar="SUBTYPE", help_behavior_hint=default("the format's usual one"))
    ] = None
    """Sample format, as libsndfile calls it: PCM_16, PCM_24, FLOAT, …"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decode:
    """Decode .dvq files to audio.

    $ diveq-codec decode out.dvq speech.wav                     the suffix names the format
    $ diveq-codec decode out.dvq                                into out.wav, beside it
    $ diveq-codec decode a.dvq coded/ --out-dir heard           coded/x/y.dvq becomes heard/x/y.wav
    $ diveq-codec decode coded/ --out-dir heard --skip-existing     go on where it was interrupted
    $ diveq-codec decode - - < out.dvq > speech.wav             pipes carry WAV

    A file that fails is reported and does not stop the rest; the exit code is then 1.
    """

    paths: Paths
    """SOURCE.dvq [TARGET], or with --out-dir any number of sources."""
    sound: Annotated[Sound, group(Sound)] = field(default_factory=Sound)
    many: Annotated[Many, group(Many)] = field(default_factory=Many)
    engine: Annotated[Engine, group(Engine)] = field(default_factory=Engine)
    manners: Annotated[Manners, group(Manners)] = field(default_factory=Manners)

    def __post_init__(self) -> None:
        _parsed_rate(self.sound.rate)

    @property
    def debug(self) -> bool:
        return self.manners.debug

    def run(self) -> int:
        """Decode all sources."""
        self.engine.share_threads(self.many.jobs)
        plan = self._plan()
        load = partial(self._load, plan)
        return run_batch(plan, load, self.many, self.manners, verb="decode", done="decoded")

    def _plan(self) -> TaskPlan:
        from codec import WRITABLE_SUFFIXES

        made_suffix = "." + (self.sound.format or "wav").lower().removeprefix(".")
        if made_suffix not in WRITABLE_SUFFIXES:
            known = " ".join(sorted(suffix.removeprefix(".") for suffix in WRITABLE_SUFFIXES))
            raise UsageError(f"--format {self.sound.format} is unknown; known: {known}")
        if (
            self.sound.format is not None
            and self.many.out_dir is None
            and (len(self.paths) == 2 or PIPE in self.paths)
        ):
            raise UsageError(
                "--format is for targets that are not named: a target's suffix names its format, "
                "and standard output is WAV"
            )
        conversion = Conversion(
            source_suffixes=(STREAM_SUFFIX,),
            target_suffixes=WRITABLE_SUFFIXES,
            made_suffix=made_suffix,
        )
        return conversion.plan(self.paths, self.many.out_dir)

    def _load(self, plan: TaskPlan) -> TaskWork:
        models = _Models(self.engine)
        models.load_for_file(plan.tasks[0].source)  # before the work is timed

        def make(task: Task, meter: Meter) -> Made:
            return self._decode(models, task, meter)

        return TaskWork(make=make, is_done=self._is_done)

    def _decode(self, models: _Models, task: Task, meter: Meter) -> Made:
        from codec import StreamReader

        with open_source(task.source, meter) as source:
            stream = StreamReader(source)
            decoded = models.for_stream(stream).decode_file(
                stream,
                binary_stdout() if task.target == PIPE else task.target,
                sample_rate_hz=_parsed_rate(self.sound.rate),
                stages=self.sound.stages,
                recover=self.sound.recover,
                max_seconds=None if self.sound.max_hours is None else 3600 * self.sound.max_hours,
                subtype=self.sound.subtype,
                overwrite=self.many.force,
            )
        return Made(
            seconds=decoded.samples / decoded.sample_rate_hz,
            coded_bytes=stream.offset,
            channels=stream.header.channels,
            notes=list(_notes(decoded)),
        )

    def _is_done(self, task: Task) -> bool:
        """Whether the target is audio of the rate and length that decoding would give."""
        import soundfile

        from codec import read_info

        info = read_info(task.source)
        header = info.header
        named = {"original": header.original_rate_hz, "model": header.model_rate_hz}
        rate = _parsed_rate(self.sound.rate)
        rate = named[rate] if isinstance(rate, str) else rate
        samples = -(-info.samples * rate // header.original_rate_hz)
        try:
            with open(task.target, "rb") as target:  # and not its name, which may be no text
                sound = soundfile.info(target)
        except soundfile.LibsndfileError:
            return False
        return (sound.samplerate, sound.channels, sound.frames) == (rate, header.channels, samples)


def _parsed_rate(text: str) -> int | Literal["original", "model"]:
    from codec import MAX_RATE_HZ, MIN_RATE_HZ

    if text == "original" or text == "model":
        return text
    if not (text.isdecimal() and MIN_RATE_HZ <= int(text) <= MAX_RATE_HZ):
        known = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise UsageError(f"--rate is original, model, or {known}, not {text!r}")
    return int(text)


class _Models:
    """Loads models: the one named on the command line for all streams, or each stream's
    own, once.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._named = None if engine.model is None else engine.load()
        self._by_fingerprint: dict[bytes, Codec] = {}
        self._lock = threading.Lock()

    def load_for_file(self, path: str) -> None:
        """Load the model that a file will need, if it can be told; errors come up again where it is
        decoded.
        """
        from codec import DiveqCodecError, StreamReader

        if self._named is None and os.path.isfile(path):
            with contextlib.suppress(OSError, DiveqCodecError), open_source(path) as source:
                self.for_stream(StreamReader(source))

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
        yield (
            f"lost {seconds:.2f} s at {start:.2f} s: {reason}"
            if seconds
            else f"at {start:.2f} s: {reason}"
        )
    if decoded.clipped:
        yield f"{decoded.clipped} samples were louder than the format holds, and are clipped"
