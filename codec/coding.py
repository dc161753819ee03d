"""What a model codes: the header of its streams, and whether a stream is one of them."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from .audio import MAX_CHANNELS
from .bitstream import StageLayout, StreamHeader, default_packet_frames
from .config import MAX_RATE_HZ, ModelConfig
from .errors import AudioError, BitstreamError, ConfigError
from .given import whole_number

__all__ = ["Coding"]


@dataclass(frozen=True, slots=True)
class Coding:
    """A model as its streams know it; `name` is what messages call it."""

    config: ModelConfig
    fingerprint: bytes
    name: str

    def stages_for(self, bitrate_kbps: float) -> int:
        """See `Codec.stages_for`."""
        rate, stages = 0.0, 0
        for stage in self.config.stages:
            rate += stage.bits * self.config.frame_rate_hz / 1000
            stages += rate <= bitrate_kbps * (1 + 1e-9)
        if not stages:
            least = self.config.stages[0].bits * self.config.frame_rate_hz / 1000
            raise ConfigError(f"{self.name} needs at least {least:g} kbps, not {bitrate_kbps:g}")
        return stages

    def header(
        self, *, sample_rate_hz: object, channels: int, stages: object | None, position_bits: object
    ) -> StreamHeader:
        """The header of a new stream, from what a caller gives.

        Raises:
            ConfigError: more stages than the model has, positions on a stage without a curve, or an absurd rate.
            AudioError: too many channels, or none.
        """
        rate_hz = whole_number("sample_rate_hz", sample_rate_hz)
        bits = whole_number("position_bits", position_bits)
        count = len(self.config.stages) if stages is None else whole_number("stages", stages)
        if not 1 <= rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"audio has a sample rate of 1 to {MAX_RATE_HZ} Hz, not {rate_hz}")
        if not 1 <= count <= len(self.config.stages):
            raise ConfigError(f"{self.name} has stages 1 to {len(self.config.stages)}, not {count}")
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(f"audio has 1 to {MAX_CHANNELS} channels, not {channels}")
        used = self.config.stages[:count]
        if bits and not any(stage.is_space_filling for stage in used):
            raise ConfigError(f"{self.name} has no SF-DiVeQ stage, so position_bits is 0, not {bits}")
        frame_rate_hz = Fraction(self.config.sample_rate_hz, self.config.hop)
        try:
            layout = tuple(StageLayout(stage.bits, bits * stage.is_space_filling) for stage in used)
            return StreamHeader(
                fingerprint=self.fingerprint,
                model_rate_hz=self.config.sample_rate_hz,
                original_rate_hz=rate_hz,
                hop=self.config.hop,
                channels=channels,
                packet_frames=default_packet_frames(layout, frame_rate_hz, channels),
                stages=layout,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def check(self, header: StreamHeader) -> None:
        """Raise a `BitstreamError` unless this model coded the stream."""
        if header.fingerprint != self.fingerprint:
            raise BitstreamError(
                f"the stream was coded with the model {header.fingerprint.hex()}, this is {self.name} "
                f"({self.fingerprint.hex()}): load the model that coded it"
            )
        found = (header.model_rate_hz, header.hop, tuple(stage.codebook_bits for stage in header.stages))
        bits = tuple(stage.bits for stage in self.config.stages)
        if found != (self.config.sample_rate_hz, self.config.hop, bits[: len(header.stages)]):
            raise BitstreamError(f"the stream's rate, hop or stages are not those of {self.name}: it is damaged")

    def stages_of(self, header: StreamHeader, stages: object | None) -> int:
        """How many stages of a stream to decode: all, or as many as a caller gives."""
        count = len(header.stages) if stages is None else whole_number("stages", stages)
        if not 1 <= count <= len(header.stages):
            raise BitstreamError(f"the stream has {len(header.stages)} stages; stages is 1 to that, not {count}")
        return count
