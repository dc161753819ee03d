"""What the command line's tests share: small models made here, a recording, and two ways to run the
command.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from synthesis import synthesize_speech

RATE_HZ = 16_000
RUN_ALL = """
import json, sys
from codec.cli import main
for words in json.loads(sys.argv[1]):
    print("ran", main(words), *sys.modules)
"""


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that stderr holds."""
        assert self.err.count("\n") == 1, f"not one line: {self.err!r}"
        return self.err.removesuffix("\n")


@pytest.fixture(scope="session")
def save_model():
    """Write a model file of random weights; `codebook_gain` sets how loud it decodes."""

    def save_model(
        path: Path,
        *,
        seed: int = 0,
        kind: str = "diveq",
        codebook_gain: float = 0.1,
        with_tables: bool = False,
    ) -> None:
        import torch

        from codec.checkpoint import Checkpoint
        from codec.layouts.presets import tiny
        from codec.model import CodecModel

        torch.manual_seed(seed)
        config = tiny(kind=kind)
        weights = {
            name: value.detach().numpy()
            for name, value in CodecModel.plain(config).named_parameters()
        }
        for name in weights:
            if name.endswith(".codebook"):
                weights[name] = codebook_gain * weights[name]
        facts = {"training": "none: random weights", "hours": 0}
        checkpoint = Checkpoint(config=config, weights=weights, facts=facts)
        if with_tables:
            checkpoint = dataclasses.replace(checkpoint, tables=_fitted_tables(checkpoint))
        checkpoint.save(path)

    return save_model


def _fitted_tables(checkpoint):
    from codec import Codec
    from codec.bitstream import StageLayout, fit_tables

    wave = synthesize_speech(4, seed=9, level=0.05)
    codes = Codec(checkpoint, name="tiny", device="cpu").encode(wave, sample_rate_hz=RATE_HZ).codes
    return fit_tables(
        list(codes), [StageLayout(stage.bits) for stage in checkpoint.config.stages]
    ).to_arrays()


@pytest.fixture(scope="session")
def models(tmp_path_factory, save_model) -> Path:
    """A folder with tiny.safetensors, which has entropy tables, and space.safetensors, of SF-DiVeQ
    stages.
    """
    folder = tmp_path_factory.mktemp("models")
    save_model(folder / "tiny.safetensors", with_tables=True)
    save_model(folder / "space.safetensors", seed=1, kind="sf_diveq")
    return folder


@pytest.fixture(scope="session")
def tiny(models) -> str:
    return str(models / "tiny.safetensors")


@pytest.fixture(scope="session")
def library(tiny):
    """The same model through the library: the oracle of what the command does."""
    from codec import Codec

    return Codec.load(tiny, device="cpu")


@pytest.fixture
def shipped(models, monkeypatch) -> Path:
    """The models of this folder as if they had come with the package, tiny as the default one."""
    monkeypatch.setattr("codec.model_lookup._models_folder", lambda: models)
    monkeypatch.setattr("codec.model_lookup.DEFAULT_MODEL", "tiny")
    return models


@pytest.fixture(scope="session")
def wave() -> np.ndarray:
    """3.33 seconds, (samples,) float32: neither whole frames nor whole packets."""
    return synthesize_speech(3.33, seed=4, level=0.05)


@pytest.fixture
def folder(tmp_path, monkeypatch, wave) -> Path:
    """The current folder, with speech.wav in it."""
    soundfile.write(tmp_path / "speech.wav", wave, RATE_HZ)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def coded_bytes(library, wave) -> bytes:
    """speech.wav, which has 16-bit samples, as the library encodes it."""
    samples = np.rint(wave.astype(np.float64) * 32768).astype(np.float32) / 32768
    return library.encode(samples, sample_rate_hz=RATE_HZ).to_bytes()


@pytest.fixture
def coded(folder, coded_bytes) -> Path:
    """The current folder, with speech.wav and coded.dvq in it."""
    (folder / "coded.dvq").write_bytes(coded_bytes)
    return folder


@pytest.fixture
def call(capsys, monkeypatch):
    """Run the command in this process, where torch is loaded already."""
    from codec.cli import main

    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def call(*arguments: object) -> Result:
        capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return Result(code, said.out, said.err)

    return call


@pytest.fixture
def start(monkeypatch):
    """Start the real command as a process of its own; what is left of it at the end of the test is
    ended and closed.
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    with contextlib.ExitStack() as stack:

        def start(
            *arguments: object, python: tuple[str, ...] = ("-m", "codec.cli"), **pipes
        ) -> subprocess.Popen[Any]:
            command = [sys.executable, *python, *map(str, arguments)]
            all_pipes: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": subprocess.PIPE,
                "stderr": subprocess.PIPE,
                **pipes,
            }
            process = stack.enter_context(subprocess.Popen(command, **all_pipes))
            stack.callback(process.kill)
            return process

        yield start


@dataclass(frozen=True)
class Run:
    """A command's exit code, and the modules that are imported when it has ended."""

    code: int
    modules: set[str]


@pytest.fixture
def run_all(start):
    """Run commands one after another in a process of their own; returns their runs, and stderr."""

    def run_all(*commands: tuple[str, ...], **options) -> tuple[list[Run], bytes]:
        process = start(json.dumps(commands), python=("-c", RUN_ALL), **options)
        out, said = process.communicate()
        lines = [line.split() for line in out.decode().splitlines() if line.startswith("ran ")]
        return [Run(int(code), set(modules)) for _, code, *modules in lines], said

    return run_all


@pytest.fixture
def names(folder):
    """What lies in the current folder, hidden files too."""

    def names() -> set[str]:
        return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}

    return names
