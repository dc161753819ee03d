"""Put the tables and plots of all results into `RESULTS.md`, between the marks that name them.

    python -m recipes.studies.quantizers.report

The words around the tables are written by hand; no figure in a table is.
"""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codec import ConfigError, atomic_output

from ...run_script import run_script
from . import codec_tables, plots, tables
from .questions import QUESTIONS
from .study import read_results
from .tables import Results

HERE = Path(__file__).parent

# The block's name in RESULTS.md, the question whose runs it needs, and what makes the block.
BLOCKS: dict[str, tuple[str, Callable[[Results], str]]] = {
    "codebook": ("codebook", tables.codebook),
    "residual": ("residual", lambda results: tables.chain([*results["residual"], *results["commitment"]])),
    "tuned": ("tuned", lambda results: tables.chain(results["tuned"])),
    "stages": ("stages", lambda results: tables.chain(results["stages"])),
    "toy": ("toy", lambda results: tables.chain(results["toy"])),
    "codewords": ("codewords", tables.codewords),
    "positions": ("positions", tables.positions),
    "chain_positions": ("residual", tables.chain_positions),
    "noise": ("noise", tables.noise),
    "starts": ("starts", tables.starts),
    "rates": ("rates", tables.rates),
    "batches": ("rates", tables.batches),
    "use": ("rates", tables.use),
    "damage": ("residual", tables.damage),
    "coded": ("residual", tables.coded),
    "codec_residual": ("codec", codec_tables.residual_scores),
    "codec_residual_differences": ("codec", codec_tables.residual_differences),
    "codec_residual_stages": ("codec", codec_tables.residual_stages),
    "codec_positions": ("codec", codec_tables.positions),
    "codec_one": ("codec", codec_tables.one_codebook),
    "codec_one_differences": ("codec", codec_tables.one_codebook_differences),
    "codec_random": ("codec", codec_tables.random_start),
    "codec_random_differences": ("codec", codec_tables.random_start_differences),
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where results are and where the report goes."""

    results: Path = HERE / "results"
    report: Path = HERE / "RESULTS.md"
    plots: Path = HERE / "plots"


def main(arguments: Arguments) -> None:
    results: Results = {name: read_results(arguments.results / f"{name}.jsonl") for name in (*QUESTIONS, "codec")}
    text = filled(arguments.report.read_text(encoding="utf-8"), results)
    with atomic_output(arguments.report, overwrite=True) as file:
        file.write(text.encode())
    arguments.plots.mkdir(parents=True, exist_ok=True)
    plots.draw(results, arguments.plots)


def filled(text: str, results: Results) -> str:
    """The text with every block between `<!-- begin NAME -->` and `<!-- end -->` made anew."""

    def block(match: re.Match[str]) -> str:
        name = match[1]
        if name not in BLOCKS:
            raise ConfigError(f"RESULTS.md has a block {name!r}; known: {', '.join(BLOCKS)}")
        return f"<!-- begin {name} -->\n{_block(name, results)}\n<!-- end -->"

    return re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


def _block(name: str, results: Results) -> str:
    question, make = BLOCKS[name]
    runs = results[question]
    if question == "codec":
        return make(results) if runs else "Not run yet."
    if not runs:
        return f"Not run yet: `python -m recipes.studies.quantizers.study {question} --latents runs/latents`."
    budget = sorted({f"{run['run']['steps']} steps of {run['run']['batch']} latents" for run in runs})
    seeds = len({run["run"]["seed"] for run in runs})
    missing = len(QUESTIONS[question]()) - len(runs)
    facts = [
        f"{len(runs)} runs, {seeds} seeds" + (f", {missing} runs missing" if missing > 0 else ""),
        " or ".join(budget),
        f"{statistics.fmean(run['cpu_seconds'] for run in runs):.1f} s of one core a run",
        f"`python -m recipes.studies.quantizers.study {question} --latents runs/latents`",
    ]
    return f"{make(results)}\n\n{'; '.join(facts)}."


if __name__ == "__main__":
    run_script(main, Arguments)
