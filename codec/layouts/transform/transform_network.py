"""The transform layout: a codec of MDCT frames that starts as a working linear one and learns from
there.

A frame's MDCT coefficients x (the window spans two hops, so that overlapping frames add up to the
waveform again) are split, as in CELT (RFC 6716), into the levels of bands and the shape within
them: g, per band the RMS of x smoothed over three frames, and u = x/g. Encoder and decoder work on
[u, log g], so that speech is the same speech at any level, weak bands count beside strong ones, and
gradients do not depend on the level:

    wave → MDCT → u, log g → blocks → latent → quantizer → latent → blocks → u, log g → g·u →
    inverse MDCT → wave

Where the layout has an excitation, harmonics of the lowest bands' waveform take part in the u of
those above before the last step: noise there costs a voice its harmonics, and this costs no bit:

    g·u of the lowest bands → inverse MDCT → |·| → MDCT → u′;  u → √(1 − a)·u + √a·gain·u′

All blocks run at the frame rate. `start_from_waves` sets the outer linear layers to the principal
components of [u, log g], with the blocks near the identity: with a quantizer started on these
latents the untrained codec is a transform coder with vector quantization, which is already
intelligible.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .mdct import LEVEL_CENTRE, LEVEL_RANGE, QUIETEST, band_of, band_pool, mdct_basis
from .transform_layout import TransformLayout

if TYPE_CHECKING:
    from jaxtyping import Bool, Float


_BRANCH_GAIN = 0.1  # blocks start near the identity
_NOISE_GAIN = 0.03
_GATE_WEIGHT_GAIN = 0.04  # gates start nearly alike in all frames
_GATE_BIAS = -1.2  # and let through 0.23 of the power
_LOG_EXCITATION_GAIN = 1.48  # the RMS of trained decoders' u is near 4.4


class Bands(nn.Module):
    """Sums and copies between coefficients and the bands that they belong to."""

    band_of: Tensor
    pool: Tensor

    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("band_of", torch.from_numpy(band_of(widths)), persistent=False)
        self.register_buffer("pool", torch.from_numpy(band_pool(widths)), persistent=False)

    def mean(self, x: Float[Tensor, "*shape hop"]) -> Float[Tensor, "*shape bands"]:
        return x @ self.pool

    def spread(self, x: Float[Tensor, "*shape bands"]) -> Float[Tensor, "*shape hop"]:
        return x[..., self.band_of]


class Analysis(nn.Module):
    """Waveform → [u, log g] per frame; frame t is centred on samples t·hop … (t+1)·hop."""

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop = layout.hop
        self.neighbours = (1, layout.level_look_ahead)
        self.bands = Bands(layout.bands)
        self.register_buffer(
            "basis", torch.from_numpy(mdct_basis(layout.hop))[:, None], persistent=False
        )

    def forward(
        self, wave: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch frames features"]:
        half = self.hop // 2
        coefficients = F.conv1d(F.pad(wave, (half, half)), self.basis, stride=self.hop).transpose(
            1, 2
        )
        power = self.bands.mean(coefficients.square()).transpose(1, 2)  # batch bands frames
        padded = F.pad(power, self.neighbours, mode="replicate")
        smooth = F.avg_pool1d(padded, 1 + sum(self.neighbours), stride=1).transpose(1, 2)
        return self.features(coefficients, smooth)

    def features(
        self,
        coefficients: Float[Tensor, "batch frames hop"],
        power: Float[Tensor, "batch frames bands"],
    ) -> Float[Tensor, "batch frames features"]:
        """[u, log g] from MDCT coefficients and the smoothed mean power of their bands."""
        level = (power + QUIETEST).sqrt()
        return torch.cat(
            [coefficients / self.bands.spread(level), level.log() - LEVEL_CENTRE], dim=-1
        )


class Synthesis(nn.Module):
    """The inverse of `Analysis`: [u, log g] → g·u → waveform, frames overlapping by half."""

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop = layout.hop
        self.bands = Bands(layout.bands)
        self.register_buffer("basis", torch.from_numpy(mdct_basis(layout.hop)), persistent=False)

    def forward(
        self, features: Float[Tensor, "batch frames features"]
    ) -> Float[Tensor, "batch 1 time"]:
        half = self.hop // 2
        hops = overlap_add(self.coefficients(features) @ self.basis)
        return hops.flatten(1)[:, None, half:-half]

    def coefficients(
        self, features: Float[Tensor, "batch frames features"]
    ) -> Float[Tensor, "batch frames hop"]:
        """g·u."""
        shape, log_level = features[..., : self.hop], features[..., self.hop :]
        level = (log_level + LEVEL_CENTRE).clamp(*LEVEL_RANGE).exp()
        return shape * self.bands.spread(level)


def overlap_add(spans: Float[Tensor, "batch frames span"]) -> Float[Tensor, "batch hops hop"]:
    """The waveform of frames that span two hops each, in hops: one more than frames."""
    first, second = spans.chunk(2, dim=-1)  # batch frames hop
    return F.pad(first, (0, 0, 0, 1)) + F.pad(second, (0, 0, 1, 0))


class Excitation(nn.Module):
    """Fine structure of the upper bands from the waveform of the lowest: rectified, it has the
    harmonics of the voice at all frequencies.

    A gate a per upper band and frame mixes the shape u′ of the rectified waveform into the
    decoder's u, at constant power but for a learned gain: √(1 − a)·u + √a·gain·u′.
    """

    basis: Tensor

    def __init__(self, layout: TransformLayout) -> None:
        super().__init__()
        self.hop = layout.hop
        self.lower, self.bins = layout.excitation_bands, layout.excitation_bins
        self.bands = Bands(layout.bands)
        self.gate = nn.Linear(layout.width, layout.excited_bands)
        self.gain = nn.Parameter(torch.full((layout.excited_bands,), _LOG_EXCITATION_GAIN))
        with torch.no_grad():
            self.gate.weight.mul_(_GATE_WEIGHT_GAIN)
            self.gate.bias.fill_(_GATE_BIAS)
        self.register_buffer("basis", torch.from_numpy(mdct_basis(layout.hop)), persistent=False)

    def forward(
        self,
        x: Float[Tensor, "batch frames width"],
        features: Float[Tensor, "batch frames features"],
        coefficients: Float[Tensor, "batch frames hop"],
    ) -> Float[Tensor, "batch frames features"]:
        """Mix the excitation into [u, log g], by the last block's output x and g·u."""
        hops = overlap_add(self.spans(coefficients))
        return self.mix(features, self.gates(x), hops.abs())

    def spans(
        self, coefficients: Float[Tensor, "batch frames hop"]
    ) -> Float[Tensor, "batch frames span"]:
        """What the lowest bands of each frame add to the waveform."""
        return coefficients[..., : self.bins] @ self.basis[: self.bins]

    def gates(
        self, x: Float[Tensor, "batch frames width"]
    ) -> Float[Tensor, "batch frames excited"]:
        """The gates in front of their sigmoid."""
        return self.gate(x.to(self.basis.dtype))

    def mix(
        self,
        features: Float[Tensor, "batch frames features"],
        gates: Float[Tensor, "batch frames excited"],
        rectified: Float[Tensor, "batch hops hop"],
    ) -> Float[Tensor, "batch frames features"]:
        """Mix the shape of the rectified waveform into that of the features; hops are one more than
        frames.
        """
        spans = torch.cat([rectified[:, :-1], rectified[:, 1:]], dim=-1)  # batch frames 2·hop
        coefficients = spans @ self.basis.T
        level = (self.bands.mean(coefficients.square()) + QUIETEST).sqrt()
        excitation = coefficients / self.bands.spread(level)
        # The roots by logarithms: where a gate is 0 or 1, the gradient of √ would be infinite.
        added = (F.logsigmoid(gates) / 2 + self.gain).exp()
        kept = (F.logsigmoid(-gates) / 2).exp()
        added = self.bands.spread(F.pad(added, (self.lower, 0)))
        kept = self.bands.spread(F.pad(kept, (self.lower, 0), value=1.0))
        shape = kept * features[..., : self.hop] + added * excitation
        return torch.cat([shape, features[..., self.hop :]], dim=-1)


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
        self.entry = nn.Linear(layout.hop + len(layout.bands), layout.width)
        self.blocks = nn.Sequential(*(Block(layout, ahead) for ahead in layout.encoder_reach))
        self.exit = nn.Linear(layout.width, latent_channels)

    def forward(
        self, wave: Float[Tensor, "batch 1 time"]
    ) -> Float[Tensor, "batch channels frames"]:
        with torch.autocast(wave.device.type, enabled=False):
            features = self.analysis(wave.to(self.analysis.basis.dtype))
        return self.exit(self.blocks(self.entry(features))).transpose(1, 2)

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
        self.entry = nn.Linear(latent_channels, layout.width)
        self.blocks = nn.ModuleList(Block(layout, ahead) for ahead in layout.decoder_reach)
        self.noise_channels = layout.noise_channels
        noisy = layout.decoder_blocks if layout.noise_channels else 0
        entries = [nn.Linear(layout.noise_channels, layout.width, bias=False) for _ in range(noisy)]
        for entry in entries:
            nn.init.normal_(entry.weight, std=_NOISE_GAIN)
        self.noise = nn.ModuleList(entries)
        self.unknown = nn.Parameter(torch.zeros(latent_channels)) if layout.conceals else None
        self.exit = nn.Linear(layout.width, layout.hop + len(layout.bands))
        self.synthesis = Synthesis(layout)
        self.excitation = Excitation(layout) if layout.excitation_bands else None

    def forward(
        self,
        latent: Float[Tensor, "batch channels frames"],
        noise: Float[Tensor, "_ frames values"] | None = None,
        lost: Bool[Tensor, "batch frames"] | None = None,
    ) -> Float[Tensor, "batch 1 time"]:
        """`noise` has a batch of its own or one for all clips; frames that are `lost` do not see
        their latent.
        """
        x = self.enter(latent, lost)
        for number, block in enumerate(self.blocks):
            x = block(self.add_noise(number, x, noise))
        features = self.exit(x)
        with torch.autocast(latent.device.type, enabled=False):
            features = features.to(self.synthesis.basis.dtype)
            if self.excitation is not None:
                coefficients = self.synthesis.coefficients(features)
                features = self.excitation(x, features, coefficients)
            return self.synthesis(features)

    def enter(
        self,
        latent: Float[Tensor, "batch channels frames"],
        lost: Bool[Tensor, "batch frames"] | None,
    ) -> Float[Tensor, "batch frames width"]:
        """Compute the input of the first block."""
        x = latent.transpose(1, 2)
        if lost is not None and self.unknown is not None:
            x = torch.where(lost[..., None], self.unknown.to(x.dtype), x)
        return self.entry(x)

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


@torch.no_grad()
def start_from_waves(
    encoder: TransformEncoder, decoder: TransformDecoder, waves: Float[Tensor, "batch 1 time"]
) -> None:
    """Set the outer layers to the principal components of the waves' features, most important
    first.

    Features are weighted by what an error in them does to the waveform, but by its square root: a
    coefficient by its band's long-term level to the power of a half, as the high frequencies of
    speech are weak and yet heard; the level of a band of n coefficients like √n of them.
    """
    hop, bands = encoder.analysis.hop, encoder.analysis.bands
    features = encoder.analysis(waves).flatten(0, 1).double()
    power = (2 * features[:, hop:]).exp()  # of each band, in each frame
    frame_power = bands.spread(power).mean(1, keepdim=True)
    long_term = (power / frame_power).mean(0).sqrt()
    weight = (long_term / long_term.mean()).sqrt()
    count = torch.bincount(bands.band_of)
    weight = torch.cat([bands.spread(weight), weight * count.sqrt()])
    weighted = features * weight
    mean = weighted.mean(0)
    _, directions = torch.linalg.eigh((weighted - mean).T @ (weighted - mean))
    components = directions.flip(1).T[
        : encoder.entry.out_features
    ]  # eigh gives them in ascending order

    _set(encoder.entry, components * weight, -(components @ mean))
    _set(encoder.exit, torch.eye(encoder.exit.out_features, encoder.exit.in_features))
    _set(decoder.entry, torch.eye(decoder.entry.out_features, decoder.entry.in_features))
    _set(decoder.exit, components.T / weight[:, None], mean / weight)
    if decoder.excitation is not None:
        decoder.excitation.gain.zero_()  # u comes with an RMS near 1


@torch.no_grad()
def limit_look_ahead(
    weights: Mapping[str, Tensor], theirs: TransformLayout, ours: TransformLayout
) -> None:
    """Rewrite, in place, the weights of a layout with more look-ahead for the look-ahead of `ours`,
    to train on from them.

    A frame keeps its weight; the weights of frames that are out of sight now go to the last frame
    in sight.
    """
    for side, before, after in (
        ("encoder", theirs.encoder_reach, ours.encoder_reach),
        ("decoder", theirs.decoder_reach, ours.decoder_reach),
    ):
        for block, lost in enumerate(a - b for a, b in zip(before, after, strict=True)):
            if lost == 0:
                continue
            kernel = weights[
                f"{side}.blocks.{block}.depthwise.weight"
            ]  # channels 1 kernel, from past to future
            moved = F.pad(kernel[..., :-lost], (lost, 0))
            moved[..., -1] += kernel[..., -lost:].sum(-1)
            kernel.copy_(moved)


def _set(layer: nn.Linear, weight: Tensor, bias: Tensor | None = None) -> None:
    """Fill the upper left of the weight and the front of the bias, with zeros behind."""
    layer.weight.zero_()
    layer.weight[: weight.shape[0], : weight.shape[1]] = weight.to(layer.weight)
    layer.bias.zero_()
    if bias is not None:
        layer.bias[: len(bias)] = bias.to(layer.bias)
