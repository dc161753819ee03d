"""The configuration of the filterbank layout."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..receptive_field import Context, split_padding
from ..require import require


@dataclass(frozen=True, kw_only=True, slots=True)
class FilterbankLayout:
    """DAC's layout behind a strided filterbank: strided stages of residual units on ever fewer,
    wider frames.

    The front end is one convolution of `frontend_kernel` taps and `frontend_stride`; each entry of
    `strides` is a stage of residual units (one per dilation) and a downsampling that doubles the
    width.
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
            require(getattr(self, name) >= 1, f"{name} is at least 1, not {getattr(self, name)}")
        require(
            self.frontend_kernel >= self.frontend_stride,
            f"frontend_kernel {self.frontend_kernel} is shorter than frontend_stride "
            f"{self.frontend_stride}",
        )
        require(
            bool(self.strides) and min(self.strides) >= 1,
            f"strides are positive, not {self.strides}",
        )
        require(
            bool(self.dilations) and min(self.dilations) >= 1,
            f"dilations are positive, not {self.dilations}",
        )
        require(
            self.residual_kernel % 2 == 1 and self.residual_kernel > 0,
            f"residual_kernel is odd, not {self.residual_kernel}",
        )
        halvings = 1 << len(self.strides)
        require(
            self.decoder_width % halvings == 0,
            f"decoder_width {self.decoder_width} cannot be halved once per stride "
            f"({len(self.strides)} times)",
        )

    @property
    def hop(self) -> int:
        return self.frontend_stride * math.prod(self.strides)

    @property
    def least_weights(self) -> int:
        """Encoder and decoder have more weights than this: those of the front end and of the
        strided layers.
        """
        widest = self.encoder_width << len(self.strides) - 1
        front_end = self.encoder_width * self.frontend_kernel
        return front_end + widest * max(widest, self.residual_kernel) + self.decoder_width

    @property
    def noise_values(self) -> int:
        """Values of noise that the decoder takes for each frame: none."""
        return 0

    @property
    def conceals(self) -> bool:
        """Whether the decoder takes frames that are marked as lost: it does not."""
        return False

    @property
    def encoder_context(self) -> Context:
        """Frames of audio around one frame that its latent depends on."""
        first, last = (
            0,
            0,
        )  # the range of inputs behind output 0, layer by layer from the latent to the waveform
        for layer in reversed(_encoder_layers(self)):
            span = (layer.kernel - 1) * layer.dilation
            left, _ = split_padding(span + 1 - layer.stride, self.causal)
            first = first * layer.stride - left
            last = last * layer.stride - left + span
        return Context(before=-(first // self.hop), after=max(0, last // self.hop))

    @property
    def decoder_context(self) -> Context:
        """Frames of codes around one frame that its samples depend on."""
        first, last = (
            0,
            self.hop - 1,
        )  # from the waveform's first frame to the latent, through the mirrored layers
        for layer in reversed(_decoder_layers(self)):
            span = (layer.kernel - 1) * layer.dilation
            if layer.stride == 1:
                left, _ = split_padding(span, self.causal)
                first, last = first - left, last - left + span
            else:  # transposed: output n sums the inputs m with 0 <= n + cut - m·stride < kernel
                _, cut = split_padding(layer.kernel - layer.stride, self.causal)
                first = -((layer.kernel - 1 - first - cut) // layer.stride)
                last = (last + cut) // layer.stride
        return Context(before=-first, after=last)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Convolution:
    kernel: int
    stride: int = 1
    dilation: int = 1


def _residual_units(layout: FilterbankLayout) -> list[_Convolution]:
    return [
        _Convolution(kernel=layout.residual_kernel, dilation=dilation)
        for dilation in layout.dilations
    ]


def _encoder_layers(layout: FilterbankLayout) -> list[_Convolution]:
    layers = [_Convolution(kernel=layout.frontend_kernel, stride=layout.frontend_stride)]
    for stride in layout.strides:
        layers += [*_residual_units(layout), _Convolution(kernel=2 * stride, stride=stride)]
    return [*layers, _Convolution(kernel=3)]


def _decoder_layers(layout: FilterbankLayout) -> list[_Convolution]:
    layers = [_Convolution(kernel=7)]
    for stride in reversed(layout.strides):
        layers += [_Convolution(kernel=2 * stride, stride=stride), *_residual_units(layout)]
    return [*layers, _Convolution(kernel=layout.frontend_kernel, stride=layout.frontend_stride)]
