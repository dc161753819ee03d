"""`diveq-codec receive` decodes speech from RTP while it comes."""

from __future__ import annotations

import contextlib
import json as json_format
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

from tyro.conf import Positional, arg

from .addresses import LOOPBACK, check_positive, parse_address, udp_socket
from .console import binary_stdout, discard_stdout, note, show
from .messages import CommandError, UsageError
from .options import Debug, Engine, Force, Json, group
from .plan import PIPE

if TYPE_CHECKING:
    import socket

    import numpy as np

    from codec import LiveDecoder, RtpReceiver

_LARGEST_DATAGRAM = 1 << 16
_NOTICED_SECONDS = 0.5
_MOST_AT_ONCE = 1000  # datagrams: a flood does not stop the playing
_MOST_DELAY_MS = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Receive:
    """Receive speech that `diveq-codec send` sends, as it comes: RTP over UDP.

    $ diveq-codec receive 5004 heard.wav
    $ diveq-codec receive 0.0.0.0:5004 - | aplay -t raw -f S16_LE -r 16000

    Only what is sent to the address is heard, and of that the first source that sends packets of
    the model. It ends when the sender does, on Ctrl-C, or when nothing has come for a while; its
    numbers are shown then.
    """

    ends_when_stopped: ClassVar[bool] = True
    """A stop signal raises in `run`, which then comes to its own end."""
    address: Annotated[str, Positional, arg(metavar="[HOST:]PORT", help_behavior_hint="")]
    """Where to listen; a port alone is one of this machine's own (127.0.0.1)."""
    target: Annotated[str, Positional, arg(metavar="TARGET", help_behavior_hint="")]
    """A WAV file (or FLAC, …), or - for raw audio to standard output, 16-bit little-endian samples.
    """
    rate: Annotated[int, arg(metavar="HZ", help_behavior_hint="")] = 16_000
    """Sample rate of the audio. By default 16000."""
    delay_ms: Annotated[float, arg(metavar="MS", help_behavior_hint="")] = 20.0
    """The least delay of the jitter buffer, which grows as far as packets come late. By default 20.
    """
    idle: Annotated[float, arg(metavar="SECONDS", help_behavior_hint="")] = 10.0
    """End when nothing has come for so long, after the first packet. By default 10."""
    engine: Annotated[Engine, group(Engine)] = field(default_factory=Engine)
    force: Force = False
    json: Json = False
    debug: Debug = False

    def __post_init__(self) -> None:
        check_positive(rate=self.rate, idle=self.idle)
        if not 0 <= self.delay_ms <= _MOST_DELAY_MS:
            raise UsageError(f"--delay-ms is 0 to {_MOST_DELAY_MS}, not {self.delay_ms:g}")

    def run(self) -> int:
        """Receive until it ends."""
        from codec import RtpReceiver

        host, port = parse_address(self.address, default_host=LOOPBACK)
        if Path(self.target).is_fifo():  # opened at the end, where no signal is heard any more
            raise CommandError(f"{self.target} is a pipe: give a sound file, or - > {self.target}")
        self.engine.share_threads(1)
        codec = self.engine.load_for_calls()
        decoder = codec.live_decoder(sample_rate_hz=self.rate)
        config = codec.config
        receiver = RtpReceiver(
            decoder.live,
            hop=config.hop,
            clock_hz=config.sample_rate_hz,
            least_seconds=self.delay_ms / 1000,
            most_seconds=_MOST_DELAY_MS / 1000,
        )
        with self._opened() as write, udp_socket(host, port, listens=True) as channel:
            decoder.copy().push_codes(
                decoder.lost_codes(1)
            )  # what takes time at first, before it matters
            note(f"listening on {host}:{port}")
            try:
                _play(
                    channel, receiver, decoder, write, config.hop / config.sample_rate_hz, self.idle
                )
            except KeyboardInterrupt:
                note("interrupted: the recording ends here")
                if self.target == PIPE:
                    discard_stdout()  # its reader may read no more
            write(decoder.flush())
        _tell(receiver, as_json=self.json, to_stderr=self.target == PIPE)
        return 0

    @contextlib.contextmanager
    def _opened(self) -> Iterator[Callable[[np.ndarray], object]]:
        """Open the target of samples: a sound file that appears whole, or standard output."""
        import numpy as np

        if self.target == PIPE:
            out = binary_stdout()

            def write(wave: np.ndarray) -> None:
                out.write(np.clip(np.rint(wave * 32768), -32768, 32767).astype("<i2").tobytes())
                out.flush()

            yield write
            return

        from codec import AudioWriter

        with AudioWriter(
            self.target, sample_rate_hz=self.rate, channels=1, overwrite=self.force
        ) as file:
            yield lambda wave: file.write(np.atleast_2d(wave))


def _play(
    channel: socket.socket,
    receiver: RtpReceiver,
    decoder: LiveDecoder,
    write: Callable[[np.ndarray], object],
    frame_seconds: float,
    idle_seconds: float,
) -> None:
    """Take datagrams, and write a frame whenever one is due."""
    from codec.files.stop import check_stopped

    due = last = time.monotonic()
    while not (receiver.has_ended and not receiver.waiting_frames):
        check_stopped()
        before = receiver.packets
        _take(channel, receiver, due)
        has_come = receiver.packets > before
        codes = receiver.pull(due, behind_seconds=max(time.monotonic() - due, 0.0))
        if has_come or codes is None:  # for the first packet it waits as long as it takes
            last = due
        due += frame_seconds
        if codes is not None:
            write(decoder.push_codes(codes))
        if due - last > idle_seconds:
            note(f"nothing has come for {idle_seconds:g} s: the recording ends here")
            return


def _take(channel: socket.socket, receiver: RtpReceiver, due: float) -> None:
    """Take the datagrams that come until `due`, and some of those that have come then."""
    number = 0
    while number < _MOST_AT_ONCE or time.monotonic() < due:
        channel.settimeout(max(due - time.monotonic(), 0.0))
        try:
            datagram, address = channel.recvfrom(_LARGEST_DATAGRAM)
        except (TimeoutError, BlockingIOError):
            return
        receiver.receive(datagram, address, time.monotonic())
        number += 1


def _tell(receiver: RtpReceiver, *, as_json: bool, to_stderr: bool) -> None:
    facts = receiver.statistics().to_dict()
    if as_json:
        line = json_format.dumps(facts)
        print(line, file=sys.stderr) if to_stderr else show(line)
        return
    note(
        f"received {facts['packets']} packets for {facts['played_seconds']:.2f} s: {facts['lost']} "
        f"lost,"
        f" {facts['late']} late, {facts['reordered']} out of order, {facts['duplicate']} twice,"
        f" {facts['malformed']} malformed, {facts['foreign']} foreign"
    )
    note(
        f"{facts['filled']} frames filled from copies, {facts['concealed']} made up; jitter"
        f" {1000 * facts['jitter_seconds']:.0f} ms, delay {1000 * facts['delay_seconds']:.0f} ms;"
        f" {facts['payload_kbps']:.2f} kbps, with headers {facts['network_kbps']:.2f} kbps"
    )
    if facts["behind_seconds"] > _NOTICED_SECONDS:
        note(f"decoding fell up to {facts['behind_seconds']:.2f} s behind: this machine is busy")
