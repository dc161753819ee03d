"""Measures throughput against batch size, doubled until memory or time runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from .candidates import noise
from .routes import Route, Span
from .timing import interleaved

MOST_CALL_SECONDS = 1.0
"""A route of which one call takes longer is not tried with larger batches."""


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """Median times of one batch. `memory_mb`: weights, and the most that a call took beside; None
    on a CPU.
    """

    codec: str
    span: Span
    clips: int
    audio_seconds: float
    encode_seconds: float
    decode_seconds: float
    memory_mb: float | None

    @property
    def encode(self) -> float:
        """Hours of audio a minute."""
        return self.audio_seconds / self.encode_seconds / 60

    @property
    def decode(self) -> float:
        """Hours of audio a minute."""
        return self.audio_seconds / self.decode_seconds / 60


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Why a route was not measured with more than `clips` clips; 0 where it never worked."""

    codec: str
    span: Span
    clips: int
    reason: str


@torch.inference_mode()
def sweep(
    routes: Sequence[Route], device: torch.device, seconds: float, most_clips: int, repeats: int
) -> tuple[list[Throughput], list[Stop]]:
    """All routes at 1, 2, 4, … clips of `seconds`, in turn at each size."""
    found: list[Throughput] = []
    stops: list[Stop] = []
    going, clips = list(routes), 1
    while going and clips <= most_clips:
        ready: list[tuple[Route, float | None]] = []
        tasks: list[Callable[[], object]] = []
        for route in going:
            try:
                memory, *calls = _warm(route, device, seconds, clips)
            except (RuntimeError, MemoryError) as error:
                stops.append(_stop(route, clips // 2, reason_of(error)))
                continue
            ready.append((route, memory))
            tasks += calls
        times = interleaved(tasks, repeats)
        going = []
        for (route, memory), encode, decode in zip(ready, times[::2], times[1::2], strict=True):
            found.append(
                Throughput(
                    codec=route.codec,
                    span=route.span,
                    clips=clips,
                    audio_seconds=clips * seconds,
                    encode_seconds=encode,
                    decode_seconds=decode,
                    memory_mb=memory,
                )
            )
            if max(encode, decode) > MOST_CALL_SECONDS:
                stops.append(_stop(route, clips, f"a call takes more than {MOST_CALL_SECONDS:g} s"))
            else:
                going.append(route)
        clips *= 2
    return found, [*stops, *(_stop(route, clips // 2, "no more asked for") for route in going)]


def reason_of(error: Exception) -> str:
    """Describe an error in one line, and free the memory that the attempt left behind."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return "out of memory"
    return (str(error).splitlines() or [type(error).__name__])[0]


def synchronised(call: Callable[[], object], device: torch.device) -> Callable[[], None]:
    """A call that ends when the device has done its work; its result is let go."""

    def run() -> None:
        call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return run


def _warm(
    route: Route, device: torch.device, seconds: float, clips: int
) -> tuple[float | None, Callable[[], None], Callable[[], None]]:
    """The memory that the first calls take; and the calls to time, whose algorithms and memory are
    found by then.
    """
    given = route.prepare(np.tile(noise(seconds, route.sample_rate_hz), (clips, 1)))
    held = _start_counting(device)
    coded = route.encode(given)
    route.decode(coded)
    memory = (
        None
        if held is None
        else route.weights_mb + (torch.cuda.max_memory_allocated(device) - held) / 1e6
    )
    return (
        memory,
        synchronised(lambda: route.encode(given), device),
        synchronised(lambda: route.decode(coded), device),
    )


def _start_counting(device: torch.device) -> int | None:
    """Bytes held on the device now, from which its peak is counted."""
    if device.type != "cuda":
        return None
    torch.cuda.reset_peak_memory_stats(device)
    return torch.cuda.memory_allocated(device)


def _stop(route: Route, clips: int, reason: str) -> Stop:
    return Stop(codec=route.codec, span=route.span, clips=clips, reason=reason)


def best(found: Sequence[Throughput], codec: str, span: Span, verb: str) -> Throughput | None:
    """The batch at which a route has the highest throughput."""
    points = [point for point in found if (point.codec, point.span) == (codec, span)]
    return max(points, key=lambda point: getattr(point, verb), default=None)
