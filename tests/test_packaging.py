"""What gets installed: `cli/` and `checkpoints/` inside of `codec`, and nothing with a generic
name.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from codec.model_lookup import DEFAULT_MODEL

ROOT = Path(__file__).parent.parent
FOLDERS = ("codec", "cli", "checkpoints", "recipes", "tests")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    """A wheel of this source tree, built from a copy, so that the tree stays as it is."""
    pytest.importorskip(
        "setuptools", minversion="77", reason="building a wheel needs setuptools 77 or newer"
    )
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    for file in ROOT.glob("*.*"):
        if file.is_file():
            shutil.copy(file, source)
    shutil.copy(ROOT / "LICENSE", source)
    options = [
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
        "--quiet",
        "--disable-pip-version-check",
    ]
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        *options,
        "--wheel-dir",
        str(target),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (path,) = target.glob("diveq_codec-*-py3-none-any.whl")
    return zipfile.ZipFile(path)


def test_wheel_holds_all_of_codec_and_nothing_else(wheel):
    names = set(wheel.namelist())
    top = {name.split("/")[0] for name in names if not name.split("/")[0].endswith(".dist-info")}
    assert top == {"codec"}
    for folder, installed in (
        ("codec", "codec"),
        ("cli", "codec/cli"),
        ("checkpoints", "codec/checkpoints"),
    ):
        for file in (ROOT / folder).rglob("*.py"):
            assert f"{installed}/{file.relative_to(ROOT / folder).as_posix()}" in names
    models = {
        f"codec/checkpoints/{file.name}" for file in (ROOT / "checkpoints").glob("*.safetensors")
    }
    assert models | {"codec/py.typed", "codec/bitstream/FORMAT.md"} <= names


@pytest.mark.skipif(
    not any((ROOT / "checkpoints").glob("*.safetensors")), reason="no model is in checkpoints/"
)
def test_wheel_brings_the_default_model_and_its_card(wheel):
    for name in (f"{DEFAULT_MODEL}.safetensors", "README.md"):
        assert wheel.read(f"codec/checkpoints/{name}") == (ROOT / "checkpoints" / name).read_bytes()


def test_wheel_runs_by_itself(wheel, tmp_path):
    wheel.extractall(tmp_path)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    script = (
        "import codec.cli, codec.checkpoints; print(codec.cli.__file__); "
        "codec.cli.main(['--version'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
    )
    where, version = done.stdout.splitlines()
    assert Path(where) == tmp_path / "codec/cli/__init__.py"
    assert version.startswith("diveq-codec ")


def test_wheel_names_the_command(wheel):
    (entry_points,) = [name for name in wheel.namelist() if name.endswith("entry_points.txt")]
    assert "diveq-codec = codec.cli:main" in wheel.read(entry_points).decode()


@pytest.mark.parametrize("name", ["cli", "checkpoints"])
def test_this_installation_finds_them_inside_of_codec(name):
    import codec

    found = importlib.util.find_spec(f"codec.{name}")
    assert found is not None
    assert found.origin is not None
    is_editable = Path(codec.__file__).parent == ROOT / "codec"
    expected = ROOT / name if is_editable else Path(codec.__file__).parent / name
    assert Path(found.origin).parent == expected
