"""What it takes to average the weights of the default model over processes: ours, in one flat
all-reduce, and Accelerate's LocalSGD, tensor by tensor.

    torchrun --nproc_per_node 2 tests/measure_averaging.py
"""

from __future__ import annotations

import time

import torch
from accelerate import Accelerator
from accelerate.local_sgd import LocalSGD

from codec.layouts.presets import speech_16khz
from codec.model import CodecModel
from codec.training.distributed import average

ROUNDS = 20


def main() -> None:
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    model = CodecModel(speech_16khz())
    parameters = list(model.parameters())
    theirs = LocalSGD(accelerator, model, local_sgd_steps=1, enabled=True)
    ways = {
        "one flat all-reduce": lambda: average(parameters),
        "LocalSGD": theirs._sync_and_avg_model_params,
    }
    times = {name: [] for name in ways}
    for _ in range(ROUNDS + 1):  # the first one is not counted
        for name, way in ways.items():
            accelerator.wait_for_everyone()
            start = time.perf_counter()
            with torch.no_grad():
                way()
            times[name].append(time.perf_counter() - start)
    if accelerator.is_main_process:
        for name, taken in times.items():
            median = sorted(taken[1:])[ROUNDS // 2]
            print(f"{name}: {1000 * median:.0f} ms for {len(parameters)} tensors")


if __name__ == "__main__":
    main()
