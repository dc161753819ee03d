"""What losses cost: `python -m recipes.live --data speech/val --out runs/live`.

Writes `runs/live.md` and `.json`: PESQ, ESTOI and kbps against loss, of our codec with and without
copies, of filling with zeros and of repetition, and of Opus with its own concealment and error
correction through the same losses; and of the whole way with jitter, reordering and doubled
packets.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tyro

from codec import DEFAULT_MODEL, Codec, find_sources
from codec.metrics import score

from ..held_out import spread
from ..markdown import table
from .network import LossyNetwork
from .systems import RATE_HZ, Heard, Ours, System, opus


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Measure what losses on the way cost."""

    data: Path
    out: Path
    model: str = DEFAULT_MODEL
    clips: int = 12
    losses: tuple[float, ...] = (0.0, 0.05, 0.1, 0.2, 0.3)
    kbps: float = 3.0
    metrics: tuple[str, ...] = ("pesq_wb", "estoi")

    def run(self) -> None:
        """Measure all of it."""
        ours = Ours(Codec.load(self.model, backend="onnx"), self.kbps)
        with_copies = Ours(ours.codec, self.kbps, copies=2)
        systems: dict[str, System] = {
            f"{self.model}, {self.kbps:g} kbps": ours.concealed,
            "+ 2 copies": with_copies.concealed,
            "+ 2 copies, RTP, 80 ms jitter, 5 % twice": lambda wave, network: with_copies.received(
                wave,
                LossyNetwork(
                    loss=network.loss, seed=network.seed, jitter_seconds=0.08, doubled=0.05
                ),
            ),
            "zeros": ours.zero_filled,
            "repetition": ours.repeated,
            "Opus 6 kbps": opus(6),
            "Opus 9 kbps": opus(9),
        }
        sources = spread(find_sources(self.data), self.clips)
        waves = [source.read().at(RATE_HZ).wave[0] for source in sources]
        results = [
            {"system": name, "loss": loss, **self._means(system, waves, loss)}
            for name, system in systems.items()
            for loss in self.losses
        ]
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.out.with_suffix(".json").write_text(json.dumps(results, indent=1) + "\n")
        self.out.with_suffix(".md").write_text(_table(results, self.metrics, len(waves)))

    def _means(self, system: System, waves: list[np.ndarray], loss: float) -> dict[str, float]:
        heard = [
            system(wave, LossyNetwork(loss=loss, seed=number)) for number, wave in enumerate(waves)
        ]
        return self._scores(waves, heard)

    def _scores(self, waves: list[np.ndarray], heard: list[Heard]) -> dict[str, float]:
        scores = [
            score(wave, made, sample_rate_hz=RATE_HZ, names=self.metrics)
            for wave, (made, _) in zip(waves, heard, strict=True)
        ]
        means = {
            name: float(
                np.mean([value for each in scores if (value := each[name].value) is not None])
            )
            for name in self.metrics
        }
        return means | {"kbps": float(np.mean([kbps for _, kbps in heard]))}


def _table(results: list[dict], metrics: tuple[str, ...], clips: int) -> str:
    rows = [
        [
            row["system"],
            f"{row['loss']:.0%}",
            f"{row['kbps']:.2f}",
            *(f"{row[name]:.3f}" for name in metrics),
        ]
        for row in results
    ]
    return (
        f"{clips} clips.\n\n{table(['system', 'loss', 'kbps', *metrics], rows, are_numbers=True)}\n"
    )


if __name__ == "__main__":
    tyro.cli(Losses).run()
