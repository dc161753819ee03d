"""`diveq-codec info`: what a `.dvq` file says of itself."""

from __future__ import annotations

import itertools
import json as json_format
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .console import show, show_data
from .each import for_each
from .files import open_source
from .messages import display_name
from .options import Debug, Json, Paths

if TYPE_CHECKING:
    from codec import StreamHeader, StreamInfo


@dataclass(frozen=True, kw_only=True, slots=True)
class Info:
    """Describe .dvq files, whole or damaged, without their model."""

    paths: Paths
    """.dvq files, folders of them, or - for standard input."""
    json: Json = False
    debug: Debug = False

    def run(self) -> int:
        """Describe all files."""
        return for_each(self.paths, self._show, debug=self.debug)

    def _show(self, path: str) -> bool:
        from codec import read_info

        with open_source(path) as file:
            facts = stream_facts(display_name(path), read_info(file))
        if self.json:
            show_data(json_format.dumps(facts))
        else:
            for line in _lines(facts):
                show(line)
        return True


def stream_facts(name: str, info: StreamInfo) -> dict[str, Any]:
    """What `--json` prints: plain numbers and texts, units in names; `model` is None for one that
    is not at hand.
    """
    header = info.header
    return {
        "file": name,
        "model": _model_name(header.fingerprint),
        "fingerprint": header.fingerprint.hex(),
        "original_rate_hz": header.original_rate_hz,
        "model_rate_hz": header.model_rate_hz,
        "channels": header.channels,
        "samples": info.samples,
        "duration_s": info.seconds,
        "frames": info.frames,
        "frame_rate_hz": float(header.frame_rate_hz),
        "stages": len(header.stages),
        "stage_bits": [stage.index_bits for stage in header.stages],
        "position_bits": [stage.position_bits for stage in header.stages],
        "mean_stages": info.mean_stages,
        "nominal_kbps": info.channel_bitrate() * header.channels / 1000,
        "used_kbps": info.bitrate / 1000,
        "bytes": info.total_bytes,
        "header_bytes": info.header_bytes,
        "framing_bytes": info.framing_bytes,
        "payload_bytes": info.payload_bytes,
        "packets": info.packets,
        "fixed_packets": info.fixed_packets,
        "range_packets": info.range_packets,
        "holes": [_hole(header, *hole) for hole in info.holes],
    }


def _hole(header: StreamHeader, first_frame: int, frames: int, reason: str) -> dict[str, Any]:
    return {
        "start_s": header.seconds(first_frame),
        "duration_s": header.seconds(frames),
        "reason": reason,
    }


def _model_name(fingerprint: bytes) -> str | None:
    from codec import found_models

    return next((model.name for model in found_models() if model.fingerprint == fingerprint), None)


def _lines(facts: dict[str, Any]) -> Iterator[str]:
    """The facts for people."""
    channels = "1 channel" if facts["channels"] == 1 else f"{facts['channels']} channels"
    model = facts["model"] or "none at hand"
    yield facts["file"]
    yield f"  model      {model} (fingerprint {facts['fingerprint']})"
    yield f"  audio      {facts['original_rate_hz']} Hz, {channels}, {_time(facts['duration_s'])}"
    yield f"  coded at   {facts['model_rate_hz']} Hz, {facts['frame_rate_hz']:g} frames/s"
    stages = (
        f"{facts['stages']} of {_runs(facts['stage_bits'])} "
        f"bits{_positions(facts['position_bits'])}"
    )
    if facts["mean_stages"] < facts["stages"]:
        stages = f"up to {stages}, {facts['mean_stages']:.2f} on average"
    yield f"  stages     {stages}"
    yield f"  bitrate    {_rate(facts, 'nominal_kbps')} nominal, {_rate(facts, 'used_kbps')} used"
    yield f"  size       {facts['bytes']:,} bytes: {_shares(facts)}"
    yield (
        f"  packets    {facts['packets']}: {facts['fixed_packets']} fixed width, "
        f"{facts['range_packets']} range coded"
    )
    yield f"  holes      {len(facts['holes']) or 'none'}"
    for hole in facts["holes"]:
        yield f"    at {_time(hole['start_s'])} for {hole['duration_s']:.2f} s: {hole['reason']}"


def _rate(facts: dict[str, Any], name: str) -> str:
    kbps, channels = facts[name], facts["channels"]
    return f"{kbps:.3g} kbps" + f" ({kbps / channels:.3g} a channel)" * (channels > 1)


def _time(seconds: float) -> str:
    minutes, hundredths = divmod(round(100 * seconds), 6000)
    hours, minutes = divmod(minutes, 60)
    rest = f"{hundredths / 100:05.2f}"
    return f"{hours}:{minutes:02}:{rest}" if hours else f"{minutes}:{rest}"


def _runs(numbers: list[int]) -> str:
    """As "10" where all are equal, else as "3 x 10 + 2 x 8"."""
    runs = [(number, len(list(equals))) for number, equals in itertools.groupby(numbers)]
    return (
        str(numbers[0])
        if len(runs) == 1
        else " + ".join(f"{count} x {number}" for number, count in runs)
    )


def _positions(bits: list[int]) -> str:
    return f", {_runs(bits)} of them for positions" if any(bits) else ""


def _shares(facts: dict[str, Any]) -> str:
    parts = ("header", "framing", "payload")
    return ", ".join(
        f"{part} {100 * facts[f'{part}_bytes'] / facts['bytes']:.1f} %" for part in parts
    )
