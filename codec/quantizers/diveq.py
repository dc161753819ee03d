"""DiVeQ and SF-DiVeQ as functions of tensors (Vali, Bäckström, Solin, arXiv 2509.26469).

Quantization is an added error vector whose length carries the gradient and whose direction does
not:

    z_q = z + ‖c − z‖ · sg[v / ‖v‖],   v = (c − z) + ε,   ε ~ N(0, σ²)            (DiVeQ)

so the forward value is the codeword c up to the noise, and with u = (c − z)/‖c − z‖ and σ → 0
∂z_q/∂z = I − uuᵀ and ∂z_q/∂c = uuᵀ: no commitment or codebook loss is needed. Noise is an argument
here (None: the Detach variants), so that the functions are pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_SMALLEST_NORM = 1e-12  # as in the authors' package: a zero vector has direction zero


def unit(vector: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """The direction of each row, without gradient."""
    vector = vector.detach()
    return vector / torch.linalg.vector_norm(vector, dim=-1, keepdim=True).clamp_min(_SMALLEST_NORM)


def error_length(z: Float[Tensor, "n d"], codeword: Float[Tensor, "n d"]) -> Float[Tensor, "n 1"]:
    """‖c − z‖ with gradient; the gradient at c = z is zero, not NaN."""
    return torch.linalg.vector_norm(codeword - z, dim=-1, keepdim=True)


def diveq(
    z: Float[Tensor, "n d"],
    codeword: Float[Tensor, "n d"],
    noise: Float[Tensor, "n d"] | None,
) -> Float[Tensor, "n d"]:
    """z + ‖c − z‖ · sg[direction of (c − z) + noise]."""
    offset = codeword - z
    direction = unit(offset if noise is None else offset + noise)
    return z + error_length(z, codeword) * direction


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


def nearest(
    z: Float[Tensor, "n d"],
    points: Float[Tensor, "k d"],
    scores: Float[Tensor, "n k"] | None = None,
) -> Int[Tensor, " n"]:
    """Index of the nearest point: argmin ‖z − p‖² = argmax (z·p − ‖p‖²/2).

    Pass a preallocated `scores` when searching repeatedly: allocating it costs more than the
    search.
    """
    with torch.no_grad():
        return _argmax(torch.addmm(-0.5 * points.square().sum(1), z, points.T, out=scores))


def _argmax(rows: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Index of each row's largest value, the first of equals. On the CPU numpy finds it ten times
    as fast as torch.
    """
    if rows.device.type == "cpu" and rows.dtype == torch.float32:
        return torch.from_numpy(rows.numpy().argmax(axis=1))
    return rows.argmax(dim=1)


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
        codeword = _argmax(torch.addmm(-0.5 * codebook.square().sum(1), z, codebook.T) + gain)
        return (codeword << position_bits) + position.gather(1, codeword[:, None])[:, 0].long()
