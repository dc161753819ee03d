"""Reads a corpus of codes back: a row to sound, or crops of codes to train a language model on.

    python -m recipes.corpus.read corpora/codes/shard-000003.parquet#17 out.wav

With Hugging Face datasets: `load_dataset("parquet", data_files="corpora/codes/shard-*.parquet",
split="train")`; a row's codes are `np.array(row["codes"]).reshape(row["shape"])`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.utils.data import IterableDataset, get_worker_info
from tyro.conf import Positional, arg

from codec import Audio, BitstreamError, Codec, ConfigError, ManifestError
from codec.audio import AudioWriter
from codec.model_lookup import MODEL_FILE

from ..run_script import run_script
from .shard_plan import PARQUET, ROW_MARK


def codes_of(row: Mapping[str, Any]) -> np.ndarray:
    """int32 (channels, stages, frames), as `encode` gave them."""
    return np.asarray(row["codes"], np.int32).reshape(row["shape"])


def decode_row(codec: Codec, row: Mapping[str, Any]) -> Audio:
    """The clip at its own rate and length."""
    if row["fingerprint"] != codec.fingerprint.hex():
        raise BitstreamError(
            f"{row['path']} was coded with the model {row['fingerprint']}, not "
            f"{codec.fingerprint.hex()}"
        )
    audio = codec.decode_codes(codes_of(row), sample_rate_hz=row["sample_rate_hz"])
    return Audio(wave=audio.wave[:, : row["samples"]], sample_rate_hz=audio.sample_rate_hz)


class CodeCrops(IterableDataset[torch.Tensor]):
    """Crops (stages, frames) of a corpus' codes as int64, each clip once an epoch, in an order
    drawn from the seed.

    Shards are read one at a time, so that memory does not grow with the corpus. They are shared out
    among the processes of a training and the workers of their loaders. A crop starts anywhere in
    its clip; -1 stands behind the end of one that is shorter, and where a frame has no more stages.
    Of several channels the first is taken.
    """

    def __init__(
        self, folder: Path, *, frames: int, seed: int = 0, rank: int = 0, processes: int = 1
    ) -> None:
        self._shards = sorted(folder.glob(f"shard-*{PARQUET}"))
        if not self._shards:
            raise ManifestError(
                f"there are no shards in {folder}; python -m recipes.corpus makes them"
            )
        self._frames, self._seed, self._rank, self._processes = frames, seed, rank, processes
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Before each epoch: another order and other crops. Workers of a loader hear of it when
        they start, so not with `persistent_workers`.
        """
        self._epoch = epoch

    def __iter__(self) -> Iterator[torch.Tensor]:
        worker = get_worker_info()
        workers, number = (worker.num_workers, worker.id) if worker else (1, 0)
        order = np.random.default_rng((self._seed, self._epoch)).permutation(len(self._shards))
        for index in order[self._rank * workers + number :: self._processes * workers]:
            random = np.random.default_rng((self._seed, self._epoch, int(index)))
            columns = pq.read_table(self._shards[index], columns=["codes", "shape"])
            for row in random.permutation(len(columns)):
                shape = columns["shape"][int(row)].as_py()
                codes = columns["codes"][int(row)].values.to_numpy().reshape(shape)[0]
                yield torch.from_numpy(self._crop(codes, random))

    def _crop(self, codes: np.ndarray, random: np.random.Generator) -> np.ndarray:
        stages, frames = codes.shape
        start = int(random.integers(max(1, frames - self._frames + 1)))
        crop = np.full((stages, self._frames), -1, np.int64)
        cut = codes[:, start : start + self._frames]
        crop[:, : cut.shape[1]] = cut
        return crop


@dataclass(frozen=True)
class Arguments:
    """Decode one row of a shard."""

    source: Positional[Annotated[str, arg(metavar="SHARD#ROW")]]
    """A shard, beside which the model lies, and which of its rows, from 0."""
    target: Positional[Path]
    """Audio file to write; its suffix names the format."""
    force: bool = False
    """Overwrite."""


def main(arguments: Arguments) -> None:
    shard, mark, number = arguments.source.rpartition(ROW_MARK)
    if not mark or not number.isdecimal():
        raise ConfigError(
            f"{arguments.source} names no row; give SHARD#ROW, such as shard-000000.parquet#0"
        )
    try:
        table = pq.read_table(shard)
    except (OSError, pa.ArrowInvalid) as error:
        raise ManifestError(f"{shard} is no shard of a corpus: {error}") from error
    if int(number) >= len(table):
        raise ConfigError(f"{shard} has rows 0 to {len(table) - 1}, not {number}")
    row = table.slice(int(number), 1).to_pylist()[0]
    audio = decode_row(Codec.load(Path(shard).with_name(MODEL_FILE)), row)
    with AudioWriter(
        arguments.target,
        sample_rate_hz=audio.sample_rate_hz,
        channels=len(audio.wave),
        overwrite=arguments.force,
    ) as writer:
        writer.write(audio.wave)
    print(f"{row['path']} → {arguments.target}")


if __name__ == "__main__":
    run_script(main, Arguments)
