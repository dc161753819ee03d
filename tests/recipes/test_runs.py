"""Runs are what they say: models, shares of a batch, launch configurations, and the commands in the
README.
"""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path

import pytest
import tyro
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import launch_command_parser
from synthesis import write_corpus

from codec.checkpoint import Checkpoint
from codec.errors import AudioError, ConfigError
from codec.training.data.clips import Manifest
from codec.training.validation import audio_files
from recipes.corpus import __main__ as corpus
from recipes.held_out import spread
from recipes.measure.bench import __main__ as bench
from recipes.measure.bench import long_file
from recipes.measure.compare import __main__ as compare
from recipes.runs.folder import model_file, on_gpu, train
from recipes.runs.folder.run_manifest import are_apart, run_manifest
from recipes.runs.libritts import all as everything
from recipes.runs.libritts import download, score_run
from recipes.runs.libritts.train import RUNS
from recipes.runs.vctk import prepare
from recipes.runs.vctk.train import Study, paper
from recipes.studies.quantizers import study_tables, whole_codec

RECIPES = Path(train.__file__).parents[2]
PROCESSES = {"one-gpu": 1, "eight-gpus": 8, "two-nodes": 16}


@pytest.mark.parametrize("rehearse", [True, False])
def test_the_run_on_a_gpu_starts_from_the_shipped_model(tmp_path, rehearse):
    places = {"data": tmp_path, "validation": tmp_path, "out": tmp_path}
    run = on_gpu.training(on_gpu.Arguments(**places, rehearse=rehearse))
    assert run.init is not None
    before, config = Checkpoint.load(run.init).config, train.model_config(run)
    assert config.frame_rate_hz == before.frame_rate_hz / 2
    assert config.stages == 2 * before.stages
    assert (run.settings.max_minutes, run.settings.precision) == (
        11.0,
        "no" if rehearse else "bf16",
    )
    assert run.settings.discriminators_per_step is None


@pytest.mark.parametrize("machine", PROCESSES)
def test_launch_configurations_load_and_fit_their_runs(machine):
    config = load_config_from_file(
        str(RECIPES / f"runs/libritts/accelerate/{machine.replace('-', '_')}.yaml")
    )
    assert config.num_processes == PROCESSES[machine]  # pyright: ignore[reportAttributeAccessIssue]
    assert config.num_machines == (2 if machine == "two-nodes" else 1)
    for rate in ("16khz", "24khz"):
        settings = RUNS[f"{rate}-{machine}"].settings
        assert settings.batch_size % (config.num_processes * settings.accumulate) == 0  # pyright: ignore[reportAttributeAccessIssue]


def test_libritts_runs_have_the_models_they_name():
    for name, run in RUNS.items():
        config = train.model_config(run)
        assert {stage.kind for stage in config.stages} == {"diveq"}
        assert max(run.stage_counts) == len(config.stages)
        assert run.speakers == "libritts"
        if name != "rehearsal":
            assert config.sample_rate_hz == {"16khz": 16_000, "24khz": 24_000}[name[:5]]
            assert run.settings.precision == "bf16"


def test_stages_and_bits_replace_those_of_the_preset():
    run = dataclasses.replace(RUNS["16khz-one-gpu"], kind="sf_diveq", stages=2, bits=7)
    config = train.model_config(run)
    assert [(stage.kind, stage.bits) for stage in config.stages] == [("sf_diveq", 7)] * 2
    assert config.frame_rate_hz == 50


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
@pytest.mark.parametrize("bits", [10, 13])
def test_the_paper_s_setting(tmp_path, kind, bits):
    write_corpus(tmp_path / "train", [0.1] * 10)
    run = paper(Study(kind=kind, bits=bits, data=tmp_path))
    (stage,) = train.model_config(run).stages
    assert (stage.kind, stage.bits, stage.noise_variance) == (kind, bits, 1e-3)
    assert run.settings.steps == 300 * 10 // 64
    assert run.settings.batch_size == 64
    assert (run.settings.learning_rate, run.settings.beta_1, run.settings.beta_2) == (
        1e-4,
        0.8,
        0.99,
    )
    assert run.out == Path(f"runs/vctk-{kind}-{bits}-0")


def manifest_of(arguments: train.Arguments) -> Manifest:
    return run_manifest(
        arguments.out, arguments.data, arguments.subsets, speakers=arguments.speakers, jobs=1
    )


def test_clips_to_measure_on_are_not_trained_on(tmp_path):
    for apart, data, subsets, validation in (
        (True, "speech/train", (), "speech/val"),
        (True, "speech", ("train",), "speech/val"),
        (False, "speech", (), "speech/val"),
        (False, "speech", ("train", "val"), "speech/val"),
        (False, "speech/train", (), "speech"),
        (False, "speech/train", (), "speech/val/../train"),
    ):
        assert are_apart(tmp_path / data, subsets, tmp_path / validation) is apart


def test_subsets_make_one_manifest_and_nothing_else_is_read(tmp_path):
    for subset in ("train-a", "train-b", "dev"):
        write_corpus(tmp_path / subset / "1001", [0.6, 0.7])
    (tmp_path / "train-b" / "1001" / "speaker00" / "broken.wav").write_bytes(b"no audio")
    arguments = dataclasses.replace(
        RUNS["rehearsal"],
        data=tmp_path,
        subsets=("train-b", "train-a"),
        out=tmp_path / "run",
        speakers="folder",
    )
    manifest = manifest_of(arguments)
    assert [clip.path for clip in manifest.clips] == [
        f"train-{letter}/1001/speaker0{number}/clip.wav" for letter in "ba" for number in range(2)
    ]
    assert all((manifest.root / clip.path).is_file() for clip in manifest.clips)
    assert (
        (tmp_path / "run" / "rejected.txt")
        .read_text()
        .startswith("train-b/1001/speaker00/broken.wav: ")
    )
    assert manifest_of(arguments) == manifest  # the second time it is read from its file


def test_one_script_launches_what_the_run_needs():
    command = everything.launch(
        everything.Arguments(run="24khz-eight-gpus", corpora=Path("/c"), out=Path("/o"))
    )
    parsed = launch_command_parser().parse_args(command[3:])
    assert Path(parsed.config_file).name == "eight_gpus.yaml"
    assert (parsed.module, parsed.training_script) == (True, "recipes.runs.libritts.train")
    run = tyro.cli(
        tyro.extras.subcommand_type_from_defaults(RUNS), args=parsed.training_script_args
    )
    expected = dataclasses.replace(
        RUNS["24khz-eight-gpus"],
        data=Path("/c/LibriTTS"),
        validation=Path("/c/LibriTTS/dev-clean"),
        out=Path("/o"),
    )
    assert run == expected
    with pytest.raises(ConfigError, match="16khz-two-nodes is launched on both nodes"):
        everything.launch(everything.Arguments(run="16khz-two-nodes"))
    with pytest.raises(ConfigError, match="there is no run 'x'; there are 16khz-one-gpu, "):
        everything.launch(everything.Arguments(run="x"))


def readme_commands() -> list[list[str]]:
    text = "\n".join(
        re.findall(r"```sh\n(.*?)```", (RECIPES / "README.md").read_text(), flags=re.DOTALL)
    )
    return [
        shlex.split(line, comments=True)
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip()
    ]


def parses(module: str, arguments: list[str]) -> None:
    """The module's own parser takes the arguments; a usage error is a SystemExit."""
    parsers = {
        "recipes.runs.folder.train": train.Arguments,
        "recipes.runs.folder.model_file": model_file.Arguments,
        "recipes.corpus": corpus.Arguments,
        "recipes.measure.compare": compare.Arguments,
        "recipes.measure.bench": bench.Arguments,
        "recipes.measure.bench.long_file": long_file.Arguments,
        "recipes.runs.libritts.train": tyro.extras.subcommand_type_from_defaults(RUNS),
        "recipes.runs.libritts.download": download.Arguments,
        "recipes.runs.libritts.score_run": score_run.Arguments,
        "recipes.runs.libritts.all": everything.Arguments,
        "recipes.runs.vctk.prepare": prepare.Arguments,
        "recipes.runs.vctk.train": Study,
        "recipes.studies.quantizers.study_tables": study_tables.Arguments,
        "recipes.studies.quantizers.whole_codec": whole_codec.Arguments,
    }
    tyro.cli(parsers[module], args=arguments)


def test_the_readme_s_commands_parse(monkeypatch):
    monkeypatch.chdir(RECIPES.parent)
    seen = set()
    for command in readme_commands():
        if command[:2] == ["accelerate", "launch"]:
            parsed = launch_command_parser().parse_args(command[2:])
            assert parsed.module
            if parsed.config_file:
                load_config_from_file(parsed.config_file)
            module, arguments = parsed.training_script, parsed.training_script_args
        elif "-m" in command:
            place = command.index("-m")
            module, arguments = command[place + 1], command[place + 2 :]
        else:
            continue
        parses(module, arguments)
        seen.add(module)
    assert len(seen) == 14


def test_held_out_clips_are_spread_evenly(tmp_path):
    assert spread(range(10), 4) == [0, 2, 5, 7]
    assert spread(range(3), 4) == spread(range(3), None) == [0, 1, 2]
    assert spread(range(600), 500)[-1] == 598
    with pytest.raises(AudioError, match="no audio files below"):
        audio_files(tmp_path)
