"""A corpus as Parquet: every clip once with the codes of `Codec.encode`, whatever is killed on the
way.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile
import torch
from synthesis import synthesize_speech
from torch.utils.data import DataLoader

from codec import BitstreamError, Codec, ConfigError, ManifestError, atomic_output
from codec.training.data.manifest import build_manifest, write_manifest

pytest.importorskip("pyarrow")

import pyarrow as pa
import pyarrow.parquet as pq

from recipes.corpus.__main__ import Arguments, main, on_ray
from recipes.corpus.read import Arguments as ReadArguments
from recipes.corpus.read import CodeCrops, codes_of, decode_row
from recipes.corpus.read import main as read_main
from recipes.corpus.shard import Settings
from recipes.corpus.shard_plan import Plan, find_items, write_plan

ROOT = Path(__file__).parents[2]
BAD = {"a/nan_1.wav", "b/text_1.wav"}
_MANY = 40


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Clips of many lengths in two folders, one at another rate, one of two channels, one empty,
    two that are bad.
    """
    root = tmp_path_factory.mktemp("data")
    speech = synthesize_speech(6.0, seed=3).astype(np.float32)
    for folder in ("a", "b", ".hidden"):
        (root / folder).mkdir()
    for number in range(12):
        clip = speech[number * 500 : number * 500 + 4000 + 7000 * (number % 5)]
        soundfile.write(root / "ab"[number % 2] / f"s{number % 3}_{number}.wav", clip, 16_000)
    soundfile.write(root / "a" / "fast_1.flac", speech[:50_000], 44_100)
    soundfile.write(
        root / "b" / "both_1.wav", np.stack([speech[:9000], speech[9000:18_000]], 1), 16_000
    )
    soundfile.write(root / "b" / "empty_1.wav", speech[:0], 16_000)
    soundfile.write(root / ".hidden" / "h_1.wav", speech[:9000], 16_000)
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(root / "a" / "pipe.wav")
    soundfile.write(root / "a" / "nan_1.wav", np.array([0.0, np.nan]), 16_000, subtype="FLOAT")
    (root / "b" / "text_1.wav").write_text("no audio")
    (root / "notes.txt").write_text("no audio either")
    return root


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("many")
    speech = synthesize_speech(4.0, seed=5).astype(np.float32)
    for number in range(_MANY):
        soundfile.write(
            root / f"s_{number:02}.wav", speech[100 * number : 100 * number + 30_000], 16_000
        )
    return root


def rows(out: Path) -> list[dict]:
    return [
        row
        for shard in sorted(out.glob("shard-*.parquet"))
        for row in pq.read_table(shard).to_pylist()
    ]


def errors(out: Path) -> dict[str, str]:
    return {row["path"]: row["error"] for row in pq.read_table(out / "errors.parquet").to_pylist()}


def clips_below(root: Path) -> list[str]:
    files = [path for path in root.rglob("*") if path.suffix in (".wav", ".flac")]
    found = [path.relative_to(root) for path in files if path.is_file()]
    return sorted(path.as_posix() for path in found if not path.parts[0].startswith("."))


def assert_all_codes_are_those_of_encode(out: Path, root: Path, model: Path, **options) -> None:
    codec = Codec.load(model, device="cpu")
    found = rows(out)
    assert sorted(row["path"] for row in found) == [
        path for path in clips_below(root) if path not in BAD
    ]
    for row in found:
        expected = codec.encode(root / row["path"], **options)
        np.testing.assert_array_equal(codes_of(row), expected.codes)
        assert row["samples"] == expected.samples
        assert row["sample_rate_hz"] == expected.header.original_rate_hz
        assert row["fingerprint"] == codec.fingerprint.hex()
        assert row["speaker"] == Path(row["path"]).stem.rpartition("_")[0]


def run(data: Path, out: Path, model: Path, **options) -> None:
    main(
        Arguments(
            **{"data": data, "out": out, "model": str(model), "workers": 0, "shard_mb": 0.1}
            | options
        )
    )


@pytest.mark.parametrize("options", [{}, {"stages": 2}, {"bitrate_kbps": 0.7}])
def test_codes_are_those_of_encode_and_bad_files_are_rows_of_errors(
    data, tiny_model, tmp_path, capsys, options
):
    given = {
        "bitrate" if name == "bitrate_kbps" else name: value for name, value in options.items()
    }
    run(data, tmp_path, tiny_model, **given)
    assert Plan(tmp_path).shards > 3
    assert_all_codes_are_those_of_encode(tmp_path, data, tiny_model, **options)
    assert errors(tmp_path).keys() == BAD
    assert "NaN" in errors(tmp_path)["a/nan_1.wav"]
    assert (
        f"15 clips in {Plan(tmp_path).shards} shards, 2 in errors.parquet"
        in capsys.readouterr().err
    )


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file's name is text")
def test_files_that_cannot_be_found_are_rows_of_errors(many, tiny_model, tmp_path):
    shutil.copy(min(many.iterdir()), tmp_path / "good_1.wav")
    (tmp_path / "nowhere_1.wav").symlink_to("nothing")
    shutil.copy(tmp_path / "good_1.wav", os.fsencode(tmp_path) + b"/bad\xff_1.wav")
    run(tmp_path, tmp_path / "out", tiny_model)
    assert [row["path"] for row in rows(tmp_path / "out")] == ["good_1.wav"]
    assert errors(tmp_path / "out").keys() == {"nowhere_1.wav", r"bad\udcff_1.wav"}
    write_manifest(build_manifest(tmp_path)[0], tmp_path / "clips.jsonl")
    run(tmp_path / "clips.jsonl", tmp_path / "listed", tiny_model)
    assert [row["path"] for row in rows(tmp_path / "listed")] == ["good_1.wav"]
    assert errors(tmp_path / "listed").keys() == {r"bad\udcff_1.wav"}


def test_files_whose_paths_name_no_speaker_are_rows_of_errors(many, tiny_model, tmp_path):
    (tmp_path / "in" / "84" / "121123").mkdir(parents=True)
    for place in ("84/121123/good.wav", "stray.wav"):
        shutil.copy(min(many.iterdir()), tmp_path / "in" / place)
    run(tmp_path / "in", tmp_path / "out", tiny_model, speakers="libritts")
    assert [(row["path"], row["speaker"]) for row in rows(tmp_path / "out")] == [
        ("84/121123/good.wav", "84")
    ]
    assert errors(tmp_path / "out") == {
        "stray.wav": "no speaker folder: expected speaker/chapter/file, as in LibriTTS"
    }


def test_a_plan_of_an_older_version_has_no_errors(many, tmp_path):
    _, items = find_items(many, "prefix")
    write_plan(tmp_path, items, {}, shard_bytes=100_000)
    plan = pq.read_table(tmp_path / "plan.parquet")
    pq.write_table(plan.drop_columns(["error"]), tmp_path / "plan.parquet")
    assert {item.error for item in Plan(tmp_path).items(0)} == {""}


def test_what_is_there_is_not_made_again_and_what_is_missing_is(data, tiny_model, tmp_path, capsys):
    run(data, tmp_path, tiny_model)
    shards = sorted(tmp_path.glob("shard-*"))
    before = {shard: (shard.read_bytes(), shard.stat().st_mtime_ns) for shard in shards}
    shards[1].unlink()
    (tmp_path / ".0123.part").write_text("half of a shard")
    run(data, tmp_path, tiny_model)
    assert (
        f"{len(shards) - 1} of {len(shards)} shards are there, going on" in capsys.readouterr().err
    )
    assert {shard: shard.read_bytes() for shard in shards} == {
        shard: content for shard, (content, _) in before.items()
    }
    assert [s for s in shards if s.stat().st_mtime_ns != before[s][1]] == [shards[1]]
    assert not list(tmp_path.glob(".*.part"))


def test_what_is_being_written_is_left_alone(many, tiny_model, tmp_path):
    shutil.copy(min(many.iterdir()), tmp_path / "one_1.wav")
    (tmp_path / "out").mkdir()
    with atomic_output(tmp_path / "out" / "theirs") as file:
        run(tmp_path, tmp_path / "out", tiny_model)
        file.write(b"whole")
    assert (tmp_path / "out" / "theirs").read_bytes() == b"whole"


def test_a_folder_goes_on_with_its_own_settings_only(data, tiny_model, tmp_path):
    run(data, tmp_path, tiny_model, stages=2)
    with pytest.raises(
        ConfigError,
        match="was begun with stages 2, not 3; go on with that, or choose another folder",
    ):
        run(data, tmp_path, tiny_model, stages=3)


def test_a_manifest_is_a_corpus_too(data, tiny_model, tmp_path):
    manifest, _ = build_manifest(data, speaker_rule=lambda path: f"voice of {path.stem}")
    write_manifest(manifest, tmp_path / "clips.jsonl")
    run(tmp_path / "clips.jsonl", tmp_path / "out", tiny_model)
    assert [row["path"] for row in rows(tmp_path / "out")] == [clip.path for clip in manifest.clips]
    assert {row["speaker"] for row in rows(tmp_path / "out")} >= {"voice of fast_1"}


def parquet(folder: Path, root: Path, paths: list[str], name: str, **columns) -> None:
    audio = [{"bytes": (root / path).read_bytes(), "path": path} for path in paths]
    pq.write_table(pa.table({"audio": audio, **columns}), folder / name, row_group_size=3)


def test_parquet_with_an_audio_column_as_datasets_writes_it(data, tiny_model, tmp_path):
    paths, folder = clips_below(data), tmp_path / "in"
    folder.mkdir()
    parquet(folder, data, paths[:7], "0.parquet", speaker_id=list(range(7)))
    parquet(folder, data, paths[7:], "1.parquet", speaker_id=list(range(len(paths) - 7)))
    run(folder, tmp_path / "out", tiny_model, shard_mb=0.2)
    names = {f"0.parquet#{row}": path for row, path in enumerate(paths[:7])}
    names |= {f"1.parquet#{row}": path for row, path in enumerate(paths[7:])}
    found, codec = rows(tmp_path / "out"), Codec.load(tiny_model, device="cpu")
    assert {names[row["path"]] for row in found} == set(paths) - BAD
    assert {names[path] for path in errors(tmp_path / "out")} == BAD
    for row in found:
        np.testing.assert_array_equal(codes_of(row), codec.encode(data / names[row["path"]]).codes)
        assert row["speaker"] == row["path"].partition("#")[2]
    run(folder / "0.parquet", tmp_path / "one", tiny_model)
    assert len(rows(tmp_path / "one")) + len(errors(tmp_path / "one")) == 7


def test_what_is_no_corpus(tmp_path, tiny_model):
    with pytest.raises(ManifestError, match="no folder, no manifest"):
        find_items(tmp_path / "nothing", "prefix")
    with pytest.raises(ConfigError, match="there is no audio below"):
        run(tmp_path, tmp_path / "out", tiny_model)
    pq.write_table(pa.table({"sound": [1]}), tmp_path / "x.parquet")
    with pytest.raises(ManifestError, match="no column audio, only sound"):
        run(tmp_path / "x.parquet", tmp_path / "out", tiny_model)
    with pytest.raises(ConfigError, match="--speakers is folder, prefix, libritts, not 'name'"):
        run(tmp_path, tmp_path / "out", tiny_model, speakers="name")


@pytest.fixture(scope="module")
def corpus(data, tiny_model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("corpus")
    run(data, out, tiny_model)
    return out


def test_datasets_load_the_shards(corpus):
    datasets = pytest.importorskip("datasets")
    files = sorted(map(str, corpus.glob("shard-*.parquet")))
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(corpus / "cache")
    )
    for row, expected in zip(loaded, rows(corpus), strict=True):
        np.testing.assert_array_equal(codes_of(row), codes_of(expected))


def snippet(holds: str) -> str:
    """The Python block in the recipes' README that holds these words."""
    blocks = (ROOT / "recipes" / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    (found,) = (block.split("```")[0] for block in blocks if holds in block)
    return found


def test_the_readme_reads_the_shards_back(corpus, tmp_path, monkeypatch):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "corpora").mkdir()
    (tmp_path / "corpora" / "codes").symlink_to(corpus)
    found: dict[str, Any] = {}
    exec(snippet("CodeCrops"), found)
    np.testing.assert_array_equal(found["codes"], codes_of(rows(corpus)[0]))
    assert len(list(found["crops"])) == len(found["rows"]) == len(rows(corpus))
    assert found["batch"].shape[1:] == found["present"].shape[1:] == (4, 250)
    assert found["tokens"].min() >= 0


def test_the_readme_codes_with_datasets_map(many, tmp_path):
    datasets = pytest.importorskip("datasets")
    (tmp_path / "speech" / "train").mkdir(parents=True)
    clips = [tmp_path / "speech" / "train" / name for name in ("a.flac", "b.wav", "c.wav")]
    for number, clip in enumerate(clips):
        soundfile.write(clip, *soundfile.read(many / f"s_{number:02}.wav"))
    (tmp_path / "tokens.py").write_text(snippet("def tokenize"))
    environment = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "tokens.py"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    codec = Codec.load(backend="onnx")
    coded = datasets.load_from_disk(str(tmp_path / "codes"))["codes"]
    for codes, clip in zip(coded, clips, strict=True):
        np.testing.assert_array_equal(codes, codec.encode(clip).codes[0])


def test_rows_decode_to_the_clip(corpus, data, tiny_model, tmp_path, capsys):
    codec = Codec.load(tiny_model, device="cpu")
    for row in rows(corpus):
        audio, original = decode_row(codec, row), codec.decode(codec.encode(data / row["path"]))
        assert (audio.wave.shape, audio.sample_rate_hz) == (
            original.wave.shape,
            original.sample_rate_hz,
        )
        if audio.sample_rate_hz == 16_000:
            np.testing.assert_array_equal(audio.wave, original.wave)
    shard = corpus / "shard-000001.parquet"
    read_main(ReadArguments(f"{shard}#0", tmp_path / "out.wav"))
    first = pq.read_table(shard).to_pylist()[0]
    assert soundfile.info(tmp_path / "out.wav").frames == first["samples"]
    assert capsys.readouterr().out.startswith(first["path"])
    with pytest.raises(ConfigError, match="has rows 0 to"):
        read_main(ReadArguments(f"{shard}#99", tmp_path / "out.wav"))
    with pytest.raises(ManifestError, match="is no shard of a corpus"):
        read_main(ReadArguments("nothere.parquet#0", tmp_path / "out.wav"))
    with pytest.raises(ConfigError, match="names no row; give SHARD#ROW"):
        read_main(ReadArguments(str(shard), tmp_path / "out.wav"))
    other = Codec.load("speech_16khz", device="cpu", backend="onnx")
    with pytest.raises(BitstreamError, match="was coded with the model"):
        decode_row(other, first)


def test_crops_of_every_clip_once_an_epoch(corpus):
    whole = [codes_of(row)[0] for row in rows(corpus)]
    crops = CodeCrops(corpus, frames=30, seed=1)
    first = [crop.numpy() for crop in crops]
    assert len(first) == len(whole)
    assert {crop.shape for crop in first} == {(4, 30)}
    sources = [find_crop(crop, whole) for crop in first]
    assert sorted(sources) == list(range(len(whole)))
    assert all(np.array_equal(a, b) for a, b in zip(first, crops, strict=True))
    crops.set_epoch(1)
    second = [find_crop(crop.numpy(), whole) for crop in crops]
    assert sorted(second) == sorted(sources)
    assert second != sources


def find_crop(crop: np.ndarray, whole: list[np.ndarray]) -> int:
    """Which clip a crop is of: it must be a stretch of exactly one."""
    length = int((crop[0] >= 0).sum())
    assert (crop[:, length:] == -1).all()
    found = []
    for number, codes in enumerate(whole):
        if length == min(codes.shape[1], crop.shape[1]):
            starts = range(codes.shape[1] - length + 1)
            found += [number] * any(
                np.array_equal(codes[:, s : s + length], crop[:, :length]) for s in starts
            )
    assert len(found) == 1
    return found[0]


def test_processes_and_workers_share_the_clips(corpus):
    whole = [codes_of(row)[0] for row in rows(corpus)]
    seen = []
    for rank in range(2):
        loader = DataLoader(
            CodeCrops(corpus, frames=30, rank=rank, processes=2), batch_size=2, num_workers=2
        )
        seen += [find_crop(crop.numpy(), whole) for batch in loader for crop in batch]
    assert sorted(seen) == list(range(len(whole)))
    assert next(iter(DataLoader(CodeCrops(corpus, frames=30), batch_size=4))).dtype == torch.int64


Started = TypeVar("Started")
RAY_SECONDS = 600  # on a busy machine
RAY_VARIABLES = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_worker_niceness": "0",  # Ray's own is 15, and a busy machine then leaves workers nothing
}
needs_ray = pytest.mark.skipif(
    "DIVEQ_RAY" not in os.environ,
    reason="Ray takes minutes to start on a busy machine; DIVEQ_RAY=1 runs this",
)


def start(many: Path, out: Path, model: Path, *options: str) -> subprocess.Popen:
    command = [
        sys.executable,
        "-m",
        "recipes.corpus",
        "--data",
        many,
        "--out",
        out,
        "--model",
        model,
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)} | RAY_VARIABLES
    return subprocess.Popen(
        [*map(str, command), "--shard-mb", "0.1", *options],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_shards(out: Path, count: int, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + RAY_SECONDS
    while len(list(out.glob("shard-*"))) < count:
        assert process.poll() is None, process.stderr and process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def workers_of(process: subprocess.Popen) -> Iterator[int]:
    """The processes below it that make shards."""
    psutil = pytest.importorskip("psutil")
    for child in psutil.Process(process.pid).children(recursive=True):
        if "MapWorker" in " ".join(child.cmdline()):
            yield child.pid


def started(start: Callable[[], Started]) -> Started:
    """What `start` gives; Ray allows a node 30 s to start, which is little on a busy machine."""
    for _ in range(4):
        try:
            return start()
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    return start()


@needs_ray
def test_a_killed_worker_and_a_killed_driver_lose_nothing(many, tiny_model, tmp_path):
    pytest.importorskip("ray")
    first = start(many, tmp_path, tiny_model)
    try:
        wait_for_shards(tmp_path, 2, first)
        (worker,) = workers_of(first)
        os.kill(worker, signal.SIGKILL)
        made = len(list(tmp_path.glob("shard-*")))
        wait_for_shards(tmp_path, made + 3, first)  # another worker goes on
    finally:
        first.kill()
        first.communicate()
    shards = Plan(tmp_path).shards
    assert len(list(tmp_path.glob("shard-*"))) < shards
    again = start(many, tmp_path, tiny_model)
    _, said = again.communicate(timeout=RAY_SECONDS)
    assert again.returncode == 0, said
    assert f"of {shards} shards are there, going on" in said
    assert f"{_MANY} clips in {shards} shards, 0 in errors.parquet" in said
    assert "INFO" not in said  # of Ray Data's own progress
    assert_all_codes_are_those_of_encode(tmp_path, many, tiny_model)


@needs_ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_cluster_that_loses_a_node_loses_nothing(many, tiny_model, tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    from ray._private.state import available_resources_per_node
    from ray.cluster_utils import Cluster

    for name, value in RAY_VARIABLES.items():
        monkeypatch.setenv(name, value)
    shutil.copy(tiny_model, tmp_path / "model.safetensors")
    settings = {
        "root": str(many),
        "model": "",
        "stages": None,
        "bitrate": None,
        "speakers": "prefix",
    }
    _, items = find_items(many, "prefix")
    write_plan(tmp_path, items, settings, shard_bytes=100_000)
    shards = Plan(tmp_path).shards
    cluster = started(lambda: Cluster(initialize_head=True, head_node_args={"num_cpus": 1}))
    try:
        others = [started(lambda: cluster.add_node(num_cpus=1)) for _ in range(2)]
        made = on_ray(
            tmp_path,
            Settings(device="cpu"),
            list(range(shards)),
            workers=2,
            gpus=0,
            address=cluster.address,
        )
        results = [next(made), next(made)]
        assert sum(node["Alive"] for node in ray.nodes()) == 3
        left = available_resources_per_node()  # two of the three have a worker
        doomed = next(node for node in others if not left[node.node_id].get("CPU"))
        cluster.remove_node(doomed)
        results += made
    finally:
        ray.shutdown()
        cluster.shutdown()
    assert {result["shard"] for result in results} == set(range(shards))
    assert sum(result["clips"] for result in results) == _MANY
    assert_all_codes_are_those_of_encode(tmp_path, many, tiny_model)
