"""Speech to live packets and back while it is spoken."""

from __future__ import annotations

import copy
import math

import numpy as np
from numpy.typing import ArrayLike

from ..audio.high_pass import HighPass
from ..audio.live_resampling import LiveResampler
from ..audio.sound import checked_wave
from ..bitstream import MAX_COPIES, NONE, SEQUENCE_NUMBERS, LiveFormat, LivePacket
from ..errors import ConfigError
from ..layouts.config import LOST, MAX_RATE_HZ, MIN_RATE_HZ, ModelConfig
from .allocation import frame_powers
from .frame_coders import FrameDecoder, FrameEncoder
from .live_allocation import LiveAllocation
from .runner import Network

SHORTEST_PACKET_MS, LONGEST_PACKET_MS = 20, 120
_COPY_STAGES_PER_SECOND = (100, 50)  # of the first copies; of further ones as many as the last


class LiveEncoder:
    """Samples to live packets (LIVE.md). Made by `Codec.live_encoder`.

    Attributes:
        latency_seconds: from a sample to the packet that has it, at most: transform, look-ahead,
            packet, resampling.
        packet_frames: frames of a packet.
    """

    def __init__(
        self,
        network: Network,
        config: ModelConfig,
        live: LiveFormat,
        *,
        sample_rate_hz: int,
        bitrate_kbps: float | None,
        packet_ms: float,
        dtx: bool,
        copies: int,
    ) -> None:
        self.live = live
        self.packet_frames = packet_frames(config, packet_ms)
        self._copy_depths = [
            max(1, round(stages / config.frame_rate_hz)) for stages in _COPY_STAGES_PER_SECOND
        ]
        if copies and not live.fits_copy(self.packet_frames, max(self._copy_depths)):
            raise ConfigError(
                f"a copy of {live.channels} channels of {packet_ms:g} ms does not fit into a "
                "packet: take shorter packets, fewer channels, or no copies"
            )
        self._config, self._copies = config, copies
        self._resampler = LiveResampler(
            from_hz=sample_rate_hz, to_hz=config.sample_rate_hz, channels=live.channels
        )
        self._high_pass = HighPass(config.sample_rate_hz)
        self._encoder = FrameEncoder(
            network, config, channels=live.channels, at_once=self.packet_frames
        )
        bits = [stage.bits for stage in config.stages]
        self._allocations = [
            LiveAllocation(
                bits,
                frame_rate_hz=config.frame_rate_hz,
                bitrate_kbps=checked_bitrate(config, bitrate_kbps),
                least_depth=0 if dtx else 1,
            )
            for _ in range(live.channels)
        ]
        self._samples = np.zeros(
            (live.channels, 0), np.float32
        )  # of frames whose codes have not come
        self._sent: tuple[np.ndarray, ...] = ()  # codes of the last packets, latest first
        self._sequence = 0
        self._taken = 0  # samples at the model's rate

    @property
    def packet_samples(self) -> int:
        """Samples of a packet at the model's rate."""
        return self.packet_frames * self._config.hop

    @property
    def latency_seconds(self) -> float:
        samples = self._encoder.latency_samples + (self.packet_frames - 1) * self._config.hop
        return self._resampler.delay_seconds + samples / self._config.sample_rate_hz

    @property
    def bitrate_kbps(self) -> float | None:
        """Of each channel; a change holds from the next packet on."""
        return self._allocations[0].bitrate_kbps

    @bitrate_kbps.setter
    def bitrate_kbps(self, value: float | None) -> None:
        for allocation in self._allocations:
            allocation.bitrate_kbps = checked_bitrate(self._config, value)

    def push(self, samples: ArrayLike) -> list[bytes]:
        """Float samples (samples,) or (channels, samples), any number of them → the packets that
        are ready.
        """
        wave = self._resampler.push(self._checked(samples))
        return self._packets(self._high_pass.push(wave))

    def flush(self) -> list[bytes]:
        """The packets that are left; the last one is filled with silence."""
        wave = self._high_pass.push(self._resampler.flush())
        missing = -(self._taken + wave.shape[1]) % self.packet_samples
        packets = self._packets(np.pad(wave, [(0, 0), (0, missing)]))
        depths = self._depths(self._samples.shape[1] // self._config.hop)
        return packets + self._packed(self._encoder.flush(_most(depths)), depths)

    def copy(self) -> LiveEncoder:
        """A second encoder that goes on alike."""
        other = copy.copy(self)
        other._resampler, other._encoder = copy.copy(self._resampler), copy.copy(self._encoder)
        other._high_pass = copy.copy(self._high_pass)
        other._allocations = [copy.copy(allocation) for allocation in self._allocations]
        return other

    def _checked(self, samples: ArrayLike) -> np.ndarray:
        wave = checked_wave(samples)
        if len(wave) != self.live.channels:
            raise ConfigError(f"this encoder takes {self.live.channels} channels, not {len(wave)}")
        return wave

    def _packets(self, wave: np.ndarray) -> list[bytes]:
        self._taken += wave.shape[1]
        self._samples = np.concatenate([self._samples, wave], axis=1)
        frames = self._encoder.ready(wave.shape[1])
        if not frames:
            self._encoder.push(wave)
            return []
        depths = self._depths(frames)
        return self._packed(self._encoder.push(wave, _most(depths)), depths)

    def _depths(self, frames: int) -> np.ndarray:
        """Choose the stages of the next frames, of whole packets: (channels, frames)."""
        samples = frames * self._config.hop
        powers = frame_powers(self._samples[:, :samples], self._config.hop)
        self._samples = self._samples[:, samples:]
        depths = np.zeros(powers.shape, np.int64)
        for start in range(0, frames, self.packet_frames):
            of_packet = np.s_[start : start + self.packet_frames]
            for number, allocation in enumerate(self._allocations):
                depths[number, of_packet] = allocation.depths(powers[number, of_packet])
        return depths

    def _packed(self, codes: np.ndarray, depths: np.ndarray) -> list[bytes]:
        codes = _cut(codes, depths, len(self._config.stages))
        starts = range(0, codes.shape[2], self.packet_frames)
        return [self._packet(codes[:, :, start : start + self.packet_frames]) for start in starts]

    def _packet(self, codes: np.ndarray) -> bytes:
        packet = LivePacket(sequence=self._sequence, codes=codes, copies=self._of_sent())
        self._sequence = (self._sequence + 1) % SEQUENCE_NUMBERS
        self._sent = (codes, *self._sent)[: self._copies]
        return self.live.pack(packet)

    def _of_sent(self) -> tuple[np.ndarray | None, ...]:
        """Copies of packets' first stages, latest first; none of silence, which needs none."""
        copies = []
        for number, codes in enumerate(self._sent):
            depth = self._copy_depths[min(number, len(self._copy_depths) - 1)]
            copy = np.where(np.arange(codes.shape[1])[:, None] < depth, codes, NONE)
            copies.append(copy if (copy != NONE).any() else None)
        while copies and copies[-1] is None:
            copies.pop()
        return tuple(copies)


class LiveDecoder:
    """Live packets to samples. Made by `Codec.live_decoder`.

    Attributes:
        latency_seconds: from a packet to the last of its samples, at most: transform, look-ahead,
            resampling.
    """

    def __init__(
        self, network: Network, config: ModelConfig, live: LiveFormat, *, sample_rate_hz: int
    ) -> None:
        self.live = live
        self._config = config
        self._decoder = FrameDecoder(network, config, channels=live.channels)
        self._resampler = LiveResampler(
            from_hz=config.sample_rate_hz, to_hz=sample_rate_hz, channels=live.channels
        )
        self._lost = LOST if config.conceals else NONE
        self._packet_frames = 0

    @property
    def latency_seconds(self) -> float:
        samples = self._decoder.latency_samples
        return self._resampler.delay_seconds + samples / self._config.sample_rate_hz

    def push(self, packet: bytes | None) -> np.ndarray:
        """The samples that are ready with a packet: float32 (samples,), or (channels, samples) of
        several channels.

        None stands for a packet that was lost: as many frames as the one before it had are made up.

        Raises:
            BitstreamError: the packet is damaged, or another model's.
        """
        if packet is None:
            return self.push_codes(self.lost_codes(self._packet_frames))
        codes = self.live.unpack(packet).codes
        self._packet_frames = codes.shape[2]
        return self.push_codes(codes)

    def push_codes(self, codes: np.ndarray) -> np.ndarray:
        """`push` of codes (channels, stages, frames), as `RtpReceiver.pull` gives them."""
        codes = np.where(codes == LOST, self._lost, codes)
        return self._given(self._resampler.push(self._decoder.push(codes)))

    def flush(self) -> np.ndarray:
        """The samples that are left."""
        last = self._resampler.push(self._decoder.flush())
        return self._given(np.concatenate([last, self._resampler.flush()], axis=1))

    def copy(self) -> LiveDecoder:
        """A second decoder that goes on alike."""
        other = copy.copy(self)
        other._resampler, other._decoder = copy.copy(self._resampler), copy.copy(self._decoder)
        return other

    def lost_codes(self, frames: int) -> np.ndarray:
        """Codes that stand for so many lost frames."""
        return np.full((self.live.channels, len(self.live.stages), frames), LOST, np.int32)

    def _given(self, wave: np.ndarray) -> np.ndarray:
        return wave[0] if self.live.channels == 1 else wave


def packet_frames(config: ModelConfig, packet_ms: float) -> int:
    """Frames of a packet."""
    if not SHORTEST_PACKET_MS <= packet_ms <= LONGEST_PACKET_MS:
        raise ConfigError(
            f"a packet lasts {SHORTEST_PACKET_MS} to {LONGEST_PACKET_MS} ms, not {packet_ms:g}"
        )
    frames = packet_ms * config.sample_rate_hz / config.hop / 1000
    if abs(frames - round(frames)) > 1e-9:
        frame_ms = 1000 * config.hop / config.sample_rate_hz
        raise ConfigError(
            f"a packet holds whole frames of {frame_ms:g} ms, so not {packet_ms:g} ms"
        )
    return round(frames)


def checked_bitrate(config: ModelConfig, bitrate_kbps: float | None) -> float | None:
    """A bitrate that the first stage keeps to; infinity is no limit."""
    least = config.stages[0].bits * config.frame_rate_hz / 1000
    if bitrate_kbps is not None and not bitrate_kbps >= least * (1 - 1e-9):
        raise ConfigError(f"this model needs at least {least:g} kbps, not {bitrate_kbps:g}")
    return None if bitrate_kbps == math.inf else bitrate_kbps


def checked_rate(sample_rate_hz: int) -> int:
    """A rate that audio has."""
    if not MIN_RATE_HZ <= sample_rate_hz <= MAX_RATE_HZ:
        known = f"{MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        raise ConfigError(f"audio has a sample rate of {known}, not {sample_rate_hz}")
    return sample_rate_hz


def checked_copies(copies: int) -> int:
    """A number of copies that a packet holds."""
    if not 0 <= copies <= MAX_COPIES:
        raise ConfigError(f"a packet has 0 to {MAX_COPIES} copies, not {copies}")
    return copies


def _most(depths: np.ndarray) -> int:
    """Stages that are searched, at least one."""
    return int(depths.max(initial=1))


def _cut(codes: np.ndarray, depths: np.ndarray, stages: int) -> np.ndarray:
    """Codes of all stages, NONE behind each frame's first; depths (channels, frames)."""
    searched = codes.shape[1]
    there = np.arange(searched)[:, None] < depths[:, None]
    cut = np.full((len(codes), stages, codes.shape[2]), NONE, np.int32)
    np.copyto(cut[:, :searched], codes, where=there)
    return cut
