"""What frames without a stage save: `python -m recipes.live.pauses --data speech/val`.

Prints the kbps of live packets with and without them (DTX), of all clips, and of the same clips as
one side of a conversation, which is silent after each clip for as long as the clip was: room noise
at -60 dBFS.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import LIVE_MODEL, Codec, find_sources

from ..markdown import table
from ..run_script import run_script
from .systems import RATE_HZ

_ROOM = 1e-3  # RMS


@dataclass(frozen=True, kw_only=True)
class Pauses:
    """Measure what pauses cost."""

    data: Path
    model: str = LIVE_MODEL
    kbps: float = 1.5
    packet_ms: float = 60.0

    def run(self) -> None:
        """Code it both ways."""
        codec = Codec.load(self.model, backend="onnx")
        waves = [source.read().at(RATE_HZ).wave[0] for source in find_sources(self.data)]
        rng = np.random.default_rng(0)
        sides = [
            np.concatenate([wave, (_ROOM * rng.standard_normal(len(wave))).astype(np.float32)])
            for wave in waves
        ]
        rows = []
        for name, speech in (("clips", waves), ("one side of a conversation", sides)):
            whole, saving = (self._kbps(codec, speech, dtx) for dtx in (False, True))
            saved = f"{100 * (1 - saving / whole):.0f} %"
            rows.append([name, f"{whole:.2f}", f"{saving:.2f}", saved])
        heads = ["speech", "kbps without DTX", "with DTX", "saved"]
        print(table(heads, rows, are_numbers=True))

    def _kbps(self, codec: Codec, waves: Sequence[np.ndarray], dtx: bool) -> float:
        """Of packets, without network headers; those of silence that a sender leaves out do not
        count.
        """
        size = 0
        for wave in waves:
            encoder = codec.live_encoder(
                sample_rate_hz=RATE_HZ, bitrate_kbps=self.kbps, packet_ms=self.packet_ms, dtx=dtx
            )
            packets = encoder.push(wave) + encoder.flush()
            size += sum(len(packet) for packet in packets if not encoder.live.is_silent(packet))
        return 8 * size / 1000 / (sum(map(len, waves)) / RATE_HZ)


if __name__ == "__main__":
    run_script(Pauses.run, Pauses)
