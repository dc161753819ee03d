"""DiVeQ as functions of tensors (Vali, Bäckström, Solin, arXiv 2509.26469).

Quantization is an added error vector whose length carries the gradient and whose direction does
not:

    z_q = z + ‖c − z‖ · sg[v / ‖v‖],   v = (c − z) + ε,   ε ~ N(0, σ²)            (DiVeQ)

so the forward value is the codeword c up to the noise, and with u = (c − z)/‖c − z‖ and σ → 0
∂z_q/∂z = I − uuᵀ and ∂z_q/∂c = uuᵀ: no commitment or codebook loss is needed. Noise is an argument
here (None: the Detach variants).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float, Int

_SMALLEST_NORM = 1e-12  # as in the authors' package: a zero vector has direction zero


Estimate: TypeAlias = 'tuple[Float[Tensor, "n d"], Int[Tensor, " n"]]'
"""Quantized latents with the method's gradient, and the index of each one's codeword."""
Noise: TypeAlias = "Callable[[Tensor], Tensor | None]"
"""Draws noise of a tensor's shape, or gives None where training adds none."""


def quantize(
    z: Float[Tensor, "n d"], codebook: Float[Tensor, "k d"], noise: Noise, position_bits: int | None
) -> Estimate:
    """The estimator of a DiVeQ stage; it has no positions."""
    index = nearest(z, codebook)
    return diveq(z, codebook[index], noise(z)), index


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
        return argmax(torch.addmm(-0.5 * points.square().sum(1), z, points.T, out=scores))


def argmax(rows: Float[Tensor, "n k"]) -> Int[Tensor, " n"]:
    """Return the index of each row's largest value, the first of equals; on the CPU numpy is ten
    times as fast as torch.
    """
    if rows.device.type == "cpu" and rows.dtype == torch.float32:
        return torch.from_numpy(rows.numpy().argmax(axis=1))
    return rows.argmax(dim=1)
