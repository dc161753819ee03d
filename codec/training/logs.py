"""Logs a run: `metrics.jsonl` (one JSON object per line), TensorBoard through Accelerate, the
terminal.
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..errors import ConfigError
from ..files.output import atomic_output

METRICS = "metrics.jsonl"

_SPECTROGRAM_WINDOW = 512
_SPECTROGRAM_RANGE_DB = 80


class RunLog:
    """The log of one run's folder; on the first process only, elsewhere it does nothing.

    Opened at a step, it first drops what an interrupted run wrote beyond that step, so that file
    and TensorBoard read as those of one unbroken run. Figures without a value (None, NaN, infinite)
    are null in the file.

    Args:
        folder: the run's; it exists.
        accelerator: one that logs with TensorBoard.
        at_step: steps done so far.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, *, at_step: int) -> None:
        self.accelerator = accelerator
        self.is_main = accelerator.is_main_process
        self.path = folder / METRICS
        self.note = ""
        if "tensorboard" not in map(str, accelerator.log_with):
            raise ConfigError(
                "the Accelerator does not log with TensorBoard: install diveq-codec[train], and "
                "give it "
                "log_with='tensorboard' and a project_dir"
            )
        if self.is_main:
            _drop_after(self.path, at_step)
        accelerator.init_trackers(
            "tensorboard", init_kwargs={"tensorboard": {"purge_step": at_step + 1}}
        )
        console = Console(file=sys.stderr)
        self.progress = Progress(
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not (self.is_main and console.is_terminal),
        )
        self.task = self.progress.add_task("train", total=1.0, step=at_step, note="")

    def __enter__(self) -> RunLog:
        self.progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.progress.stop()
        self.accelerator.end_training()

    def write(self, step: int, event: str, values: dict[str, Any]) -> None:
        """One line of `metrics.jsonl`; the numbers among the values also go to TensorBoard."""
        if not self.is_main:
            return
        values = _finite(values)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "event": event, **values}, allow_nan=False) + "\n")
        numbers = _numbers(values)
        self.accelerator.log(
            {f"{event}/{name}": value for name, value in numbers.items()}, step=step
        )
        if self.progress.disable:
            shown = "  ".join(
                f"{name} {value:.4g}" for name, value in numbers.items() if "/" not in name
            )
            print(f"step {step} {event}  {shown}", file=sys.stderr, flush=True)

    def say(self, words: str) -> None:
        """A line on the terminal, above the bar."""
        if self.is_main:
            self.progress.console.print(words, highlight=False)

    def show(self, step: int, progress: float) -> None:
        """Move the bar on the terminal."""
        self.progress.update(self.task, completed=progress, step=step, note=self.note)

    def audio(self, step: int, name: str, wave: np.ndarray, sample_rate_hz: int) -> None:
        """A clip (samples,) and its spectrogram, for TensorBoard."""
        if self.is_main:
            writer: Any = self.accelerator.get_tracker("tensorboard", unwrap=True)
            writer.add_audio(
                f"audio/{name}", np.clip(wave, -1, 1), step, sample_rate=sample_rate_hz
            )
            writer.add_image(f"spectrogram/{name}", spectrogram(wave), step, dataformats="HW")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The records of a `metrics.jsonl`; a line that a crash cut off is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def spectrogram(wave: np.ndarray) -> np.ndarray:
    """Of (samples,): an image in [0, 1], rows from high to low frequencies; 0 is 80 dB below the
    loudest.
    """
    window = _SPECTROGRAM_WINDOW
    padded = np.pad(wave, (0, max(0, window - len(wave))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[:: window // 4] * np.hanning(
        window
    )
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)).T[::-1] + 1e-7)
    return np.clip((level - level.max()) / _SPECTROGRAM_RANGE_DB + 1, 0, 1)


def _drop_after(path: Path, step: int) -> None:
    if path.exists():
        kept = [record for record in read_metrics(path) if record["step"] <= step]
        with atomic_output(path, overwrite=True) as file:
            file.writelines(json.dumps(record).encode() + b"\n" for record in kept)


def _finite(value: Any) -> Any:
    """The same JSON, with null for numbers that JSON does not have."""
    if isinstance(value, dict):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    """The numbers of a record by path: stages of a list count from 1."""
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, list):
            value = {str(index): inner for index, inner in enumerate(value, start=1)}
        if isinstance(value, dict):
            flat |= {f"{name}/{inner}": number for inner, number in _numbers(value).items()}
        elif isinstance(value, int | float):
            flat[name] = float(value)
    return flat
