"""The configuration of a model: frozen dataclasses, checked when made, stored as JSON in the checkpoint."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ..errors import ConfigError
from ..files.json_dataclass import from_plain

StageKind = Literal["diveq", "diveq_detach", "sf_diveq", "sf_diveq_detach"]
STAGE_KINDS: tuple[str, ...] = get_args(StageKind)

MAX_STAGES = 127
MAX_BITS = 16
MAX_RATE_HZ = 768_000
LOST = -2  # the codes of a frame that was lost on its way


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
class TransformLayout:
    """Lapped transform → blocks at the frame rate → latent, and the mirror; all work is done once per frame.

    The transform is the MDCT. `bands` says how its coefficients, from low to high frequencies, are grouped; each band
    has a level of its own, averaged over the frame before, the frame itself and `level_look_ahead` frames after it.
    A block is a ConvNeXt block on `width` channels: a depthwise convolution of `kernel` frames, and a perceptron
    `expansion` times as wide. A block's convolution sees as many frames ahead as its entry of `encoder_look_ahead` or
    `decoder_look_ahead` says, and the rest of its kernel behind; an empty tuple centres all kernels.
    `noise_channels` of Gaussian noise enter each block of the decoder. A decoder that `conceals` has a vector that
    stands for the latent of a lost frame.
    """

    bands: tuple[int, ...]
    width: int
    encoder_blocks: int
    decoder_blocks: int
    kernel: int = 7
    expansion: int = 3
    encoder_look_ahead: tuple[int, ...] = ()
    decoder_look_ahead: tuple[int, ...] = ()
    level_look_ahead: int = 1
    noise_channels: int = 0
    conceals: bool = False

    def __post_init__(self) -> None:
        _require(bool(self.bands) and min(self.bands) >= 1, f"bands are positive, not {self.bands}")
        _require(self.hop % 2 == 0, f"bands add up to an even hop, not {self.hop}")
        for name in ("width", "expansion"):
            _require(getattr(self, name) >= 1, f"{name} is at least 1, not {getattr(self, name)}")
        for name in ("encoder_blocks", "decoder_blocks", "noise_channels"):
            _require(getattr(self, name) >= 0, f"{name} is at least 0, not {getattr(self, name)}")
        _require(self.kernel % 2 == 1 and self.kernel > 0, f"kernel is odd, not {self.kernel}")
        _require(0 <= self.level_look_ahead <= 1, f"level_look_ahead is 0 or 1, not {self.level_look_ahead}")
        for side in ("encoder", "decoder"):
            frames, blocks = getattr(self, f"{side}_look_ahead"), getattr(self, f"{side}_blocks")
            _require(
                len(frames) in (0, blocks) and all(0 <= ahead < self.kernel for ahead in frames),
                f"{side}_look_ahead is empty or {blocks} numbers below {self.kernel}, one a block, not {frames}",
            )

    @property
    def hop(self) -> int:
        """Coefficients of a frame."""
        return sum(self.bands)

    @property
    def encoder_reach(self) -> tuple[int, ...]:
        """Frames ahead that each block of the encoder sees."""
        return self.encoder_look_ahead or (self.kernel // 2,) * self.encoder_blocks

    @property
    def decoder_reach(self) -> tuple[int, ...]:
        """Frames ahead that each block of the decoder sees."""
        return self.decoder_look_ahead or (self.kernel // 2,) * self.decoder_blocks


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterbankLayout:
    """DAC's layout behind a strided filterbank: strided stages of residual units on ever fewer, wider frames.

    The front end is one convolution of `frontend_kernel` taps and `frontend_stride`; each entry of `strides`
    is a stage of residual units (one per dilation) and a downsampling that doubles the width.
    """

    frontend_kernel: int
    frontend_stride: int
    strides: tuple[int, ...]
    encoder_width: int
    decoder_width: int
    dilations: tuple[int, ...] = (1, 3, 9)
    residual_kernel: int = 7
    causal: bool = False

    def __post_init__(self) -> None:
        for name in ("frontend_kernel", "frontend_stride", "encoder_width", "decoder_width"):
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

    @property
    def hop(self) -> int:
        return self.frontend_stride * math.prod(self.strides)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The whole codec: encoder, residual quantizer, decoder. One of the two layouts is set."""

    sample_rate_hz: int
    latent_channels: int
    stages: tuple[StageConfig, ...]
    transform: TransformLayout | None = None
    filterbank: FilterbankLayout | None = None

    def __post_init__(self) -> None:
        _require(
            1 <= self.sample_rate_hz <= MAX_RATE_HZ,
            f"sample_rate_hz is 1 to {MAX_RATE_HZ}, not {self.sample_rate_hz}",
        )
        _require(self.latent_channels >= 1, f"latent_channels is at least 1, not {self.latent_channels}")
        _require(
            1 <= len(self.stages) <= MAX_STAGES,
            f"a model has 1 to {MAX_STAGES} stages, not {len(self.stages)}",
        )
        _require(
            (self.transform is None) != (self.filterbank is None),
            "a model has one layout, transform or filterbank: set one of them, and the other to None",
        )

    @property
    def layout(self) -> TransformLayout | FilterbankLayout:
        layout = self.transform or self.filterbank
        assert layout is not None
        return layout

    @property
    def hop(self) -> int:
        """Samples per frame."""
        return self.layout.hop

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop

    @property
    def noise_values(self) -> int:
        """Values of noise that the decoder takes for each frame."""
        return self.transform.decoder_blocks * self.transform.noise_channels if self.transform else 0

    @property
    def conceals(self) -> bool:
        """Whether the decoder takes frames that are marked as lost."""
        return self.transform is not None and self.transform.conceals

    def to_dict(self) -> dict[str, Any]:
        """The configuration as plain JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, fields: Any) -> ModelConfig:
        """The inverse of `to_dict`; a key or value that does not belong is a `ConfigError` that names it."""
        return from_plain(cls, fields)
