"""Networks that lose, delay, reorder and double packets, the same way each time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_BURST_SECONDS = 0.1  # mean duration of a burst of losses


@dataclass(frozen=True, kw_only=True)
class LossyNetwork:
    """What happens on the way.

    Losses come in bursts (Gilbert's model: a good and a bad state, all is lost in the bad one).
    Jitter is uniform, `jitter_seconds` wide, so that packets overtake each other where it is longer
    than they are.
    """

    loss: float = 0.0
    jitter_seconds: float = 0.0
    doubled: float = 0.0
    seed: int = 0

    def lost(self, packets: int, packet_seconds: float) -> np.ndarray:
        """Which of so many packets are lost, (packets,) of bool."""
        rng = np.random.default_rng((self.seed, 1))
        end = min(1.0, packet_seconds / _BURST_SECONDS)  # of a burst, after each packet
        begin = end * self.loss / (1 - self.loss)
        lost, is_bad = np.zeros(packets, bool), bool(rng.random() < self.loss)
        for number, chance in enumerate(rng.random(packets)):
            lost[number] = is_bad
            is_bad = chance >= end if is_bad else chance < begin
        return lost

    def arrivals(self, packets: int, packet_seconds: float) -> list[tuple[float, int]]:
        """When which packet comes, in order; packet k is sent at (k + 1) · packet_seconds."""
        rng = np.random.default_rng((self.seed, 2))
        coming = []
        for number, is_lost in enumerate(self.lost(packets, packet_seconds)):
            times = 1 + int(rng.random() < self.doubled)
            delays = self.jitter_seconds * rng.random(times)
            if not is_lost:
                coming += [
                    ((number + 1) * packet_seconds + delay, number) for delay in delays.tolist()
                ]
        return sorted(coming)
