"""`diveq-codec encode`: audio to `.dvq`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from .arguments import Bitrate, Count, Debug, Engine, Many, Paths, Stages, check_positive
from .batch import run_batch
from .files import Meter, open_source, open_target, stoppable
from .plan import STREAM_SUFFIX, Conversion, Task
from .workers import Made, Work

if TYPE_CHECKING:
    from codec import Codec


@dataclass(frozen=True, kw_only=True, slots=True)
class Encode:
    """Encode speech into small .dvq files.

    $ diveq-codec encode speech.wav out.dvq
    $ diveq-codec encode speech.wav                             into speech.dvq, beside it
    $ diveq-codec encode a.wav b.flac talks/ --out-dir coded    talks/x/y.wav becomes coded/x/y.dvq
    $ cat speech.wav | diveq-codec encode - - > out.dvq

    Reads what libsndfile reads: WAV, FLAC, MP3, Ogg Vorbis, Opus, AIFF and more, at any rate, with any channels. In
    folders, hidden files are left out, and those whose suffix is no audio format's; the summary counts the latter as
    passed over. A file that fails is reported and does not stop the rest; the exit code is then 1.
    """

    paths: Paths
    """SOURCE [TARGET.dvq], or with --out-dir any number of sources."""
    bitrate: Bitrate = None
    """The most kbps that a channel may take before entropy coding, which usually takes some off. Loud stretches get
    more of them than pauses, which sounds better than as many everywhere. By default all that the model has."""
    stages: Stages = None
    """The first N stages of the model for every stretch, instead of all."""
    position_bits: Count = None
    """For SF-DiVeQ stages: N more bits per index, which place it between two codewords; 0 to 7."""
    engine: Annotated[Engine, arg(name="")] = field(default_factory=Engine)
    many: Annotated[Many, arg(name="")] = field(default_factory=Many)
    debug: Debug = False

    def __post_init__(self) -> None:
        check_positive(stages=self.stages, bitrate=self.bitrate)

    def run(self) -> int:
        """Encode all sources."""
        from codec import AUDIO_SUFFIXES

        self.engine.share_threads(self.many.jobs)
        conversion = Conversion(
            source_suffixes=AUDIO_SUFFIXES, target_suffixes=(STREAM_SUFFIX,), made_suffix=STREAM_SUFFIX
        )
        plan = conversion.plan(self.paths, self.many.out_dir)
        return run_batch(plan, self._load, self.many, verb="encode", debug=self.debug)

    def _load(self) -> Work:
        codec = self.engine.load()

        def work(task: Task, meter: Meter) -> Made:
            return self._encode(codec, task, meter)

        return work

    def _encode(self, codec: Codec, task: Task, meter: Meter) -> Made:
        with (
            open_source(task.source, meter, stoppable=False) as source,
            open_target(task.target, overwrite=self.many.force) as target,
        ):
            made = codec.encode_file(
                source,
                stoppable(target, meter),
                stages=self.stages,
                bitrate_kbps=self.bitrate,
                position_bits=self.position_bits or 0,
            )
        return Made(seconds=made.seconds, coded_bytes=made.size_bytes)
