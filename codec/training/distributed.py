"""Collectives: mean over processes, gather, broadcast from rank 0.

Gradients are averaged here, in one flat all-reduce per optimiser, and not by
DistributedDataParallel: the quantizer takes no part in the warm-up, the two losses share one pass
through the discriminators, and the models are small (a generator of 9 M parameters is 36 MB).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

# PyTorch's optimisers import `torch.distributed.nn`, whose functions have the process group of that
# moment as their default. Imported here, before there is one, it keeps none: a group that it kept
# would outlive its destruction, and threads of Gloo with it, and one of those may abort the process
# at its very end.
if dist.is_available():
    import torch.distributed.nn


def processes() -> int:
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average(tensors: Sequence[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, in place."""
    if processes() == 1 or not tensors:
        return
    flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= processes()
    start = 0
    for tensor in tensors:
        tensor.copy_(flat[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()


def average_gradients(parameters: Iterable[torch.nn.Parameter]) -> None:
    """Average the gradients that exist; which exist is the same on every process."""
    average([parameter.grad for parameter in parameters if parameter.grad is not None])


def without_radial_part(gradient: Tensor, point: Tensor) -> Tensor:
    """The gradient less its component along `point`, both taken over all processes' shares of the
    batch.
    """
    sums = torch.stack(
        [(gradient * point).sum(dtype=torch.float32), point.square().sum(dtype=torch.float32)]
    )
    if processes() > 1:
        dist.all_reduce(sums)
    return gradient - (sums[0] / sums[1].clamp_min(1e-12)).to(gradient.dtype) * point


def gather_rows(rows: Tensor) -> Tensor:
    """The rows of all processes in the order of their ranks; every process has equally many."""
    if processes() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(processes())]
    dist.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def from_first(values: list[float], device: torch.device) -> list[float]:
    """The first process's values, on every process."""
    if processes() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64, device=device)
    dist.broadcast(tensor, 0)
    return tensor.tolist()
