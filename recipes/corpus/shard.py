"""Makes one shard: threads read its clips, batches of like length are coded, and one Parquet file
is written.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codec import Codec, DiveqCodecError, Encoded, atomic_output
from codec.audio.sound import read_sound
from codec.model_lookup import MODEL_FILE

from ..memory import peak_memory_mb
from .shard_plan import PARQUET, ROW_MARK, Item, Plan

_AT_ONCE_SECONDS = 300.0  # of audio held in memory, but for clips that are longer
_ERRORS = b"diveq-codec errors"

From = TypeVar("From")
To = TypeVar("To")
Sound = dict[str, Any]  # array and sampling_rate, as in an audio column


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings:
    """How a corpus is coded; the same for every worker."""

    stages: int | None = None
    bitrate_kbps: float | None = None
    device: str = "auto"
    backend: str = "auto"
    threads: int = 1
    """That read audio while the model computes."""


def shard_path(out: Path, number: int) -> Path:
    return out / f"shard-{number:06d}{PARQUET}"


class ShardMaker:
    """A model that makes shards of the corpus planned in `out`."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self._out, self._settings = out, settings
        self._plan = Plan(out)
        self._root = Path(self._plan.settings["root"])
        self._codec = Codec.load(out / MODEL_FILE, device=settings.device, backend=settings.backend)

    def make(self, number: int) -> dict[str, Any]:
        """Write a shard, whole or not at all; returns what it held, and what it took of the
        processor and of memory.
        """
        started = time.process_time()
        items = self._plan.items(number)
        by_size = sorted(items, key=lambda item: item.size)
        coded: dict[str, Encoded] = {}
        errors: dict[str, str] = {}
        read = partial(_read, _sources(self._root, items))
        for group in _groups(_ahead(read, by_size, self._settings.threads), _AT_ONCE_SECONDS):
            for item, result in self._encode(group):
                if isinstance(result, Encoded):
                    coded[item.path] = result
                else:
                    errors[item.path] = result
        kept = [item for item in items if item.path in coded]
        table = _table(kept, [coded[item.path] for item in kept], errors)
        with atomic_output(shard_path(self._out, number), overwrite=True) as file:
            pq.write_table(table, file, compression="zstd")
        seconds = sum(clip.samples / clip.header.original_rate_hz for clip in coded.values())
        return {
            "shard": number,
            "clips": len(kept),
            "failed": len(errors),
            "seconds": seconds,
            "cpu_seconds": time.process_time() - started,
            "memory_mb": peak_memory_mb(),
        }

    def _encode(
        self, group: list[tuple[Item, Sound | str]]
    ) -> Iterator[tuple[Item, Encoded | str]]:
        """Codes or the reason why there are none."""
        sounds = [(item, sound) for item, sound in group if not isinstance(sound, str)]
        yield from ((item, reason) for item, reason in group if isinstance(reason, str))
        try:
            clips = self._encoded([sound for _, sound in sounds])
            yield from ((item, clip) for (item, _), clip in zip(sounds, clips, strict=True))
        except DiveqCodecError:  # of one of them; the others are as they are alone
            for item, sound in sounds:
                try:
                    yield item, self._encoded([sound])[0]
                except DiveqCodecError as error:
                    yield item, str(error)

    def _encoded(self, sounds: list[Sound]) -> list[Encoded]:
        options = {"stages": self._settings.stages, "bitrate_kbps": self._settings.bitrate_kbps}
        return self._codec.encode_batch(sounds, **options)


def _sources(root: Path, items: Iterable[Item]) -> dict[str, Any]:
    """What each clip is read from: its file, or its entry of a Parquet file."""
    names = [item.path for item in items]
    rows: dict[str, set[int]] = {}
    for name in names:
        file, mark, row = name.rpartition(ROW_MARK)
        if mark and file.endswith(PARQUET):
            rows.setdefault(file, set()).add(int(row))
    found: dict[str, Any] = {name: root / name for name in names}
    for file, numbers in rows.items():
        found.update(
            (f"{file}{ROW_MARK}{row}", entry) for row, entry in _entries(root / file, numbers)
        )
    return found


def _entries(file: Path, numbers: set[int]) -> Iterator[tuple[int, Any]]:
    """The audio in these rows; a path in it is relative to the file's folder."""
    source = pq.ParquetFile(file)
    start = 0
    for group in range(source.num_row_groups):
        rows = range(start, start + source.metadata.row_group(group).num_rows)
        start = rows.stop
        if numbers.isdisjoint(rows):
            continue
        column = source.read_row_group(group, columns=["audio"]).column("audio")
        for row in sorted(numbers.intersection(rows)):
            entry = column[row - rows.start].as_py()
            if isinstance(entry, dict) and entry.get("path"):
                entry["path"] = str(file.parent / entry["path"])
            yield row, entry


def _read(sources: Mapping[str, Any], item: Item) -> tuple[Item, Sound | str]:
    """A clip's audio, or why it cannot be read."""
    if item.error:
        return item, item.error
    try:
        wave, rate = read_sound(sources[item.path], None)
    except DiveqCodecError as error:
        return item, str(error)
    return item, {"array": wave, "sampling_rate": rate}


def _ahead(function: Callable[[From], To], items: Iterable[From], threads: int) -> Iterator[To]:
    """`map`, by threads that are a few items ahead; results in order."""
    with ThreadPoolExecutor(threads) as pool:
        pending: deque[Any] = deque()
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _groups(
    clips: Iterable[tuple[Item, Sound | str]], most_seconds: float
) -> Iterator[list[tuple[Item, Sound | str]]]:
    """Clips in groups of so much audio, or of one clip that is longer."""
    group: list[tuple[Item, Sound | str]] = []
    seconds = 0.0
    for item, sound in clips:
        length = 0.0 if isinstance(sound, str) else sound["array"].shape[1] / sound["sampling_rate"]
        if group and seconds + length > most_seconds:
            yield group
            group, seconds = [], 0.0
        group.append((item, sound))
        seconds += length
    if group:
        yield group


def _table(items: list[Item], clips: list[Encoded], errors: Mapping[str, str]) -> pa.Table:
    """The rows of a shard. Codes are one flat list, of `shape` (channels, stages, frames); -1 is no
    stage.
    """
    widest = max((stage.index_bits for clip in clips for stage in clip.header.stages), default=0)
    kind = np.int16 if widest < 16 else np.int32
    flat = [clip.codes.astype(kind).ravel() for clip in clips]
    ends = np.cumsum([0, *map(len, flat)])
    codes = pa.LargeListArray.from_arrays(
        pa.array(ends, pa.int64()), np.concatenate([np.zeros(0, kind), *flat])
    )
    columns = {
        "path": pa.array([item.path for item in items], pa.string()),
        "speaker": pa.array([item.speaker for item in items], pa.string()),
        "samples": pa.array([clip.samples for clip in clips], pa.int64()),
        "sample_rate_hz": pa.array([clip.header.original_rate_hz for clip in clips], pa.int32()),
        "codes": codes.cast(pa.list_(pa.from_numpy_dtype(kind))),
        "shape": pa.array([clip.codes.shape for clip in clips], pa.list_(pa.int32(), 3)),
        "fingerprint": pa.array([clip.header.fingerprint.hex() for clip in clips], pa.string()),
    }
    return pa.table(columns).replace_schema_metadata({_ERRORS: json.dumps(dict(errors))})


def shard_errors(path: Path) -> dict[str, str]:
    """Which clips a shard could not code, and why."""
    return json.loads(pq.read_schema(path).metadata[_ERRORS])
