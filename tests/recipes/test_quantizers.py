"""The baselines against closed forms and independent computations, the measures against brute force, whole runs."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from codec import ConfigError
from codec.layouts.config import StageConfig
from codec.quantizers import ResidualQuantizer, nearest
from recipes.studies.quantizers import baselines, latents, measures, plots, report, study, tables
from recipes.studies.quantizers.latent_codec import LatentCodec, Run, perplexity, start, start_state, trained_codec
from recipes.studies.quantizers.methods import METHODS, Method, converted, make_quantizer, stage_configs
from recipes.studies.quantizers.questions import QUESTIONS

N, K, D = 40, 16, 5


def rows(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Latents, a codebook, and the gradient that comes from behind the quantizer."""
    return rows(N, D, seed=0).requires_grad_(), rows(K, D, seed=1).requires_grad_(), rows(N, D, seed=2)


def gradients(quantized, z, codebook, behind):
    """Of z and of the codebook, of sum(behind · quantized)."""
    return torch.autograd.grad((quantized * behind).sum(), [z, codebook], allow_unused=True)


def nearest_codeword(z, codebook):
    return codebook[torch.cdist(z, codebook).argmin(1)].detach()


def test_an_attached_loss_adds_its_gradient_once():
    value, other = rows(3, 2, seed=0).requires_grad_(), rows(4, seed=1).requires_grad_()
    attached = baselines.attach_loss(value, other.square().sum())
    assert torch.equal(attached, value)
    (attached.sum() + 2 * attached[0, 0]).backward()
    expected = torch.ones(3, 2, dtype=torch.float64)
    expected[0, 0] = 3
    torch.testing.assert_close(value.grad, expected)
    torch.testing.assert_close(other.grad, 2 * other.detach())


def test_straight_through_is_the_identity_plus_its_two_losses(case):
    z, codebook, behind = case
    quantized, index = baselines.straight_through(z, codebook, commitment=0.3)
    by_z, by_codebook = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    torch.testing.assert_close(quantized.detach(), codeword)
    torch.testing.assert_close(by_z, behind + 0.3 * 2 * (z.detach() - codeword) / (N * D))
    expected = torch.zeros(K, D, dtype=torch.float64)
    for row in range(N):
        expected[index[row]] += 2 * (codeword[row] - z.detach()[row]) / (N * D)
    torch.testing.assert_close(by_codebook, expected)


def test_rotation_trick_turns_the_gradient_in_the_plane_of_latent_and_codeword(case):
    z, codebook, behind = case
    quantized, _ = baselines.rotation_trick(z, codebook, commitment=0.0)
    by_z, _ = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    torch.testing.assert_close(quantized.detach(), codeword)
    for row in range(N):
        torch.testing.assert_close(by_z[row], scaled_rotation(z[row].detach(), codeword[row]).T @ behind[row])


def scaled_rotation(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """‖target‖/‖source‖ times the rotation by the angle between them, in an orthonormal basis of their plane."""
    e = source / source.norm()
    across = target - (target @ e) * e
    p = across / across.norm()
    angle = math.atan2(float(across.norm()), float(target @ e))
    rotation = torch.eye(D, dtype=torch.float64) + (math.cos(angle) - 1) * (torch.outer(e, e) + torch.outer(p, p))
    rotation += math.sin(angle) * (torch.outer(p, e) - torch.outer(e, p))
    return rotation * target.norm() / source.norm()


def test_noise_substitution_has_the_error_s_length_and_the_gradient_of_it(case):
    z, codebook, behind = case
    torch.manual_seed(3)
    quantized, _ = baselines.noise_substitution(z, codebook)
    by_z, by_codebook = gradients(quantized, z, codebook, behind)
    codeword = nearest_codeword(z, codebook)
    error = codeword - z.detach()
    step = (quantized - z).detach()
    torch.testing.assert_close(step.norm(dim=1), error.norm(dim=1))
    assert (F.cosine_similarity(step, error).abs() < 0.999).all()
    v, u = F.normalize(step), F.normalize(error)
    along_v = (behind * v).sum(1, keepdim=True)
    torch.testing.assert_close(by_z, behind - along_v * u)  # (I − v uᵀ)ᵀ
    index = torch.cdist(z, codebook).argmin(1)
    torch.testing.assert_close(by_codebook, torch.zeros(K, D).double().index_add_(0, index, along_v * u))


def test_gumbel_softmax_draws_codewords_by_their_distance():
    codebook = torch.tensor([[0.0], [0.5], [2.0]]).requires_grad_()
    z = torch.full((60_000, 1), 0.2).requires_grad_()
    torch.manual_seed(0)
    quantized, index = baselines.gumbel_softmax(z, codebook)
    expected = torch.softmax(-(codebook.detach()[:, 0] - 0.2).square() / baselines.TEMPERATURE, 0)
    drawn = torch.cdist(quantized.detach(), codebook.detach()).argmin(1).bincount(minlength=3) / len(z)
    torch.testing.assert_close(drawn, expected, atol=0.01, rtol=0)
    assert index.unique().tolist() == [0]
    (by_codebook,) = torch.autograd.grad(quantized.mean(), codebook, retain_graph=True)
    assert by_codebook.abs().min() > 0  # all codewords get a gradient, drawn or not
    (by_z,) = torch.autograd.grad(quantized.sum(), z)
    assert by_z.abs().max() > 0


def test_ema_equals_the_usual_pair_of_averages():
    """Averages of counts and of sums, as in van den Oord et al., on three steps; the codeword is their quotient."""
    decay = 0.9
    stage = make_quantizer("ema", stage_configs("ema", 1, bits=3, dim=D), D).stages[0]
    with torch.no_grad():
        stage.codebook.copy_(rows(8, D, seed=1))
        stage.projection.copy_(torch.eye(D))
        stage.use.fill_(2.0)
    codebook = stage.codebook.detach().clone()
    counts = torch.full((8,), 2.0 * (1 - decay))
    sums = counts[:, None] * codebook
    for step in range(3):
        z = rows(30, D, seed=10 + step).float().requires_grad_()
        quantized, index, statistics = stage(z)
        quantized.sum().backward()
        assert stage.codebook.grad is None
        onehot = F.one_hot(torch.cdist(z.detach(), codebook).argmin(1), 8).float()
        assert torch.equal(onehot.argmax(1), index)
        counts = decay * counts + (1 - decay) * onehot.sum(0)
        sums = decay * sums + (1 - decay) * onehot.T @ z.detach()
        codebook = sums / counts[:, None]
        stage.update_use(statistics, decay)
        torch.testing.assert_close(stage.codebook.detach(), codebook)


def test_once_on_the_sum_is_diveq_of_the_whole_chain():
    configs = stage_configs("diveq_sum", 3, bits=3, dim=2, noise_variance=0.0)
    torch.manual_seed(0)
    quantizer = make_quantizer("diveq_sum", configs, 4)
    latent = rows(7, 4, 1, seed=1).float().requires_grad_()
    result = quantizer(latent)
    expected = quantizer.decode(quantizer.encode(latent.detach(), [0] * 3), [0] * 3)
    torch.testing.assert_close(result.latent.detach(), expected)
    behind = rows(7, 4, seed=2).float()
    (by_latent,) = torch.autograd.grad((result.latent[:, :, 0] * behind).sum(), latent, retain_graph=True)
    u = F.normalize((expected - latent.detach())[:, :, 0])
    torch.testing.assert_close(by_latent[:, :, 0], behind - (behind * u).sum(1, keepdim=True) * u)
    for stage in quantizer:
        assert torch.autograd.grad(result.latent.sum(), stage.codebook, retain_graph=True)[0].abs().max() > 0


@pytest.mark.parametrize("method", METHODS)
def test_every_method_transmits_what_it_decodes(method: Method):
    """For inference all are the codec's own quantizer; and converted, they hold the very same parameters."""
    configs = stage_configs(method, 3, bits=3, dim=2)
    torch.manual_seed(0)
    plain = ResidualQuantizer(configs, 4)
    quantizer = converted(plain, method)
    assert [id(p) for p in quantizer.parameters()] == [id(p) for p in plain.parameters()]
    latent = rows(9, 4, 6, seed=1).float()
    codes = quantizer.encode(latent, [0] * 3)
    assert torch.equal(codes, plain.encode(latent, [0] * 3))
    output = quantizer(latent.requires_grad_())
    output.latent.sum().backward()
    assert latent.grad is not None
    assert latent.grad.isfinite().all()
    if method not in ("nsvq", "st_gumbel") and "sf_" not in method:
        assert torch.equal(output.codes, codes) or configs[0].noise_variance > 0


def test_mixed_stages_change_their_kind_in_the_middle():
    assert [s.kind for s in stage_configs("sf_first", 3)] == ["sf_diveq", "sf_diveq", "diveq"]
    assert [s.kind for s in stage_configs("sf_last", 4)] == ["diveq"] * 2 + ["sf_diveq"] * 2


def test_perplexity_of_even_and_of_single_use():
    assert perplexity(torch.full((32,), 3.0)) == pytest.approx(32)
    assert perplexity(torch.tensor([0.0, 9.0])) == pytest.approx(1)


def test_the_nearest_point_of_a_curve_is_that_of_a_dense_grid():
    z, codebook = rows(50, 3, seed=0), rows(6, 3, seed=1)
    steps = torch.linspace(0, 1, 2001, dtype=torch.float64)[None, :, None]
    grid = torch.lerp(codebook[:-1, None], codebook[1:, None], steps).flatten(0, 1)
    expected = torch.cdist(z, grid).amin(1)
    found = (measures._nearest_on_curve(z, codebook) - z).norm(dim=1)
    assert (found <= expected + 1e-9).all()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)


@pytest.mark.parametrize("kind", measures.DAMAGES)
def test_the_channel_errs_at_its_rate_and_where_it_says(kind):
    bits = torch.tensor([[3], [5]])
    sent = torch.stack([torch.arange(40_000) % 8, torch.arange(40_000) % 32])
    received = measures.damaged(sent, bits, kind, 0.1, torch.Generator().manual_seed(0))
    assert (received >= 0).all()
    assert (received < 1 << bits).all()
    wrong = (received != sent).double().mean(1)
    expected = {
        "any_bit": 1 - 0.9 ** bits[:, 0].double(),
        "lowest_bit": torch.full((2,), 0.1).double(),
        "whole_index": 0.1 * (1 - 0.5 ** bits[:, 0].double()),
    }[kind]
    torch.testing.assert_close(wrong, expected, atol=0.01, rtol=0)
    if kind == "lowest_bit":
        assert (received ^ sent).max() == 1


@pytest.fixture(scope="module")
def toy_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("latents")
    latents.save(folder / "toy", latents.toy_latents(4000, seed=0), latents.toy_latents(1000, seed=1), {})
    return folder


def test_latents_are_centred_and_outliers_pulled_back(tmp_path):
    vectors = np.random.default_rng(0).standard_normal((1000, 4)).astype(np.float32) + 3
    vectors[17] *= 1000
    made = latents.Latents(vectors, np.array([400, 600]))
    latents.save(tmp_path, made, made, {})
    found = latents.load(tmp_path)
    norms = np.linalg.norm(found.train.vectors.astype(np.float64), axis=1)
    assert norms.argmax() == 17
    assert norms[17] == pytest.approx(5 * np.median(norms), rel=0.01)
    assert found.facts["train_pulled_back"] == pytest.approx(1 / 1000)


def test_toy_latents_move_slowly_and_are_correlated():
    toy = latents.toy_latents(40_000, seed=3)
    assert toy.clip_frames.sum() == 40_000
    within = np.corrcoef(toy.vectors[1:200, 0], toy.vectors[:199, 0])[0, 1]
    assert within > 0.75
    assert np.abs(np.corrcoef(toy.vectors.T) - np.eye(8)).max() > 0.3


@pytest.mark.parametrize("how", ["random", "latents", "averages", "kmeans", "tour"])
def test_starts_put_codewords_where_they_say(how):
    x = latents.toy_latents(2000, seed=0).tensor()
    quantizer = ResidualQuantizer(stage_configs("diveq", 1, bits=4, dim=8), 8)
    start(quantizer, x, how, torch.Generator().manual_seed(0))
    (stage,) = quantizer
    z = (x @ stage.directions().T - stage.center) / stage.scale
    assert z.square().mean().item() == pytest.approx(1, rel=0.05)
    distance = torch.cdist(stage.codebook, z).amin(1)
    assert (distance.max() < 1e-3) == (how == "latents")
    error = distance_to_codebook(z, stage.codebook)
    if how in ("kmeans", "tour"):
        assert error < 0.9 * distance_to_codebook(z, torch.randn(16, 8, generator=torch.Generator().manual_seed(0)))


def distance_to_codebook(z, codebook):
    return (z - codebook[nearest(z, codebook)]).square().mean()


def run_of(method: Method, **changes) -> Run:
    return Run(source="toy", method=method, stages=2, bits=4, seed=0, **{"steps": 100, "batch": 64, **changes})


@pytest.mark.parametrize("method", ["ste", "ema", "diveq", "sf_diveq"])
def test_training_lowers_the_loss_and_only_moves_what_it_should(method, toy_folder):
    x = latents.load(toy_folder / "toy").train.tensor()
    run = run_of(method, trained="codebooks", start="latents")
    state = start_state(run, x)
    codec, history = trained_codec(run, x, state)
    untrained, _ = trained_codec(run_of(method, trained="codebooks", start="latents", steps=0), x, state)
    before, after = (measures.snr_db(x, c.decode(c.encode(x))) for c in (untrained, codec))
    assert after > before + 0.2
    assert torch.equal(codec.encoder.weight, torch.eye(8))
    assert torch.equal(codec.quantizer.stages[0].projection, state["stages.0.projection"])
    assert history["step"] == [100]
    assert len(history["used"][-1]) == 2


def test_positions_add_bits_and_quality_and_can_be_cut(toy_folder):
    x = latents.load(toy_folder / "toy").held_out.tensor()
    codec, _ = trained_codec(run_of("sf_first"), x, start_state(run_of("sf_first"), x))
    rows = measures.embedded_positions(codec, x)
    assert [row["bits"] for row in rows] == [8, 9, 10, 11]  # one of the two stages has a curve
    assert rows[0]["snr_db"] == rows[0]["cut_snr_db"] == measures.quality(codec, x)["snr_db"]
    codes = codec.encode(x, 2)
    expected = codec.decode(codes >> torch.tensor([[2], [0]]))
    assert rows[2]["cut_snr_db"] == pytest.approx(measures.snr_db(x, expected))


def test_reordered_codebooks_change_indices_but_no_sound(toy_folder):
    x = latents.load(toy_folder / "toy").held_out.tensor()
    codec, _ = trained_codec(run_of("diveq"), x, start_state(run_of("diveq"), x))
    shuffled = measures.in_random_order(codec, seed=1)
    assert not torch.equal(shuffled.encode(x), codec.encode(x))
    torch.testing.assert_close(shuffled.decode(shuffled.encode(x)), codec.decode(codec.encode(x)))


def test_contexts_save_bits_on_codes_that_move_slowly():
    made = latents.toy_latents(8000, seed=0)
    quantizer = ResidualQuantizer((StageConfig(bits=4),), 8)
    start(quantizer, made.tensor(), "tour", torch.Generator().manual_seed(0))
    bits = measures.coded_bits(LatentCodec(quantizer, 8), made, latents.toy_latents(4000, seed=1))
    assert bits["contexts"] < bits["static"] - 0.3
    assert bits["static"] <= 4.05


def test_every_question_is_a_list_of_different_runs():
    for name, question in QUESTIONS.items():
        runs = question()
        assert len(set(runs)) == len(runs) > 0, name
        assert {run.seed for run in runs} == {0, 1, 2}


def test_a_study_goes_on_where_it_stopped(toy_folder, tmp_path, monkeypatch):
    runs = [run_of("diveq"), run_of("sf_diveq"), run_of("ste")]
    monkeypatch.setitem(QUESTIONS, "bits", lambda: runs[:2])
    arguments = study.Arguments(question="bits", latents=toy_folder, out=tmp_path)
    study.main(arguments)
    first = (tmp_path / "bits.jsonl").read_text()
    monkeypatch.setitem(QUESTIONS, "bits", lambda: runs)
    study.main(arguments)
    whole = (tmp_path / "bits.jsonl").read_text()
    assert whole.startswith(first)
    results = [json.loads(line) for line in whole.splitlines()]
    assert [result["run"]["method"] for result in results] == ["diveq", "sf_diveq", "ste"]
    assert all(result["bits"] == 8 and math.isfinite(result["snr_db"]) for result in results)
    assert results[1]["positions"][0]["snr_db"] == results[1]["snr_db"]


def fake(method: str, seed: int, snr_db: float | None, **run) -> dict:
    settings = {**dataclasses.asdict(run_of("diveq")), "method": method, "seed": seed, **run}
    return {"run": settings, "snr_db": snr_db, "cpu_seconds": 2.0, "start_snr_db": 1.0, "used": [0.5], "bits": 8}


def no_results() -> dict[str, list[dict]]:
    return {question: [] for question in (*QUESTIONS, "codec")}


def test_figures_are_means_and_deviations_over_seeds():
    assert tables.spread_of([1.0, 2.0, 3.0]) == "2.00 ± 1.00"
    assert tables.spread_of([1.0, None, 3.0], 1) == "2.0 ± 1.4 (1 failed)"
    assert tables.spread_of([None]) == "failed"
    assert tables.spread_of([]) == "not run"


def test_the_report_fills_its_blocks_and_nothing_else():
    noise = [fake(m, s, 5.0 + s, noise_variance=v) for m in ("ste", "diveq") for s in (0, 1) for v in (1e-3, 0.1)]
    results = no_results() | {"noise": noise}
    text = "Before.\n<!-- begin noise -->\nold\n<!-- end -->\nBetween.\n<!-- begin toy -->\n<!-- end -->\nAfter.\n"
    once = report.filled(text, results)
    assert once.startswith("Before.\n<!-- begin noise -->\n| SNR, dB | σ² 1e-03 | σ² 1e-01 |\n")
    assert "| DiVeQ | 5.50 ± 0.71 | 5.50 ± 0.71 |" in once
    assert "8 runs, 2 seeds, 22 runs missing; 100 steps of 64 latents; 2.0 s of one core a run" in once
    assert "Between.\n<!-- begin toy -->\nNot run yet: `python -m recipes.studies.quantizers.study toy" in once
    assert once.endswith("<!-- end -->\nAfter.\n")
    assert report.filled(once, results) == once
    with pytest.raises(ConfigError, match="'nose'"):
        report.filled("<!-- begin nose -->\n<!-- end -->", results)


def test_the_report_of_this_repository_is_that_of_its_results():
    text = (report.HERE / "RESULTS.md").read_text(encoding="utf-8")
    results = {name: study.read_results(report.HERE / f"results/{name}.jsonl") for name in (*QUESTIONS, "codec")}
    assert report.filled(text, results) == text
    assert set(report.BLOCKS) == set(re.findall(r"<!-- begin (\w+) -->", text))


def test_plots_are_small_files(tmp_path, toy_folder):
    x = latents.load(toy_folder / "toy")
    run = run_of("sf_diveq")
    results = [study.run_result(run, x, start_state(run, x.train.tensor()))]
    rows = [{"damage": kind, "rate": rate, "snr_db": 5.0} for kind in measures.DAMAGES for rate in measures.ERROR_RATES]
    results[0]["orders"] = {"curve": {"damage": rows}}
    plots.draw(no_results() | {"residual": results, "noise": results}, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"perplexity.png", "damage.png", "noise.png"}
    assert all(1000 < path.stat().st_size < 100_000 for path in tmp_path.iterdir())


def test_every_method_has_a_title_of_its_own():
    assert set(tables.TITLES) == set(METHODS)
    assert len(set(tables.TITLES.values())) == len(METHODS)
