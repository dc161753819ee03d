"""Two processes train one model: as one process does, or each alone for some steps; and stop."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from equality import assert_equal_states
from two_processes import train

from codec.training.state import load_state


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What the runs of `two_processes.py` left."""
    folder = tmp_path_factory.mktemp("processes")
    script = Path(__file__).parents[1] / "two_processes.py"
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    command = [sys.executable, str(script), str(port), str(folder)]
    command += ["diveq:1", "sf_diveq:1", "diveq:3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


def ranks(run: str, folder: Path) -> list[dict[str, Any]]:
    return [torch.load(folder / f"{run}-rank{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
def test_two_processes_equal_one_on_the_same_global_batch(kind, folder):
    """Losses to rounding; the start of the codebooks and their replacement the same on both
    ranks.
    """
    one = train(kind, 1, Accelerator(cpu=True))
    first, second = ranks(f"{kind}:1", folder)
    assert_equal_states(first, second)
    # A latent half-way between two codewords may fall to either side after rounding, and later
    # steps build on it.
    torch.testing.assert_close(first["losses"][:4], one["losses"][:4], rtol=5e-3, atol=1e-4)
    torch.testing.assert_close(first["losses"], one["losses"], rtol=1e-2, atol=1e-4)
    torch.testing.assert_close(first["left"], one["left"], rtol=1e-3, atol=1e-5)


def test_processes_that_step_alone_meet_at_every_third_step(folder):
    """In between each has weights of its own, also after the start of the codebooks; a broken step
    is everybody's.
    """
    first, second = ranks("diveq:3", folder)
    # The step that one process cannot do is number 1, so that after it both still are as after step
    # 0.
    same = (first["norms"] == second["norms"]).tolist()
    assert same == [False, False, True, False, False, True]
    assert first["skipped"] == second["skipped"] == 1
    assert first["norms"][1] == first["norms"][0]
    assert second["norms"][1] == second["norms"][0]
    torch.testing.assert_close(
        first["losses"][2:], second["losses"][2:], rtol=0, atol=0
    )  # figures are of all


def test_a_signal_to_any_process_stops_all(folder):
    """Only the second process gets it; both must leave the loop at the same step, or they wait for
    ever.
    """
    steps = load_state(folder / "stopped")["trainer"]["steps"]
    assert steps == 3  # they agree at lines of the log, or every tenth step
