"""What a call costs: `python -m recipes.live.cost speech.wav`.

Prints the processor time of each end, as a share of the time that is spoken, by packet length; and
how long after the start of `diveq-codec send` its first packet is there.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np
import tyro

from codec import LIVE_MODEL, Codec
from codec.audio.sound import read_sound

from ..markdown import table
from ..run_script import run_script

_BLOCK_SECONDS = 0.01  # what a sound card gives at once
_WARM_UP_SECONDS = 1.0
_STARTS = 5
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class LiveCost:
    """Measure both ends on one core, a block of 10 ms at a time."""

    source: tyro.conf.Positional[str]
    model: str = LIVE_MODEL
    kbps: float = 3.0
    packet_ms: tuple[float, ...] = (20.0, 40.0, 60.0, 120.0)
    backend: str = "onnx"

    def run(self) -> None:
        """Speak, and look at the clock."""
        wave, rate = read_sound(self.source, None)
        codec = Codec.load(self.model, backend=self.backend)
        rows = []
        for packet_ms in self.packet_ms:
            self._seconds(codec, wave[0, : round(_WARM_UP_SECONDS * rate)], rate, packet_ms)
            shares = self._seconds(codec, wave[0], rate, packet_ms) / (wave.shape[1] / rate)
            rows.append([f"{packet_ms:g} ms", *(f"{100 * share:.1f} %" for share in shares)])
        print(table(["packets", "encode", "decode"], rows, are_numbers=True))
        seconds = [self._first_packet() for _ in range(_STARTS)]
        print(
            f"\nfirst packet {min(seconds):.2f} to {max(seconds):.2f} s after the start of `send`"
        )

    def _first_packet(self) -> float:
        """Start the command, and wait for a datagram."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
            channel.bind(("127.0.0.1", 0))
            channel.settimeout(_PATIENCE_SECONDS)
            address = f"127.0.0.1:{channel.getsockname()[1]}"
            command = [sys.executable, "-m", "codec", "send", self.source, address]
            begun = time.monotonic()
            with subprocess.Popen(
                [*command, "--model", self.model, "--backend", self.backend],
                stderr=subprocess.DEVNULL,
            ) as process:
                try:
                    channel.recv(1)
                    return time.monotonic() - begun
                finally:
                    process.kill()

    def _seconds(self, codec: Codec, wave: np.ndarray, rate: int, packet_ms: float) -> np.ndarray:
        """Processor time to encode and to decode."""
        encoder = codec.live_encoder(
            sample_rate_hz=rate, bitrate_kbps=self.kbps, packet_ms=packet_ms
        )
        decoder = codec.live_decoder(sample_rate_hz=rate)
        block, taken = round(_BLOCK_SECONDS * rate), np.zeros(2)
        for start in range(0, len(wave), block):
            begun = time.process_time()
            packets = encoder.push(wave[start : start + block])
            packed = time.process_time()
            for packet in packets:
                decoder.push(packet)
            taken += (packed - begun, time.process_time() - packed)
        return taken


if __name__ == "__main__":
    run_script(LiveCost.run, LiveCost)
