"""`diveq-codec encode`: audio to `.dvq`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Optional

from tyro.conf import arg

from .batch import run_batch
from .files import Meter, open_source, open_target
from .messages import CommandError
from .options import (
    Bitrate,
    Engine,
    Manners,
    Many,
    Paths,
    Stages,
    check_one_of,
    default,
    group,
    note_most_kbps,
)
from .plan import STREAM_SUFFIX, Conversion, Task
from .streams import is_whole
from .workers import Made, TaskWork

if TYPE_CHECKING:
    from codec import Codec


@dataclass(frozen=True, kw_only=True, slots=True)
class Quality:
    """Size against quality."""

    bitrate: Bitrate = None
    """Maximum kbps per channel, before entropy coding, which makes files a little smaller, and
    before framing, which adds some 0.1 kbps. Loud passages get more bits than pauses."""
    stages: Stages = None
    """Use the first N stages of the model in every frame."""
    position_bits: Annotated[
        Optional[int],  # noqa: UP045
        arg(metavar="N", help_behavior_hint=default("0")),
    ] = None
    """For models of SF-DiVeQ stages: N more bits per index, 0 to 7, which place it between two
    codewords.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Encode:
    """Encode speech into small .dvq files.

    $ diveq-codec encode speech.wav out.dvq
    $ diveq-codec encode speech.wav                             into speech.dvq, beside it
    $ diveq-codec encode a.wav b.flac talks/ --out-dir coded    talks/x/y.wav becomes coded/x/y.dvq
    $ diveq-codec encode talks/ --out-dir coded --skip-existing     go on where it was interrupted
    $ cat speech.wav | diveq-codec encode - - > out.dvq

    Reads what libsndfile reads: WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF and more, from 1 kHz on,
    with any channels, each of which is coded by itself. In folders, hidden files are left out, and
    those whose suffix is no audio format's; the summary counts the latter as passed over. A file
    that fails is reported and does not stop the rest; the exit code is then 1.
    """

    paths: Paths
    """SOURCE [TARGET.dvq], or with --out-dir any number of sources."""
    quality: Annotated[Quality, group(Quality)] = field(default_factory=Quality)
    many: Annotated[Many, group(Many)] = field(default_factory=Many)
    engine: Annotated[Engine, group(Engine)] = field(default_factory=Engine)
    manners: Annotated[Manners, group(Manners)] = field(default_factory=Manners)

    def __post_init__(self) -> None:
        check_one_of(stages=self.quality.stages, bitrate=self.quality.bitrate)

    @property
    def debug(self) -> bool:
        return self.manners.debug

    def run(self) -> int:
        """Encode all sources."""
        from codec import AUDIO_SUFFIXES

        self.engine.share_threads(self.many.jobs)
        conversion = Conversion(
            source_suffixes=AUDIO_SUFFIXES,
            target_suffixes=(STREAM_SUFFIX,),
            made_suffix=STREAM_SUFFIX,
        )
        plan = conversion.plan(self.paths, self.many.out_dir)
        return run_batch(plan, self._load, self.many, self.manners, verb="encode", done="encoded")

    def _load(self) -> TaskWork:
        codec = self.engine.load()
        if not self.manners.quiet:
            note_most_kbps(codec, self.quality.bitrate)

        def make(task: Task, meter: Meter) -> Made:
            return self._encode(codec, task, meter)

        return TaskWork(make=make, is_done=lambda task: is_whole(task.target, codec.fingerprint))

    def _encode(self, codec: Codec, task: Task, meter: Meter) -> Made:
        try:
            with (
                open_source(task.source, meter) as source,
                open_target(task.target, overwrite=self.many.force) as target,
            ):
                made = codec.encode_file(
                    source,
                    target,
                    stages=self.quality.stages,
                    bitrate_kbps=self.quality.bitrate,
                    position_bits=self.quality.position_bits or 0,
                )
        except Exception as error:
            raise _with_hint(error, task.source) from error
        channels = made.header.channels
        return Made(seconds=made.seconds, coded_bytes=made.size_bytes, channels=channels)


_FOREIGN_SUFFIXES = (
    ".m4a",
    ".aac",
    ".mp4",
    ".m4b",
    ".mov",
    ".mkv",
    ".webm",
    ".wma",
    ".amr",
    ".3gp",
)


def _with_hint(error: Exception, source: str) -> Exception:
    """The error, with a remedy for a file of a usual kind that libsndfile does not read."""
    from codec import AudioError

    if not (isinstance(error, AudioError) and source.lower().endswith(_FOREIGN_SUFFIXES)):
        return error
    if "not audio in a known format" not in str(error):
        return error
    return CommandError(f"{error}; convert it first: ffmpeg -i {source} speech.wav")
