"""A long call with a clock that runs as fast as it can: `python -m recipes.live.hour --data
speech/val --minutes 60`.

Both ends in one process, clips one after the other; prints memory, delay, what was made up, and the
processor's share of real time, at ten moments.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import LIVE_MODEL, Codec, RtpReceiver, RtpSender, find_sources

from ..memory import peak_memory_mb
from ..run_script import run_script

_RATE_HZ = 16_000


@dataclass(frozen=True, kw_only=True)
class LongCall:
    """A call that lasts."""

    data: Path
    minutes: float = 60.0
    packet_ms: float = 20.0
    kbps: float = 3.0
    jitter_ms: float = 40.0

    def run(self) -> None:
        """Speak, and watch."""
        codec = Codec.load(LIVE_MODEL, backend="onnx")
        encoder = codec.live_encoder(
            sample_rate_hz=_RATE_HZ, bitrate_kbps=self.kbps, packet_ms=self.packet_ms, dtx=True
        )
        decoder = codec.live_decoder(sample_rate_hz=_RATE_HZ)
        hop, clock_hz = codec.config.hop, codec.config.sample_rate_hz
        sender = RtpSender(clock_hz=clock_hz, leave_out_silence=True)
        receiver = RtpReceiver(decoder.live, hop=hop, clock_hz=clock_hz)
        rng, coming, heard = np.random.default_rng(0), [], 0
        ticks = round(self.minutes * 60 * clock_hz / hop)
        start = time.process_time()
        for tick, block in zip(range(1, ticks + 1), self._blocks(hop), strict=False):
            now = tick * hop / clock_hz
            for packet in encoder.push(block):
                is_silent = encoder.live.is_silent(packet)
                datagram = sender.wrap(packet, samples=encoder.packet_samples, is_silent=is_silent)
                coming.append((now + self.jitter_ms / 1000 * rng.random(), datagram))
            ready = [datagram for at, datagram in coming if at <= now and datagram is not None]
            coming = [(at, datagram) for at, datagram in coming if at > now]
            for datagram in ready:
                receiver.receive(datagram, "sender", now)
            codes = receiver.pull(now)
            if codes is not None:
                heard += len(decoder.push_codes(codes))
            if tick % max(ticks // 10, 1) == 0:
                _tell(now, receiver, heard, (time.process_time() - start) / now)

    def _blocks(self, hop: int) -> Iterator[np.ndarray]:
        """All clips, over and over, in pieces of a frame."""
        for source in itertools.cycle(find_sources(self.data)):
            wave = source.read().at(_RATE_HZ).wave[0]
            yield from np.split(wave[: len(wave) // hop * hop], len(wave) // hop)


def _tell(now: float, receiver: RtpReceiver, heard: int, share: float) -> None:
    facts = receiver.statistics()
    print(
        f"{now:7.1f} s: {peak_memory_mb():.0f} MB, delay {1000 * facts.delay_seconds:.0f} ms,"
        f" heard {heard / _RATE_HZ:.1f} s,"
        f" {facts.lost} lost, {facts.late} late, {facts.concealed} made up, {facts.grown} grown, "
        f"{facts.shrunk} shrunk,"
        f" {100 * share:.1f} % of real time",
        flush=True,
    )


if __name__ == "__main__":
    run_script(LongCall.run, LongCall)
