"""RTP datagrams, in any order and with anything in between, to frames that are played in time."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from ..bitstream import NONE, LiveFormat, LivePacket
from ..errors import BitstreamError
from ..layouts.config import LOST
from .jitter_buffer import Frame, JitterBuffer
from .rtp import NETWORK_BYTES, PAYLOAD_TYPE, RtpPacket, is_control, leaving

_REMEMBERED_PACKETS = 1 << 12  # a packet that comes twice within so many is known to
_FARTHEST_SECONDS = 30.0  # from the frame that is played; no stream that goes on jumps further
_JITTER_GAIN = 1 / 16  # RFC 3550 section 6.4.1


@dataclass(kw_only=True, slots=True)
class ReceiverStatistics:
    """Counts of what came, and what was done with it.

    Of the packets `lost` never came, `late` came after their turn, `duplicate` twice, `reordered`
    after a later one. `malformed` are datagrams that are no packet, `foreign` those of another
    source. Of the `frames` that were played `filled` are copies out of later packets, `concealed`
    were made up; `grown` of these, and `shrunk` that were left out, moved the delay.
    `jitter_seconds` is RFC 3550's, `delay_seconds` the jitter buffer's own delay now, and
    `behind_seconds` how far after its turn a frame was asked for at most: more than a moment means
    that decoding is too slow here.
    """

    packets: int = 0
    lost: int = 0
    late: int = 0
    duplicate: int = 0
    reordered: int = 0
    malformed: int = 0
    foreign: int = 0
    frames: int = 0
    filled: int = 0
    concealed: int = 0
    grown: int = 0
    shrunk: int = 0
    payload_bytes: int = 0
    jitter_seconds: float = 0.0
    delay_seconds: float = 0.0
    behind_seconds: float = 0.0
    played_seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The numbers, with bitrates without and with the headers of IP, UDP and RTP."""
        per_kbit = 8 / 1000 / self.played_seconds if self.played_seconds else 0.0
        return asdict(self) | {
            "payload_kbps": self.payload_bytes * per_kbit,
            "network_kbps": (self.payload_bytes + NETWORK_BYTES * self.packets) * per_kbit,
        }


class RtpReceiver:
    """Takes datagrams as they come, and gives a frame each time that one is due.

    The first datagram that is a packet of the agreed format decides which source is listened to.

    Args:
        live: what both ends agreed on.
        hop: samples of a frame at the model's rate.
        clock_hz: the model's rate.
        least_seconds: the least delay of the jitter buffer.
        most_seconds: its greatest delay.
    """

    def __init__(
        self,
        live: LiveFormat,
        *,
        hop: int,
        clock_hz: int,
        least_seconds: float = 0.02,
        most_seconds: float = 0.5,
    ) -> None:
        self._live = live
        self._hop, self._clock_hz = hop, clock_hz
        self._nothing = np.full((live.channels, len(live.stages), 1), NONE, np.int32)
        self._buffer = JitterBuffer(
            frame_seconds=hop / clock_hz, least_seconds=least_seconds, most_seconds=most_seconds
        )
        self._statistics = ReceiverStatistics()
        self._sequence = _SequenceLog()
        self._source: tuple[Hashable, int] | None = None
        self._first_timestamp = 0
        self._last_transit: float | None = None
        self.has_ended = False

    @property
    def packets(self) -> int:
        """Packets that have come, each counted once."""
        return self._sequence.received

    @property
    def waiting_frames(self) -> int:
        """Frames that have come and not been played."""
        return self._buffer.waiting

    def receive(self, datagram: bytes, sender: Hashable, now: float) -> None:
        """Take a datagram that came from an address at the time `now`, in seconds; one that is no
        packet is counted.
        """
        if is_control(datagram):
            self._take_control(datagram, sender)
            return
        try:
            rtp = RtpPacket.from_bytes(datagram)
            if rtp.payload_type != PAYLOAD_TYPE:
                raise BitstreamError(f"the payload type is {rtp.payload_type}, not {PAYLOAD_TYPE}")
            if self._source not in (None, (sender, rtp.source)):
                self._statistics.foreign += 1
                return
            packet = self._live.unpack(rtp.payload)
            number = self._frame_number(rtp.timestamp)
        except BitstreamError:
            self._statistics.malformed += 1
            return
        self._source = (sender, rtp.source)
        if self._sequence.add(rtp.sequence):
            self._statistics.payload_bytes += len(rtp.payload)
            self._take_packet(packet, number, now)

    def pull(self, now: float, *, behind_seconds: float = 0.0) -> np.ndarray | None:
        """The codes (channels, stages, 1) of the frame that is due now; LOST where it did not come
        in time.

        None before the first frame is due. Called once for each frame's duration, with the time at
        which the frame is due; where that was `behind_seconds` ago, the statistics say so.
        """
        if not self._buffer.has_begun(now):
            return None
        statistics = self._statistics
        now += behind_seconds
        statistics.delay_seconds = max(self._buffer.delay_seconds(now), 0.0)
        statistics.behind_seconds = max(statistics.behind_seconds, behind_seconds)
        statistics.frames += 1
        frame = self._buffer.pull(now, Frame(self._nothing, is_copy=False))
        if frame is None:
            statistics.concealed += 1
            return np.full_like(self._nothing, LOST)
        statistics.filled += frame.is_copy
        return frame.codes

    def statistics(self) -> ReceiverStatistics:
        """What has happened so far."""
        sequence, buffer = self._sequence, self._buffer
        return replace(
            self._statistics,
            packets=sequence.received,
            lost=sequence.missing,
            duplicate=sequence.duplicate,
            reordered=sequence.reordered,
            grown=buffer.grown,
            shrunk=buffer.shrunk,
            played_seconds=self._statistics.frames * self._hop / self._clock_hz,
        )

    def _take_control(self, datagram: bytes, sender: Hashable) -> None:
        if self._source is None or self._source[0] != sender:
            self._statistics.foreign += 1
        elif self._source[1] in leaving(datagram):
            self.has_ended = True

    def _frame_number(self, timestamp: int) -> int:
        """Which frame of the stream a packet begins with; 0 for the first packet that came."""
        if self._source is None:
            self._first_timestamp = timestamp
        around = self._buffer.next_number * self._hop
        ahead = (timestamp - self._first_timestamp - around + (1 << 31)) % (1 << 32) - (1 << 31)
        if ahead % self._hop or abs(ahead) > _FARTHEST_SECONDS * self._clock_hz:
            raise BitstreamError(f"the timestamp {timestamp} is none of this stream")
        return (around + ahead) // self._hop

    def _take_packet(self, packet: LivePacket, number: int, now: float) -> None:
        self._measure_jitter(now - number * self._hop / self._clock_hz)
        self._buffer.arrived(number, now)
        self._statistics.late += self._buffer.is_late(number + packet.frames - 1)
        self._put(number, packet.codes, now, is_copy=False)
        for copy in packet.copies:
            number -= packet.frames if copy is None else copy.shape[2]
            if copy is not None:
                self._put(number, copy, now, is_copy=True)

    def _put(self, number: int, codes: np.ndarray, now: float, *, is_copy: bool) -> None:
        for offset in range(codes.shape[2]):
            self._buffer.put(number + offset, Frame(codes[:, :, offset : offset + 1], is_copy), now)

    def _measure_jitter(self, transit: float) -> None:
        if self._last_transit is not None:
            change = abs(transit - self._last_transit)
            self._statistics.jitter_seconds += (
                change - self._statistics.jitter_seconds
            ) * _JITTER_GAIN
        self._last_transit = transit


class _SequenceLog:
    """Which sequence numbers came; they are counted on past 2^16."""

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._first = self._highest = 0
        self.received = self.duplicate = self.reordered = 0

    @property
    def missing(self) -> int:
        """Numbers between the first and the highest that have not come."""
        return max(self._highest - self._first + 1 - self.received, 0) if self.received else 0

    def add(self, sequence: int) -> bool:
        """Note a number modulo 2^16; False where it came before."""
        if not self.received:
            self._first = self._highest = sequence
        number = self._highest + (sequence - self._highest + (1 << 15)) % (1 << 16) - (1 << 15)
        if number in self._seen or number <= self._highest - _REMEMBERED_PACKETS:
            self.duplicate += 1
            return False
        self.received += 1
        self.reordered += number < self._highest
        self._first = min(self._first, number)
        self._highest = max(self._highest, number)
        self._seen.add(number)
        if len(self._seen) > 2 * _REMEMBERED_PACKETS:
            self._seen = {kept for kept in self._seen if kept > self._highest - _REMEMBERED_PACKETS}
        return True
