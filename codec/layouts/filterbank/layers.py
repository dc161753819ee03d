"""The codec's building blocks: Snake, padded convolutions, the residual unit.

Every layer maps T·stride samples to T frames (or back) exactly. Where a kernel of k taps meets a
stride of s, k − s samples of padding are shared between both sides, or stand all on the left where
the model is causal:

    two-sided:  | half, rounded up | x₀ x₁ … | the rest |        causal:  | k − s | x₀ x₁ …
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from ..receptive_field import split_padding

if TYPE_CHECKING:
    from jaxtyping import Float

_BRANCH_GAIN = 0.3  # residual units start near the identity


@torch.no_grad()
def initialise_(conv: nn.Conv1d | nn.ConvTranspose1d, gain: float = 1.0) -> None:
    """Weights that keep the variance times gain²: one over the number of inputs that an output
    sums; biases zero.
    """
    channels_in, (kernel,), (stride,) = conv.in_channels, conv.kernel_size, conv.stride
    inputs = channels_in * kernel / (stride if isinstance(conv, nn.ConvTranspose1d) else 1)
    nn.init.normal_(conv.weight, std=gain * inputs**-0.5)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)


class Snake(nn.Module):
    """x + sin²(αx)/α with one learned α per channel (Ziyin et al. 2020): a periodic bias for
    periodic signals.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.ones(1, channels, 1))

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch channels time"]:
        return torch.addcmul(x, (self.alpha * x).sin().square(), 1 / (self.alpha + 1e-9))


class Conv(nn.Module):
    """A convolution that keeps time aligned; T·stride samples in, T out."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        causal: bool,
        stride: int = 1,
        dilation: int = 1,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        conv = nn.Conv1d(channels_in, channels_out, kernel, stride=stride, dilation=dilation)
        initialise_(conv, gain)
        self.conv = conv
        self.padding = split_padding((kernel - 1) * dilation + 1 - stride, causal)

    def forward(
        self, x: Float[Tensor, "batch channels_in time"]
    ) -> Float[Tensor, "batch channels_out frames"]:
        return self.conv(F.pad(x, self.padding))


class ConvTranspose(nn.Module):
    """The mirror of a strided `Conv`: T frames in, T·stride samples out, the overhang cut off."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        causal: bool,
        stride: int,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        conv = nn.ConvTranspose1d(channels_in, channels_out, kernel, stride=stride)
        initialise_(conv, gain)
        self.conv = conv
        _, self.cut = split_padding(
            kernel - stride, causal
        )  # mirrored: the encoder's right is cut on the left
        self.stride = stride

    def forward(
        self, x: Float[Tensor, "batch channels_in frames"]
    ) -> Float[Tensor, "batch channels_out time"]:
        return self.conv(x)[..., self.cut : self.cut + x.shape[-1] * self.stride]


class ResidualUnit(nn.Module):
    """x + conv₁(snake(dilated conv(snake(x))))."""

    def __init__(self, channels: int, kernel: int, dilation: int, *, causal: bool) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Snake(channels),
            Conv(channels, channels, kernel, causal=causal, dilation=dilation),
            Snake(channels),
            Conv(channels, channels, 1, causal=causal, gain=_BRANCH_GAIN),
        )

    def forward(
        self, x: Float[Tensor, "batch channels time"]
    ) -> Float[Tensor, "batch channels time"]:
        return x + self.layers(x)


def add_weight_norm(module: nn.Module) -> None:
    """Reparametrise the weights of each output channel as length and direction, for training; the
    function stays the same.
    """
    for part in module.modules():
        if isinstance(part, Conv | ConvTranspose):
            weight_norm(part.conv, dim=1 if isinstance(part, ConvTranspose) else 0)
