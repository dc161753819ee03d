"""Put the tables and plots of whole codecs into `RESULTS.md`, between the marks that name them.

    python -m recipes.studies.quantizers.study_tables

The words around the tables are written by hand; no figure in a table is.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from codec import ConfigError, atomic_output

from ...run_script import run_script
from . import codec_tables, plots
from .stored_results import read_results
from .variants import Results

HERE = Path(__file__).parent

# The block's name in RESULTS.md, and what makes it.
BLOCKS: dict[str, Callable[[Results], str]] = {
    "codec_residual": codec_tables.residual_scores,
    "codec_residual_differences": codec_tables.residual_differences,
    "codec_residual_stages": codec_tables.residual_stages,
    "codec_positions": codec_tables.positions,
    "codec_one": codec_tables.one_codebook,
    "codec_one_differences": codec_tables.one_codebook_differences,
    "codec_random": codec_tables.random_start,
    "codec_random_differences": codec_tables.random_start_differences,
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where results are and where the report goes."""

    results: Path = HERE / "results"
    report: Path = HERE / "RESULTS.md"
    plots: Path = HERE / "plots"


def main(arguments: Arguments) -> None:
    results: Results = {"codec": read_results(arguments.results / "codec.jsonl")}
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
        made = BLOCKS[name](results) if results["codec"] else "Not run yet."
        return f"<!-- begin {name} -->\n{made}\n<!-- end -->"

    return re.sub(r"<!-- begin (\w+) -->\n.*?<!-- end -->", block, text, flags=re.DOTALL)


if __name__ == "__main__":
    run_script(main, Arguments)
