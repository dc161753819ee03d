"""Counts multiply-adds, which are the same on every machine.

Counts follow the operations that PyTorch dispatches, so they hold however a layer is written.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from codec.layouts.config import ModelConfig
from codec.model import CodecModel

_COUNTED_SECONDS = 10


@torch.no_grad()
def count_multiply_adds(module: nn.Module, call: Callable[[], object]) -> float:
    """Of convolutions, matrix products and LSTMs, in a call that runs `module`."""
    of_lstms = 0

    def count(lstm: nn.Module, inputs: tuple[Tensor, ...], _: object) -> None:
        nonlocal of_lstms
        assert isinstance(lstm, nn.LSTM)
        steps = inputs[0].numel() // lstm.input_size
        widths = [lstm.input_size] + [lstm.hidden_size] * (lstm.num_layers - 1)
        of_lstms += steps * sum(
            4 * lstm.hidden_size * (width + lstm.hidden_size) for width in widths
        )

    lstms = [part for part in module.modules() if isinstance(part, nn.LSTM)]
    hooks = [lstm.register_forward_hook(count) for lstm in lstms]  # PyTorch's counter lacks them
    try:
        with FlopCounterMode(display=False) as flops:
            call()
    finally:
        for hook in hooks:
            hook.remove()
    return flops.get_total_flops() / 2 + of_lstms


def model_work(config: ModelConfig) -> tuple[float, float]:
    """Multiply-adds per second of audio to encode and to decode with all stages."""
    model = CodecModel.plain(config)
    frames = _COUNTED_SECONDS * config.sample_rate_hz // config.hop
    wave = torch.zeros(1, 1, frames * config.hop)
    codes = torch.zeros(1, len(config.stages), frames, dtype=torch.int64)
    positions = [0] * len(config.stages)
    seconds = wave.shape[-1] / config.sample_rate_hz
    return (
        count_multiply_adds(model, lambda: model.encode(wave, positions)) / seconds,
        count_multiply_adds(model, lambda: model.decode(codes, positions)) / seconds,
    )
