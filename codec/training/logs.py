"""Where a run writes: `metrics.jsonl` (one JSON object per line), TensorBoard through Accelerate, the terminal."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from accelerate import Accelerator
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

METRICS = "metrics.jsonl"


class RunLog:
    """The log of one run's folder; on the first process only, elsewhere it does nothing.

    Opened at a step, it first drops what an interrupted run wrote beyond that step, so the file reads as that of
    one unbroken run.
    """

    def __init__(self, folder: Path, accelerator: Accelerator, *, at_step: int) -> None:
        self.accelerator = accelerator
        self.is_main = accelerator.is_main_process
        self.path = folder / METRICS
        if self.is_main:
            _drop_after(self.path, at_step)
        accelerator.init_trackers("tensorboard")
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
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.progress.stop()
        self.accelerator.end_training()

    def write(self, step: int, event: str, values: dict[str, Any]) -> None:
        """One line of `metrics.jsonl`; the numbers among the values also go to TensorBoard."""
        if not self.is_main:
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "event": event, **values}) + "\n")
        self.accelerator.log({f"{event}/{name}": v for name, v in _numbers(values).items()}, step=step)
        if self.progress.disable:
            shown = {name: round(v, 3) for name, v in _numbers(values).items() if "/" not in name}
            print(f"step {step} {event} {shown}", file=sys.stderr, flush=True)

    def show(self, step: int, progress: float, note: str) -> None:
        """Move the bar on the terminal."""
        self.progress.update(self.task, completed=progress, step=step, note=note)

    def audio(self, step: int, name: str, wave: np.ndarray, sample_rate_hz: int) -> None:
        """A clip (samples,) and its spectrogram, for TensorBoard."""
        if self.is_main:
            writer: Any = self.accelerator.get_tracker("tensorboard", unwrap=True)
            writer.add_audio(f"audio/{name}", wave, step, sample_rate=sample_rate_hz)
            writer.add_image(f"spectrogram/{name}", _spectrogram(wave), step, dataformats="HW")


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a `metrics.jsonl`; a last line cut off by a crash is left out."""
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def _drop_after(path: Path, step: int) -> None:
    if path.exists():
        kept = [record for record in read_metrics(path) if record["step"] <= step]
        path.write_text("".join(json.dumps(record) + "\n" for record in kept), encoding="utf-8")


def _numbers(values: dict[str, Any]) -> dict[str, float]:
    flat: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, list):
            flat |= {f"{name}/{index + 1}": float(v) for index, v in enumerate(value)}
        elif isinstance(value, dict):
            flat |= {f"{name}/{inner}": v for inner, v in _numbers(value).items()}
        elif isinstance(value, int | float):
            flat[name] = float(value)
    return flat


def _spectrogram(wave: np.ndarray, window: int = 512) -> np.ndarray:
    """dB magnitudes from -80 to 0 under the loudest, as an image in [0, 1], low frequencies at the bottom."""
    frames = np.lib.stride_tricks.sliding_window_view(wave, window)[:: window // 4] * np.hanning(window)
    level = 20 * np.log10(np.abs(np.fft.rfft(frames)).T[::-1] + 1e-7)
    return np.clip((level - level.max()) / 80 + 1, 0, 1)
