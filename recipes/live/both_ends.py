"""Both ends of a call in one process: `python -m recipes.live.both_ends speech.wav heard.wav --loss
0.1`.

Packets go through a network that loses some of them; the receiver fills gaps from copies, or makes
them up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tyro

from codec import (
    LIVE_MODEL,
    AudioWriter,
    Codec,
    LiveDecoder,
    LiveEncoder,
    RtpReceiver,
    RtpSender,
    open_audio,
)

from ..run_script import run_script


@dataclass(frozen=True, kw_only=True)
class Call:
    """A call from a sound file into another one."""

    source: tyro.conf.Positional[str]
    target: tyro.conf.Positional[str]
    loss: float = 0.1
    """Share of packets that are lost."""
    kbps: float = 3.0
    copies: int = 2
    """Packets before whose first stages a packet repeats."""
    force: bool = False
    """Replace an existing file."""


def main(call: Call) -> None:
    codec = Codec.load(LIVE_MODEL, backend="onnx")
    clock_hz, hop = codec.config.sample_rate_hz, codec.config.hop
    with open_audio(call.source) as reader:
        rate = reader.sample_rate_hz
        # blocks as long as a frame, so that the receiver plays a frame after each
        blocks = [block.mean(axis=0) for block in reader.blocks(rate * hop // clock_hz)]
    encoder = codec.live_encoder(
        sample_rate_hz=rate, bitrate_kbps=call.kbps, packet_ms=60, copies=call.copies
    )
    decoder = codec.live_decoder(sample_rate_hz=rate)
    sender = RtpSender(clock_hz=clock_hz)
    receiver = RtpReceiver(decoder.live, hop=hop, clock_hz=clock_hz)
    luck, now = np.random.default_rng(0), 0.0
    with AudioWriter(call.target, sample_rate_hz=rate, channels=1, overwrite=call.force) as file:
        for frame, datagrams in enumerate(_spoken(blocks, encoder, sender), start=1):
            now = frame * hop / clock_hz
            for datagram in datagrams:
                if luck.random() >= call.loss:
                    receiver.receive(datagram, "the other end", now)
            file.write(_played(receiver, decoder, now))
        while receiver.waiting_frames:
            now += hop / clock_hz
            file.write(_played(receiver, decoder, now))
        file.write(decoder.flush()[None])
    print(receiver.statistics().to_dict())


def _spoken(
    blocks: list[np.ndarray], encoder: LiveEncoder, sender: RtpSender
) -> Iterator[list[bytes]]:
    """The datagrams that are ready after each block, and at the end."""
    for packets in (*map(encoder.push, blocks), encoder.flush()):
        wrapped = [sender.wrap(packet, samples=encoder.packet_samples) for packet in packets]
        yield [datagram for datagram in wrapped if datagram is not None]


def _played(receiver: RtpReceiver, decoder: LiveDecoder, now: float) -> np.ndarray:
    """The samples (1, samples) of the frame that is due; none before the call has begun."""
    codes = receiver.pull(now)
    return np.zeros((1, 0), np.float32) if codes is None else decoder.push_codes(codes)[None]


if __name__ == "__main__":
    run_script(main, Call)
