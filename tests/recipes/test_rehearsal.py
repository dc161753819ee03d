"""From nothing to a result, on small corpora of the real layouts: LibriTTS by the one script, VCTK
by its functions.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import soundfile
import tyro
from local_mirror import packed, serve, write_libritts
from synthesis import synthesize_speech

from codec import Codec, ConfigError, evaluation_text, read_evaluation
from codec.model_lookup import MODEL_FILE
from codec.training.logs import read_metrics
from recipes.run_script import run_script
from recipes.runs.folder import train
from recipes.runs.libritts import all as everything
from recipes.runs.libritts.train import RUNS
from recipes.runs.vctk import prepare
from recipes.runs.vctk.train import Study, paper

SUBSETS = {
    "train-clean-100": {"101": 2, "102": 2},
    "dev-clean": {"201": 1, "202": 1},
    "test-clean": {"301": 3},
}
STEPS = 10  # half as many as the run has by itself


def test_libritts_from_nothing_to_a_result(tmp_path, monkeypatch, capfd):
    """The training, a process of its own in any run, is in this one, which has imported already
    what takes seconds to import.
    """

    def run_here(command: list[str], **_) -> SimpleNamespace:
        assert command[:3] == [sys.executable, "-m", "recipes.runs.libritts.train"]
        monkeypatch.setattr(sys, "argv", [*command[2:], "--settings.steps", str(STEPS)])
        run_script(train.main, tyro.extras.subcommand_type_from_defaults(RUNS))
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(everything, "subprocess", SimpleNamespace(run=run_here))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    run, sums = tmp_path / "run", tmp_path / "sums"
    with serve() as mirror:
        for subset, speakers in SUBSETS.items():
            write_libritts(tmp_path / subset, subset, speakers, seconds=1.0)
            archive = packed(tmp_path / subset / "LibriTTS", tmp_path / f"{subset}.tar.gz")
            mirror.files[f"{subset}.tar.gz"] = archive
        mirror.break_after = [5000]
        sums.write_text(mirror.sums())
        places = ["--corpora", tmp_path / "corpora", "--out", run]
        source = ["--mirror", mirror.url, "--checksums", sums]
        words = ["rehearsal", *map(str, (*places, *source)), "--clips", "2", "--workers", "1"]
        everything.main(tyro.cli(everything.Arguments, args=words))
    evaluation = read_evaluation(run / "test-clean.json")
    assert (len(evaluation.references), evaluation.data) == (2, "test-clean")
    codec = Codec.load(run / MODEL_FILE)
    assert [len(system.stages) for system in evaluation.systems] == [1, 2, 3, 4]
    assert {system.note for system in evaluation.systems} == {f"model {codec.fingerprint.hex()}"}
    measured = {
        name: mean.clips for system in evaluation.systems for name, mean in system.means.items()
    }
    assert {measured[name] for name in ("pesq_wb", "estoi", "si_sdr")} == {2}
    kbps = [system.kbps for system in evaluation.systems]
    assert kbps == sorted(kbps)
    assert capfd.readouterr().out.endswith(evaluation_text(evaluation))
    assert (codec.facts["steps"], codec.facts["data"]["clips"]) == (STEPS, 4)
    phases = {record["event"] for record in read_metrics(run / "metrics.jsonl")}
    assert {"initialise", "train", "validation"} <= phases
    assert "adversarial" in read_metrics(run / "metrics.jsonl")[-2]


@pytest.fixture
def vctk(tmp_path) -> Path:
    """Four speakers with two clips each, from two microphones; the texts beside them."""
    root = tmp_path / "VCTK-Corpus-0.92"
    for number, speaker in enumerate(("p225", "p226", "p227", "s5")):
        folder = root / "wav48_silence_trimmed" / speaker
        folder.mkdir(parents=True)
        for clip in (1, 2):
            for microphone in (1, 2):
                speech = synthesize_speech(1.5, sample_rate_hz=48_000, seed=10 * number + clip)
                soundfile.write(
                    folder / f"{speaker}_{clip:03}_mic{microphone}.flac", speech, 48_000
                )
        (root / "txt" / speaker).mkdir(parents=True)
    (root / "wav48_silence_trimmed" / "log.txt").write_text("")
    return root


def test_vctk_is_sorted_by_speaker(vctk, tmp_path):
    prepare.main(prepare.Arguments(root=vctk, out=tmp_path / "sorted", held_out=("p226", "s5")))
    found = sorted(
        path.relative_to(tmp_path / "sorted").as_posix()
        for path in (tmp_path / "sorted").rglob("*.flac")
    )
    expected = [f"held_out/{s}/{s}_{clip:03}_mic1.flac" for s in ("p226", "s5") for clip in (1, 2)]
    expected += [f"train/{s}/{s}_{clip:03}_mic1.flac" for s in ("p225", "p227") for clip in (1, 2)]
    assert found == expected
    source = vctk / "wav48_silence_trimmed" / "s5" / "s5_001_mic1.flac"
    assert (
        tmp_path / "sorted" / "held_out" / "s5" / "s5_001_mic1.flac"
    ).read_bytes() == source.read_bytes()
    with pytest.raises(ConfigError, match="sorted exists already; delete it"):
        prepare.main(prepare.Arguments(root=vctk, out=tmp_path / "sorted", held_out=("s5",)))


def test_vctk_asks_for_what_is_missing(vctk, tmp_path):
    with pytest.raises(
        ConfigError, match="has no speaker p360, p361, p362, p363, p364, p374, p376; choose others"
    ):
        prepare.main(prepare.Arguments(root=vctk, out=tmp_path / "sorted"))
    with pytest.raises(
        ConfigError, match=r"has no folder wav48_silence_trimmed; unpack VCTK-Corpus-0\.92\.zip"
    ):
        prepare.main(prepare.Arguments(root=tmp_path, out=tmp_path / "sorted"))
    assert not (tmp_path / "sorted").exists()


def test_a_row_of_the_vctk_study(vctk, tmp_path):
    """The paper's run in all but size: one SF codebook, trained, exported and read from coded
    files.
    """
    prepare.main(prepare.Arguments(root=vctk, out=tmp_path / "sorted", held_out=("p226", "s5")))
    run = paper(Study(kind="sf_diveq", bits=6, data=tmp_path / "sorted", out=tmp_path / "run"))
    settings = dataclasses.replace(
        run.settings,
        steps=8,
        batch_size=4,
        segment_seconds=0.2,
        windows_per_step=2,
        quantize_from=0.3,
        initialise_vectors=200,
        discriminator=RUNS["rehearsal"].settings.discriminator,
    )
    train.main(
        dataclasses.replace(
            run,
            preset="tiny",
            cpu=True,
            bank="files",
            data_workers=0,
            settings=settings,
            final_clips=2,
            workers=1,
        )
    )
    codec = Codec.load(tmp_path / "run" / MODEL_FILE)
    assert [(stage.kind, stage.bits) for stage in codec.config.stages] == [("sf_diveq", 6)]
    assert codec.facts["data"]["clips"] == 4
    (row,) = codec.facts["validation"]
    assert row["stages"] == 1
    assert row["kbps"] < 6 * 50 / 1000 + 0.6  # the codes, and the files' headers over 1.5 s
