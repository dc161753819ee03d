"""Training states: written whole, refused when damaged, hostile or of something else, and small
enough to share.
"""

from __future__ import annotations

import dataclasses
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from equality import assert_equal_states
from small_models import shallow, tiny_noisy, tiny_transform

from codec.checkpoint import Checkpoint
from codec.errors import CheckpointError, OutputError
from codec.layouts.presets import speech_16khz
from codec.model import CodecModel
from codec.training.objective.discriminators import DiscriminatorConfig, Discriminators, small
from codec.training.state import (
    STATE,
    load_discriminators,
    load_state,
    main,
    open_run,
    portable,
    save_discriminators,
    save_state,
    training_facts,
)
from codec.training.to_model_file import to_checkpoint
from codec.training.trainer import Trainer

from .small_run import SETTINGS, batches, small_trainer


def state_of(trainer: Trainer, **changes: Any) -> dict[str, Any]:
    return {
        "trainer": trainer.state_dict(),
        "model_config": trainer.model.config.to_dict(),
        "settings": trainer.settings.to_dict(),
        "elapsed_s": 90.0,
        "device": "1 CPU thread(s)",
        "data": {"folder": "speech"},
        "origin": None,
        "commit": "0123456789ab",
    } | changes


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Trainer:
    """Ten steps, of all phases."""
    trainer = small_trainer(tmp_path_factory.mktemp("run"))
    for step in range(10):
        if step == 3:
            trainer.start_quantizing(batches)
        trainer.step(batches(step), step / 12)
    return trainer


@pytest.fixture
def saved(trained, tmp_path) -> Path:
    """The folder of a run that was saved."""
    folder = tmp_path / "saved"
    folder.mkdir()
    save_state(folder, state_of(trained))
    return folder


def origin(trainer: Trainer, folder: Path, is_file: bool) -> Path:
    """What another run starts from: a model file, or a state."""
    if not is_file:
        return save_state(folder, state_of(trainer))
    path = folder / "model.safetensors"
    to_checkpoint(trainer.averaged.folded(), weight_type="float32", facts={}).save(path)
    return path


each_origin = pytest.mark.parametrize("is_file", [True, False], ids=["model file", "state"])


# --- the file


def test_a_state_comes_back_as_it_was(trained, saved):
    state = state_of(trained)
    for path in (saved, saved / STATE):
        loaded = load_state(path)
        del loaded["format"]
        assert_equal_states(loaded, state)
    assert [path.name for path in saved.iterdir()] == [STATE]


def test_an_interrupted_write_leaves_the_state_before(trained, saved, monkeypatch):
    before = (saved / STATE).read_bytes()

    def fail(_state, file):
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", fail)
    with pytest.raises(CheckpointError, match=r"cannot write .*state\.pt: .*No space left"):
        save_state(saved, state_of(trained))
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == {STATE: before}


def test_every_kind_of_damage_is_named(trained, saved, tmp_path):
    whole = (saved / STATE).read_bytes()
    tensor = state_of(trained)["trainer"]["model"]["decoder.0.conv.bias"].numpy().tobytes()
    flipped = bytearray(whole)
    flipped[whole.index(tensor)] ^= 4
    other = tmp_path / "other.pt"
    for content, message in (
        (bytes(flipped), "is damaged: the checksum of '.*/data/.*' in it is wrong"),
        (whole[:-100], "is not a training state, or a damaged one"),
        (whole[: len(whole) // 2], "is not a training state, or a damaged one"),
        (b"", "is not a training state, or a damaged one"),
        (b"not a state at all", "is not a training state, or a damaged one"),
    ):
        other.write_bytes(content)
        with pytest.raises(CheckpointError, match=message):
            load_state(other)
    with pytest.raises(CheckpointError, match=r"there is no training state .*nowhere"):
        load_state(tmp_path / "nowhere")


class Hostile:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_state_that_would_run_code_is_refused_and_does_not_run(trained, tmp_path):
    path, trace = tmp_path / "state.pt", tmp_path / "trace"
    torch.save(state_of(trained, device=Hostile(trace)), path)
    with pytest.raises(
        CheckpointError, match="it holds more than tensors and plain values"
    ) as caught:
        load_state(path)
    assert "weights_only" not in str(caught.value)  # torch's own text says how to run it
    assert not trace.exists()
    torch.load(path, weights_only=False)  # so it was a real one
    assert trace.exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {"format": "diveq-codec training state 0"}, {"model": torch.zeros(3)}]
)
def test_other_files_of_torch_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        CheckpointError, match=r"not a training state of this version: its format is .*, not 'diveq"
    ):
        load_state(tmp_path / "other.pt")


# --- going on, and beginning from another


def test_a_folder_without_a_state_begins_at_the_start(tmp_path):
    trainer = small_trainer(tmp_path)
    fresh = small_trainer(tmp_path)
    start = open_run(trainer, tmp_path)
    assert (start.elapsed_s, start.origin) == (0.0, None)
    assert_equal_states(trainer.state_dict(), fresh.state_dict())


def test_a_run_goes_on_where_it_was_whatever_init_says(trained, saved, tmp_path):
    trainer = small_trainer(saved)
    start = open_run(trainer, saved, init=tmp_path / "nowhere")
    assert (start.elapsed_s, start.origin) == (90.0, None)
    assert_equal_states(trainer.state_dict(), trained.state_dict())


def test_length_and_machine_may_change(trained, saved):
    trainer = small_trainer(saved, steps=None, max_minutes=3.0, accumulate=2, precision="bf16")
    open_run(trainer, saved)
    assert trainer.steps == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"learning_rate": 1e-3, "seed": 1},
            "other settings: it has seed 0, not 1; learning_rate 0.0005, not 0.001.",
        ),
        (
            {"batch_size": 4},
            "other settings: it has batch_size 2, not 4. Ask for the same, or begin in another",
        ),
        (
            {"kind": "sf_diveq"},
            r"another model: it has stages\[0\].kind 'diveq', not 'sf_diveq'; stages\[1\].kind",
        ),
        (
            {"discriminator": DiscriminatorConfig(periods=(3,), windows=(256,), spectral_width=2)},
            r"other discriminators: it has periods \(2,\), not \(3,\); windows \(\), not \(256,\);",
        ),
    ],
)
def test_a_run_of_something_else_does_not_go_on(saved, changes, message):
    trainer = small_trainer(saved, **changes)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        open_run(trainer, saved)
    assert_equal_states(dict(trainer.model.state_dict()), before)


def test_a_new_run_begins_from_the_averaged_weights_and_discriminators(trained, saved, tmp_path):
    trainer = small_trainer(tmp_path, learning_rate=1e-4, seed=5)
    start = open_run(trainer, tmp_path, init=saved)
    assert_equal_states(trainer.model.state_dict(), trained.averaged.state_dict())
    assert_equal_states(trainer.discriminator.state_dict(), trained.discriminator.state_dict())
    assert (trainer.steps, trainer.quantizing, trainer.optimiser.state_dict()["state"]) == (
        0,
        True,
        {},
    )
    assert start.elapsed_s == 0
    assert start.origin == training_facts(load_state(saved))


def test_a_new_run_begins_from_a_model_file(trained, tmp_path):
    model = trained.averaged.folded()
    path = tmp_path / "model.safetensors"
    to_checkpoint(model, weight_type="float32", facts={"steps": 3, "validation": []}).save(path)
    trainer = small_trainer(tmp_path)
    start = open_run(trainer, tmp_path / "new", init=path)
    assert start.origin == {"model": Checkpoint.load(path).fingerprint().hex(), "steps": 3}
    assert (trainer.started, trainer.quantizing, trainer.steps) == (True, True, 0)
    codes = model.encode(batches(0), [0] * 2)
    for one in (trainer.model, trainer.averaged):
        assert torch.equal(one.encode(batches(0), [0] * 2), codes)


@each_origin
def test_a_model_grows_by_stages_that_start_from_data(trained, tmp_path, is_file):
    """The stages of the file stay as they are; the new ones take energy out of what those leave."""
    model = trained.averaged.folded()
    path = origin(trained, tmp_path, is_file)
    trainer = Trainer(shallow(stages=4), SETTINGS, Accelerator(cpu=True))
    open_run(trainer, tmp_path / "new", init=path)
    assert (trainer.started, trainer.quantizing) == (False, True)
    trainer.start(batches)
    assert trainer.started
    wave = torch.cat([batches(step) for step in range(4)])  # those that the stages start from
    with torch.no_grad():
        latent = model.encoder(wave)
        for one in (trainer.model.folded(), trainer.averaged.folded()):
            codes = one.encode(wave, [0] * 4)
            assert torch.equal(codes[:, :2], model.encode(wave, [0] * 2))
            left = [
                (latent - one.quantizer.decode(codes[:, :count], [0] * count))
                .square()
                .mean()
                .item()
                for count in range(2, 5)
            ]
            assert left == sorted(left, reverse=True)
            assert left[2] < 0.5 * left[0]


@each_origin
def test_a_model_gains_noise_concealment_and_an_excitation(tmp_path, is_file):
    """What it has computes as before where noise and excitation are turned off; other changes are
    refused.
    """
    smaller = Trainer(tiny_transform(), SETTINGS, Accelerator(cpu=True))
    smaller.quantizing = True
    before = smaller.averaged.folded()
    path = origin(smaller, tmp_path, is_file)
    larger = tiny_transform(noise_channels=2, conceals=True, excitation_bands=1)
    trainer = Trainer(larger, SETTINGS, Accelerator(cpu=True))
    open_run(trainer, tmp_path / "new", init=path)
    model = trainer.averaged.folded()
    codes = before.encode(batches(0), [0] * 4)
    assert torch.equal(model.encode(batches(0), [0] * 4), codes)
    silent = torch.zeros(1, codes.shape[2], larger.noise_values)
    expected = before.decode(codes, [0] * 4)
    assert not torch.allclose(model.decode(codes, [0] * 4, silent), expected, atol=1e-3)
    dict(model.named_parameters())["decoder.excitation.gate.bias"].fill_(-30)
    torch.testing.assert_close(model.decode(codes, [0] * 4, silent), expected)
    assert not torch.equal(model.decode(codes, [0] * 4), expected)
    filled = Trainer(tiny_transform(noise_bands=1), SETTINGS, Accelerator(cpu=True))
    open_run(filled, tmp_path / "new", init=path)
    assert torch.equal(filled.averaged.folded().encode(batches(0), [0] * 4), codes)
    wider = Trainer(tiny_transform(noise_channels=2, width=32), SETTINGS, Accelerator(cpu=True))
    with pytest.raises(CheckpointError, match=r"another model: it has transform.width 24, not 32"):
        open_run(wider, tmp_path / "new", init=path)


@each_origin
def test_a_model_grows_by_blocks(tmp_path, is_file):
    """The new blocks are the identity at first, and are trained."""
    ahead = {"encoder_look_ahead": (1, 0), "decoder_look_ahead": (0, 1, 0)}
    smaller = Trainer(tiny_noisy(**ahead), SETTINGS, Accelerator(cpu=True))
    smaller.quantizing = True
    before = smaller.averaged.folded()
    init = origin(smaller, tmp_path, is_file)
    ahead = {"encoder_look_ahead": (1, 0, 1), "decoder_look_ahead": (0, 1, 0, 0, 0)}
    larger = tiny_noisy(encoder_blocks=3, decoder_blocks=5, **ahead)
    trainer = Trainer(larger, SETTINGS, Accelerator(cpu=True))
    open_run(trainer, tmp_path / "new", init=init)
    assert (trainer.started, trainer.quantizing) == (True, True)
    wave, model = batches(0), trainer.averaged.folded()
    codes = before.encode(wave, [0] * 4)
    assert torch.equal(model.encode(wave, [0] * 4), codes)
    noise = torch.randn(1, codes.shape[2], larger.noise_values)
    blocks, bins = 2 * 3, larger.noise_values - 2 * 5
    known = torch.cat([noise[..., :blocks], noise[..., -bins:]], dim=-1)
    expected = before.decode(codes, [0] * 4, known)
    torch.testing.assert_close(model.decode(codes, [0] * 4, noise), expected)
    trainer.step(wave, 0.5)
    weights = dict(trainer.model.named_parameters())
    for name in ("encoder.blocks.2", "decoder.blocks.4"):
        assert weights[f"{name}.narrow.weight"].abs().max() > 0
    shallower = tiny_noisy(encoder_blocks=1, encoder_look_ahead=(1,))
    fewer = Trainer(shallower, SETTINGS, Accelerator(cpu=True))
    with pytest.raises(CheckpointError, match=r"another model: it has transform.encoder_blocks 2"):
        open_run(fewer, tmp_path / "fewer", init=init)


@each_origin
def test_a_model_joins_latents(tmp_path, is_file):
    """Each new latent is two old ones, and decodes to the same wave; the stages start from data."""
    smaller = Trainer(tiny_transform(conceals=True), SETTINGS, Accelerator(cpu=True))
    smaller.quantizing = True
    before = smaller.averaged.folded()
    config = tiny_transform(conceals=True, frames_per_latent=2)
    larger = dataclasses.replace(config, latent_channels=64, stages=config.stages * 2)
    trainer = Trainer(larger, SETTINGS, Accelerator(cpu=True))
    init = origin(smaller, tmp_path, is_file)
    open_run(trainer, tmp_path / "new", init=init)
    assert (trainer.started, trainer.quantizing) == (False, True)
    left = trainer.start(batches)
    assert left == sorted(left, reverse=True)
    assert left[-1] < 0.5
    wave, model = batches(0), trainer.averaged.folded()
    latent, old = model.encoder(wave), before.encoder(wave)
    torch.testing.assert_close(latent[:, :32], old[:, :, ::2])
    torch.testing.assert_close(latent[:, 32:], old[:, :, 1::2])
    torch.testing.assert_close(model.decoder(latent), before.decoder(old))
    assert model.encode(wave, [0] * 8).shape[1:] == (8, wave.shape[2] // 640)
    wider = dataclasses.replace(larger, latent_channels=65)
    other = Trainer(wider, SETTINGS, Accelerator(cpu=True))
    with pytest.raises(CheckpointError, match=r"has latent_channels 32, not 65"):
        open_run(other, tmp_path / "other", init=init)


@each_origin
def test_a_model_loses_look_ahead(tmp_path, is_file):
    """What lasts is seen as before, as weights of frames out of sight go to the last one in
    sight.
    """
    whole = Trainer(tiny_transform(kernel=5), SETTINGS, Accelerator(cpu=True))
    init = origin(whole, tmp_path, is_file)
    ahead = {"encoder_look_ahead": (1, 0), "decoder_look_ahead": (2, 0, 1), "level_look_ahead": 0}
    trainer = Trainer(tiny_transform(kernel=5, **ahead), SETTINGS, Accelerator(cpu=True))
    open_run(trainer, tmp_path / "new", init=init)
    before, after = whole.averaged, trainer.averaged
    lasting = torch.randn(24, generator=torch.Generator().manual_seed(0)).expand(1, 12, 24)
    torch.testing.assert_close(
        after.encoder.blocks(lasting)[:, 9],  # pyright: ignore[reportCallIssue]
        before.encoder.blocks(lasting)[:, 6],  # pyright: ignore[reportCallIssue]
    )
    kernels = [model.decoder.blocks[1].depthwise.weight[:, 0] for model in (before, after)]  # pyright: ignore[reportAttributeAccessIssue]
    assert torch.equal(kernels[1][:, :2], torch.zeros(24, 2))
    assert torch.equal(kernels[1][:, 2:4], kernels[0][:, :2])
    torch.testing.assert_close(kernels[1][:, 4], kernels[0][:, 2:].sum(1))
    with pytest.raises(
        CheckpointError, match=r"has transform.encoder_look_ahead \(1, 0\), not \(\)"
    ):
        open_run(
            Trainer(tiny_transform(kernel=5), SETTINGS, Accelerator(cpu=True)),
            tmp_path / "other",
            init=save_state(tmp_path, state_of(trainer)),
        )


def test_discriminators_travel_in_a_file_of_their_own(trained, saved, tmp_path):
    path = tmp_path / "discriminators.safetensors"
    save_discriminators(load_state(saved), path)
    trainer = small_trainer(tmp_path)
    load_discriminators(trainer, path)
    for name, value in trained.discriminator.state_dict().items():
        torch.testing.assert_close(
            trainer.discriminator.state_dict()[name], value, rtol=2**-10, atol=1e-7
        )
    other = dataclasses.replace(
        SETTINGS, discriminator=dataclasses.replace(SETTINGS.discriminator, period_width=2)
    )
    with pytest.raises(CheckpointError, match="other discriminators: it has period_width 1, not 2"):
        load_discriminators(Trainer(shallow(), other, Accelerator(cpu=True)), path)
    model = tmp_path / "model.safetensors"
    to_checkpoint(trained.averaged.folded(), facts={}).save(model)
    for wrong in (model, tmp_path / "nowhere.safetensors"):
        with pytest.raises(CheckpointError, match="is not a file of discriminators"):
            load_discriminators(trainer, wrong)


def test_a_run_does_not_begin_from_a_model_of_more_stages(trained, tmp_path):
    path = tmp_path / "model.safetensors"
    to_checkpoint(trained.averaged.folded(), weight_type="float32", facts={}).save(path)
    with pytest.raises(CheckpointError, match="another model: it has stages"):
        open_run(
            Trainer(shallow(stages=1), SETTINGS, Accelerator(cpu=True)), tmp_path / "new", init=path
        )


@pytest.mark.parametrize("is_portable", [False, True])
def test_a_new_run_does_not_begin_from_another_model(saved, tmp_path, is_portable):
    main(saved, tmp_path / "small.pt")
    init = tmp_path / "small.pt" if is_portable else saved
    discriminator = dataclasses.replace(SETTINGS.discriminator, period_width=2)
    with pytest.raises(CheckpointError, match=r"another model: it has stages\[0\].kind"):
        open_run(small_trainer(tmp_path, "sf_diveq"), tmp_path, init=init)
    with pytest.raises(CheckpointError, match="other discriminators: it has period_width 1, not 2"):
        open_run(small_trainer(tmp_path, discriminator=discriminator), tmp_path, init=init)


def test_facts_say_what_was_heard_and_where_it_came_from(trained):
    facts = training_facts(state_of(trained))
    assert facts == {
        "data": {"folder": "speech"},
        "steps": 10,
        "seconds_heard": pytest.approx(10 * 2 * 0.16),
        "training_seconds": 90.0,
        "device": "1 CPU thread(s)",
        "commit": "0123456789ab",
        "settings": trained.settings.to_dict(),
    }
    tuned = training_facts(state_of(trained, origin=facts))
    assert tuned["fine_tuned_from"] == facts


# --- portable states


def test_a_portable_state_holds_what_a_run_begins_from_and_no_more(trained, saved):
    full, kept = load_state(saved), portable(load_state(saved))
    assert kept["trainer"].keys() == {"averaged", "discriminator", "steps", "quantizing"}
    assert_equal_states({**kept, "trainer": {}}, {**full, "trainer": {}})
    for part in ("averaged", "discriminator"):
        for name, value in full["trainer"][part].items():
            found = kept["trainer"][part][name]
            if name.startswith("quantizer."):
                assert torch.equal(found, value), name
            torch.testing.assert_close(found.float(), value, rtol=2**-8, atol=0)
    rounded = {
        name for name, value in kept["trainer"]["averaged"].items() if value.dtype == torch.bfloat16
    }
    assert {"decoder.0.conv.parametrizations.weight.original1"} <= rounded


def test_a_run_begins_from_a_portable_state(trained, saved, tmp_path):
    main(saved, tmp_path / "small.pt")
    assert (tmp_path / "small.pt").stat().st_size < 0.3 * (saved / STATE).stat().st_size
    trainer = small_trainer(tmp_path)
    start = open_run(trainer, tmp_path, init=tmp_path / "small.pt")
    assert start.origin == training_facts(load_state(saved))
    assert trainer.quantizing
    assert {value.dtype for value in trainer.model.state_dict().values()} == {torch.float32}
    for name, value in trained.averaged.state_dict().items():
        torch.testing.assert_close(trainer.model.state_dict()[name], value, rtol=2**-8, atol=0)
    trainer.step(batches(0), 0.6)


def test_no_run_goes_on_from_a_portable_state(saved, tmp_path):
    main(saved, tmp_path / STATE)
    with pytest.raises(
        CheckpointError, match=r"is a portable state; no run goes on from it, .* \(--init\)"
    ):
        open_run(small_trainer(tmp_path), tmp_path)


def test_generator_and_discriminators_of_the_default_model_fit_into_30_mb(tmp_path):
    trainer = {
        "averaged": CodecModel(speech_16khz()).state_dict(),
        "discriminator": Discriminators(small()).state_dict(),
        "steps": 1,
        "quantizing": True,
    }
    kept = portable({"trainer": trainer})
    save_state(tmp_path, kept)
    assert (tmp_path / STATE).stat().st_size < 30e6
    exact = {
        name for name, value in kept["trainer"]["averaged"].items() if value.dtype == torch.float32
    }
    assert {
        name for name in trainer["averaged"] if name.startswith("quantizer.")
    } <= exact  # codes stay what they were


def test_the_command_makes_one_and_keeps_what_exists(saved, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["state", str(saved), str(tmp_path / "small.pt")])
    monkeypatch.delitem(sys.modules, "codec.training.state")
    runpy.run_module("codec.training.state", run_name="__main__", alter_sys=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert err.endswith("MB\n")
    before = (tmp_path / "small.pt").read_bytes()
    with pytest.raises(OutputError, match="exists already; --force"):
        main(saved, tmp_path / "small.pt")
    assert (tmp_path / "small.pt").read_bytes() == before
    main(saved, tmp_path / "small.pt", force=True)


def test_shallow_is_the_model_of_these_tests(saved):
    assert load_state(saved)["model_config"] == shallow().to_dict()
