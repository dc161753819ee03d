"""Answer a question of the study on stored latents: one JSON object per run, added to OUT/QUESTION.jsonl.

    python -m recipes.studies.quantizers.study residual --latents runs/latents --out recipes/studies/quantizers/results

What is there already is not run again, so a stopped study goes on where it was.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from torch import Tensor

from ...run_script import run_script
from . import measures
from .latent_codec import LatentCodec, Run, start_key, start_state, trained_codec
from .latents import LatentSet, load
from .questions import QUESTIONS

# What is measured only where it is asked for: indices in all their aspects, of four stages.
_DETAILED = {"diveq", "sf_diveq"}


Question = Literal[
    "codebook",
    "residual",
    "toy",
    "stages",
    "commitment",
    "tuned",
    "codewords",
    "bits",
    "positions",
    "noise",
    "starts",
    "rates",
]


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which question, on which latents."""

    question: tyro.conf.Positional[Question]
    latents: Path
    """The folder with a folder of latents per source: `speech` and `toy` (`recipes.studies.quantizers.latents`)."""
    out: Path = Path("recipes/studies/quantizers/results")
    """The folder of the results."""
    steps: int | None = None
    """Of each run; None is what the question says."""
    threads: int = 1


def main(arguments: Arguments) -> None:
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{arguments.question}.jsonl"
    runs = QUESTIONS[arguments.question]()
    if arguments.steps is not None:
        runs = [dataclasses.replace(run, steps=arguments.steps) for run in runs]
    done = {_key(result["run"]) for result in read_results(path)}
    left = [run for run in runs if _key(dataclasses.asdict(run)) not in done]
    sources = {name: load(arguments.latents / name) for name in {run.source for run in left}}
    for key, group in groupby(sorted(left, key=start_key), start_key):
        alike = list(group)
        start = start_state(alike[0], sources[alike[0].source].train.tensor())
        for run in alike:
            result = run_result(run, sources[run.source], start)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
        print(arguments.question, *key, f"{len(alike)} runs", file=sys.stderr, flush=True)


def _key(run: dict[str, Any]) -> str:
    return json.dumps(run, sort_keys=True)


def run_result(run: Run, latents: LatentSet, start: dict[str, Tensor]) -> dict[str, Any]:
    """Train and measure; the time is that of this process alone."""
    began = time.process_time()
    held_out = latents.held_out.tensor()
    untrained, _ = trained_codec(dataclasses.replace(run, steps=0), latents.train.tensor(), start)
    codec, history = trained_codec(run, latents.train.tensor(), start)
    result = {"run": dataclasses.asdict(run), **measures.quality(codec, held_out), "history": history}
    result["start_snr_db"] = measures.snr_db(held_out, untrained.decode(untrained.encode(held_out)))
    if any(stage.config.is_space_filling for stage in codec.quantizer):
        result["positions"] = measures.embedded_positions(codec, held_out)
        result["continuous_snr_db"] = measures.continuous_snr_db(codec, held_out)
    if (run.source, run.stages) == ("speech", 4) and run.method in _DETAILED:
        result["orders"] = _orders(codec, run, latents)
    return plain(result | {"cpu_seconds": time.process_time() - began})


def _orders(codec: LatentCodec, run: Run, latents: LatentSet) -> dict[str, Any]:
    """Damage and coded bits, for each order that the codewords may have."""
    orders = {"curve" if run.method == "sf_diveq" else "tour": measures.in_tour_order(codec)}
    if run.method == "diveq":
        orders["random"] = measures.in_random_order(codec, run.seed)
    return {
        name: {
            "damage": measures.damage(ordered, latents.held_out.tensor(), run.seed),
            "coded": measures.coded_bits(ordered, latents.train, latents.held_out),
        }
        for name, ordered in orders.items()
    }


def plain(value: Any) -> Any:
    """Figures to six digits; JSON knows no NaN, so what a collapsed run gives in its place is null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def read_results(path: Path) -> list[dict[str, Any]]:
    """The runs in a file of results; none where there is no file."""
    if not path.is_file():
        return []
    lines: Iterable[str] = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


if __name__ == "__main__":
    run_script(main, Arguments)
