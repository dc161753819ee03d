"""Throughputs as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...markdown import table
from .candidates import OURS
from .means import Gain
from .routes import Span
from .sweep import Stop, Throughput, best

SPANS: dict[Span, str] = {
    "product": "encode_batch, decode_batch",
    "host": "network, host to host",
    "network": "network alone",
}
_COMPARED: tuple[tuple[Span, Span], ...] = (
    ("product", "host"),
    ("network", "network"),
)  # ours with a peer's


def throughput_table(found: Sequence[Throughput]) -> str:
    """Markdown: a line per route and size of batch."""
    heads = [
        "codec",
        "what",
        "clips",
        "encode, hours of audio a minute",
        "decode",
        "MB on the device",
    ]
    order = list(dict.fromkeys((point.codec, point.span) for point in found))
    rows = [
        [
            point.codec,
            SPANS[point.span],
            str(point.clips),
            f"{point.encode:.3g}",
            f"{point.decode:.3g}",
            "" if point.memory_mb is None else f"{point.memory_mb:.0f}",
        ]
        for point in sorted(
            found, key=lambda point: (order.index((point.codec, point.span)), point.clips)
        )
    ]
    return table(heads, rows)


def throughput_ratios(found: Sequence[Throughput]) -> Iterator[dict[str, Any]]:
    """How many times a peer's throughput ours is, each at its best: of the product's path, and of
    networks alone.
    """
    codecs = list(dict.fromkeys(point.codec for point in found))
    for ours in (name for name in codecs if name.startswith(OURS)):
        for peer in (name for name in codecs if not name.startswith(OURS)):
            for our_span, peer_span in _COMPARED:
                ratio = {}
                for verb in ("encode", "decode"):
                    mine, theirs = (
                        best(found, ours, our_span, verb),
                        best(found, peer, peer_span, verb),
                    )
                    if mine and theirs:
                        ratio[verb] = getattr(mine, verb) / getattr(theirs, verb)
                if ratio:
                    yield {"ours": ours, "peer": peer, "span": our_span} | ratio


def stop_lines(stops: Sequence[Stop]) -> Iterator[str]:
    """Where the doubling of batches ended."""
    for stop in stops:
        yield f"{stop.codec}, {SPANS[stop.span]}: up to {stop.clips} clips: {stop.reason}"


def gain_table(gains: Sequence[Gain], is_speech: bool) -> str:
    """Markdown: a line per means and size of batch."""
    heads = [
        "our network alone",
        "clips",
        "encode, hours of audio a minute",
        "decode",
        f"codes of {'speech' if is_speech else 'noise'} unlike the CPU's",
        "of the first stage",
        "samples, at most",
    ]
    rows = [
        [
            gain.means,
            str(gain.clips),
            f"{gain.encode:.3g}",
            f"{gain.decode:.3g}",
            f"{gain.codes_differ:.2%}",
            f"{gain.first_codes_differ:.2%}",
            f"{gain.wave_differs:.1e}",
        ]
        for gain in gains
    ]
    return table(heads, rows)
