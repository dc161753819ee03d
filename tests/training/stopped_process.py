"""One of the processes of `test_a_signal_to_any_process_stops_all`: the run's folder."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import torch

from codec.training.run import train

from .small_run import batches, small_trainer


def main(folder: str) -> None:
    signal.alarm(
        100
    )  # where the two wait for each other for ever, as this test is to find, they end all the same
    torch.set_num_threads(1)
    trainer = small_trainer(Path(folder), steps=40, adversarial_from=1.0)

    def data(step: int) -> torch.Tensor:
        if step == 5 and trainer.accelerator.process_index == 1:
            signal.raise_signal(signal.SIGTERM)
        return batches(step)

    never = {"save_every_minutes": 1e9, "validate_every_minutes": 1e9}
    finished = train(
        trainer, data, Path(folder), validate=lambda *_: {}, log_every_steps=4, **never
    )
    assert not finished
    left = [name for name in threads() if "gloo" in name]
    assert not left, f"the process group still has {left}, which may abort the process at its end"


def threads() -> list[str]:
    """The names of this process's threads, where the system tells them."""
    return [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]


if __name__ == "__main__":
    main(*sys.argv[1:])
