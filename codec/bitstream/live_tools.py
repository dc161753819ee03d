"""Converts a `.dvq` stream to live packets and back, without coding again."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .live_packets import SEQUENCE_NUMBERS, LiveFormat, LivePacket
from .reader import StreamReader
from .stage_counts import GROUP_FRAMES, NONE
from .writer import StreamWriter

_ABOUT_A_SECOND = 50  # frames
_MOST_LATE = 16  # packets; numbers further behind are ahead, after a gap


def recording_frames(frames: int) -> int:
    """Return the packet length of a `.dvq` stream that records live packets of `frames` frames.

    About a second where groups of three frames stay together, else as many as a live packet.

    >>> recording_frames(3), recording_frames(6), recording_frames(2)
    (48, 48, 2)
    """
    return frames if frames % GROUP_FRAMES else max(1, _ABOUT_A_SECOND // frames) * frames


def live_packets(stream: StreamReader, live: LiveFormat, *, frames: int) -> Iterator[LivePacket]:
    """Cut each packet of a `.dvq` stream into live packets of `frames` frames, and one of what is
    left.

    Where depths vary, `frames` is 1, 2 or a multiple of three, as groups of three frames are not
    split in two.
    """
    sequence = 0
    for packet in stream.packets(live.tables):
        assert packet.codes is not None
        codes = _with_all_stages(packet.codes, len(live.stages))
        for start in range(0, packet.frames, frames):
            yield LivePacket(
                sequence=sequence % SEQUENCE_NUMBERS, codes=codes[:, :, start : start + frames]
            )
            sequence += 1


def _with_all_stages(codes: np.ndarray, stages: int) -> np.ndarray:
    """Codes of the first stages, with NONE for the others."""
    return np.pad(codes, [(0, 0), (0, stages - codes.shape[1]), (0, 0)], constant_values=NONE)


class LiveRecorder:
    """Writes live packets into a `.dvq` stream that has all stages of their model.

    A packet that never came is filled from a copy in the next one that did, or else with frames of
    no stage, as many as `frames`. Close the writer with `writer.header.samples_in(writer.frames)`
    samples.
    """

    def __init__(self, writer: StreamWriter, *, frames: int) -> None:
        self._writer = writer
        self._frames = frames
        self._next: int | None = None
        self.filled = self.lost = 0  # packets

    def write(self, packet: LivePacket) -> bool:
        """Append a packet, preceded by lost frames for those missing, up to 111; return False for
        one that is a duplicate, or late by up to 16 packets.
        """
        ahead = 0 if self._next is None else (packet.sequence - self._next) % SEQUENCE_NUMBERS
        if ahead >= SEQUENCE_NUMBERS - _MOST_LATE:
            return False
        for distance in range(ahead, 0, -1):
            copy = packet.copies[distance - 1] if distance <= len(packet.copies) else None
            self.filled += copy is not None
            self.lost += copy is None
            self._writer.write(self._nothing(packet) if copy is None else copy)
        self._writer.write(packet.codes)
        self._next = (packet.sequence + 1) % SEQUENCE_NUMBERS
        return True

    def _nothing(self, packet: LivePacket) -> np.ndarray:
        return np.full((*packet.codes.shape[:2], self._frames), NONE, np.int32)
