"""Where samples and frames meet: padding of each layer, and how far a frame sees. Integers only."""

from __future__ import annotations

from dataclasses import dataclass

from .config import FilterbankLayout, ModelConfig, TransformLayout


def split_padding(total: int, causal: bool) -> tuple[int, int]:
    """Share a convolution's padding between left and right; a causal one has all of it on the left."""
    left = total if causal else (total + 1) // 2
    return left, total - left


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """How many frames before and after a frame take part in computing it."""

    before: int
    after: int


@dataclass(frozen=True, kw_only=True, slots=True)
class _Convolution:
    kernel: int
    stride: int = 1
    dilation: int = 1


def encoder_context(config: ModelConfig) -> Context:
    """Frames of audio around one frame that its latent depends on."""
    if isinstance(config.layout, TransformLayout):
        # A frame's MDCT reaches into both neighbours, and the smoothed level takes in the neighbours' MDCT.
        return _blocks_context(config.layout.encoder_reach, config.layout.kernel, 2, 1 + config.layout.level_look_ahead)
    layout = config.layout
    first, last = 0, 0  # the range of inputs behind output 0, layer by layer from the latent to the waveform
    for layer in reversed(_encoder_layers(layout)):
        span = (layer.kernel - 1) * layer.dilation
        left, _ = split_padding(span + 1 - layer.stride, layout.causal)
        first = first * layer.stride - left
        last = last * layer.stride - left + span
    return Context(before=-(first // layout.hop), after=max(0, last // layout.hop))


def decoder_context(config: ModelConfig) -> Context:
    """Frames of codes around one frame that its samples depend on."""
    if isinstance(config.layout, TransformLayout):
        return _blocks_context(config.layout.decoder_reach, config.layout.kernel, 1, 1)
    layout = config.layout
    first, last = 0, layout.hop - 1  # from the waveform's first frame to the latent, through the mirrored layers
    for layer in reversed(_decoder_layers(layout)):
        span = (layer.kernel - 1) * layer.dilation
        if layer.stride == 1:
            left, _ = split_padding(span, layout.causal)
            first, last = first - left, last - left + span
        else:  # transposed: output n sums the inputs m with 0 <= n + cut - m·stride < kernel
            _, cut = split_padding(layer.kernel - layer.stride, layout.causal)
            first = -((layer.kernel - 1 - first - cut) // layer.stride)
            last = (last + cut) // layer.stride
    return Context(before=-first, after=last)


def _blocks_context(reach: tuple[int, ...], kernel: int, before: int, after: int) -> Context:
    """What blocks see that look so many frames ahead each, and a transform outside of them."""
    ahead = sum(reach)
    return Context(before=before + (kernel - 1) * len(reach) - ahead, after=after + ahead)


def _residual_units(layout: FilterbankLayout) -> list[_Convolution]:
    return [_Convolution(kernel=layout.residual_kernel, dilation=dilation) for dilation in layout.dilations]


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
