"""Live packets to RTP datagrams."""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from .rtp import NETWORK_BYTES, RtpPacket, bye

_KEEP_ALIVE_SECONDS = 0.5  # of silence, after which a packet of it is sent all the same


@dataclass(kw_only=True, slots=True)
class SenderStatistics:
    """What was sent; `left_out` are packets of silence that were not, `seconds` is the length of
    the audio.
    """

    packets: int = 0
    left_out: int = 0
    payload_bytes: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """The numbers, with bitrates without and with the headers of IP, UDP and RTP."""
        per_kbit = 8 / 1000 / self.seconds if self.seconds else 0.0
        return asdict(self) | {
            "payload_kbps": self.payload_bytes * per_kbit,
            "network_kbps": (self.payload_bytes + NETWORK_BYTES * self.packets) * per_kbit,
        }


class RtpSender:
    """Wraps live packets of one stream; source, sequence and time start at random, as RFC 3550
    asks.

    Args:
        clock_hz: the model's sample rate.
        leave_out_silence: whether packets of frames without a stage are left out, after the first
            of a pause (DTX).
    """

    def __init__(self, *, clock_hz: int, leave_out_silence: bool = False) -> None:
        self.source = secrets.randbits(32)
        self.statistics = SenderStatistics()
        self._clock_hz = clock_hz
        self._leave_out_silence = leave_out_silence
        self._sequence, self._timestamp = secrets.randbits(16), secrets.randbits(32)
        self._silent_samples = 0  # sent or left out, since the last packet that was sent
        self._marks_next = True

    def wrap(self, packet: bytes, *, samples: int, is_silent: bool = False) -> bytes | None:
        """Make the datagram of a live packet that lasts so many samples of the model; None where
        silence is left out.
        """
        timestamp = self._timestamp
        self._timestamp = (timestamp + samples) % (1 << 32)
        self.statistics.seconds += samples / self._clock_hz
        if self._leaves_out(samples, is_silent):
            self.statistics.left_out += 1
            return None
        datagram = RtpPacket(
            sequence=self._sequence,
            timestamp=timestamp,
            source=self.source,
            payload=packet,
            is_marked=self._marks_next,
        )
        self._marks_next = False
        self._sequence = (self._sequence + 1) % (1 << 16)
        self.statistics.packets += 1
        self.statistics.payload_bytes += len(packet)
        return datagram.to_bytes()

    def bye(self) -> bytes:
        """The datagram that ends the stream."""
        return bye(self.source)

    def _leaves_out(self, samples: int, is_silent: bool) -> bool:
        if not (is_silent and self._leave_out_silence):
            self._silent_samples = 0
            return False
        is_first = self._silent_samples == 0
        self._silent_samples += samples
        if is_first:
            return False
        if self._silent_samples >= _KEEP_ALIVE_SECONDS * self._clock_hz:
            self._silent_samples = samples
            return False
        self._marks_next = True
        return True
