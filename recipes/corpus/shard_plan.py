"""Which clips a corpus has, and which shard each belongs to: fixed once, so that a stopped run goes
on.

`plan.parquet` has a row group for each shard, and the run's settings in its metadata.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from codec import AudioError, ConfigError, ManifestError, atomic_output
from codec.audio import walk_audio
from codec.training.data.clips import TrainingClip, read_manifest
from codec.training.data.manifest import SPEAKER_RULES, SpeakerRule

PLAN = "plan.parquet"
PARQUET = ".parquet"
ROW_MARK = "#"  # a clip in a Parquet file is called FILE#ROW
_SETTINGS = b"diveq-codec corpus"
_SCHEMA = pa.schema(
    [
        ("path", pa.string()),
        ("speaker", pa.string()),
        ("size", pa.int64()),
        ("error", pa.string()),
    ]
)
_SPEAKER_COLUMNS = ("speaker", "speaker_id")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A clip to code: its path below the data's root, and the bytes that it takes there.

    `error` says why it is not coded, where its path tells that already.
    """

    path: str
    speaker: str
    size: int
    error: str = ""  # plans of older versions have none


def find_items(data: Path, speakers: str) -> tuple[Path, Iterator[Item]]:
    """The root, and the clips below it in an order that does not change.

    `data` is a folder of audio, a manifest (`.jsonl`), a Parquet file with an audio column as
    Hugging Face `datasets` writes it, or a folder of these.
    """
    if data.suffix == ".jsonl":
        manifest = read_manifest(data)
        return manifest.root, map(_listed, manifest.clips)
    if data.suffix == PARQUET and data.is_file():
        return data.parent, _rows([data])
    if not data.is_dir():
        raise ManifestError(
            f"{data} is no folder, no manifest (.jsonl) and no Parquet file; give one of these"
        )
    parquets = sorted(data.glob(f"*{PARQUET}"))
    if parquets:
        return data, _rows(parquets)
    return data, _files(data, SPEAKER_RULES[speakers])


def _listed(clip: TrainingClip) -> Item:
    return Item(path=_as_text(clip.path), speaker=_as_text(clip.speaker), size=clip.frames)


def _files(root: Path, speaker_of: SpeakerRule) -> Iterator[Item]:
    """Audio files, none of which is opened; one that cannot be found is an error when it is
    read.
    """
    top = _as_text(root.resolve().name)
    for path in walk_audio(root):
        below = _as_text(path.relative_to(root).as_posix())
        speaker, error = _speaker_or_error(speaker_of, PurePath(top, below))
        try:
            size = path.stat().st_size
        except OSError:  # a link to nothing
            size = 0
        yield Item(path=below, speaker=speaker, size=size, error=error)


def _speaker_or_error(speaker_of: SpeakerRule, path: PurePath) -> tuple[str, str]:
    """The speaker that a path names, or why it names none."""
    try:
        return speaker_of(path), ""
    except AudioError as error:
        return "", str(error)


def _as_text(name: str) -> str:
    """Escape the bytes of a name that are no UTF-8, which Parquet cannot hold: no file is found by
    such a name, and the error tells it.
    """
    return name.encode("utf-8", "backslashreplace").decode()


def _rows(files: Iterable[Path]) -> Iterator[Item]:
    for file in files:
        source = pq.ParquetFile(file)
        names = source.schema_arrow.names
        if "audio" not in names:
            raise ManifestError(
                f"{file} has no column audio, only {', '.join(names)}; rename the one that holds it"
            )
        speaker = next((name for name in _SPEAKER_COLUMNS if name in names), None)
        row = 0
        for group in range(source.num_row_groups):
            facts = source.metadata.row_group(group)
            size = facts.total_byte_size // max(1, facts.num_rows)
            labels = [""] * facts.num_rows
            if speaker is not None:
                labels = map(
                    str, source.read_row_group(group, columns=[speaker]).column(0).to_pylist()
                )
            for label in labels:
                yield Item(path=f"{file.name}{ROW_MARK}{row}", speaker=label, size=size)
                row += 1


def write_plan(
    out: Path, items: Iterable[Item], settings: dict[str, Any], *, shard_bytes: int
) -> None:
    """Cut the clips into shards of `shard_bytes` of audio files and write them down."""
    schema = _SCHEMA.with_metadata({_SETTINGS: json.dumps(settings)})
    with (
        atomic_output(out / PLAN) as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for shard in _shards(items, shard_bytes):
            rows = [dataclasses.asdict(item) for item in shard]
            writer.write_table(pa.Table.from_pylist(rows, schema=schema), row_group_size=len(rows))


def _shards(items: Iterable[Item], shard_bytes: int) -> Iterator[list[Item]]:
    shard: list[Item] = []
    size = 0
    for item in items:
        if shard and size + item.size > shard_bytes:
            yield shard
            shard, size = [], 0
        shard.append(item)
        size += item.size
    if shard:
        yield shard


class Plan:
    """An open `plan.parquet`."""

    def __init__(self, out: Path) -> None:
        self._file = pq.ParquetFile(out / PLAN)
        self.settings: dict[str, Any] = json.loads(self._file.schema_arrow.metadata[_SETTINGS])
        self.shards = self._file.num_row_groups
        self.clips = self._file.metadata.num_rows

    def items(self, shard: int) -> list[Item]:
        return [Item(**row) for row in self._file.read_row_group(shard).to_pylist()]

    def check(self, settings: dict[str, Any]) -> None:
        """Raise a `ConfigError` unless these are the settings that the folder was begun with."""
        for name, value in settings.items():
            if self.settings.get(name) != value:
                raise ConfigError(
                    f"the output folder was begun with {name} {self.settings.get(name)}, not "
                    f"{value}; "
                    "go on with that, or choose another folder"
                )
