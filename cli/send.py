"""`diveq-codec send` sends speech over RTP while it is spoken."""

from __future__ import annotations

import contextlib
import json as json_format
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import Positional, arg

from .addresses import check_positive, parse_address, udp_socket
from .console import note, show
from .files import check_stdin
from .options import Debug, Engine, Flag, Json, group, note_most_kbps
from .plan import PIPE

if TYPE_CHECKING:
    import socket

    import numpy as np

    from codec import LiveEncoder, RtpSender

_BLOCK_SECONDS = 0.01
_RAW_BYTES = 2  # of a sample
_LONGEST_START_SECONDS = 1.0
_GOODBYES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """Send speech over a network while it is spoken: RTP over UDP.

    $ diveq-codec send speech.wav 127.0.0.1:5004
    $ arecord -t raw -f S16_LE -r 16000 | diveq-codec send - 192.168.1.7:5004 --copies 2 --dtx

    - is raw audio of one channel, 16-bit little-endian samples. What was recorded while the command
      started is sent at once. A file's channels are mixed into one. Ctrl-C ends the stream; its
      numbers are shown then.
    """

    ends_when_stopped: ClassVar[bool] = True
    """A stop signal raises in `run`, which then comes to its own end."""
    source: Annotated[str, Positional, arg(metavar="SOURCE", help_behavior_hint="")]
    """An audio file, or - for raw audio from standard input."""
    address: Annotated[str, Positional, arg(metavar="HOST:PORT", help_behavior_hint="")]
    """Where `diveq-codec receive` listens."""
    bitrate: Annotated[float, arg(metavar="KBPS", help_behavior_hint="")] = 3.0
    """On average, without copies and headers. By default 3."""
    packet_ms: Annotated[float, arg(metavar="MS", help_behavior_hint="")] = 60.0
    """Speech in a packet, 20 to 120 ms. By default 60; each packet costs 40 bytes of headers."""
    copies: Annotated[int, arg(metavar="N", help_behavior_hint="")] = 0
    """Repeat the first stages of so many packets before, from which lost ones are filled."""
    dtx: Flag = False
    """Send next to nothing in pauses."""
    rate: Annotated[int, arg(metavar="HZ", help_behavior_hint="")] = 16_000
    """Sample rate of raw audio. By default 16000."""
    engine: Annotated[Engine, group(Engine)] = field(default_factory=Engine)
    json: Json = False
    debug: Debug = False

    def __post_init__(self) -> None:
        check_positive(bitrate=self.bitrate, rate=self.rate)

    def run(self) -> int:
        """Send all of it, in its own time."""
        # Raw audio is recorded from the command's start on: it has lasted as long as it computed.
        due = time.monotonic() - min(time.process_time(), _LONGEST_START_SECONDS)
        from codec import RtpSender

        host, port = parse_address(self.address)
        self.engine.share_threads(1)
        codec = self.engine.load_for_calls()
        sender = RtpSender(clock_hz=codec.config.sample_rate_hz, leave_out_silence=self.dtx)
        with contextlib.ExitStack() as stack:
            give = _given_to(stack.enter_context(udp_socket(host, port, listens=False)))
            rate, blocks = (
                _raw_blocks(self.rate) if self.source == PIPE else _file_blocks(self.source, stack)
            )
            note_most_kbps(codec, self.bitrate)
            encoder = codec.live_encoder(
                sample_rate_hz=rate,
                bitrate_kbps=self.bitrate,
                packet_ms=self.packet_ms,
                dtx=self.dtx,
                copies=self.copies,
            )
            try:
                _take_first_time(encoder, rate)
                if self.source != PIPE:  # a file's first packet need not be spoken first
                    due = time.monotonic() - _first_packet_samples(encoder, rate) / rate
                _send_all(blocks, rate, encoder, sender, give, due)
            except KeyboardInterrupt:
                note("interrupted: the stream ends here")
            finally:
                for _ in range(_GOODBYES):
                    give(sender.bye())
        _tell(sender, self.json)
        return 0


def _take_first_time(encoder: LiveEncoder, rate: int) -> None:
    """Let the backend do what takes time at first, before it matters: as much as makes a packet."""
    import numpy as np

    encoder.copy().push(np.zeros(_first_packet_samples(encoder, rate), np.float32))


def _first_packet_samples(encoder: LiveEncoder, rate: int) -> int:
    """How many samples make the first packet."""
    return math.ceil(encoder.latency_seconds * rate) + 1


def _send_all(
    blocks: Iterator[np.ndarray],
    rate: int,
    encoder: LiveEncoder,
    sender: RtpSender,
    give: Callable[[bytes], None],
    due: float,
) -> None:
    """Send blocks no faster than they would be spoken, the first at the time `due`."""
    from codec.files.stop import check_stopped

    samples = 0
    for block in blocks:
        check_stopped()
        samples += len(block)
        time.sleep(max(0.0, due + samples / rate - time.monotonic()))
        _send(encoder.push(block), encoder, sender, give)
    _send(encoder.flush(), encoder, sender, give)


def _send(
    packets: list[bytes], encoder: LiveEncoder, sender: RtpSender, give: Callable[[bytes], None]
) -> None:
    for packet in packets:
        datagram = sender.wrap(
            packet, samples=encoder.packet_samples, is_silent=encoder.live.is_silent(packet)
        )
        if datagram is not None:
            give(datagram)


def _given_to(channel: socket.socket) -> Callable[[bytes], None]:
    """A function that sends a datagram, even where nobody listens, or there is no network at the
    moment; the first time it says so.
    """
    noted: set[type] = set()

    def give(datagram: bytes) -> None:
        try:
            channel.send(datagram)
        except OSError as error:
            kind = type(error)
            if kind not in noted:
                refused = isinstance(error, ConnectionRefusedError)
                reason = "nobody listens there" if refused else error.strerror or error
                note(f"a packet was not sent: {reason}; going on")
            noted.add(kind)

    return give


def _file_blocks(path: str, stack: contextlib.ExitStack) -> tuple[int, Iterator[np.ndarray]]:
    """The rate of a sound file, and its samples, channels mixed into one."""
    from codec import open_audio

    reader = stack.enter_context(open_audio(path))
    rate = reader.sample_rate_hz
    return rate, (block.mean(axis=0) for block in reader.blocks(round(_BLOCK_SECONDS * rate)))


def _raw_blocks(rate: int) -> tuple[int, Iterator[np.ndarray]]:
    """Samples from standard input as they come."""
    import numpy as np

    check_stdin()

    def blocks() -> Iterator[np.ndarray]:
        rest, size = b"", _RAW_BYTES * round(_BLOCK_SECONDS * rate)
        while data := os.read(sys.stdin.fileno(), size):
            data = rest + data
            whole = len(data) - len(data) % _RAW_BYTES
            rest = data[whole:]
            yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768

    return rate, blocks()


def _tell(sender: RtpSender, as_json: bool) -> None:
    facts = sender.statistics.to_dict()
    if as_json:
        show(json_format.dumps(facts))
        return
    note(
        f"sent {facts['packets']} packets for {facts['seconds']:.2f} s, {facts['left_out']} of "
        f"silence left out:"
        f" {facts['payload_kbps']:.2f} kbps, with headers {facts['network_kbps']:.2f} kbps"
    )
