"""Code a corpus into Parquet, on Ray Data: on the cores of one machine, on its GPUs, or on a
cluster.

    python -m recipes.corpus --data speech/train --out corpora/codes --stages 8 --workers 2

The clips are cut into shards once (`plan.parquet`). Workers, each with the model, make shards; a
shard is one file that appears whole or not at all. Stopped or killed at any moment, driver or
worker, the same command goes on: what is missing is made, and no clip is there twice. What cannot
be read is a row of `errors.parquet`. Nodes of a cluster see `--data` and `--out` under the same
paths, and have the package's dependencies.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from codec import DEFAULT_MODEL, ConfigError, atomic_output, model_info
from codec.files.output import remove_stale_parts
from codec.model_lookup import MODEL_FILE, find_model
from codec.training.data.manifest import SPEAKER_RULES

from ..run_script import run_script
from .shard import Settings, ShardMaker, shard_errors, shard_path
from .shard_plan import PLAN, Plan, find_items, write_plan

_LEAST_SHARD_MB, _MOST_SHARD_MB = 1.0, 256.0
_SHARDS_OF_SMALL_CORPORA = 64  # so that workers end together
_SECONDS_BETWEEN_LINES = 10.0


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to code, how, and with whom."""

    data: Path
    """A folder of audio, a manifest (.jsonl), a Parquet file with an audio column, or a folder of
    these.
    """
    out: Path
    """Folder for the shards. If it holds some of this corpus, the rest is made."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    stages: int | None = None
    """Quantizer stages, or with --bitrate at most so many; None is all."""
    bitrate: float | None = None
    """kbps, as of `encode`: frames then differ in their number of stages, and -1 stands where one
    has no more.
    """
    speakers: str = "prefix"
    """Where a file's path names its speaker: folder, prefix or libritts."""
    workers: int = 1
    """Processes that code; 0 codes in this one, without Ray."""
    gpus: int = 0
    """GPUs that the workers share evenly; 0 computes on CPUs, a core for each worker."""
    backend: str = "auto"
    """torch or onnx."""
    shard_mb: float | None = None
    """Audio files in a shard; None: a 64th of the corpus, 1 to 256 MB."""
    address: str | None = None
    """Of a Ray cluster ("auto" on one of its nodes); None starts Ray on this machine."""

    def __post_init__(self) -> None:
        if self.speakers not in SPEAKER_RULES:
            raise ConfigError(f"--speakers is {', '.join(SPEAKER_RULES)}, not {self.speakers!r}")
        if self.workers < 0 or self.gpus < 0:
            raise ConfigError("--workers and --gpus are 0 or more")


def main(arguments: Arguments) -> None:
    model = find_model(arguments.model)
    plan = _plan(arguments, model)
    settings = Settings(
        stages=arguments.stages,
        bitrate_kbps=arguments.bitrate,
        device="cuda" if arguments.gpus else "cpu",
        backend=arguments.backend,
        threads=4 if arguments.gpus else 1,
    )
    todo = [
        number for number in range(plan.shards) if not shard_path(arguments.out, number).exists()
    ]
    if len(todo) < plan.shards:
        _say(f"{plan.shards - len(todo)} of {plan.shards} shards are there, going on")
    if todo:
        made = (
            _in_this_process(arguments.out, settings, todo)
            if not arguments.workers
            else on_ray(
                arguments.out,
                settings,
                todo,
                workers=arguments.workers,
                gpus=arguments.gpus,
                address=arguments.address,
            )
        )
        _watch(made, len(todo))
    failed = write_errors(arguments.out, plan.shards)
    _say(
        f"{plan.clips - failed} clips in {plan.shards} shards, {failed} in errors.parquet: "
        f"{arguments.out}"
    )


def _plan(arguments: Arguments, model: Path) -> Plan:
    """The plan in the output folder, made where there is none."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    root, items = find_items(arguments.data, arguments.speakers)
    settings = {
        "root": str(root.resolve()),
        "data": str(arguments.data.resolve()),
        "model": model_info(model).fingerprint.hex(),
        "stages": arguments.stages,
        "bitrate": arguments.bitrate,
        "speakers": arguments.speakers,
    }
    if not (arguments.out / PLAN).exists():
        total = sum(item.size for item in items)
        if not total:
            raise ConfigError(f"there is no audio below {arguments.data}")
        share = total / 1e6 / _SHARDS_OF_SMALL_CORPORA
        shard_mb = arguments.shard_mb or min(max(share, _LEAST_SHARD_MB), _MOST_SHARD_MB)
        _, items = find_items(arguments.data, arguments.speakers)
        write_plan(arguments.out, items, settings, shard_bytes=int(shard_mb * 1e6))
    plan = Plan(arguments.out)
    plan.check(settings)
    if not (
        arguments.out / MODEL_FILE
    ).exists():  # beside the codes, where all nodes see it and readers find it
        with atomic_output(arguments.out / MODEL_FILE) as file:
            file.write(model.read_bytes())
    remove_stale_parts(arguments.out)
    return plan


def _in_this_process(out: Path, settings: Settings, todo: list[int]) -> Iterator[dict[str, Any]]:
    maker = ShardMaker(out, settings)
    for number in todo:
        yield maker.make(number)


def on_ray(
    out: Path, settings: Settings, todo: list[int], *, workers: int, gpus: int, address: str | None
) -> Iterator[dict[str, Any]]:
    """Make shards by `workers` actors; yields what `ShardMaker.make` returns, in the order in which
    they end.

    Ray starts an actor anew that dies, or whose node does, and gives its shard to another.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray.data  # sets its loggers up, which must come before their level is set

    _start_ray(address)
    logging.getLogger("ray.data").setLevel(logging.WARNING)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = False
    shards = ray.data.from_items(
        todo, override_num_blocks=len(todo)
    )  # a block each: what is done again after a loss
    made = shards.map_batches(
        _Worker,
        fn_constructor_kwargs={"out": out.resolve(), "settings": settings},
        batch_size=1,
        num_cpus=settings.threads,
        num_gpus=gpus / workers or None,
        compute=ray.data.ActorPoolStrategy(size=workers),
    )
    try:
        yield from made.iter_rows()
    finally:
        ray.shutdown()


def _start_ray(address: str | None) -> None:
    import ray

    if ray.is_initialized():
        return
    root = Path(__file__).parents[2]
    options: dict[str, Any] = (
        {"include_dashboard": False}
        if address is None
        else {"runtime_env": {"py_modules": [str(root / "codec"), str(root / "recipes")]}}
    )
    try:
        ray.init(address=address, logging_level=logging.WARNING, log_to_driver=False, **options)
    except Exception as error:  # Ray has no class for it: its parts have 30 s to start
        raise ConfigError(
            f"Ray did not start: {error}; where the machine is busy, try again, or --workers 0 "
            "codes without it"
        ) from error


class _Worker:
    """A `ShardMaker` in the shape of Ray Data: a column of shards in, a column of results out."""

    def __init__(self, out: Path, settings: Settings) -> None:
        self._maker = ShardMaker(out, settings)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        results = [self._maker.make(int(number)) for number in batch["item"]]
        return {name: [result[name] for result in results] for name in results[0]}


def _watch(made: Iterator[dict[str, Any]], shards: int) -> None:
    """Progress on standard error, a line every few seconds."""
    start = last = time.monotonic()
    results: list[dict[str, Any]] = []
    for result in made:
        results.append(result)
        now = time.monotonic()
        if len(results) == shards or now - last > _SECONDS_BETWEEN_LINES:
            last = now
            _say(_progress(results, shards, now - start))


def _progress(results: list[dict[str, Any]], shards: int, elapsed: float) -> str:
    done, failed = len(results), sum(result["failed"] for result in results)
    hours = sum(result["seconds"] for result in results) / 3600
    cpu_seconds = sum(result["cpu_seconds"] for result in results)
    memory_mb = max(result["memory_mb"] for result in results)
    left = elapsed / done * (shards - done)
    return (
        f"{done} of {shards} shards, {failed} errors, {hours:.2f} h of audio in {elapsed:.0f} s; "
        f"{hours * 60 / elapsed:.2f} h a minute, {cpu_seconds:.0f} s of processor time, "
        f"at most {memory_mb:.0f} MB a worker; {left / 60:.1f} minutes left"
    )


def write_errors(out: Path, shards: int) -> int:
    """Gather what the shards could not code; returns how many clips."""
    errors = [
        error for number in range(shards) for error in shard_errors(shard_path(out, number)).items()
    ]
    table = pa.table(
        {
            name: pa.array([e[i] for e in errors], pa.string())
            for i, name in enumerate(("path", "error"))
        }
    )
    with atomic_output(out / "errors.parquet", overwrite=True) as file:
        pq.write_table(table, file)
    return len(errors)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        run_script(main, Arguments)
    except KeyboardInterrupt:
        sys.exit("stopped; the same command goes on")
