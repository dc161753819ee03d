"""Score a run's model on test-clean: RUN/test-clean.json, and its table on standard output.

python -m recipes.runs.libritts.score_run --run runs/libritts-16khz --corpus corpora/LibriTTS
diveq-codec report runs/libritts-16khz/test-clean.json runs/libritts-16khz/report.html
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from codec import Codec, evaluate, evaluation_text, find_sources, model_candidates
from codec.model_lookup import MODEL_FILE

from ...held_out import spread
from ...rates import StageCounts
from ...run_script import run_script
from ..folder.model_file import stage_counts_of

SUBSET = "test-clean"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which run's model to score."""

    run: Path
    """The run's folder, with `model.safetensors`."""
    corpus: Path = Path("corpora/LibriTTS")
    clips: int | None = 500
    """How many of the 4,837 clips, evenly spread over the sorted paths and so over the speakers;
    None is all.
    """
    stage_counts: StageCounts = (1, 2, 3, 4, 6, 8, 10, 12, 14, 20, 28)
    """How many quantizer stages to decode from; what the model lacks is left out."""
    device: str = "auto"
    workers: int = 8
    """Processes that score; 1 scores in this one."""


def main(arguments: Arguments) -> None:
    codec = Codec.load(arguments.run / MODEL_FILE, device=arguments.device)
    counts = stage_counts_of(codec.config, arguments.stage_counts)
    sources = spread(find_sources(arguments.corpus / SUBSET), arguments.clips)
    evaluation = evaluate(
        sources,
        model_candidates(codec, stage_counts=counts),
        data=SUBSET,
        sample_rate_hz=codec.config.sample_rate_hz,
        workers=arguments.workers,
    )
    evaluation.write(arguments.run / f"{SUBSET}.json", overwrite=True)
    print(evaluation_text(evaluation), end="")


if __name__ == "__main__":
    run_script(main, Arguments)
