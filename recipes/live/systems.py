"""Ways to deal with lost packets; each returns the decoded clip and its kbps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from codec import Codec, LiveDecoder, LiveEncoder, RtpReceiver, RtpSender

from .network import LossyNetwork
from .opus import Opus

PACKET_MS = 60
RATE_HZ = 16_000
PACKET_SAMPLES = RATE_HZ * PACKET_MS // 1000

Heard = tuple[np.ndarray, float]
System = Callable[[np.ndarray, LossyNetwork], Heard]


@dataclass(frozen=True)
class Ours:
    """Our codec at some kbps, with copies of packets before."""

    codec: Codec
    kbps: float
    copies: int = 0

    def ends(self) -> tuple[LiveEncoder, LiveDecoder]:
        """A fresh encoder and decoder."""
        encoder = self.codec.live_encoder(
            sample_rate_hz=RATE_HZ, bitrate_kbps=self.kbps, packet_ms=PACKET_MS, copies=self.copies
        )
        return encoder, self.codec.live_decoder(sample_rate_hz=RATE_HZ)

    def concealed(self, wave: np.ndarray, network: LossyNetwork) -> Heard:
        """Lost packets are filled from copies, or made up by the decoder."""
        encoder, decoder = self.ends()
        packets = encoder.push(wave) + encoder.flush()
        lost = network.lost(len(packets), PACKET_MS / 1000)
        heard = [decoder.push_codes(codes) for codes in _with_copies(decoder, packets, lost)]
        return np.concatenate([*heard, decoder.flush()])[: len(wave)], _kbps(packets, wave)

    def zero_filled(self, wave: np.ndarray, network: LossyNetwork) -> Heard:
        """Lost packets are silence."""
        whole, kbps = self.concealed(wave, LossyNetwork())
        heard = whole.copy()
        for start in _starts(network, wave):
            heard[start : start + PACKET_SAMPLES] = 0
        return heard, kbps

    def repeated(self, wave: np.ndarray, network: LossyNetwork) -> Heard:
        """Lost packets are the last one over again."""
        whole, kbps = self.concealed(wave, LossyNetwork())
        heard = whole.copy()
        for start in _starts(network, wave):
            before = heard[max(start - PACKET_SAMPLES, 0) : start]
            place = heard[start : start + PACKET_SAMPLES]
            place[:] = before[: len(place)] if len(before) >= len(place) else 0
        return heard, kbps

    def received(self, wave: np.ndarray, network: LossyNetwork) -> Heard:
        """The whole way: RTP, a network with jitter, the jitter buffer; what it delays is taken off
        the front.
        """
        encoder, decoder = self.ends()
        config = self.codec.config
        packets = encoder.push(wave) + encoder.flush()
        sender = RtpSender(clock_hz=config.sample_rate_hz)
        datagrams = [sender.wrap(packet, samples=encoder.packet_samples) for packet in packets]
        receiver = RtpReceiver(decoder.live, hop=config.hop, clock_hz=config.sample_rate_hz)
        coming = network.arrivals(len(datagrams), PACKET_MS / 1000)
        heard = []
        for tick in range(len(packets) * encoder.packet_frames + 50):
            now = tick * config.hop / config.sample_rate_hz
            while coming and coming[0][0] <= now:
                at, number = coming.pop(0)
                datagram = datagrams[number]
                assert datagram is not None
                receiver.receive(datagram, "sender", at)
            codes = receiver.pull(now)
            if codes is not None:
                heard.append(decoder.push_codes(codes))
        made = np.concatenate([*heard, decoder.flush()])
        return _aligned(wave, made), _kbps(packets, wave)


def opus(kbps: float) -> System:
    """Make Opus for a network with the loss that it really has."""

    def system(wave: np.ndarray, network: LossyNetwork) -> Heard:
        coder = Opus(kbps=kbps, packet_ms=PACKET_MS, loss=network.loss)
        packets = coder.encode(wave)
        return coder.decode(
            packets, network.lost(len(packets), PACKET_MS / 1000), len(wave)
        ), _kbps(packets, wave)

    return system


def _with_copies(decoder: LiveDecoder, packets: list[bytes], lost: np.ndarray) -> list[np.ndarray]:
    """The codes of each packet: its own, those of a copy that came, or LOST."""
    opened = [decoder.live.unpack(packet) for packet in packets]
    codes = []
    for number, packet in enumerate(opened):
        found = None if lost[number] else packet.codes
        for distance in range(1, len(opened) - number):
            later = opened[number + distance]
            if found is not None or distance > 2:
                break
            if not lost[number + distance] and len(later.copies) >= distance:
                found = later.copies[distance - 1]
        codes.append(decoder.lost_codes(packet.frames) if found is None else found)
    return codes


def _starts(network: LossyNetwork, wave: np.ndarray) -> list[int]:
    """First samples of the packets that are lost."""
    lost = network.lost(-(-len(wave) // PACKET_SAMPLES), PACKET_MS / 1000)
    return (np.flatnonzero(lost) * PACKET_SAMPLES).tolist()


def _kbps(packets: list[bytes], wave: np.ndarray) -> float:
    return 8 * sum(map(len, packets)) / 1000 / (len(wave) / RATE_HZ)


def _aligned(wave: np.ndarray, made: np.ndarray) -> np.ndarray:
    """`made` from where it fits best on, as long as `wave`."""
    size = 1 << (len(wave) + len(made)).bit_length()
    product = np.fft.irfft(np.fft.rfft(made, size) * np.fft.rfft(wave, size).conj(), size)
    shift = int(np.argmax(product[: max(len(made) - len(wave) // 2, 1)]))
    cut = made[shift : shift + len(wave)]
    return np.pad(cut, (0, len(wave) - len(cut)))
