"""One of the processes of `test_trainer.py`: kind, output prefix, and after how many steps
processes average weights.

Where they do, the second process's batch at step 1 is broken.
"""

from __future__ import annotations

import dataclasses
import sys

import torch
from accelerate import Accelerator
from test_trainer import crops, settings

from codec.layouts.presets import tiny
from codec.training.trainer import Trainer


def main(kind: str, prefix: str, average_every: str = "1") -> None:
    torch.set_num_threads(1)
    config = tiny(kind=kind)
    silent = tuple(dataclasses.replace(stage, noise_variance=0.0) for stage in config.stages)
    accelerator = Accelerator(cpu=True)
    chosen = settings(gradient_clip=1.0, average_every=int(average_every))
    subject = Trainer(dataclasses.replace(config, stages=silent), chosen, accelerator)
    size = 4 // accelerator.num_processes
    broken_at = 1 if chosen.average_every > 1 and accelerator.process_index == 1 else None

    def share(step: int) -> torch.Tensor:
        mine = crops(step)[accelerator.process_index * size :][:size]
        return mine * torch.nan if step == broken_at else mine

    losses, left, norms = [], [], []
    for step in range(8):
        if step == 2:
            left = subject.start_quantizing(share)
        losses.append(subject.step(share(step), step / 8).figures["total"])
        norms.append(torch.nn.utils.get_total_norm(subject.model.parameters()).detach())
    state = {
        "losses": torch.stack(losses),
        "left": torch.tensor(left),
        "norms": torch.stack(norms),
        "skipped": subject.all_skipped,
        "model": subject.model.state_dict(),
        "averaged": subject.averaged.state_dict(),
        "discriminator": subject.discriminator.state_dict(),
    }
    torch.save(state, f"{prefix}-rank{accelerator.process_index}.pt")
    accelerator.end_training()


if __name__ == "__main__":
    main(*sys.argv[1:])
