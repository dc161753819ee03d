"""Models in folders, and on a hub that is stubbed where huggingface_hub would reach for the
network.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from synthesis import synthesize_speech

from codec import CheckpointError, Codec, ConfigError, OutputError

hub = pytest.importorskip("huggingface_hub")


@pytest.fixture
def tiny(tiny_model) -> Codec:
    return Codec.load(tiny_model, device="cpu")


class Hub:
    """Repositories as folders."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def create_repo(self, repository: str, *, private: bool | None, exist_ok: bool) -> None:
        assert exist_ok
        (self.root / repository).mkdir(parents=True, exist_ok=True)
        (self.root / repository / ".private").write_text(str(private))

    def file_exists(self, repository: str, name: str) -> bool:
        return (self.root / repository / name).exists()

    def upload_folder(
        self, *, repo_id: str, folder_path: str, ignore_patterns: list[str] | None
    ) -> SimpleNamespace:
        shutil.copytree(
            folder_path,
            self.root / repo_id,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns(*ignore_patterns or []),
        )
        return SimpleNamespace(commit_url=f"hub/{repo_id}/commit/1")

    def download(self, repository: str, name: str, *, revision: str | None) -> str:
        file = self.root / repository / name
        if not file.is_file() or revision not in (None, "main"):
            raise hub.errors.LocalEntryNotFoundError(f"no {name} of {repository} at {revision}")
        return str(file)


@pytest.fixture
def stub(monkeypatch, tmp_path) -> Hub:
    made = Hub(tmp_path / "hub")
    monkeypatch.setattr(hub, "HfApi", lambda: made)
    monkeypatch.setattr(hub, "hf_hub_download", made.download)
    return made


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_folder_is_the_model(tiny, tmp_path, backend):
    tiny.save_pretrained(tmp_path / "mine")
    again = Codec.from_pretrained(tmp_path / "mine", device="cpu", backend=backend)
    assert (again.name, again.fingerprint) == ("mine", tiny.fingerprint)
    wave = synthesize_speech(1.0, seed=1)
    assert (
        again.encode(wave, sample_rate_hz=16_000).to_bytes()
        == tiny.encode(wave, sample_rate_hz=16_000).to_bytes()
    )
    config = json.loads((tmp_path / "mine" / "config.json").read_text())
    assert config["fingerprint"] == tiny.fingerprint.hex()
    assert config["stages"] == list(tiny.config.to_dict()["stages"])


def test_shipped_names_and_model_files(tiny_model):
    assert (
        Codec.from_pretrained("speech_16khz", device="cpu", backend="onnx").name == "speech_16khz"
    )
    assert Codec.from_pretrained(tiny_model, device="cpu").name == "tiny"


def test_a_runs_model_is_called_as_its_folder(tiny_model, tmp_path):
    """By its path, too, as many runs' models are called model.safetensors."""
    (tmp_path / "mine").mkdir()
    shutil.copy(tiny_model, tmp_path / "mine" / "model.safetensors")
    for path in (tmp_path / "mine", tmp_path / "mine" / "model.safetensors"):
        assert Codec.load(path, device="cpu").name == "mine"


def test_pushed_and_fetched_again(tiny, stub):
    assert tiny.push_to_hub("someone/tiny", private=True) == "hub/someone/tiny/commit/1"
    assert (stub.root / "someone" / "tiny" / ".private").read_text() == "True"
    again = Codec.from_pretrained("someone/tiny", revision="main", device="cpu")
    assert (again.name, again.fingerprint) == ("someone/tiny", tiny.fingerprint)
    with pytest.raises(CheckpointError, match=r"the hub gives no .*: no model.* at v2"):
        Codec.from_pretrained("someone/tiny", revision="v2", device="cpu")


def test_a_hub_that_cannot_be_reached_is_told_in_a_line(tiny, stub, monkeypatch):
    def refuse(*_given, **_options):
        raise RuntimeError("Name or service not known\nand more")

    monkeypatch.setattr(stub, "create_repo", refuse)
    with pytest.raises(OutputError, match=r"does not take someone/tiny: Name .* not known$"):
        tiny.push_to_hub("someone/tiny")


def test_a_card_of_ones_own_is_kept(tiny, stub, tmp_path):
    tiny.push_to_hub("someone/tiny")
    card = stub.root / "someone" / "tiny" / "README.md"
    card.write_text("my own words")
    tiny.push_to_hub("someone/tiny")
    assert card.read_text() == "my own words"
    (tmp_path / "README.md").write_text("my own words")
    tiny.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "my own words"


def test_the_card_is_one_that_the_hub_reads(tmp_path):
    Codec.load("speech_16khz", device="cpu", backend="onnx").save_pretrained(tmp_path)
    card = hub.ModelCard.load(tmp_path / "README.md")
    assert card.data.library_name == "diveq-codec"
    assert card.data.pipeline_tag == "audio-to-audio"
    assert "neural-codec" in card.data.tags
    assert "# speech_16khz" in card.text
    assert "| stages | kbps | PESQ-WB |" in card.text
    assert 'Codec.from_pretrained("speech_16khz")' in card.text


def test_what_lies_here_comes_before_the_hub(tiny, stub, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.save_pretrained("runs/mine")
    assert Codec.from_pretrained("runs/mine", device="cpu").fingerprint == tiny.fingerprint


def test_a_name_comes_before_a_folder_of_that_name(tiny_model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(tiny_model, "mine.safetensors")
    monkeypatch.setenv("DIVEQ_MODELS", str(tmp_path))
    for name in ("speech_16khz", "mine"):
        (tmp_path / name).mkdir()
        assert Codec.load(name, device="cpu", backend="onnx").name == name
        with pytest.raises(CheckpointError, match="holds no"):
            Codec.load(f"./{name}")


@pytest.mark.parametrize("path", ["models/nothere.safetensors", "../nothere", "a--b/c", "./a"])
def test_what_is_no_id_is_not_asked_of_the_hub(path, monkeypatch):
    monkeypatch.setattr(hub, "hf_hub_download", None)
    with pytest.raises(
        CheckpointError, match=f"no model file at {path}, and no model of that name"
    ):
        Codec.load(path)


def test_what_is_not_there(tmp_path, monkeypatch):
    with pytest.raises(
        CheckpointError, match=r"holds no model\.safetensors; save_pretrained writes one"
    ):
        Codec.from_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="no model of that name"):
        Codec.from_pretrained("speech_17khz")
    monkeypatch.setattr("codec.hub.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'diveq-codec\[hub\]'"):
        Codec.from_pretrained("someone/tiny")
