"""Counts work instead of timing it: multiply-adds and allocated values, the same on every machine.

Counts follow the operations that PyTorch dispatches, so they hold however a layer is written.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from codec.layouts.config import ModelConfig
from codec.model import CodecModel

COUNTED_SECONDS = 10


@dataclass(frozen=True, kw_only=True)
class Work:
    """Of one call: multiply-adds of convolutions, matrix products and LSTMs, and values that were
    allocated.
    """

    multiply_adds: float
    values: float

    def __truediv__(self, seconds: float) -> Work:
        return Work(multiply_adds=self.multiply_adds / seconds, values=self.values / seconds)


class _AllocationCounter(TorchDispatchMode):
    """Counts the values of all tensors that operations make; views and results in place allocate
    nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        outputs = result if isinstance(result, tuple) else (result,)
        for output, declared in zip(outputs, func._schema.returns, strict=False):
            if declared.alias_info is None:
                self.values += sum(
                    leaf.numel() for leaf in tree_leaves(output) if isinstance(leaf, Tensor)
                )
        return result


class _LstmCounter:
    """PyTorch's counter does not know LSTMs, which run as one operation on a CPU."""

    def __init__(self, module: nn.Module) -> None:
        self.multiply_adds = 0
        self._lstms = [part for part in module.modules() if isinstance(part, nn.LSTM)]
        self._hooks: list[Any] = []

    def __enter__(self) -> _LstmCounter:
        self._hooks = [lstm.register_forward_hook(self._count) for lstm in self._lstms]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, lstm: nn.LSTM, inputs: tuple[Tensor, ...], _: object) -> None:
        steps = inputs[0].numel() // lstm.input_size
        widths = [lstm.input_size] + [lstm.hidden_size] * (lstm.num_layers - 1)
        self.multiply_adds += steps * sum(
            4 * lstm.hidden_size * (width + lstm.hidden_size) for width in widths
        )


@torch.no_grad()
def count(module: nn.Module, call: Callable[[], Any]) -> Work:
    """Count the work of `call`, which runs `module`."""
    flops = FlopCounterMode(display=False)
    with _LstmCounter(module) as lstms, _AllocationCounter() as allocations, flops:
        call()
    return Work(
        multiply_adds=flops.get_total_flops() / 2 + lstms.multiply_adds, values=allocations.values
    )


@dataclass(frozen=True, kw_only=True)
class ModelWork:
    """Work per second of audio of a model's parts, with all stages."""

    encoder: Work
    search: Work
    lookup: Work
    decoder: Work

    @property
    def encode(self) -> float:
        """Multiply-adds per second of audio, from the wave to codes."""
        return self.encoder.multiply_adds + self.search.multiply_adds

    @property
    def decode(self) -> float:
        """Multiply-adds per second of audio, from codes to the wave."""
        return self.lookup.multiply_adds + self.decoder.multiply_adds


def model_work(config: ModelConfig) -> ModelWork:
    """Counted on zeros and a model with random weights."""
    model = CodecModel.plain(config)
    wave = torch.zeros(1, 1, COUNTED_SECONDS * config.sample_rate_hz // config.hop * config.hop)
    frames = wave.shape[-1] // config.hop
    latent = torch.zeros(1, config.latent_channels, frames)
    codes = torch.zeros(1, len(config.stages), frames, dtype=torch.int64)
    seconds = wave.shape[-1] / config.sample_rate_hz
    noise = torch.zeros(1, frames, config.noise_values)
    positions = [0] * len(config.stages)
    return ModelWork(
        encoder=count(model, lambda: model.encoder(wave)) / seconds,
        search=count(model, lambda: model.quantizer.encode(latent, positions)) / seconds,
        lookup=count(model, lambda: model.quantizer.decode(codes, positions)) / seconds,
        decoder=count(model, lambda: model.decode_latent(latent, noise)) / seconds,
    )
