"""The trainer: it learns, resumes exactly, survives broken gradients, and two processes are one."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from accelerate import Accelerator
from equality import assert_equal_states
from small_models import shallow, tiny_noisy, tiny_transform
from synthesis import synthesize_speech
from two_processes import SAMPLES, SMALL, crops, settings

from codec.errors import ConfigError
from codec.layouts.presets import tiny
from codec.streams.allocation import FLOOR_GROUPS
from codec.training.settings import TrainingConfig
from codec.training.stage_dropout import drop_stages, lost_frames
from codec.training.trainer import Trainer

BOTH = dataclasses.replace(SMALL, periods=(2,))  # a discriminator of either family


def trainer(config=None, run: TrainingConfig | None = None) -> Trainer:
    return Trainer(config or shallow(), run or settings(), Accelerator(cpu=True))


def advance(subject: Trainer, until: int, batches=crops) -> list[float]:
    assert subject.settings.steps is not None
    losses = []
    while subject.steps < until:
        progress = subject.steps / subject.settings.steps
        if not subject.quantizing and progress >= subject.settings.quantize_from:
            subject.start_quantizing(batches)
        losses.append(subject.step(batches(subject.steps), progress).figures["total"].item())
    return losses


def test_the_transform_layout_starts_from_the_first_batches():
    """Before any step, the loss is far below that of random weights; averaged weights start alike;
    seeds agree.
    """
    made = [trainer(tiny_transform(width=64), settings(initialise_vectors=400)) for _ in range(3)]
    for one in made[:2]:
        one.start(crops)
    outer = [one.model.decoder.exit.weight for one in made]  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.equal(outer[0], outer[1])
    assert torch.equal(made[0].averaged.decoder.exit.weight, outer[0])  # pyright: ignore[reportAttributeAccessIssue]
    wave = crops(9)
    mel = [
        one.objective.spectral(one.model(wave, quantize=False).wave, wave).mel.item()
        for one in made
    ]
    assert mel[0] == mel[1] < 0.5 * mel[2]


def test_a_started_run_goes_on_without_starting_again(tmp_path):
    first = trainer(tiny_transform(width=16))
    first.start(crops)
    second = trainer(tiny_transform(width=16))
    second.load_state_dict(first.state_dict())
    assert second.started


def test_quantization_begins_at_once_where_latents_are_worth_it():
    assert trainer(tiny_transform(), settings(quantize_from=None)).quantize_from == 0
    assert trainer(tiny(), settings(quantize_from=None)).quantize_from == 0.05
    assert trainer(tiny_transform(), settings(quantize_from=0.3)).quantize_from == 0.3


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
def test_a_resumed_run_equals_an_unbroken_one_tensor_for_tensor(kind, tmp_path):
    unbroken = trainer(shallow(kind))
    stops = (1, 4)  # in the warm-up, and among the adversarial steps
    for stop in stops:
        advance(unbroken, stop)
        torch.save(unbroken.state_dict(), tmp_path / f"{stop}.pt")
    advance(unbroken, 6)
    for stop in stops:
        torch.manual_seed(12345)  # whatever else draws random numbers
        second = trainer(shallow(kind))
        second.load_state_dict(torch.load(tmp_path / f"{stop}.pt", weights_only=True))
        advance(second, 6)
        assert_equal_states(second.state_dict(), unbroken.state_dict())


def test_one_second_of_speech_is_overfitted():
    """The spectral loss falls to less than half within 60 steps through four quantizer stages."""
    wave = torch.from_numpy(synthesize_speech(1.0, seed=2))[None, None]
    run = settings(
        steps=60,
        batch_size=1,
        windows_per_step=2,
        quantize_from=0.3,
        adversarial_from=1.0,
        table_from=1.0,
        learning_rate=1e-2,
        initialise_vectors=64,
        dropout_share=0.0,
        ema_decay=0.9,
    )
    subject = trainer(shallow(stages=4), run)
    losses = advance(subject, 60, lambda step: wave[..., :16_000])
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    averaged = subject.averaged.folded()
    bits = [0] * 4
    with torch.no_grad():
        decoded = averaged.decode(averaged.encode(wave, bits), bits)
        few = averaged.decode(averaged.encode(wave, bits[:1]), bits[:1])
    distance = subject.objective.spectral(decoded, wave).mel
    assert distance < 0.5 * subject.objective.spectral(torch.zeros_like(wave), wave).mel
    assert distance < subject.objective.spectral(few, wave).mel  # later stages add something


def test_a_broken_gradient_changes_nothing_and_is_counted():
    subject = trainer()
    advance(subject, 4)
    before = copy.deepcopy(
        {"m": subject.model.state_dict(), "d": subject.discriminator.state_dict()}
    )
    moments = copy.deepcopy(subject.optimiser.state_dict()["state"])
    broken = crops(4)
    broken[0, 0, 100] = float("nan")
    subject.step(broken, 4 / 6)
    for name, value in subject.model.state_dict().items():
        if not name.endswith(".use"):  # decays at every step
            assert torch.equal(value, before["m"][name]), name
    assert_equal_states(subject.discriminator.state_dict(), before["d"])
    assert_equal_states(subject.optimiser.state_dict()["state"], moments)
    assert subject.skipped.item() == 1
    subject.step(crops(5), 5 / 6)
    assert (subject.skipped.item(), subject.all_skipped.item()) == (0, 1)
    assert all(value.isfinite().all() for value in subject.averaged.state_dict().values())


def test_the_gradient_leaves_the_latents_scale_alone():
    subject = trainer()
    subject.start_quantizing(crops)
    kept = torch.tensor([0, 1, 2, 2])[:, None].expand(-1, 10)
    output = subject._reconstruct(crops(0), kept, torch.zeros_like(kept, dtype=torch.bool), 0.3)
    (gradient,) = torch.autograd.grad(output.wave.square().sum(), output.latent)
    along = (gradient * output.latent).sum() / (gradient.norm() * output.latent.norm())
    assert gradient.norm() > 0
    assert abs(along.item()) < 1e-5


def test_micro_batches_add_up_to_the_batch():
    whole, parts = trainer(run=settings()), trainer(run=settings(accumulate=2))
    for subject in (whole, parts):
        subject.model.load_state_dict(trainer().model.state_dict())
        subject.step(crops(0), 0.0)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-3, atol=1e-5)


def test_clips_lose_the_same_frames_in_micro_batches():
    lost = []
    for accumulate in (1, 2):
        subject = trainer(
            tiny_transform(conceals=True), settings(accumulate=accumulate, lost_share=1.0)
        )
        seen: list[torch.Tensor] = []
        subject.model.register_forward_pre_hook(
            lambda _model, _wave, named, seen=seen: seen.append(named["lost"]), with_kwargs=True
        )
        subject.start_quantizing(crops)
        subject.step(crops(0), 0.0)
        lost.append(torch.cat(seen[-accumulate:]))
    assert torch.equal(*lost)
    assert lost[0].any(1).all()
    assert not torch.equal(*lost[0].chunk(2))


def test_dropped_stages_are_shared_out_by_level():
    """Louder groups keep as many stages as softer ones, or more; clips that are not dropped keep
    all.
    """
    subject = trainer(
        dataclasses.replace(shallow(stages=4), least_stages=0), settings(dropout_share=0.7)
    )
    level = torch.linspace(-3, 0, 24).repeat_interleave(320)
    wave = 10**level * torch.randn(64, 1, 7680, generator=torch.Generator().manual_seed(0))
    counts = subject._active_stages(wave)
    assert counts.shape == (64, 24)
    assert counts.min() == 0
    assert counts.max() == 4
    groups = counts.reshape(64, 8, 3)
    assert (groups == groups[..., :1]).all()
    told = torch.arange(8) % FLOOR_GROUPS == 0
    assert groups[:, told].min() == 1
    assert (groups[:, ~told, 0].diff(dim=1) >= 0).all()
    whole = (counts == 4).all(1).float().mean()
    assert 0.25 < whole < 0.6  # 30 % that are not dropped, and some that were drawn nearly all
    assert (counts == 0).any(1).float().mean() > 0.1


@pytest.mark.parametrize("steepness", [0.0, 0.1, 0.3])
def test_kept_stages_have_the_mean_that_was_drawn(steepness):
    levels = torch.empty(200, 64).uniform_(-60, 0, generator=torch.Generator().manual_seed(1))
    mean = torch.arange(1.0, 11).repeat(20)[:, None]
    counts = drop_stages(steepness * levels, mean, 10, 0)
    assert counts.max() == 10
    missing = mean[:, 0] - counts.float().mean(1)
    assert missing.min() >= 0
    assert missing.max() < 0.05
    assert drop_stages(steepness * levels, mean, 10, 1).min() == 1
    few = drop_stages(steepness * levels, torch.full((200, 1), 0.1), 10, 0)
    assert (few[:, ::12] == 1).all()  # the level of a pause is told whatever it costs
    assert few.float().mean() < 0.3


@pytest.mark.parametrize(("frame_rate_hz", "longest"), [(50.0, 10), (25.0, 5)])
def test_frames_are_lost_in_bursts(frame_rate_hz: float, longest: int):
    def drawn(clips: int, share: float) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        return lost_frames(clips, 64, frame_rate_hz, settings(lost_share=share), generator)

    lost = drawn(4000, 0.5)
    losing = lost.any(1)
    assert abs(losing.float().mean() - 0.5) < 0.05
    assert 2 * longest < lost.sum(1).max() <= 3 * longest
    starts = (lost[:, 1:] & ~lost[:, :-1]).sum(1) + lost[:, 0]
    assert starts.max() <= 3
    share = lost[losing].float().mean(0)  # in all places about alike, but for the ends
    assert share[5:-5].max() / share[5:-5].min() < 1.6
    assert not drawn(50, 0.0).any()


def test_discriminators_are_drawn_and_hear_a_part():
    """Each step trains the one that was drawn; over some steps all get their turn, and the
    generator hears of it.
    """
    run = settings(
        adversarial_from=0.0,
        quantize_from=0.0,
        discriminator=BOTH,
        discriminators_per_step=1,
        discriminator_share=0.5,
    )
    subject = trainer(tiny_noisy(width=32), run)
    subject.start(crops)
    subject.start_quantizing(crops)
    heard: list[int] = []
    for discriminator in subject.discriminator.discriminators:
        discriminator.register_forward_pre_hook(lambda _, audio: heard.append(audio[0].shape[-1]))
    changed = set()
    for step in range(4):
        before = copy.deepcopy(subject.discriminator.state_dict())
        figures = subject.step(crops(step), 0.5).figures
        assert figures["adversarial"] > 0
        after = subject.discriminator.state_dict()
        moved = {name.split(".")[1] for name in after if not torch.equal(after[name], before[name])}
        assert len(moved) == 1
        changed |= moved
    assert changed == {"0", "1"}
    assert set(heard) == {SAMPLES // 2}
    assert len(heard) == 2 * 4


def test_a_concealing_model_learns_its_vector_for_lost_frames():
    subject = trainer(tiny_noisy(width=32), settings(quantize_from=0.0, lost_share=1.0))
    subject.start(crops)
    subject.start_quantizing(crops)
    subject.step(crops(0), 0.1)
    assert subject.model.decoder.unknown.abs().max() > 0  # pyright: ignore[reportCallIssue]


def test_every_phase_gives_its_figures():
    subject = trainer()
    names = []
    for progress in (0.0, 0.3, 0.6, 0.8):
        if progress == 0.3:
            left = subject.start_quantizing(crops)
            assert left == sorted(left, reverse=True)
        names.append(set(subject.step(crops(subject.steps), progress).figures))
    spectral = {"mel", "stft", "waveform", "loudness", "total", "gradient_norm"}
    adversarial = {"adversarial", "features", "discriminator", "discriminator_norm"}
    assert names == [spectral, spectral, spectral | adversarial, spectral | adversarial]


@pytest.mark.parametrize(("excitation_bands", "weight"), [(0, 20.0), (1, None), (1, 0.0)])
def test_periodicity_counts_where_it_has_a_weight(excitation_bands, weight):
    """By default where the decoder has an excitation."""
    model = tiny_transform(excitation_bands=excitation_bands)
    figures = trainer(model, settings(periodicity_weight=weight)).step(crops(0), 0.0).figures
    spectral = trainer(model, settings(periodicity_weight=0.0)).step(crops(0), 0.0).figures
    assert ("periodicity" in figures) is (weight != 0.0)
    difference = 20 * figures["periodicity"] if weight != 0.0 else torch.zeros(())
    torch.testing.assert_close(figures["total"], spectral["total"] + difference)


def test_without_an_excitation_periodicity_does_not_count_by_default():
    assert "periodicity" not in trainer().step(crops(0), 0.0).figures


def test_fine_tuning_starts_from_the_averaged_weights():
    first = trainer()
    advance(first, 3)
    second = trainer()
    second.start_from(first.state_dict(), known_stages=2)
    assert second.quantizing
    assert second.started
    assert second.steps == 0
    assert_equal_states(second.model.state_dict(), first.averaged.state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": None}, "a run has no end: set steps, max_minutes or both"),
        (
            {"discriminator": BOTH, "discriminators_per_step": 4},
            "discriminators_per_step is 1 to 2, not 4",
        ),
        ({"discriminator_share": 0.0}, "discriminator_share is positive"),
        ({"batch_size": 0}, "batch_size is positive"),
        ({"table_from": 1.5}, "table_from is a share"),
        ({"ema_decay": 1.0}, "ema_decay"),
    ],
)
def test_settings_are_checked(changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(**changes)
