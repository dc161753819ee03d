"""From nothing to a result: download, manifest, training, and the table on test-clean.

    python -m recipes.runs.libritts.all 16khz-one-gpu --corpora corpora --out runs/libritts

Stopped at any moment, the same command goes on: what is done is not done again.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from codec import ConfigError, DiveqCodecError
from codec.model_lookup import MODEL_FILE

from ...run_script import run_script
from . import download, score_run
from .train import RUNS

ROOT = Path(__file__).resolve().parents[3]
LAUNCH_CONFIGS = Path(__file__).resolve().parent / "accelerate"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which run, and where."""

    run: Annotated[str, tyro.conf.Positional]
    """Its name in `recipes.runs.libritts.train`; those of two nodes are launched on each of them
    instead.
    """
    corpora: Path = Path("corpora")
    """Where the corpus is, or goes to."""
    out: Path = Path("runs/libritts")
    """The run's folder."""
    mirror: str = download.OFFICIAL
    """Address below which the archives lie."""
    checksums: Path | None = None
    """Lines of `sha256sum`, for a mirror with archives of its own."""
    clips: int | None = 500
    """How many clips of test-clean to measure; None is all."""
    workers: int = 8
    """Processes that score; 1 scores in this one."""


def main(arguments: Arguments) -> None:
    command = launch(arguments)
    download.main(
        download.Arguments(
            root=arguments.corpora,
            subsets=(*RUNS[arguments.run].subsets, "dev-clean", "test-clean"),  # pyright: ignore[reportArgumentType]
            mirror=arguments.mirror,
            checksums=arguments.checksums,
        )
    )
    if not (arguments.out / MODEL_FILE).exists():
        _train(command, arguments.out / MODEL_FILE)
    score_run.main(
        score_run.Arguments(
            run=arguments.out,
            corpus=arguments.corpora / download.CORPUS,
            clips=arguments.clips,
            workers=arguments.workers,
        )
    )


def launch(arguments: Arguments) -> list[str]:
    """The command that trains the run."""
    if arguments.run not in RUNS:
        raise ConfigError(f"there is no run {arguments.run!r}; there are {', '.join(RUNS)}")
    _, _, machine = arguments.run.partition("-")
    if machine == "two-nodes":
        raise ConfigError(
            f"{arguments.run} is launched on both nodes: see recipes/runs/libritts/train.py; "
            "before that, recipes.runs.libritts.download, and recipes.runs.libritts.score_run at "
            "the end"
        )
    config = LAUNCH_CONFIGS / f"{machine.replace('-', '_')}.yaml"
    launcher = ["-m", "accelerate.commands.launch", "--config_file", str(config)] if machine else []
    corpus = (arguments.corpora / download.CORPUS).resolve()
    places = [
        "--data",
        corpus,
        "--validation",
        corpus / "dev-clean",
        "--out",
        arguments.out.resolve(),
    ]
    return [
        sys.executable,
        *launcher,
        "-m",
        "recipes.runs.libritts.train",
        arguments.run,
        *map(str, places),
    ]


def _train(command: list[str], model: Path) -> None:
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode in (130, 143):
        raise DiveqCodecError(
            "the training was stopped before its end; run the same command to go on"
        )
    if done.returncode:
        raise DiveqCodecError(
            f"the training ended with exit code {done.returncode}: {' '.join(command)}"
        )
    if not model.exists():
        raise DiveqCodecError(
            "the training was stopped before its end; run the same command to go on"
        )


if __name__ == "__main__":
    run_script(main, Arguments)
