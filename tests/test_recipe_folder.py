"""The recipe from a folder of speech to a model file: stopped on the way, gone on with,
fine-tuned.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import itertools
import math
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import tyro
from synthesis import synthesize_speech, write_corpus
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec import PRESETS, Codec
from codec.bitstream import NONE
from codec.checkpoint import Checkpoint
from codec.errors import AudioError, CheckpointError, ConfigError, OutputError
from codec.training import state as training_state
from codec.training.data.clips import read_manifest
from codec.training.logs import METRICS, read_metrics
from recipes.run_script import run_script
from recipes.runs.folder import model_file, train
from recipes.runs.folder.run_manifest import MANIFEST, run_manifest

ROOT = Path(__file__).parents[1]
OPTIONS = shlex.split("""
    --settings.precision no --preset tiny --cpu --threads 1 --workers 1 --speakers folder
    --stage-counts 1,4,12 --log-every-steps 3
    --settings.steps 18 --settings.max-minutes None --settings.batch-size 4
    --settings.segment-seconds 0.32
    --settings.rate-warmup-steps 5 --settings.initialise-vectors 100
    --settings.discriminator.periods 2 --settings.discriminator.windows 512
    --settings.discriminator.bands 0 1 --settings.windows-per-step 3
    --settings.discriminator.period-width 2 --settings.discriminator.spectral-width 2
""")


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Path:
    """A folder to train on, with files that cannot be used, and one to measure on."""
    folder = tmp_path_factory.mktemp("speech")
    write_corpus(folder / "train", [1.2, 2.0, 1.5, 1.0])
    write_corpus(folder / "val", [1.5, 1.2])
    broken = folder / "train" / "broken"
    broken.mkdir()
    (broken / "text.wav").write_bytes(b"not audio at all")
    (broken / "empty.flac").write_bytes(b"")
    soundfile.write(broken / "silent.wav", np.zeros(16_000), 16_000)
    soundfile.write(broken / "short.wav", synthesize_speech(0.1), 16_000)
    soundfile.write(
        broken / "clipped.wav", np.sign(synthesize_speech(1.0)), 16_000, subtype="FLOAT"
    )
    return folder


def arguments(speech: Path, out: Path, *more: str) -> list[str]:
    places = {"--data": speech / "train", "--validation": speech / "val", "--out": out}
    return [*(word for pair in places.items() for word in map(str, pair)), *OPTIONS, *more]


def train_here(words: list[str]) -> None:
    """The command, in this process, which has imported already what takes seconds to import."""
    train.main(tyro.cli(train.Arguments, args=words))


@pytest.fixture(scope="module")
def run(speech, tmp_path_factory) -> Path:
    """A run that was stopped by Ctrl-C, and finished by the same command."""
    out = tmp_path_factory.mktemp("run") / "mine"
    with subprocess.Popen(
        [sys.executable, "-m", "recipes.runs.folder.train", *arguments(speech, out)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        errors = ""
        for line in process.stderr:
            errors += line
            if line.startswith("step 3 train"):
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=600) == 130, errors
    assert 3 <= training_state.load_state(out)["trainer"]["steps"] < 18, errors
    assert not (out / "model.safetensors").exists()
    assert re.search(
        r"stopped at step \d+, and saved: the same command goes on from here\n$", errors
    ), errors
    time.sleep(1.0)  # TensorBoard reads its files in the order of the second that they began in
    said, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        train_here(arguments(speech, out))
    assert "| stages | kbps | pesq_wb |" in said.getvalue()
    for line in (
        r"18 steps, 1 CPU thread\(s\): batches of 4 crops of 0.32 s, 1 of 2 discriminators a step "
        r"from 40% of .*",
        r"goes on at step \d+, after 0.\d minutes of training",
        r"made .*model.safetensors, .*discriminators.safetensors and .*curves.png",
    ):
        assert re.search(f"^{line}$", told.getvalue(), re.MULTILINE), told.getvalue()
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    return out


def test_the_model_file_codes_speech(run):
    codec = Codec.load(run / "model.safetensors", device="cpu")
    wave = synthesize_speech(1.0, sample_rate_hz=22_050, seed=9)
    decoded = codec.decode(codec.encode(wave, sample_rate_hz=22_050).to_bytes())
    assert (decoded.wave.shape, decoded.sample_rate_hz) == ((1, 22_050), 22_050)
    assert np.isfinite(decoded.wave).all()
    assert codec.tables is not None


def test_tables_are_fitted_on_all_clips_again_and_again_where_there_are_few(run, monkeypatch):
    manifest = read_manifest(run / MANIFEST)
    given = {}
    monkeypatch.setattr(
        model_file, "model_tables", lambda _config, codes: given.update(codes=codes)
    )
    for minutes, clips, times in ((3 / 60, 2, 1), (6 / 60, 4, 1), (18 / 60, 4, 3), (600, 4, 8)):
        model_file.fitted_tables(Checkpoint.load(run / "model.safetensors"), manifest, minutes)
        assert [codes.shape[0] for codes in given["codes"]] == [times] * clips
    versions = given["codes"][0]
    assert len(np.unique(versions, axis=0)) == 8


def test_tables_are_fitted_on_fewer_codes_where_time_is_short(run, monkeypatch):
    manifest = read_manifest(run / MANIFEST)
    monkeypatch.setattr(model_file, "model_tables", lambda _config, codes: codes)
    checkpoint = Checkpoint.load(run / "model.safetensors")
    assert len(model_file.fitted_tables(checkpoint, manifest, 600, 0, until=time.monotonic())) == 1
    soon = time.monotonic() + 600
    assert len(model_file.fitted_tables(checkpoint, manifest, 600, 0, until=soon)) == 4


def test_fewer_clips_are_scored_where_time_is_short(monkeypatch):
    """By a clock that moves on a second each time it is read."""
    scored = []
    monkeypatch.setattr(model_file, "monotonic", itertools.count(0.0).__next__)
    monkeypatch.setattr(
        model_file, "rate_table", lambda _codec, clips, *_, **__: scored.append(clips)
    )
    clips = list(range(10))
    for until in (math.inf, 7.0, 0.0):
        model_file._scores(None, clips, [1], None, until)
    assert scored == [clips, [0], [0, 1, 3, 5, 6, 8], [0], [0]]


def test_minutes_are_all_of_a_run(speech, tmp_path, monkeypatch):
    given = {}
    monkeypatch.setattr(train, "export", lambda *_, until, **__: given.update(until=until))
    out = tmp_path / "out"
    more = ("--settings.steps", "1", "--settings.max-minutes", "10")

    def seconds_of_end() -> float:
        train_here([*arguments(speech, out), *more])
        return given["until"] - time.monotonic()

    assert seconds_of_end() == pytest.approx(60, abs=10)  # training took no time
    state = training_state.load_state(out)
    assert state["settings"]["max_minutes"] == 8.0
    for elapsed_s, seconds in (
        (480.0, 120),  # as planned
        (520.0, 80),  # later than planned
        (700.0, 87.5),  # and half of what training by itself would have left, at least
    ):
        training_state.save_state(out, state | {"elapsed_s": elapsed_s})
        assert seconds_of_end() == pytest.approx(seconds, abs=10)


def test_networks_are_fitted_on_codes_of_many_rates(run, monkeypatch):
    manifest = read_manifest(run / MANIFEST)
    checkpoint = Checkpoint.load(run / "model.safetensors")
    given = {}

    def add_networks(tables, codes, points, **options):
        given.update(codes=codes, points=points, **options)
        return tables

    monkeypatch.setattr(model_file, "add_networks", add_networks)
    model_file.fitted_tables(checkpoint, manifest, 600)
    depths = [np.count_nonzero(clip != NONE, axis=1) for clip in given["codes"]]
    assert [len(clip) for clip in depths] == [8] * 4
    assert len({int(depth.sum()) for clip in depths for depth in clip}) > 4
    stages = checkpoint.config.stages
    assert [points.shape[0] for points in given["points"]] == [s.codewords for s in stages]
    assert given["packet_frames"] == round(2 * checkpoint.config.frame_rate_hz)
    assert given["stages"] == 6
    given.clear()
    model_file.fitted_tables(checkpoint, manifest, 600, 0)
    assert not given


def test_a_model_for_calls_has_no_networks():
    assert [name for name, make in PRESETS.items() if model_file._is_for_calls(make())] == [
        "speech_16khz_live"
    ]


def test_the_model_file_says_how_it_was_made(run):
    facts = Codec.load(run / "model.safetensors", device="cpu").facts
    assert (facts["steps"], facts["seconds_heard"]) == (18, pytest.approx(18 * 4 * 0.32))
    assert facts["data"] == {
        "folder": "train",
        "subsets": [],
        "clips": 4,
        "hours": pytest.approx(5.7 / 3600),
    }
    assert facts["training_seconds"] > 0
    assert facts["device"] == "1 CPU thread(s)"
    assert facts["commit"]
    assert facts["settings"]["batch_size"] == 4
    assert "fine_tuned_from" not in facts
    rows = facts["validation"]
    assert [row["stages"] for row in rows] == [1, 4]  # the model has 4
    assert 0.3 < rows[0]["kbps"] < rows[1]["kbps"] < 2.5
    assert {"pesq_wb", "estoi"} <= set(rows[0])


def test_files_that_cannot_be_used_are_listed_with_the_reason(run):
    lines = (run / "rejected.txt").read_text().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"broken/{name}"
        for name in ("clipped.wav", "empty.flac", "short.wav", "silent.wav", "text.wav")
    ]
    for line, reason in zip(
        lines, ("clipped: ", "", "0.100 s, shorter than", "silent: ", ""), strict=True
    ):
        assert reason in line.partition(": ")[2]


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file's name is text")
def test_names_that_are_no_text_end_no_run(tmp_path):
    write_corpus(tmp_path / "train", [1.2])
    (tmp_path / "train" / "empty_\udcff.wav").touch()
    run_manifest(tmp_path / "run", tmp_path / "train", (), speakers="prefix", jobs=1)
    assert (tmp_path / "run" / "rejected.txt").read_bytes().startswith(b"empty_\xff.wav: ")


def test_the_log_reads_as_one_unbroken_run(run):
    steps = [record["step"] for record in read_metrics(run / METRICS) if record["event"] == "train"]
    assert steps == sorted(set(steps))
    assert set(range(3, 19, 3)) <= set(steps)
    events = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0}).Reload()
    assert [event.step for event in events.Scalars("train/mel")] == steps
    assert set(events.Tags()["audio"]) == {
        f"audio/speaker0{number}/clip/{kind}"
        for number in range(2)
        for kind in ("original", "decoded")
    }
    assert "validation/4_stages/estoi" in events.Tags()["scalars"]


def test_another_run_begins_from_its_portable_state(run, speech, tmp_path):
    small = tmp_path / "small.pt"
    training_state.main(run, small)
    words = arguments(speech, tmp_path / "tuned", "--init", str(small))
    tuning = tyro.cli(train.Arguments, args=words)
    settings = dataclasses.replace(tuning.settings, steps=2, learning_rate=1e-4)
    train.main(dataclasses.replace(tuning, settings=settings, stage_counts=(2,)))
    model = tmp_path / "tuned" / "model.safetensors"
    facts = Codec.load(model, device="cpu").facts
    assert facts["steps"] == 2
    assert facts["fine_tuned_from"]["steps"] == 18
    assert facts["fine_tuned_from"]["seconds_heard"] == pytest.approx(18 * 4 * 0.32)
    assert (tmp_path / "tuned" / "rejected.txt").read_text() == (run / "rejected.txt").read_text()

    again = model_file.Arguments(
        run=tmp_path / "tuned", validation=speech / "val", model=model, stage_counts=(2,), workers=1
    )
    before = model.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        model_file.main(again)
    nowhere = dataclasses.replace(again, model=tmp_path / "nowhere" / "model.safetensors")
    with pytest.raises(CheckpointError, match="there is no folder"):
        model_file.main(nowhere)
    assert model.read_bytes() == before


def test_a_dry_run_says_what_the_run_would_take_and_leaves_nothing(speech, tmp_path, capsys):
    out = tmp_path / "out"
    train_here(arguments(speech, out, "--dry-run"))
    said = capsys.readouterr()
    assert said.out == ""
    assert not out.exists()
    for line in (
        r"steps     18, of \d+.\d\d s each with discriminators",
        # 18 steps of 4 crops, of 5.7 s
        r"heard     0.0 hours, 4.0 times the 0.0 hours of the data",
        r"memory    \d.\d GB",
    ):
        assert re.search(f"^{line}$", said.err, re.MULTILINE), said.err


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (("--data", "{elsewhere}"), r"lists speaker\S+, which is not of --data \S+: give the data"),
        (("--subsets", "broken"), r"which is not of --data \S+ and its --subsets: give the data"),
        (
            ("--data", "{speech}/train/broken", "--out", "{new}"),
            r"no usable audio below .*broken; ",
        ),
        (("--out", "{new}/file/run"), r"cannot write to .*file/run: Not a directory"),
        (("--validation", "{new}"), r"no audio files below .*new"),
        (("--threads", "0"), r"threads is at least 1, not 0"),
        (("--validation-clips", "0"), r"validation_clips is at least 1, not 0"),
        (("--final-clips", "0"), r"final_clips is at least 1, not 0"),
        (("--stages", "0"), r"stages is at least 1, not 0"),
        (("--data-workers", "-1"), r"data_workers is at least 0, not -1"),
        (("--stage-counts", "5,6"), r"the model has 4 stages, and all of stage_counts are more"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(run, speech, tmp_path, more, reason):
    places = {name: tmp_path / name for name in ("elsewhere", "new")}
    for place in places.values():
        place.mkdir()
    (places["new"] / "file").touch()
    before = sorted(run.iterdir())
    words = [word.format(speech=speech, **places) for word in more]
    with pytest.raises((ConfigError, OutputError, AudioError), match=reason):
        train_here([*arguments(speech, run), *words])
    assert sorted(run.iterdir()) == before
    assert not (places["new"] / "manifest.jsonl").exists()


def test_a_short_run_is_measured_on_few_clips(speech, tmp_path):
    parsed = tyro.cli(train.Arguments, args=arguments(speech, tmp_path))
    for minutes, clips in ((None, 12), (1.0, 2), (5.0, 5), (600.0, 12)):
        settings = dataclasses.replace(parsed.settings, max_minutes=minutes)
        assert train._validation_clips(dataclasses.replace(parsed, settings=settings)) == clips


def test_an_error_is_one_line(speech, tmp_path, monkeypatch, capfd):
    words = arguments(speech, tmp_path, "--settings.steps", "None")
    monkeypatch.setattr(sys, "argv", ["train", *words])
    with pytest.raises(SystemExit) as end:
        run_script(train.main, train.Arguments)
    # What Python prints on standard error before it ends with exit code 1.
    assert end.value.code == "error: a run has no end: set steps, max_minutes or both"
    assert capfd.readouterr() == ("", "")
