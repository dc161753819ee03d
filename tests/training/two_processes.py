"""One of the processes of `test_two_processes_equal_one_on_the_same_global_batch`: kind, output prefix."""

from __future__ import annotations

import dataclasses
import sys

import torch
from accelerate import Accelerator
from test_trainer import crops, settings

from codec.config import tiny
from codec.training.trainer import Trainer


def main(kind: str, prefix: str) -> None:
    torch.set_num_threads(1)
    config = tiny(kind=kind)
    silent = tuple(dataclasses.replace(stage, noise_variance=0.0) for stage in config.stages)
    accelerator = Accelerator(cpu=True)
    subject = Trainer(dataclasses.replace(config, stages=silent), settings(gradient_clip=1.0), accelerator)
    size = 4 // accelerator.num_processes

    def share(step: int) -> torch.Tensor:
        return crops(step)[accelerator.process_index * size :][:size]

    losses, left = [], []
    for step in range(8):
        if step == 2:
            left = subject.start_quantizing(share)
        losses.append(subject.step(share(step), step / 8).figures["total"])
    state = {
        "losses": torch.stack(losses),
        "left": torch.tensor(left),
        "model": subject.model.state_dict(),
        "averaged": subject.averaged.state_dict(),
        "discriminator": subject.discriminator.state_dict(),
    }
    torch.save(state, f"{prefix}-rank{accelerator.process_index}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
