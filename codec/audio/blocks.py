"""Streams of audio as blocks (channels, samples): counting, padding and cutting them as they
pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np


class Counter:
    """Passes blocks on and counts their samples."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.samples += block.shape[1]
            yield block


def whole_frames(blocks: Iterable[np.ndarray], hop: int) -> Iterator[np.ndarray]:
    """Pad blocks with zeros to a whole number of frames."""
    counter = Counter(blocks)
    channels = None
    for block in counter:
        channels = len(block)
        yield block
    missing = -counter.samples % hop
    if channels is not None and missing:
        yield np.zeros((channels, missing), dtype=np.float32)


def cut_to(
    blocks: Iterable[np.ndarray], slack: int, length: Callable[[], int]
) -> Iterator[np.ndarray]:
    """Yield the first `length()` samples; `length` is called at the end, when at most `slack` more
    samples have come.
    """
    done = 0
    held: np.ndarray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        ready = held.shape[-1] - slack
        if ready > 0:
            yield held[..., :ready]
            held = held[..., ready:]
            done += ready
    if held is not None:
        yield held[..., : length() - done]


def silence(channels: int, samples: int, block_samples: int = 1 << 16) -> Iterator[np.ndarray]:
    """Yield zeros, in blocks of so many samples over all channels."""
    block = max(1, block_samples // channels)
    for start in range(0, samples, block):
        yield np.zeros((channels, min(block, samples - start)), dtype=np.float32)
