"""Computes long streams in constant memory, a window at a time, with the result of one pass.

A frame depends on a known number of frames before and after it (`codec.layouts.receptive_field`). A
window of W frames is computed together with that context, and only the W frames are kept. Where a
window touches the start or the end of the stream it has no context there, so each layer pads as it
does in one pass:

    window k:      | before |  W frames kept  | after |
    window k + 1:                    | before |  W frames kept  | after |
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from ..layouts.receptive_field import Context

Compute = Callable[[np.ndarray, int], np.ndarray]


def windowed(
    blocks: Iterable[np.ndarray],
    compute: Compute,
    *,
    context: Context,
    window: int,
    items_per_frame: int = 1,
    outputs_per_frame: int = 1,
) -> Iterator[np.ndarray]:
    """Apply `compute` along the last axis of a stream.

    Args:
        blocks: arrays (..., items) of any length whose lengths add up to a whole number of frames.
        compute: maps (..., frames·items_per_frame), and the number of their first frame, to
            (..., frames·outputs_per_frame).
        context: how far an output frame sees.
        window: frames kept per call of `compute`.

    Yields arrays (..., n·outputs_per_frame), n <= window, in order; nothing for an empty stream.
    """
    pending: np.ndarray | None = None  # items from frame `origin` on
    origin = done = 0

    def run(end: int, stop: int) -> np.ndarray:
        """Frames done…end, computed from the pending items up to frame `stop`."""
        assert pending is not None
        start = max(done - context.before, 0)
        items = pending[..., (start - origin) * items_per_frame : (stop - origin) * items_per_frame]
        return compute(items, start)[
            ..., (done - start) * outputs_per_frame : (end - start) * outputs_per_frame
        ]

    for block in blocks:
        pending = block if pending is None else np.concatenate([pending, block], axis=-1)
        available = origin + pending.shape[-1] // items_per_frame
        while done + window + context.after <= available:
            yield run(done + window, done + window + context.after)
            done += window
            drop = max(done - context.before, 0) - origin
            pending = pending[..., drop * items_per_frame :]
            origin += drop
    if pending is None:
        return
    total = origin + pending.shape[-1] // items_per_frame
    while done < total:
        end = min(done + window, total)
        yield run(end, min(end + context.after, total))
        done = end
