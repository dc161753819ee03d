"""Both ends of a call in one process: `python -m recipes.live.both_ends speech.wav heard.wav --loss
0.1`.

Packets go through a network that loses some of them; the receiver fills gaps from copies, or makes
them up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import soundfile
import tyro

from codec import LIVE_MODEL, Codec, RtpReceiver, RtpSender


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call from a sound file into another one."""

    source: tyro.conf.Positional[str]
    target: tyro.conf.Positional[str]
    loss: Annotated[float, tyro.conf.arg(help="Share of packets that are lost.")] = 0.1
    kbps: float = 3.0
    copies: int = 2

    def run(self) -> None:
        """Speak, lose, hear."""
        wave, rate = soundfile.read(self.source, dtype="float32", always_2d=True)
        codec = Codec.load(LIVE_MODEL, backend="onnx")
        encoder = codec.live_encoder(
            sample_rate_hz=rate, bitrate_kbps=self.kbps, packet_ms=60, copies=self.copies
        )
        decoder = codec.live_decoder(sample_rate_hz=rate)
        clock_hz, hop = codec.config.sample_rate_hz, codec.config.hop
        sender, receiver = (
            RtpSender(clock_hz=clock_hz),
            RtpReceiver(decoder.live, hop=hop, clock_hz=clock_hz),
        )
        luck, heard, now = np.random.default_rng(0), [], 0.0
        block = rate * hop // clock_hz  # as much as a frame, so that a frame is due after each
        for start in range(0, len(wave), block):
            now += hop / clock_hz
            for packet in encoder.push(wave[start : start + block].mean(axis=1)):
                datagram = sender.wrap(packet, samples=encoder.packet_samples)
                if datagram is not None and luck.random() >= self.loss:
                    receiver.receive(datagram, "the other end", now)
            codes = receiver.pull(now)
            if codes is not None:
                heard.append(decoder.push_codes(codes))
        soundfile.write(self.target, np.concatenate([*heard, decoder.flush()]), rate)
        print(receiver.statistics().to_dict())


if __name__ == "__main__":
    tyro.cli(Call).run()
