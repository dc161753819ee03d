"""Whole codecs with each quantizer: one start for all methods, scores from files, intervals of
differences, tables.
"""

from __future__ import annotations

import json
import math
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from synthesis import synthesize_speech, write_corpus

from codec import ConfigError
from codec.model import CodecModel
from codec.training.objective.discriminators import DiscriminatorConfig
from codec.training.settings import TrainingConfig
from codec.training.validation import HeldOut
from recipes.studies.quantizers import codec_runs, codec_scores, codec_tables, plots, whole_codec
from recipes.studies.quantizers.baselines import MovingAverageStage
from recipes.studies.quantizers.intervals import crossed_interval
from recipes.studies.quantizers.methods import METHODS, make_quantizer, stage_configs

SETTINGS = TrainingConfig(
    steps=6,
    batch_size=2,
    segment_seconds=0.16,
    windows_per_step=2,
    quantize_from=0.3,
    adversarial_from=1.0,
    initialise_vectors=64,
    replace_every_steps=2,
    rate_warmup_steps=2,
    discriminator=DiscriminatorConfig(  # of no use here, but built and copied for each run
        periods=(2,), windows=(256,), period_width=1, spectral_width=2
    ),
)


def codec_arguments(corpus, tmp_path, **changes) -> whole_codec.Arguments:
    return whole_codec.Arguments(
        **{
            "setting": "residual",
            "data": corpus / "train",
            "validation": corpus / "val",
            "out": tmp_path / "runs",
            "results": tmp_path / "codec.jsonl",
            "stages": 2,
            "bits": (4,),
            "seeds": (0,),
            "preset": "tiny",
            "settings": SETTINGS,
            "speakers": "folder",
            "cpu": True,
            "workers": 1,
            **changes,
        }
    )


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "train", [1.0, 1.2])
    write_corpus(folder / "val", [1.0])
    return folder


def test_whole_codecs_are_trained_with_each_quantizer_and_scored_from_files(corpus, tmp_path):
    arguments = codec_arguments(corpus, tmp_path, methods=("ema", "sf_diveq"), clip_seconds=0.8)
    whole_codec.main(arguments)
    start, result, curve = [json.loads(line) for line in arguments.results.read_text().splitlines()]
    assert (start["run"]["method"], start["run"]["steps"]) == ("start", 0)
    assert (result["run"]["method"], result["run"]["steps"]) == ("ema", 6)
    for scored in (start, result, curve):
        assert [row["stages"] for row in scored["rows"]] == [1, 2]
        assert all(
            len(row["clips"]["pesq_wb"]) == 1 and row["kbps"] > 0.2 for row in scored["rows"]
        )
        assert all(math.isfinite(row["clips"]["mel_distance"][0]) for row in scored["rows"])
        assert 1.5 > scored["energy_left"][0] > scored["energy_left"][1] > 0
    assert result["history"]["step"] == [6]
    assert len(result["history"]["perplexity"][0]) == 2
    assert result["step_ms"] > 0
    assert "positions" not in result
    finer = curve["positions"]
    assert [(row["stages"], row["position_bits"]) for row in finer] == [
        (n, p) for n in (1, 2) for p in (1, 2, 3)
    ]
    rates = [row["kbps"] for row in finer[3:]]
    assert np.diff(rates) == pytest.approx(
        0.1, abs=0.05
    )  # a bit of two stages at 50 frames/s; codewords change, too
    assert rates[0] > curve["rows"][1]["kbps"]
    before = arguments.results.read_text()
    whole_codec.main(arguments)
    assert arguments.results.read_text() == before


@pytest.mark.parametrize("start", ["kmeans", "random"])
def test_all_methods_of_a_seed_start_from_one_state(start, corpus, tmp_path, monkeypatch):
    """What the trainer has before the first step, but for EMA's weights, and on the very same
    crops.
    """
    seen = {}

    def stopped(trainer, batches, folder, **_):
        stage = trainer.model.quantizer.stages[0]
        seen[folder.name.split("-")[1]] = trainer.state_dict(), stage.use.clone(), batches(3)
        return signal.SIGTERM

    monkeypatch.setattr(codec_runs, "train", stopped)
    for method in ("ema", "sf_diveq", "diveq_sum"):
        whole_codec.main(codec_arguments(corpus, tmp_path, methods=(method,), start=start))
    (first, ema_use, crops), *others = seen.values()
    for state, use, other_crops in others:
        assert torch.equal(crops, other_crops)
        assert not use.any()
        for part in ("model", "averaged"):
            assert list(state[part]) == list(first[part])
            for name, value in state[part].items():
                assert name.endswith(".use") or torch.equal(value, first[part][name]), name
    per_codeword = 2 * 8 / 16  # two crops of 0.16 s, 50 frames/s, 16 codewords
    assert torch.equal(ema_use, torch.full((16,), per_codeword * 2 if start == "kmeans" else 0.0))


def test_random_codewords_take_the_place_of_those_from_kmeans(corpus, tmp_path):
    setups = []
    for start in ("kmeans", "random"):
        arguments = codec_arguments(corpus, tmp_path, start=start)
        (run, *_) = whole_codec.all_runs(arguments)
        setups.append(codec_runs.make_start(run, whole_codec._setup(arguments, None), scored=False))
    kmeans, random = ({**setup.state["model"]} for setup in setups)
    changed = {name for name in kmeans if not torch.equal(kmeans[name], random[name])}
    assert changed == {"quantizer.stages.0.codebook", "quantizer.stages.1.codebook"}
    assert torch.equal(
        random["quantizer.stages.1.codebook"],
        setups[1].state["averaged"]["quantizer.stages.1.codebook"],
    )
    assert random["quantizer.stages.0.codebook"].std() == pytest.approx(1, abs=0.2)


def test_a_trusted_codeword_moves_by_its_share_of_the_latents():
    (stage,) = make_quantizer("ema", stage_configs("ema", 1, bits=2, dim=2), 2)
    assert isinstance(stage, MovingAverageStage)
    with torch.no_grad():
        stage.codebook.copy_(torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]]))
        stage.projection.copy_(torch.eye(2))
    stage.trust_codebook(latents_per_step=8, steps=50)  # each codeword weighs 100
    _, _, statistics = stage(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    stage.update_use(
        statistics, decay=0.98
    )  # 98 old latents at 0 and two new ones with the mean (1, 1)
    torch.testing.assert_close(stage.codebook[0].detach(), torch.tensor([0.02, 0.02]))
    torch.testing.assert_close(
        stage.codebook[1:].detach(), torch.tensor([[10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    )


def test_energy_left_is_that_of_the_residuals():
    model = CodecModel.plain(
        codec_runs.CodecRun(
            setting="x", method="nsvq", bits=4, stages=3, seed=0, preset="tiny", steps=1
        ).config()
    )
    clips = [HeldOut(name=str(seed), wave=synthesize_speech(0.3, seed=seed)) for seed in (0, 1)]
    energy, left = 0.0, np.zeros(3)
    for clip in clips:
        residual = model.encoder(torch.from_numpy(clip.wave)[None, None, : 15 * 320])[0].T
        energy += float(residual.square().sum())
        for number, stage in enumerate(model.quantizer):
            z = residual @ stage.projection.T
            residual = (
                residual
                - stage.codebook[torch.cdist(z, stage.codebook).argmin(1)] @ stage.projection
            )
            left[number] += float(residual.square().sum())
    assert codec_scores.energy_left(model, clips, "cpu") == pytest.approx(left / energy, rel=1e-4)


@pytest.mark.parametrize("method", ["ema", "rotation", "diveq_sum"])
def test_the_trainer_moves_the_codebooks_of_a_quantizer_in_its_place(method, tmp_path):
    run = codec_runs.CodecRun(
        setting="x", method=method, bits=4, stages=2, seed=0, preset="tiny", steps=6
    )
    accelerator = Accelerator(cpu=True, log_with="tensorboard", project_dir=str(tmp_path))
    trainer = codec_runs.method_trainer(run, SETTINGS, accelerator)
    wave = torch.from_numpy(synthesize_speech(1.0, seed=1))[None, None, :2560].repeat(2, 1, 1)
    trainer.start_quantizing(lambda step: wave)
    before = [stage.codebook.detach().clone() for stage in trainer.model.quantizer]
    trainer.step(wave, 0.5)
    for stage, codebook, averaged in zip(
        trainer.model.quantizer, before, trainer.averaged.quantizer, strict=True
    ):
        assert not torch.equal(stage.codebook, codebook)
        assert not torch.equal(averaged.codebook, codebook)


def test_one_codebook_runs_have_no_methods_that_need_several():
    runs = list(
        whole_codec.all_runs(
            whole_codec.Arguments(
                setting="one-codebook", data=Path(), validation=Path(), out=Path()
            )
        )
    )
    assert {run.bits for run in runs} == {8, 9, 10, 11, 12, 13}
    assert {run.method for run in runs} == set(METHODS) - {"diveq_sum", "sf_first", "sf_last"}
    assert all(len(run.config().stages) == 1 for run in runs)


def test_runs_of_unequal_length_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="equal steps"):
        whole_codec.main(
            codec_arguments(tmp_path, tmp_path, settings=TrainingConfig(max_minutes=1.0))
        )


def test_an_interval_without_an_effect_of_clips_is_the_t_interval_of_the_seeds():
    from scipy.stats import ttest_1samp  # a second, for each process that collects tests

    by_seed = [0.1, 0.4, 0.2]
    found = crossed_interval([[value] * 5 for value in by_seed])
    low, high = ttest_1samp(by_seed, 0).confidence_interval(0.95)
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx(
        (low, high)
    )
    turned = crossed_interval([by_seed] * 5)
    assert (turned.mean, turned.half_width) == pytest.approx((found.mean, found.half_width))


@pytest.mark.parametrize(("seed_spread", "clip_spread"), [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)])
def test_intervals_of_three_seeds_cover_what_they_promise(seed_spread, clip_spread):
    generator = np.random.default_rng(0)
    covered = 0
    for _ in range(500):
        table = seed_spread * generator.standard_normal(
            (3, 1)
        ) + clip_spread * generator.standard_normal((1, 16))
        found = crossed_interval(table + generator.standard_normal((3, 16)))
        covered += not found.is_clear
    assert covered / 500 >= 0.92


def test_one_seed_has_no_interval():
    with pytest.raises(ValueError, match="two seeds and two clips, not 1 and 2"):
        crossed_interval([[0.1, 0.2]])


def fake(method: str, seed: int, gain: float = 0.0, **run) -> dict:
    """A run whose PESQ is `gain` above 1.5, more for some clips and seeds than for others."""
    settings = {
        "setting": "residual",
        "method": method,
        "bits": 10,
        "stages": 12,
        "seed": seed,
        "start": "kmeans",
        "commitment": 0.25,
        "steps": 200,
        **run,
    }
    clips = {
        "pesq_wb": [1.5 + gain + 0.01 * seed + 0.1 * clip for clip in range(3)],
        "stoi": [0.8] * 3,
        "mel_distance": [0.4, None, 0.2],
        "si_sdr": [3.0] * 3,
    }
    counts = (3, 6, 12) if settings["stages"] == 12 else (1,)
    history = {name: [[0.5] * len(counts)] for name in ("used", "perplexity")}
    return {
        "run": settings,
        "budget": {
            "batch": 4,
            "seconds": 0.64,
            "learning_rate": 1e-3,
            "clips": 3,
            "clip_seconds": 4.0,
        },
        "rows": [{"stages": count, "kbps": 0.5 * count, "clips": clips} for count in counts],
        "energy_left": [0.5] * settings["stages"],
        "step_ms": 100.0,
        "history": {"step": [50], **history},
    }


def test_a_table_says_what_was_measured():
    runs = [fake("ste", 0, commitment=0.25)]
    assert codec_tables.residual_scores({"codec": runs}).endswith("; 3 clips of 4 s.")
    runs[0]["budget"] |= {"clips": None, "clip_seconds": None}  # as `whole_codec` by default
    assert codec_tables.residual_scores({"codec": runs}).endswith("; all clips.")


def test_scores_of_codecs_stand_by_method_and_weight():
    runs = [fake("start", seed) for seed in (0, 1)]
    runs += [fake("ste", seed, commitment=weight) for seed in (0, 1) for weight in (0.25, 0.05)]
    lines = codec_tables.residual_scores({"codec": runs}).splitlines()
    assert lines[0].startswith("| means at so many stages | PESQ at 3 | PESQ at 6 | PESQ at 12 |")
    assert lines[2].startswith("| start (nothing trained) | 1.605 ± 0.007 |")
    assert lines[3].startswith("| STE + commitment | 1.605 ± 0.007 |")
    assert (
        "| 0.300 ± 0.000 | 3.00 ± 0.00 | 1.500 ± 0.000 | 6.000 ± 0.000 |" in lines[3]
    )  # mel without the failed clip
    assert lines[4].startswith("| STE + commitment, weight 0.05 |")
    assert lines[-1].startswith(
        "4 runs, 2 seeds; 200 steps of 4 crops of 0.64 s, rate 0.001; 3 clips of 4 s"
    )


def test_differences_are_those_of_the_same_seeds_and_clips():
    runs = [fake("diveq", seed) for seed in (0, 1, 2)] + [
        fake("ema", seed, 0.02 + 0.01 * seed) for seed in (0, 1, 3)
    ]
    found = codec_tables.difference(runs[3:], runs[:3], 12, "pesq_wb")
    assert found is not None
    assert found.mean == pytest.approx(0.025)  # of the seeds 0 and 1
    assert codec_tables.difference(runs[3:], runs[:3], 12, "mel_distance") == crossed_interval(
        [[0.0] * 2] * 2
    )
    assert codec_tables.difference(runs[5:], runs[:3], 12, "pesq_wb") is None
    steady = [fake("ema", seed, 0.02) for seed in (0, 1)]
    table = codec_tables.residual_differences({"codec": runs[:3] + steady}).splitlines()
    assert table[2].startswith("| EMA | **+0.020 ± 0.000** |")
    assert len(table) == 3


def test_tables_of_one_codebook_go_by_bits_and_start():
    one = {"setting": "one-codebook", "stages": 1}
    runs = [
        fake(m, s, bits=b, **one)
        for m in ("start", "diveq", "ema")
        for s in (0, 1)
        for b in (8, 12)
    ]
    runs += [fake(m, s, 0.1, start="random", **one) for m in ("diveq", "ema") for s in (0, 1)]
    results = {"codec": runs}
    table = codec_tables.one_codebook(results).splitlines()
    assert table[0] == (
        "| one codebook | PESQ, 8 bits | PESQ, 12 bits | STOI, 8 bits | STOI, 12 bits | kbps, 8 "
        "bits | kbps, 12 bits |"
    )
    assert [line.split(" | ")[0] for line in table[2:5]] == [
        "| start (nothing trained)",
        "| EMA",
        "| DiVeQ",
    ]
    assert "8 runs, 2 seeds" in table[-1]
    assert (
        codec_tables.one_codebook_differences(results)
        .splitlines()[2]
        .startswith("| EMA | +0.000 ± 0.000 |")
    )
    random = codec_tables.random_start(results).splitlines()
    assert random[3].startswith("| EMA | 1.705 ± 0.007 | 0.800 ± 0.000 |")
    assert random[3].endswith("| 50 ± 0 | 0 ± 0 | 50.0 ± 0.0 |")


def test_positions_are_compared_at_the_bits_that_they_cost():
    curve, plain = fake("sf_diveq", 0), fake("diveq", 0)
    for place, row in enumerate(plain["rows"]):
        row["clips"] = {**row["clips"], "pesq_wb": [1.0 + place]}  # 1, 2, 3 at 1.5, 3 and 6 kbps
    curve["positions"] = [
        {
            "stages": row["stages"],
            "position_bits": bits,
            "kbps": 1.1 * row["kbps"],
            "clips": row["clips"],
        }
        for row in curve["rows"]
        for bits in (1, 2)
    ]
    lines = codec_tables.positions({"codec": [curve, plain]}).splitlines()
    assert lines[0] == "| SF-DiVeQ; positions per segment | 1 | 2 | 4 |"
    assert lines[2] == "| 3 stages: kbps | 1.500 | 1.650 | 1.650 |"
    assert lines[4] == "| 3 stages: PESQ of DiVeQ at so many bits | 1.000 | 1.100 | 1.100 |"
    assert lines[7] == "| 6 stages: PESQ of DiVeQ at so many bits | 2.000 | 2.100 | 2.100 |"
    assert lines[10] == "| 12 stages: PESQ of DiVeQ at so many bits | 3.000 |  |  |"


def test_plots_of_codecs_are_small_files(tmp_path):
    runs = [fake(m, s) for m in ("start", "diveq", "ema") for s in (0, 1)]
    runs += [fake("diveq", 0, setting="one-codebook", stages=1, start="random")]
    plots.draw({"codec": runs}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "codec_quality.png",
        "codec_differences.png",
        "codec_perplexity.png",
        "codec_random.png",
    }
    assert all(1000 < path.stat().st_size < 100_000 for path in tmp_path.iterdir())
