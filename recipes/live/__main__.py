"""What losses cost: `python -m recipes.live --data speech/val --out runs/live`.

Writes `runs/live.md` and `.json`: scores with 95 % intervals, and kbps, against loss, of our codec
with and without copies, of filling with zeros and of repetition, and of Opus with its own
concealment and error correction through the same losses; and of the whole way with jitter,
reordering and doubled packets. Words: `--plug-ins recipes.measure.words:word_error_rate`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import LIVE_MODEL, Codec, Metric, absent_metrics, find_sources, load_metric
from codec.evaluation.result import Clip, Mean
from codec.evaluation.summary import summarise
from codec.metrics import score, select_metrics

from ..held_out import spread
from ..markdown import table
from ..run_script import run_script
from ..stderr_progress import progress_on_stderr
from .network import LossyNetwork
from .systems import RATE_HZ, Ours, System, opus

_METRICS = ("pesq_wb", "estoi", "distillmos", "plcmos")


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Measure what losses on the way cost."""

    data: Path
    out: Path
    model: str = LIVE_MODEL
    clips: int | None = None
    """So many, spread over all; None is all."""
    losses: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3)
    kbps: float = 3.0
    metrics: tuple[str, ...] = ()
    """By default PESQ, ESTOI, and the models of listeners where their packages are installed."""
    plug_ins: tuple[str, ...] = ()
    """Further metrics, MODULE:NAME."""

    def run(self) -> None:
        """Measure all of it."""
        absent = ("distillmos", "plcmos") if absent_metrics() else ()
        names = self.metrics or [name for name in _METRICS if name not in absent]
        plug_ins = dict(map(load_metric, self.plug_ins))
        metrics = select_metrics(names, plug_ins)
        sources = spread(find_sources(self.data), self.clips)
        waves = {source.name: source.read().at(RATE_HZ).wave[0] for source in sources}
        systems = self._systems()
        results = []
        with progress_on_stderr(f"{len(systems)} systems", unit="files") as report:
            for name, system in systems.items():
                for loss in self.losses:
                    clips = _heard(system, waves, loss, names, plug_ins)
                    means = summarise(clips, metrics)
                    bits = sum(clip.bits or 0 for clip in clips)
                    seconds = sum(map(len, waves.values())) / RATE_HZ
                    row = {"system": name, "loss": loss, "kbps": bits / 1000 / seconds}
                    results.append((row, means))
                    report(len(results), len(systems) * len(self.losses))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        rows = [
            row | {name: dataclasses.asdict(mean) for name, mean in means.items()}
            for row, means in results
        ]
        self.out.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")
        self.out.with_suffix(".md").write_text(_table(results, metrics, len(waves)))

    def _systems(self) -> dict[str, System]:
        ours = Ours(Codec.load(self.model, backend="onnx"), self.kbps)
        with_copies = dataclasses.replace(ours, copies=2)
        return {
            f"{self.model}, {self.kbps:g} kbps": ours.concealed,
            "+ 2 copies": with_copies.concealed,
            "+ 2 copies, RTP, 80 ms jitter, 5 % twice": lambda wave, network: with_copies.received(
                wave, dataclasses.replace(network, jitter_seconds=0.08, doubled=0.05)
            ),
            "zeros": ours.zero_filled,
            "repetition": ours.repeated,
            "Opus 6 kbps": opus(6),
            "Opus 9 kbps": opus(9),
        }


def _heard(
    system: System,
    waves: Mapping[str, np.ndarray],
    loss: float,
    names: Sequence[str],
    plug_ins: Mapping[str, Metric],
) -> list[Clip]:
    """Each clip through the same losses, whatever the system."""
    clips = []
    for number, (name, wave) in enumerate(waves.items()):
        made, kbps = system(wave, LossyNetwork(loss=loss, seed=number))
        scores = score(wave, made, sample_rate_hz=RATE_HZ, names=names, extra_metrics=plug_ins)
        bits = round(1000 * kbps * len(wave) / RATE_HZ)
        clips.append(Clip(name=name, bits=bits, scores=scores))
    return clips


def _table(
    results: list[tuple[dict, dict[str, Mean]]], metrics: Mapping[str, Metric], clips: int
) -> str:
    rows = [
        [row["system"], f"{row['loss']:.0%}", f"{row['kbps']:.2f}", *map(_shown, means.values())]
        for row, means in results
    ]
    heads = ["system", "loss", "kbps", *(metric.title for metric in metrics.values())]
    return f"{clips} clips.\n\n{table(heads, rows, are_numbers=True)}\n"


def _shown(mean: Mean) -> str:
    if mean.mean is None:
        return "-"
    digits = 1 if mean.mean >= 10 else 2 if mean.mean >= 1 else 3
    if mean.low is None or mean.high is None:
        return f"{mean.mean:.{digits}f}"
    return f"{mean.mean:.{digits}f} ({mean.low:.{digits}f} to {mean.high:.{digits}f})"


if __name__ == "__main__":
    run_script(Losses.run, Losses)
