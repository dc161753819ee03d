"""Score a run's model on test-clean: RUN/test-clean.json and RUN/test-clean.md.

python -m recipes.libritts.evaluate --run runs/libritts-16khz --corpus corpora/LibriTTS
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import evaluate
from ..folder.train import MODEL
from ..run_script import run_script


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Which run's model to score."""

    run: Path
    """The run's folder, with `model.safetensors`."""
    corpus: Path = Path("corpora/LibriTTS")
    clips: int | None = 500
    """How many of the 4,837 clips, evenly spread over the sorted paths and so over the speakers; None is all."""
    device: str = "auto"
    workers: int = 8
    """Processes that score."""


def on_test_clean(arguments: Arguments) -> evaluate.Arguments:
    """The evaluation of a run on test-clean, at all stage counts that tables of codecs show."""
    return evaluate.Arguments(
        model=arguments.run / MODEL,
        data=arguments.corpus / "test-clean",
        out=arguments.run / "test-clean",
        clips=arguments.clips,
        device=arguments.device,
        workers=arguments.workers,
    )


def main(arguments: Arguments) -> None:
    evaluate.main(on_test_clean(arguments))


if __name__ == "__main__":
    run_script(main, Arguments)
