"""SF-DiVeQ as functions of tensors: quantization to the segments between consecutive codewords
(Vali, Bäckström, Solin, arXiv 2509.26469).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .diveq import Estimate, Noise, argmax, error_length, nearest, unit

if TYPE_CHECKING:
    from jaxtyping import Float, Int


def quantize(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], noise: Noise, position_bits: int | None
) -> Estimate:
    """The estimator of an SF-DiVeQ stage: one random position per segment (the paper's training),
    or with `position_bits` the finite table that the bitstream transmits.
    """
    if position_bits is None:
        dither = torch.rand(len(codebook) - 1, 1, dtype=z.dtype, device=z.device)
        segment = nearest(z, curve_points(codebook, dither))
        position = dither[segment]
    else:
        entry = nearest(z, curve_table(codebook, position_bits))
        segment = entry >> position_bits
        steps = (entry - (segment << position_bits)).to(z.dtype)[:, None]
        position = steps / (1 << position_bits)
    following = (segment + 1).clamp_max(len(codebook) - 1)  # the last codeword has only position 0
    start, end = codebook[segment], codebook[following]
    return sf_diveq(z, start, end, position, noise(z), noise(z)), segment


def sf_diveq(
    z: Float[Tensor, "n d"],
    start: Float[Tensor, "n d"],
    end: Float[Tensor, "n d"],
    position: Float[Tensor, "n 1"],
    start_noise: Float[Tensor, "n d"] | None,
    end_noise: Float[Tensor, "n d"] | None,
) -> Float[Tensor, "n d"]:
    """z + ‖start − z‖ · sg[(1 − λ)u₁] + ‖end − z‖ · sg[λu₂]: the point at λ = `position` of the
    segment.
    """
    to_start, to_end = start - z, end - z
    start_direction = unit(to_start if start_noise is None else to_start + start_noise)
    end_direction = unit(to_end if end_noise is None else to_end + end_noise)
    return (
        z
        + error_length(z, start) * ((1 - position) * start_direction)
        + error_length(z, end) * (position * end_direction)
    )


def curve_points(
    codebook: Float[Tensor, "k d"],
    position: Float[Tensor, "segments 1"],
) -> Float[Tensor, "segments d"]:
    """One dithered point per segment: (1 − λ)cᵢ + λcᵢ₊₁."""
    return torch.lerp(codebook[:-1], codebook[1:], position)


def curve_table(codebook: Float[Tensor, "k d"], position_bits: int) -> Float[Tensor, "entries d"]:
    """The finite table of an SF stage: entry `codeword << position_bits | position`, λ = position /
    2^position_bits.

    After the last codeword there is no segment: its K·P table ends with the codeword at position 0,
    so the table has (K − 1)·P + 1 entries. With position_bits = 0 it is the codebook.
    """
    positions = 1 << position_bits
    steps = torch.arange(positions, dtype=codebook.dtype, device=codebook.device) / positions
    inner = torch.lerp(codebook[:-1, None], codebook[1:, None], steps[None, :, None])
    return torch.cat([inner.flatten(0, 1), codebook[-1:]])


def nearest_on_curve(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], position_bits: int
) -> Int[Tensor, " n"]:
    """Index of the nearest entry of `curve_table`, without the table: it has 2^position_bits times
    as many entries.

    With d the segment that starts at c, −‖z − c − λd‖²/2 is z·c − ‖c‖²/2 + λ(z − c)·d − λ²‖d‖²/2,
    but for ‖z‖²/2. That is a parabola in λ, so a segment's nearest position is the one nearest to
    the top, at λ = (z − c)·d / ‖d‖².
    """
    with torch.no_grad():
        segments = torch.cat(
            [codebook[1:] - codebook[:-1], torch.zeros_like(codebook[:1])]
        )  # none after the last
        lengths = segments.square().sum(1)
        slope = torch.addmm(-(codebook * segments).sum(1), z, segments.T)
        positions = 1 << position_bits
        top = slope * torch.where(lengths > 0, positions / lengths, 0)
        position = top.round_().clamp_(0, positions - 1)
        share = position / positions
        gain = share * (slope - 0.5 * share * lengths)
        codeword = argmax(torch.addmm(-0.5 * codebook.square().sum(1), z, codebook.T) + gain)
        return (codeword << position_bits) + position.gather(1, codeword[:, None])[:, 0].long()
