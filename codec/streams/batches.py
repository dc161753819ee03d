"""Batches clips of different lengths through a network, with the same results as one by one.

Clips of a batch are padded at their right to the longest. A frame near the end of a clip then sees
the padding where alone it would see each layer's own zeros; so the ends are computed once more,
from just as many frames as their last ones see. These windows all have the same length, and those
of all batches are computed together:

    padded   |  clip            |~after~| padding |
    end                | before |~after~|            the last frames, with the clip's true end
    behind them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ..layouts.receptive_field import Context
from .windows import windowed

# of the longest clip of a batch that the shortest has: at most a quarter of the work is padding
_LEAST_SHARE = 0.75

Compute = Callable[[np.ndarray, np.ndarray], np.ndarray]


def batched(
    clips: Sequence[np.ndarray],
    compute: Compute,
    *,
    context: Context,
    most_frames: int,
    items_per_frame: int = 1,
    outputs_per_frame: int = 1,
) -> list[np.ndarray]:
    """Apply `compute` along the last axis of many clips.

    Args:
        clips: arrays (..., items) of at least one item, alike but for the last axis. A last frame
            that is not whole is filled with zeros.
        compute: maps a batch (clips, ..., frames·items_per_frame), and the number of the first
            frame of each, to (clips, ..., frames·outputs_per_frame).
        context: how far an output frame sees.
        most_frames: in a batch, padding included. A longer clip is computed by itself, in windows.

    Returns an array (..., frames·outputs_per_frame) for each clip, in the order of `clips`: views
    of their batches.
    """
    lengths = [-(-clip.shape[-1] // items_per_frame) for clip in clips]
    seen = context.before + context.after
    results: dict[int, np.ndarray] = {}
    cut_short: list[int] = []  # clips whose last frames saw padding

    def in_windows(batch: np.ndarray) -> np.ndarray:
        pieces = windowed(
            [batch],
            lambda items, first_frame: compute(items, np.full(len(items), first_frame)),
            context=context,
            window=most_frames,
            items_per_frame=items_per_frame,
            outputs_per_frame=outputs_per_frame,
        )
        return np.concatenate(list(pieces), axis=-1)

    for numbers in _batches(lengths, seen, most_frames):
        longest = lengths[numbers[0]]
        batch = _padded([clips[number] for number in numbers], longest * items_per_frame)
        made = (
            compute(batch, np.zeros(len(batch), int))
            if longest <= most_frames
            else in_windows(batch)
        )
        for number, whole in zip(numbers, made, strict=True):
            results[number] = whole[..., : lengths[number] * outputs_per_frame]
        cut_short += [number for number in numbers if context.after and lengths[number] < longest]

    at_once, kept = max(1, most_frames // max(1, seen)), context.after * outputs_per_frame
    for start in range(0, len(cut_short), at_once):
        numbers = cut_short[start : start + at_once]
        last_frames = [
            clips[number][..., (lengths[number] - seen) * items_per_frame :] for number in numbers
        ]
        firsts = np.array([lengths[number] - seen for number in numbers])
        ends = compute(_padded(last_frames, seen * items_per_frame), firsts)
        for number, end in zip(numbers, ends, strict=True):
            results[number][..., -kept:] = end[..., -kept:]
    return [results[number] for number in range(len(clips))]


def _batches(lengths: Sequence[int], shortest: int, most_frames: int) -> Iterator[list[int]]:
    """Return the indices of the clips of each batch, longest first. A clip below `shortest` frames
    shares a batch only with clips of its own length, since its end cannot be recomputed.
    """
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = lengths[number]
        if batch:
            longest = lengths[batch[0]]
            is_alike = length == longest or (
                length >= shortest and length >= _LEAST_SHARE * longest
            )
            if not is_alike or longest * (len(batch) + 1) > most_frames:
                yield batch
                batch = []
        batch.append(number)
    if batch:
        yield batch


def _padded(clips: Sequence[np.ndarray], length: int) -> np.ndarray:
    """(clips, ..., length), zeros behind the ends."""
    batch = np.zeros((len(clips), *clips[0].shape[:-1], length), clips[0].dtype)
    for row, clip in enumerate(clips):
        batch[row, ..., : clip.shape[-1]] = clip
    return batch
