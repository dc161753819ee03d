"""The transform layout: a codec of MDCT frames that starts as a working linear one and learns from
there.

A frame's MDCT coefficients x (the window spans two hops, so that overlapping frames add up to the
waveform again) are split, as in CELT (RFC 6716), into the levels of bands and the shape within
them: g, per band the RMS of x smoothed over three frames, and u = x/g. Encoder and decoder work on
[u, log g], so that speech is the same speech at any level, weak bands count beside strong ones, and
gradients do not depend on the level:

    wave → MDCT → u, log g → blocks → latent → quantizer → latent → blocks → u, log g → g·u →
    inverse MDCT → wave

A latent is a linear function of the blocks' results for one frame, or for the few that share it.

Where the layout has an excitation, harmonics of the lowest bands' waveform take part in the u of
those above before the last step: noise there costs a voice its harmonics, and this costs no bit:

    g·u of the lowest bands → inverse MDCT → |·| → MDCT → u′;  u → √(1 − a)·u + √a·gain·u′

All blocks run at the rate of MDCT frames. `start_from_waves` sets the outer linear layers to the
principal components of [u, log g], with the blocks near the identity: with a quantizer started on
these latents the untrained codec is a transform coder with vector quantization, which is already
intelligible.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .excitation import Excitation
from .lapped_transform import Analysis, Synthesis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


_BRANCH_GAIN = 0.1  # blocks start near the identity
_NOISE_GAIN = 0.03


class Block(nn.Module):
    """ConvNeXt's block (Liu et al. 2022) along time: x + γ·perceptron(norm(depthwise
    convolution(x))).
    """

    def __init__(self, layout: TransformLayout, look_ahead: int) -> None:
        super().__init__()
        width, inner = layout.width, layout.expansion * layout.width
        self.padding = (layout.kernel - 1 - look_ahead, look_ahead)
        self.depthwise = nn.Conv1d(width, width, layout.kernel, groups=width)
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, inner)
        self.narrow = nn.Linear(inner, width)
        self.scale = nn.Parameter(torch.full((width,), _BRANCH_GAIN))
        with torch.no_grad():
            self.narrow.weight.mul_(_BRANCH_GAIN)
            self.narrow.bias.zero_()

    def forward(
        self, x: Float[Tensor, "batch frames width"]
    ) -> Float[Tensor, "batch frames width"]:
        return self.on_window(F.pad(x, (0, 0, *self.padding)))

    def on_window(
        self, window: Float[Tensor, "batch padded width"]
    ) -> Float[Tensor, "batch frames width"]:
        """The result for frames that stand in their window, with what the convolution sees around
        them.
        """
        before, after = self.padding
        x = window[:, before : window.shape[1] - after]
        y = self.norm(self.depthwise(window.transpose(1, 2)).transpose(1, 2))
        return x + self.scale * self.narrow(F.gelu(self.widen(y)))


class TransformEncoder(nn.Module):
    """Waveform → latent."""

    def __init__(self, layout: TransformLayout, latent_channels: int) -> None:
        super().__init__()
        self.analysis = Analysis(layout)
        self.entry = nn.Linear(layout.transform_hop + len(layout.bands), layout.width)
        self.blocks = nn.Sequential(*(Block(layout, ahead) for ahead in layout.encoder_reach))
        self.exit = nn.Linear(layout.frames_per_latent * layout.width, latent_channels)

    def forward(
        self, wave: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch channels latents"]:
        with torch.autocast(wave.device.type, enabled=False):
            features = self.analysis(wave.to(self.analysis.basis.dtype))
        return self.leave(self.blocks(self.entry(features)))

    def leave(
        self, x: Float[Tensor, "batch frames width"]
    ) -> Float[Tensor, "batch channels latents"]:
        """Compute latents from the last block's output."""
        return self.exit(x.reshape(len(x), -1, self.exit.in_features)).transpose(1, 2)

    @torch.no_grad()
    def subtract_mean(self, mean: Float[Tensor, " channels"]) -> None:
        """Change the last bias so that latents come out with `mean` subtracted."""
        self.exit.bias.sub_(mean)


class TransformDecoder(nn.Module):
    """Latent → waveform: the encoder's mirror, with noise that enters each block and an excitation
    of the upper bands, where the layout has them.

    Distances between spectra ask for one even carrier wherever the latent says nothing of the fine
    structure, and a decoder without noise has no other (it was the same in every fricative). With
    noise and discriminators it can make what is not sent anew in every frame.
    """

    def __init__(self, layout: TransformLayout, latent_channels: int) -> None:
        super().__init__()
        self.entry = nn.Linear(latent_channels, layout.frames_per_latent * layout.width)
        self.width, self.noise_values = layout.width, layout.noise_values_of_frame
        self.blocks = nn.ModuleList(Block(layout, ahead) for ahead in layout.decoder_reach)
        self.noise_channels = layout.noise_channels
        noisy = layout.decoder_blocks if layout.noise_channels else 0
        entries = [nn.Linear(layout.noise_channels, layout.width, bias=False) for _ in range(noisy)]
        for entry in entries:
            nn.init.normal_(entry.weight, std=_NOISE_GAIN)
        self.noise = nn.ModuleList(entries)
        self.unknown = nn.Parameter(torch.zeros(latent_channels)) if layout.conceals else None
        self.exit = nn.Linear(layout.width, layout.transform_hop + len(layout.bands))
        self.synthesis = Synthesis(layout)
        self.excitation = Excitation(layout) if layout.excitation_bands else None

    def forward(
        self,
        latent: Float[Tensor, "batch channels latents"],
        noise: Float[Tensor, "_ latents values"] | None = None,
        lost: Bool[Tensor, "batch latents"] | None = None,
    ) -> Float[Tensor, "batch 1 time"]:
        """`noise` has a batch of its own or one for all clips; frames whose latent is `lost` do not
        see it.
        """
        x = self.enter(latent, lost)
        if noise is not None:
            noise = noise.reshape(len(noise), x.shape[1], self.noise_values)
        for number, block in enumerate(self.blocks):
            x = block(self.add_noise(number, x, noise))
        features = self.exit(x)
        with torch.autocast(latent.device.type, enabled=False):
            features = self.synthesis.fill(features.to(self.synthesis.basis.dtype), noise)
            if self.excitation is not None:
                coefficients = self.synthesis.coefficients(features)
                features = self.excitation(x, features, coefficients)
            return self.synthesis(features)

    def enter(
        self,
        latent: Float[Tensor, "batch channels latents"],
        lost: Bool[Tensor, "batch latents"] | None,
    ) -> Float[Tensor, "batch frames width"]:
        """Compute the input of the first block."""
        x = latent.transpose(1, 2)
        if lost is not None and self.unknown is not None:
            x = torch.where(lost[..., None], self.unknown.to(x.dtype), x)
        return self.entry(x).reshape(len(x), -1, self.width)

    def add_noise(
        self,
        number: int,
        x: Float[Tensor, "batch frames width"],
        noise: Float[Tensor, "_ frames values"] | None,
    ) -> Float[Tensor, "batch frames width"]:
        """Add a linear function of the frame's noise to the input of block `number`; each block has
        its own share of the noise.
        """
        if not self.noise:
            return x
        assert noise is not None
        start = number * self.noise_channels
        return x + self.noise[number](noise[..., start : start + self.noise_channels])

    @torch.no_grad()
    def add_mean(self, mean: Float[Tensor, " channels"]) -> None:
        """Change the first bias so that latents with `mean` subtracted are accepted."""
        self.entry.bias.add_(self.entry.weight @ mean)
