"""Where the time of encoding goes: the parts of the product's path, and the operations of the
networks.
"""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import soundfile
from torch.profiler import ProfilerActivity, profile

from codec import Codec
from codec.bitstream import StreamWriter
from codec.model import FilterbankEncoder, TransformEncoder
from codec.quantizers import ResidualQuantizer

from .candidates import noise

PARTS = {
    "encoder network": ((TransformEncoder, "forward"), (FilterbankEncoder, "forward")),
    "nearest-entry search": ((ResidualQuantizer, "encode"),),
    "entropy coding and file writing": ((StreamWriter, "write"), (StreamWriter, "close")),
}
REST = "reading, windows, everything else"
MOST_OPERATIONS = 8


def encode_shares(codec: Codec, seconds: float, repeats: int) -> dict[str, float]:
    """Share of each part in the time of `encode_file` on a WAV file, medians; they add up to about
    1.
    """
    rate = codec.config.sample_rate_hz
    found: dict[str, list[float]] = {part: [] for part in (*PARTS, REST)}
    with TemporaryDirectory() as folder, _watched() as spent:
        source, target = Path(folder) / "noise.wav", Path(folder) / "coded.dvq"
        soundfile.write(source, noise(seconds, rate), rate)
        codec.encode_file(source, target)
        for _ in range(repeats):
            spent.update(dict.fromkeys(PARTS, 0.0))
            started = time.perf_counter()
            codec.encode_file(source, target, overwrite=True)
            total = time.perf_counter() - started
            for part, taken in spent.items():
                found[part].append(taken / total)
            found[REST].append(1 - sum(spent.values()) / total)
    return {part: median(shares) for part, shares in found.items()}


@contextlib.contextmanager
def _watched() -> Iterator[dict[str, float]]:
    """Seconds spent in each part, while the context is open."""
    spent = dict.fromkeys(PARTS, 0.0)
    with contextlib.ExitStack() as stack:
        for part, methods in PARTS.items():
            for owner, method in methods:
                stack.enter_context(_timed(owner, method, functools.partial(_add, spent, part)))
        yield spent


def _add(spent: dict[str, float], part: str, seconds: float) -> None:
    spent[part] += seconds


@contextlib.contextmanager
def _timed(owner: type, method: str, add: Callable[[float], None]) -> Iterator[None]:
    """Report the time of every call of a method; it may be one that `owner` inherits."""
    original, is_own = getattr(owner, method), method in vars(owner)

    @functools.wraps(original)
    def timed(*arguments: object, **named: object) -> object:
        started = time.perf_counter()
        try:
            return original(*arguments, **named)
        finally:
            add(time.perf_counter() - started)

    setattr(owner, method, timed)
    try:
        yield
    finally:
        if is_own:
            setattr(owner, method, original)
        else:
            delattr(owner, method)


def operation_shares(call: Callable[[], object]) -> dict[str, float]:
    """The operations that take most of the processor's time in a call, by their share; the largest
    first.
    """
    call()
    with profile(activities=[ProfilerActivity.CPU]) as record:
        call()
    times = {event.key: event.self_cpu_time_total for event in record.key_averages()}
    total = sum(times.values())
    largest = sorted(times, key=lambda name: times[name], reverse=True)[:MOST_OPERATIONS]
    return {name: times[name] / total for name in largest}
