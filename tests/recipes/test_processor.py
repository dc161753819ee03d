"""What training makes of the processor."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from recipes.runs.folder import processor

ROOT = Path(__file__).parents[2]
# Steps with two tensors of 64 MB, more than glibc learns to keep, and how often the system had to
# give memory in the later ones.
FAULTS = """
import resource, sys, torch
from recipes.runs.folder.processor import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
def step():
    return torch.ones(2**24) + 1
for _ in range(10):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.parametrize(
    ("environment", "threads"),
    [
        ({}, None),
        ({"OMP_NUM_THREADS": "1"}, None),  # the user's own
        ({"OMP_NUM_THREADS": "1", "ACCELERATE_MIXED_PRECISION": "no"}, 8),
        ({"OMP_NUM_THREADS": "3", "ACCELERATE_MIXED_PRECISION": "no"}, None),
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "2"}, 4),
        ({"OMP_NUM_THREADS": "1", "LOCAL_WORLD_SIZE": "16"}, 1),
    ],
)
def test_what_a_launcher_starts_shares_the_processors(monkeypatch, environment, threads):
    for name in ("OMP_NUM_THREADS", "LOCAL_WORLD_SIZE", "ACCELERATE_MIXED_PRECISION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(processor, "allowed_processors", lambda: 8)
    assert processor.threads_of_launched() == threads


@pytest.mark.parametrize(("bf16_seconds", "precision"), [(0.5, "bf16"), (0.9, "no"), (12.0, "no")])
def test_bf16_is_taken_where_it_is_clearly_faster(monkeypatch, bf16_seconds, precision):
    monkeypatch.setattr(processor, "_seconds", lambda m: bf16_seconds if m.itemsize == 2 else 1.0)
    assert processor.fastest_precision() == precision


def test_a_product_takes_time():
    assert processor.fastest_precision() in ("no", "bf16")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told so")
def test_freed_memory_is_kept():
    faults = {
        how: int(
            subprocess.run(
                [sys.executable, "-c", FAULTS, how],
                cwd=ROOT,
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for how in ("keep", "give")
    }
    assert faults["keep"] < faults["give"] / 5
