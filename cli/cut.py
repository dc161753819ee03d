"""`diveq-codec cut`: a `.dvq` file with fewer stages, without its model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, BinaryIO, cast

from tyro.conf import arg

from .batch import run_batch
from .files import Meter, can_seek, open_source, open_target
from .messages import CommandError, UsageError
from .options import Bitrate, Manners, Many, Paths, Stages, check_one_of, group
from .plan import STREAM_SUFFIX, Conversion, Task
from .streams import is_whole
from .workers import Made, TaskWork

if TYPE_CHECKING:
    from codec import StreamInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class CutSize:
    """What to cut to."""

    stages: Annotated[Stages, arg(help_behavior_hint="")] = None
    """Keep the first N stages."""
    bitrate: Annotated[Bitrate, arg(help_behavior_hint="")] = None
    """Keep as many stages as fit into so many kbps per channel, over the whole file and before
    entropy coding.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Cut .dvq files to fewer stages, without their model.

    $ diveq-codec cut in.dvq out.dvq --stages 4
    $ diveq-codec cut coded/ --out-dir smaller --bitrate 2
    $ diveq-codec cut - - --bitrate 2 < in.dvq > out.dvq

    What is left decodes as decode --stages would. Where there is the audio, encode --bitrate makes
    better use of as many bits.
    """

    paths: Paths
    """SOURCE.dvq TARGET.dvq, or with --out-dir any number of sources."""
    size: Annotated[CutSize, group(CutSize)] = field(default_factory=CutSize)
    many: Annotated[Many, group(Many)] = field(default_factory=Many)
    manners: Annotated[Manners, group(Manners)] = field(default_factory=Manners)

    def __post_init__(self) -> None:
        check_one_of(stages=self.size.stages, bitrate=self.size.bitrate)
        if self.size.stages is None and self.size.bitrate is None:
            raise UsageError("say what to cut to: --stages or --bitrate")
        if len(self.paths) == 1 and self.many.out_dir is None:
            raise UsageError("give a source and a target, or --out-dir")

    @property
    def debug(self) -> bool:
        return self.manners.debug

    def run(self) -> int:
        """Write the cut files."""
        conversion = Conversion(
            source_suffixes=(STREAM_SUFFIX,),
            target_suffixes=(STREAM_SUFFIX,),
            made_suffix=STREAM_SUFFIX,
        )
        plan = conversion.plan(self.paths, self.many.out_dir)
        work = TaskWork(make=self._cut, is_done=self._is_done)
        return run_batch(plan, lambda: work, self.many, self.manners, verb="cut", done="cut")

    def _cut(self, task: Task, meter: Meter) -> Made:
        from codec import cut, read_info

        with open_source(task.source, meter) as pipe_or_file, _seekable(pipe_or_file) as source:
            info = read_info(source)
            source.seek(0)
            with open_target(task.target, overwrite=self.many.force) as target:
                counter = _Counter(target)
                cut(source, cast(BinaryIO, counter), stages=self._stages(info))
        return Made(seconds=info.seconds, coded_bytes=counter.count, channels=info.header.channels)

    def _stages(self, info: StreamInfo) -> int:
        return self.size.stages or _stages_for(info, self.size.bitrate or 0)

    def _is_done(self, task: Task) -> bool:
        from codec import read_info

        info = read_info(task.source)
        return is_whole(task.target, info.header.fingerprint, stages=self._stages(info))


class _Counter:
    """A file to write to, which counts bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.count = 0

    def write(self, data: bytes) -> int:
        self.count += len(data)
        return self._file.write(data)


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """Give the file, or a temporary copy of a pipe."""
    if can_seek(file):
        yield file
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy)
        copy.seek(0)
        yield copy


def _stages_for(info: StreamInfo, bitrate_kbps: float) -> int:
    """The most stages that take at most `bitrate_kbps` for a channel, at fixed width."""
    rates = [info.channel_bitrate(count) / 1000 for count in range(1, len(info.header.stages) + 1)]
    stages = sum(rate <= bitrate_kbps * (1 + 1e-9) for rate in rates)
    if not stages:
        raise CommandError(
            f"the first stage alone takes {rates[0]:g} kbps, more than {bitrate_kbps:g}"
        )
    return stages
