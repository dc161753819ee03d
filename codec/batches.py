"""Many clips of different lengths through a network at once: the same results as one by one.

Clips of a batch are padded at their right to the longest. A frame near the end of a clip then sees the padding where
alone it would see each layer's own zeros; so the ends are computed once more, from just as many frames as their last
ones see, and these windows all have the same length:

    padded   |  clip            |~after~| padding |
    end                | before |~after~|            the last frames, with the clip's true end behind them
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .geometry import Context
from .windows import windowed

_LEAST_SHARE = 0.75  # of the longest clip of a batch that the shortest has: at most a quarter of the work is padding

Compute = Callable[[np.ndarray], np.ndarray]


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
        clips: arrays (..., frames·items_per_frame) of at least one frame, alike but for the last axis.
        compute: maps a batch (clips, ..., frames·items_per_frame) to (clips, ..., frames·outputs_per_frame).
        context: how far an output frame sees.
        most_frames: in a batch, padding included. A longer clip is computed by itself, in windows.

    Returns an array (..., frames·outputs_per_frame) for each clip, in the order of `clips`.
    """
    lengths = [clip.shape[-1] // items_per_frame for clip in clips]
    results: dict[int, np.ndarray] = {}
    for numbers in _batches(lengths, context.before + context.after, most_frames):
        batch = [clips[number] for number in numbers]
        if lengths[numbers[0]] <= most_frames:
            made = _together(batch, compute, context, items_per_frame, outputs_per_frame)
        else:
            pieces = windowed(
                [batch[0][None]],
                compute,
                context=context,
                window=most_frames,
                items_per_frame=items_per_frame,
                outputs_per_frame=outputs_per_frame,
            )
            made = [np.concatenate(list(pieces), axis=-1)[0]]
        results.update(zip(numbers, made, strict=True))
    return [results[number] for number in range(len(clips))]


def _batches(lengths: Sequence[int], shortest: int, most_frames: int) -> Iterator[list[int]]:
    """Numbers of clips that make a batch, longest first. Clips below `shortest` frames have no room for an end."""
    batch: list[int] = []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        length = lengths[number]
        if batch:
            longest = lengths[batch[0]]
            is_alike = length == longest or (length >= shortest and length >= _LEAST_SHARE * longest)
            if not is_alike or longest * (len(batch) + 1) > most_frames:
                yield batch
                batch = []
        batch.append(number)
    if batch:
        yield batch


def _together(
    clips: Sequence[np.ndarray], compute: Compute, context: Context, items_per_frame: int, outputs_per_frame: int
) -> list[np.ndarray]:
    lengths = [clip.shape[-1] // items_per_frame * outputs_per_frame for clip in clips]
    wholes = compute(_padded(clips))
    results = [whole[..., :length] for whole, length in zip(wholes, lengths, strict=True)]
    if context.after and len(set(lengths)) > 1:
        seen = (context.before + context.after) * items_per_frame
        kept = context.after * outputs_per_frame
        ends = compute(np.stack([clip[..., -seen:] for clip in clips]))
        for result, end in zip(results, ends, strict=True):
            result[..., -kept:] = end[..., -kept:]
    return results


def _padded(clips: Sequence[np.ndarray]) -> np.ndarray:
    """(clips, ..., the longest's length), zeros behind the ends."""
    longest = max(clip.shape[-1] for clip in clips)
    batch = np.zeros((len(clips), *clips[0].shape[:-1], longest), clips[0].dtype)
    for row, clip in enumerate(clips):
        batch[row, ..., : clip.shape[-1]] = clip
    return batch
