"""Plans a model's streams, and checks that a stream is one of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ..audio import MAX_CHANNELS
from ..bitstream import GROUP_FRAMES, StageLayout, StreamHeader, default_packet_frames, depth_bits
from ..errors import AudioError, BitstreamError, ConfigError
from ..layouts.config import MAX_RATE_HZ, MIN_RATE_HZ, ModelConfig
from .allocation import ROUNDING, least_depths
from .arguments import optional_number, whole_number
from .results import Encoded

__all__ = ["StreamPlan", "StreamRules"]


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """All that is decided before a stream is coded: its header, the bits that a channel's frames
    may take on average, None for those of all stages, and how many a codeword of each stage is
    expected to take, where that is known.
    """

    header: StreamHeader
    budget_bits: float | None = None
    expected_bits: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class StreamRules:
    """The rules of a model for its streams; messages call it `name`."""

    config: ModelConfig
    fingerprint: bytes
    name: str
    expected_bits: tuple[float, ...] | None = None

    def plan(
        self,
        sample_rate_hz: object,
        channels: int,
        *,
        stages: object | None = None,
        bitrate_kbps: object | None = None,
        position_bits: object = 0,
    ) -> StreamPlan:
        """Plan a new stream, from what a caller gives.

        Raises:
            ConfigError: more stages than the model has, a bitrate below one stage's, positions on a
                stage without a curve, or an absurd rate.
            AudioError: too many channels, or none.
        """
        rate_hz = whole_number("sample_rate_hz", sample_rate_hz)
        kbps = optional_number("bitrate_kbps", bitrate_kbps)
        bits = whole_number("position_bits", position_bits)
        count = len(self.config.stages) if stages is None else whole_number("stages", stages)
        if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ConfigError(
                f"audio has a sample rate of {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz, not {rate_hz}"
            )
        if not 1 <= count <= len(self.config.stages):
            raise ConfigError(f"{self.name} has stages 1 to {len(self.config.stages)}, not {count}")
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(
                f"audio has 1 to {MAX_CHANNELS} channels, not {channels}: arrays are (channels, "
                f"samples)"
            )
        used = self.config.stages[:count]
        if bits and not any(stage.is_space_filling for stage in used):
            raise ConfigError(
                f"{self.name} has no SF-DiVeQ stage, so position_bits is 0, not {bits}"
            )
        frame_rate_hz = Fraction(self.config.sample_rate_hz, self.config.hop)
        try:
            layout = tuple(StageLayout(stage.bits, bits * stage.is_space_filling) for stage in used)
            bitrate = None if kbps is None else self._bitrate(layout, kbps, frame_rate_hz)
            packet_frames = default_packet_frames(
                layout, frame_rate_hz, channels, channel_bitrate=bitrate
            )
            if bitrate is not None and not self._has_room(
                layout, packet_frames, bitrate / frame_rate_hz
            ):
                layout = layout[:1]
            header = StreamHeader(
                fingerprint=self.fingerprint,
                model_rate_hz=self.config.sample_rate_hz,
                original_rate_hz=rate_hz,
                hop=self.config.hop,
                channels=channels,
                packet_frames=packet_frames,
                stages=layout,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error
        if bitrate is None:
            return StreamPlan(header)
        budget_bits = float(bitrate) * (1 + ROUNDING) / float(frame_rate_hz)
        return StreamPlan(header, budget_bits, self.expected_bits)

    def _bitrate(
        self, layout: tuple[StageLayout, ...], kbps: float, frame_rate_hz: Fraction
    ) -> Fraction | None:
        """Bits per second for each channel; None where all stages take no more."""
        least, most = (
            layout[0].index_bits * frame_rate_hz,
            sum(s.index_bits for s in layout) * frame_rate_hz,
        )
        if not kbps >= float(least) / 1000 * (1 - ROUNDING):
            raise ConfigError(
                f"{self.name} needs at least {float(least) / 1000:g} kbps, not {kbps:g}"
            )
        return None if kbps >= float(most) / 1000 * (1 - ROUNDING) else Fraction(kbps) * 1000

    def without_stream(self, codes: np.ndarray, position_bits: object) -> Encoded:
        """Codes (channels, stages, frames) as if just encoded, from audio at the model's rate."""
        rate = self.config.sample_rate_hz
        plan = self.plan(rate, codes.shape[0], stages=codes.shape[1], position_bits=position_bits)
        return Encoded(codes=codes, samples=codes.shape[2] * self.config.hop, header=plan.header)

    def _has_room(
        self, layout: tuple[StageLayout, ...], packet_frames: int, bits_per_frame: Fraction
    ) -> bool:
        """Return whether a packet has room for the fewest stages and for the field of stages per
        frame. If not, all frames have one stage, and no field is written.
        """
        least = least_depths(-(-packet_frames // GROUP_FRAMES), self.config.least_stages)
        frames = min(GROUP_FRAMES * int(least.sum()), packet_frames)
        bits = layout[0].index_bits * frames + depth_bits(least, len(layout))
        return bits <= bits_per_frame * packet_frames

    def check(self, header: StreamHeader) -> None:
        """Raise a `BitstreamError` unless this model coded the stream."""
        if header.fingerprint != self.fingerprint:
            raise BitstreamError(
                f"the stream was coded with the model {header.fingerprint.hex()}, this is "
                f"{self.name} "
                f"({self.fingerprint.hex()}): load the model that coded it"
            )
        found = (
            header.model_rate_hz,
            header.hop,
            tuple(stage.codebook_bits for stage in header.stages),
        )
        bits = tuple(stage.bits for stage in self.config.stages)
        if found != (self.config.sample_rate_hz, self.config.hop, bits[: len(header.stages)]):
            raise BitstreamError(
                f"the stream's rate, hop or stages are not those of {self.name}: it is damaged"
            )

    def stages_of(self, header: StreamHeader, stages: object | None) -> int:
        """How many stages of a stream to decode: all, or as many as a caller gives."""
        count = len(header.stages) if stages is None else whole_number("stages", stages)
        if not 1 <= count <= len(header.stages):
            raise BitstreamError(
                f"the stream has {len(header.stages)} stages; stages is 1 to that, not {count}"
            )
        return count
