"""What a model is: frozen dataclasses, checked when made, stored as JSON in the checkpoint; and the presets."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from .errors import ConfigError
from .strict import from_plain

StageKind = Literal["diveq", "diveq_detach", "sf_diveq", "sf_diveq_detach"]
STAGE_KINDS: tuple[str, ...] = get_args(StageKind)

MAX_STAGES = 127
MAX_BITS = 16
MAX_RATE_HZ = 768_000


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class StageConfig:
    """One stage of the residual quantizer.

    `noise_variance` is σ² (not σ) of the training noise, in latents of unit variance per dimension.
    """

    kind: StageKind = "diveq"
    bits: int = 10
    dim: int = 8
    noise_variance: float = 1e-3

    def __post_init__(self) -> None:
        _require(self.kind in STAGE_KINDS, f"stage kind {self.kind!r} is unknown; known: {', '.join(STAGE_KINDS)}")
        _require(1 <= self.bits <= MAX_BITS, f"a stage has 1 to {MAX_BITS} bits, not {self.bits}")
        _require(self.dim >= 1, f"a stage's dim is at least 1, not {self.dim}")
        _require(0 <= self.noise_variance < math.inf, f"noise_variance is at least 0, not {self.noise_variance}")

    @property
    def codewords(self) -> int:
        return 1 << self.bits

    @property
    def is_space_filling(self) -> bool:
        return self.kind.startswith("sf_")

    @property
    def is_detached(self) -> bool:
        return self.kind.endswith("_detach")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The whole codec: a strided filterbank, strided stages of residual units, residual quantization, the mirror.

    The front end is one convolution of `frontend_kernel` taps and `frontend_stride`; each entry of `strides`
    is a stage of residual units (one per dilation) and a downsampling that doubles the width.
    """

    sample_rate_hz: int
    frontend_kernel: int
    frontend_stride: int
    strides: tuple[int, ...]
    encoder_width: int
    decoder_width: int
    latent_channels: int
    dilations: tuple[int, ...] = (1, 3, 9)
    residual_kernel: int = 7
    causal: bool = False
    stages: tuple[StageConfig, ...]

    def __post_init__(self) -> None:
        _require(
            1 <= self.sample_rate_hz <= MAX_RATE_HZ,
            f"sample_rate_hz is 1 to {MAX_RATE_HZ}, not {self.sample_rate_hz}",
        )
        for name in (
            "frontend_kernel",
            "frontend_stride",
            "encoder_width",
            "decoder_width",
            "latent_channels",
        ):
            _require(getattr(self, name) >= 1, f"{name} is at least 1, not {getattr(self, name)}")
        _require(
            self.frontend_kernel >= self.frontend_stride,
            f"frontend_kernel {self.frontend_kernel} is shorter than frontend_stride {self.frontend_stride}",
        )
        _require(bool(self.strides) and min(self.strides) >= 1, f"strides are positive, not {self.strides}")
        _require(bool(self.dilations) and min(self.dilations) >= 1, f"dilations are positive, not {self.dilations}")
        _require(
            self.residual_kernel % 2 == 1 and self.residual_kernel > 0,
            f"residual_kernel is odd, not {self.residual_kernel}",
        )
        halvings = 1 << len(self.strides)
        _require(
            self.decoder_width % halvings == 0,
            f"decoder_width {self.decoder_width} cannot be halved once per stride ({len(self.strides)} times)",
        )
        _require(
            1 <= len(self.stages) <= MAX_STAGES,
            f"a model has 1 to {MAX_STAGES} stages, not {len(self.stages)}",
        )

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.frontend_stride * math.prod(self.strides)

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> ModelConfig:
        """The inverse of `to_dict`; a key or value that does not belong is a `ConfigError` that names it."""
        return from_plain(cls, fields)


def speech_16khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """The default: 16 kHz, 50 frames/s, 12 stages of 10 bits, 0.5 to 6 kbps."""
    return ModelConfig(
        sample_rate_hz=16_000,
        frontend_kernel=32,
        frontend_stride=8,
        strides=(2, 4, 5),
        encoder_width=64,
        decoder_width=512,
        latent_channels=256,
        stages=(StageConfig(kind=kind),) * 12,
    )


def speech_16khz_small(*, kind: StageKind = "diveq") -> ModelConfig:
    """`speech_16khz` at half the width: a quarter of the work and of the file."""
    return dataclasses.replace(speech_16khz(kind=kind), encoder_width=32, decoder_width=256, latent_channels=128)


def speech_24khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """LibriTTS's own rate: 24 kHz, 75 frames/s, 10 stages of 10 bits, 0.75 to 7.5 kbps."""
    return dataclasses.replace(speech_16khz(kind=kind), sample_rate_hz=24_000, stages=(StageConfig(kind=kind),) * 10)


def dac_16khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """The layout of the Descript Audio Codec at 16 kHz, full size, for comparison."""
    return ModelConfig(
        sample_rate_hz=16_000,
        frontend_kernel=7,
        frontend_stride=1,
        strides=(2, 4, 5, 8),
        encoder_width=64,
        decoder_width=1536,
        latent_channels=1024,
        stages=(StageConfig(kind=kind),) * 12,
    )


def tiny(*, kind: StageKind = "diveq") -> ModelConfig:
    """For tests: 16 kHz, 50 frames/s, 4 stages of 6 bits, some 50,000 parameters."""
    return ModelConfig(
        sample_rate_hz=16_000,
        frontend_kernel=32,
        frontend_stride=8,
        strides=(2, 4, 5),
        encoder_width=8,
        decoder_width=64,
        latent_channels=32,
        dilations=(1, 3),
        residual_kernel=3,
        stages=(StageConfig(kind=kind, bits=6, dim=4),) * 4,
    )


PRESETS = {
    "speech_16khz": speech_16khz,
    "speech_16khz_small": speech_16khz_small,
    "speech_24khz": speech_24khz,
    "dac_16khz": dac_16khz,
    "tiny": tiny,
}
