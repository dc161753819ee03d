"""`diveq-codec cut`: a `.dvq` file with fewer stages, without its model."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, BinaryIO

from tyro.conf import Positional, arg

from .arguments import Bitrate, Debug, Force, Stages, check_positive
from .each import for_each
from .errors import CommandError, UsageError
from .files import can_seek, open_source, open_target
from .plan import Task, check

if TYPE_CHECKING:
    from codec import StreamInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Cut:
    """Cut a .dvq file to fewer stages, without its model: what is left decodes as decode --stages would.

    Where there is the audio, encode --bitrate makes better use of as many bits.

    cut in.dvq out.dvq --stages 4
    cut - - --bitrate 2 < in.dvq > out.dvq
    """

    source: Annotated[str, Positional, arg(metavar="SOURCE")]
    """A .dvq file, or - for standard input."""
    target: Annotated[str, Positional, arg(metavar="TARGET")]
    """The .dvq file to write, or - for standard output."""
    stages: Stages = None
    """Keep the first N stages."""
    bitrate: Bitrate = None
    """Keep as many stages as fit into so many kbps for a channel, over the whole file and before entropy coding."""
    force: Force = False
    debug: Debug = False

    def __post_init__(self) -> None:
        check_positive(stages=self.stages, bitrate=self.bitrate)
        if self.stages is None and self.bitrate is None:
            raise UsageError("say what to cut to: --stages or --bitrate")

    def run(self) -> int:
        """Write the cut file."""
        return for_each([self.source], self._cut, debug=self.debug)

    def _cut(self, path: str) -> bool:
        from codec import cut, read_info

        check(Task(path, self.target), force=self.force)
        with open_source(path) as pipe_or_file, _seekable(pipe_or_file) as source:
            stages = self.stages or _stages_for(read_info(source), self.bitrate or 0)
            source.seek(0)
            with open_target(self.target, overwrite=self.force) as target:
                cut(source, target, stages=stages)
        return True


@contextmanager
def _seekable(file: BinaryIO) -> Iterator[BinaryIO]:
    """The file, or a copy of what a pipe brings."""
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
        raise CommandError(f"the first stage alone takes {rates[0]:g} kbps, more than {bitrate_kbps:g}")
    return stages
