"""Counter-based random numbers: a function of where they are used, not of earlier draws.

A key per crop comes from (seed, epoch, index), and its n-th number from (key, n): the same for any
batch, any number of workers or processes, after a resume, and on any device, since all is integer
arithmetic modulo 2⁶⁴. The function is SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom
number generators, 2014).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from jaxtyping import Float64, Int64

__all__ = ["item_keys", "uniform"]


def _signed(value: int) -> int:
    """The int64 with the same bits as `value` modulo 2⁶⁴."""
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


_GAMMA = _signed(0x9E3779B97F4A7C15)
_FACTORS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def item_keys(seed: int, epoch: int, indices: Int64[Tensor, " batch"]) -> Int64[Tensor, " batch"]:
    """A key for each index of an epoch; all three may be any integers."""
    key = torch.zeros_like(indices)
    for value in (_signed(seed), _signed(epoch), indices):
        key = _mix(key + _GAMMA + value)
    return key


def uniform(keys: Int64[Tensor, ...], count: Int64[Tensor, ...] | int) -> Float64[Tensor, ...]:
    """The count-th number of each key, evenly in [0, 1); keys and counts broadcast against each
    other.
    """
    steps = _signed(_GAMMA * (count + 1)) if isinstance(count, int) else _GAMMA * (count + 1)
    bits = _mix(keys + steps)
    return _shift(bits, 11).double() * 2.0**-53


def _mix(value: Tensor) -> Tensor:
    value = (value ^ _shift(value, 30)) * _FACTORS[0]
    value = (value ^ _shift(value, 27)) * _FACTORS[1]
    return value ^ _shift(value, 31)


def _shift(value: Tensor, bits: int) -> Tensor:
    """A logical shift to the right; torch's own keeps the sign."""
    return (value >> bits) & ((1 << (64 - bits)) - 1)
