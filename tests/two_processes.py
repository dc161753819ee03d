"""The two processes of `training/test_two_processes.py`: a folder for what each run leaves, and the
runs as kind:N, where processes average their weights every N steps. At the end the second process
gets a stop signal, in a run of its own.

Where N is above 1, the second process's batch at step 1 is broken. One process starts and forks, as
each that torchrun starts would import torch for seconds; it tells both what torchrun tells.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from small_models import shallow
from synthesis import synthesize_speech

from codec.layouts.stage_kinds import StageKind
from codec.training import run as run_module
from codec.training.objective.discriminators import DiscriminatorConfig
from codec.training.settings import TrainingConfig
from codec.training.trainer import Trainer

SAMPLES = 3200  # of a crop
SMALL = DiscriminatorConfig(
    periods=(), windows=(256,), bands=((0.0, 1.0),), period_width=1, spectral_width=2
)


def settings(**changes) -> TrainingConfig:
    defaults = TrainingConfig(
        steps=6,
        batch_size=4,
        segment_seconds=SAMPLES / 16_000,
        quantize_from=0.25,
        adversarial_from=0.5,
        table_from=0.75,
        initialise_vectors=120,
        windows_per_step=2,
        replace_every_steps=3,
        rate_warmup_steps=5,
        discriminator=SMALL,
    )
    return dataclasses.replace(defaults, **changes)


def crops(step: int, batch: int = 4, samples: int = SAMPLES) -> torch.Tensor:
    wave = torch.from_numpy(synthesize_speech(4.0, seed=1))
    starts = torch.randint(
        len(wave) - samples, (batch,), generator=torch.Generator().manual_seed(step)
    )
    return torch.stack([wave[start : start + samples] for start in starts])[:, None]


def train(kind: StageKind, average_every: int, accelerator: Accelerator) -> dict[str, Any]:
    """Six steps; returns what is compared."""
    config = shallow(kind)
    silent = tuple(dataclasses.replace(stage, noise_variance=0.0) for stage in config.stages)
    chosen = settings(
        gradient_clip=1.0,
        average_every=average_every,
    )
    subject = Trainer(dataclasses.replace(config, stages=silent), chosen, accelerator)
    size = 4 // accelerator.num_processes
    broken_at = 1 if average_every > 1 and accelerator.process_index == 1 else None

    def share(step: int) -> torch.Tensor:
        mine = crops(step)[accelerator.process_index * size :][:size]
        return mine * torch.nan if step == broken_at else mine

    losses, left, norms = [], [], []
    for step in range(6):
        if step == 2:
            left = subject.start_quantizing(share)
        losses.append(subject.step(share(step), step / 6).figures["total"])
        norms.append(torch.nn.utils.get_total_norm(subject.model.parameters()).detach())
    return {
        "losses": torch.stack(losses),
        "left": torch.tensor(left),
        "norms": torch.stack(norms),
        "skipped": subject.all_skipped,
        "model": subject.model.state_dict(),
        "averaged": subject.averaged.state_dict(),
        "discriminator": subject.discriminator.state_dict(),
    }


def stop_one(folder: Path) -> None:
    """A run that the second process is asked to stop in its second step."""
    from training.small_run import batches, small_trainer

    trainer = small_trainer(folder, steps=40, adversarial_from=1.0)

    def data(step: int) -> torch.Tensor:
        if step == 1 and trainer.accelerator.process_index == 1:
            signal.raise_signal(signal.SIGTERM)
        return batches(step)

    never = {"save_every_minutes": 1e9, "validate_every_minutes": 1e9}
    stop_signal = run_module.train(
        trainer, data, folder, validate=lambda *_: {}, log_every_steps=3, **never
    )
    assert stop_signal == signal.SIGTERM  # in either process
    left = [name for name in threads() if "gloo" in name]
    assert not left, f"the process group still has {left}, which may abort the process at its end"


def threads() -> list[str]:
    """The names of this process's threads, where the system tells them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


def main(port: str, folder: str, *runs: str) -> int:
    import torch._dynamo  # as optimisers do: once for both

    other = os.fork()
    # Where the two wait for each other for ever, as a test is to find, they end all the same.
    signal.alarm(500)
    rank = str(int(other == 0))
    os.environ.update(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE="2", LOCAL_WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=port)
    torch.set_num_threads(1)
    accelerator = Accelerator(cpu=True)
    for run in runs:
        kind, average_every = run.split(":")
        state = train(cast("StageKind", kind), int(average_every), accelerator)
        torch.save(state, Path(folder) / f"{run}-rank{accelerator.process_index}.pt")
    stop_one(Path(folder) / "stopped")
    return os.waitpid(other, 0)[1] if other else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
