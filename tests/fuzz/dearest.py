"""Searches the packets that take the most work for their bytes: `PYTHONPATH=tests:. python -m
fuzz.dearest [SECONDS]`.

Streams of packets of one kind are timed in `read_info` and `verify`; the search goes on from the
dearest so far, one parameter changed at a time, and starts anew where nothing dearer is near. It
prints the dearest kinds that it has met, in microseconds a byte.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from bitstream.examples import content, forged, header

from codec.bitstream import GROUP_FRAMES, StageLayout, read_info, verify
from codec.bitstream.layout import MAX_PACKET_INDICES
from codec.bitstream.packing import fixed_size
from codec.bitstream.stage_counts import pack_depths

SECONDS = 600.0
STREAM_BYTES = 200_000
SHOWN = 10
PATIENCE = 12  # tries without a dearer one before the search starts anew

LAYOUTS = {
    "plain": (StageLayout(1),),
    "space": (StageLayout(1, 1),),
    "wide": (StageLayout(13, 7),),
    "unlike": (StageLayout(1, 1), StageLayout(1, 2)),
    "unlike plain": (StageLayout(1), StageLayout(1, 1)),
}
STAGES = 1, 2, 3, 4, 5, 8, 14, 30, 64, 127
CHANNELS = 1, 2, 3, 8, 64, 255
GROUPS = 1, 2, 3, 5, 8, 15, 16, 17, 19, 24, 33, 50, 70, 99, 100, 101, 130, 200, 400, 1000, 2752
DEPTHS = "all", "none", "guess but one", "one but one", "stairs", "few"
FAULTS = "whole", "fill", "index", "alternating"


@dataclass(frozen=True, slots=True)
class Kind:
    """The parameters of a packet. A fault of its payload is in each, or in every other one."""

    layout: str
    stages: int
    channels: int
    groups: int
    depths: str
    coding: int
    fault: str

    def stream(self) -> bytes | None:
        """A stream of such packets; None where the format has none."""
        layout = LAYOUTS[self.layout]
        stages = tuple(itertools.islice(itertools.cycle(layout), self.stages))
        frames = GROUP_FRAMES * self.groups
        if self.channels * self.stages * frames > MAX_PACKET_INDICES:
            return None
        depths = self._depths()
        varied, is_silent = bool((depths < self.stages).any()), not depths.any()
        if is_silent and self.coding == 1:
            return None
        frame_depths = depths.repeat(GROUP_FRAMES, axis=1)
        body = pack_depths(frame_depths, self.stages) if varied and not is_silent else b""
        if self.coding:
            payload = bytes(int(depths.max()) - 1)
        else:
            payload = bytes(fixed_size(stages, frame_depths))
        head = varied << 2 | self.coding
        sound, faulty = (
            content(len(body + end) << 3 | head, body + end)
            for end in (payload, self._spoilt(payload))
        )
        pair = {"whole": (sound, sound), "alternating": (sound, faulty)}
        first, second = pair.get(self.fault, (faulty, faulty))
        if self.fault != "whole" and sound == faulty:
            return None
        head = header(stages, channels=self.channels, packet_frames=frames)
        times = -(-STREAM_BYTES // (len(first) + len(second) + 8))
        return forged(head, *[first, second] * times)

    def _depths(self) -> np.ndarray:
        stages = self.stages
        depths = np.full((self.channels, self.groups), stages)
        if self.depths == "none":
            depths[:] = 0
        elif self.depths == "guess but one":
            depths[:] = (stages + 1) // 2
            depths[-1, -1] = max((stages + 1) // 2 - 1, 0)
        elif self.depths == "one but one":
            depths[:] = min(1, stages - 1)
            depths[-1, -1] = 1 if stages == 1 else 2
        elif self.depths == "stairs":
            depths[:] = np.arange(self.groups) % (stages + 1)
        elif self.depths == "few":
            depths[:] = 0
            depths[0, 0] = stages
        return depths

    def _spoilt(self, payload: bytes) -> bytes:
        if self.coding:
            return b"\x7f" * len(payload)
        fault = b"\1" if self.fault == "fill" else b"\x7f"
        return payload[:-1] + fault if payload else payload


def microseconds_per_byte(function: Callable[[io.BytesIO], object], data: bytes) -> float:
    start = time.process_time()
    function(io.BytesIO(data))
    return 1e6 * (time.process_time() - start) / len(data)


def cost(kind: Kind) -> float:
    """The dearer of `read_info` and `verify`; 0 where there is no such stream."""
    data = kind.stream()
    if data is None:
        return 0.0
    return max(microseconds_per_byte(function, data) for function in (read_info, verify))


def random_kind(rng: np.random.Generator) -> Kind:
    return Kind(*(rng.choice(values).item() for values in CHOICES.values()))


def changed(kind: Kind, rng: np.random.Generator) -> Kind:
    name = rng.choice(list(CHOICES)).item()
    return dataclasses.replace(kind, **{name: rng.choice(CHOICES[name]).item()})


CHOICES = {
    "layout": list(LAYOUTS),
    "stages": STAGES,
    "channels": CHANNELS,
    "groups": GROUPS,
    "depths": DEPTHS,
    "coding": (0, 1),
    "fault": FAULTS,
}


def search(seconds: float, seed: int = 0) -> dict[Kind, float]:
    """The costs of all kinds met."""
    rng, stop = np.random.default_rng(seed), time.process_time() + seconds
    costs: dict[Kind, float] = {}
    best, patience = random_kind(rng), 0
    while time.process_time() < stop:
        kind = changed(best, rng) if patience else random_kind(rng)
        if kind not in costs:
            costs[kind] = cost(kind)
        if not patience or costs[kind] > costs[best]:
            best, patience = kind, PATIENCE
        else:
            patience -= 1
    return costs


def main(arguments: list[str]) -> None:
    costs = search(float(arguments[0]) if arguments else SECONDS)
    print(f"{sum(map(bool, costs.values()))} kinds of packets; the dearest, in µs a byte:")
    dearest = sorted(costs, key=lambda kind: costs[kind], reverse=True)
    for kind in dearest[:SHOWN]:
        print(f"{costs[kind]:6.2f}  {kind}")


if __name__ == "__main__":
    main(sys.argv[1:])
