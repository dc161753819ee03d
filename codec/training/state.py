"""Stores training states: one file, written whole or not at all, checked when read, and read
without running code in it.

A run's folder holds a full state (weights, averaged weights, discriminators, optimisers), from
which the run goes on. A portable state is about a sixth of that, for sharing: averaged weights and
discriminators, the large ones in bfloat16, and no optimisers. A new run starts from either
(`--init`). To make one:

    python -m codec.training.state runs/mine small.pt
"""

from __future__ import annotations

import dataclasses
import json
import os
import reprlib
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..backends.torch_backend import TorchBackend
from ..checkpoint import SUFFIX, Checkpoint
from ..errors import CheckpointError, ConfigError, DiveqCodecError
from ..files.output import atomic_output, refuse_existing
from ..layouts.config import ModelConfig
from ..layouts.transform.transform_network import TransformDecoder, TransformEncoder
from ..layouts.transform.transform_start import join_latents, limit_look_ahead, pass_new_blocks
from .objective.discriminators import DiscriminatorConfig
from .settings import TrainingConfig
from .trainer import Trainer

STATE = "state.pt"
_FORMAT = "diveq-codec training state 1"
_KEYS = {"format", "trainer", "model_config", "settings", "elapsed_s", "data", "device"}

# What may differ when a run goes on: how long it lasts, and how the machine at hand computes it.
_FREE_SETTINGS = ("steps", "max_minutes", "accumulate", "precision", "compile")

_LISTED = 3  # differences that a message names

_LARGE = (
    4096  # elements; what is smaller, and all of the quantizer, stays exact in a portable state
)


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """Where a run begins: after so many seconds of training, and from which other run's state, if
    any.
    """

    elapsed_s: float = 0.0
    origin: dict[str, Any] | None = None


def open_run(trainer: Trainer, folder: Path, *, init: Path | None = None) -> RunStart:
    """Go on with the run of a folder; where there is none, begin one, with the weights of the state
    `init`.

    Args:
        init: another run's folder or state file, full or portable, or a model file, which has no
            discriminators; not read where the folder's run goes on.

    Raises:
        CheckpointError: A state is damaged, or is not of this model, or of other settings.
    """
    if (folder / STATE).exists():
        state = load_state(folder)
        _check_same_run(trainer, state, folder / STATE)
        trainer.load_state_dict(state["trainer"])
        return RunStart(elapsed_s=state["elapsed_s"], origin=state.get("origin"))
    if init is None:
        return RunStart()
    if init.suffix == SUFFIX:
        return _start_from_model(trainer, init)
    state = load_state(init)
    theirs = ModelConfig.from_dict(state["model_config"])
    count, theirs = _joined(theirs, trainer.model.config)
    ours = _looking_as(theirs, _without_additions(trainer.model.config, theirs))
    _check_same_model(trainer, state, init, theirs, ours)
    weights = state["trainer"]["averaged"]
    _fit(weights, theirs, trainer, count)
    trainer.start_from(state["trainer"], known_stages=len(theirs.stages) if count == 1 else 0)
    return RunStart(origin=training_facts(state))


def _start_from_model(trainer: Trainer, path: Path) -> RunStart:
    checkpoint = Checkpoint.load(path)
    count, theirs = _joined(checkpoint.config, trainer.model.config)
    ours = _looking_as(theirs, _without_additions(trainer.model.config, theirs))
    _refuse(path, "another model", _differences(theirs, ours))
    model = TorchBackend(checkpoint, "cpu").model
    weights: dict[str, Tensor] = dict(model.named_parameters())
    _fit(weights, theirs, trainer, count)
    if count > 1:
        own = {"discriminator": trainer.discriminator.state_dict(), "quantizing": True}
        trainer.start_from({"averaged": weights, **own}, known_stages=0)
    else:
        trainer.start_from_model(model)
    facts = {name: value for name, value in checkpoint.facts.items() if name != "validation"}
    return RunStart(origin={"model": checkpoint.fingerprint().hex(), **facts})


def _joined(theirs: ModelConfig, ours: ModelConfig) -> tuple[int, ModelConfig]:
    """How many of their latents together have the frames and channels of one of ours, and their
    configuration with these, and with our stages; 1 and theirs where they do not fit.
    """
    old, new = theirs.transform, ours.transform
    if old is None or new is None:
        return 1, theirs
    count, rest = divmod(new.frames_per_latent, old.frames_per_latent)
    if rest or count < 2 or ours.latent_channels != count * theirs.latent_channels:
        return 1, theirs
    return count, dataclasses.replace(
        theirs,
        latent_channels=ours.latent_channels,
        stages=ours.stages,
        transform=dataclasses.replace(old, frames_per_latent=new.frames_per_latent),
    )


def _without_additions(ours: ModelConfig, theirs: ModelConfig) -> ModelConfig:
    """Our configuration without what training can add to theirs: stages, frames of none, blocks,
    noise, an excitation, concealment.
    """
    least = max(ours.least_stages, theirs.least_stages)
    ours = dataclasses.replace(ours, stages=ours.stages[: len(theirs.stages)], least_stages=least)
    layout, other = ours.transform, theirs.transform
    if layout is None or other is None:
        return ours
    layout = dataclasses.replace(
        layout,
        encoder_blocks=min(layout.encoder_blocks, other.encoder_blocks),
        decoder_blocks=min(layout.decoder_blocks, other.decoder_blocks),
        encoder_look_ahead=layout.encoder_look_ahead[: other.encoder_blocks],
        decoder_look_ahead=layout.decoder_look_ahead[: other.decoder_blocks],
        noise_channels=layout.noise_channels if other.noise_channels else 0,
        noise_bands=layout.noise_bands if other.noise_bands else 0,
        excitation_bands=layout.excitation_bands if other.excitation_bands else 0,
        conceals=layout.conceals and other.conceals,
    )
    return dataclasses.replace(ours, transform=layout)


def _looking_as(theirs: ModelConfig, ours: ModelConfig) -> ModelConfig:
    """Our configuration with their look-ahead, where theirs is at least ours in every block, so
    that ours can start.
    """
    old, new = theirs.transform, ours.transform
    if old is None or new is None:
        return ours
    if (old.encoder_blocks, old.decoder_blocks) != (new.encoder_blocks, new.decoder_blocks):
        return ours
    pairs = [
        *zip(old.encoder_reach, new.encoder_reach, strict=True),
        *zip(old.decoder_reach, new.decoder_reach, strict=True),
        (old.level_look_ahead, new.level_look_ahead),
    ]
    if any(before < after for before, after in pairs):
        return ours
    names = ("encoder_look_ahead", "decoder_look_ahead", "level_look_ahead")
    return dataclasses.replace(
        ours, transform=dataclasses.replace(new, **{name: getattr(old, name) for name in names})
    )


def _fit(weights: dict[str, Tensor], theirs: ModelConfig, trainer: Trainer, count: int) -> None:
    """Rewrite their weights for our look-ahead and, `count` to one, for our latents; blocks of ours
    that they lack become the identity.
    """
    encoder, decoder = trainer.model.encoder, trainer.model.decoder
    old, new = theirs.transform, trainer.model.config.transform
    if old is None or new is None:
        return
    assert isinstance(encoder, TransformEncoder)
    assert isinstance(decoder, TransformDecoder)
    limit_look_ahead(weights, old, new)
    pass_new_blocks(encoder, decoder, old)
    if count > 1:
        join_latents(weights, count)


def save_discriminators(state: dict[str, Any], path: Path) -> None:
    """Write the discriminators of a state (`load_state`) as safetensors in float16, their
    configuration beside them.
    """
    weights = {
        name: value.half().contiguous() for name, value in state["trainer"]["discriminator"].items()
    }
    config = TrainingConfig.from_dict(state["settings"]).discriminator
    with atomic_output(path, overwrite=True) as file:
        file.write(save(weights, {"discriminators": json.dumps(config.to_dict())}))


def load_discriminators(trainer: Trainer, path: Path) -> None:
    """Start a new run's discriminators from a file of `save_discriminators`.

    Raises:
        CheckpointError: The file is missing or is no such file, or its discriminators are others
            than the run's.
    """
    try:
        with safe_open(path, framework="pt") as file:
            config = DiscriminatorConfig.from_dict(
                json.loads((file.metadata() or {})["discriminators"])
            )
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        _refuse(path, "other discriminators", _differences(config, trainer.settings.discriminator))
        trainer.discriminator.load_state_dict(weights)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, ConfigError) as error:
        raise CheckpointError(f"{path} is not a file of discriminators: {error}") from error


def training_facts(state: dict[str, Any]) -> dict[str, Any]:
    """Describe the training of a state's weights as JSON: data, steps, seconds of audio heard,
    code, settings.
    """
    steps, settings = state["trainer"]["steps"], state["settings"]
    facts = {
        "data": state["data"],
        "steps": steps,
        "seconds_heard": steps * settings["batch_size"] * settings["segment_seconds"],
        "training_seconds": state["elapsed_s"],
        "device": state["device"],
        "commit": state.get("commit", "unknown"),
        "settings": settings,
    }
    origin = state.get("origin")
    return facts | ({"fine_tuned_from": origin} if origin else {})


def save_state(folder: Path, state: dict[str, Any]) -> Path:
    """Write `folder/state.pt`; whatever happens meanwhile, the previous one stays until this one is
    on the disk.
    """
    path = folder / STATE
    _write(path, state)
    return path


def _write(path: Path, state: dict[str, Any]) -> None:
    part = path.with_name(
        path.name + ".part"
    )  # one name, so that runs that were killed leave one file, not many
    try:
        with part.open("wb") as file:
            torch.save({**state, "format": _FORMAT}, file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except (OSError, RuntimeError) as error:  # RuntimeError is torch's for a full disk
        part.unlink(missing_ok=True)
        raise CheckpointError(f"cannot write {path}: {error}") from error


def load_state(path: Path) -> dict[str, Any]:
    """Read a full or a portable state, from its file or its folder.

    Raises:
        CheckpointError: There is none, it is damaged, or it is something else.
    """
    path = path / STATE if path.is_dir() else path
    _check_archive(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of many kinds, and their texts advise to run what the file holds
        raise CheckpointError(
            f"{path} is not a training state: it holds more than tensors and plain values"
        ) from error
    found = state.get("format") if isinstance(state, dict) else None
    if found != _FORMAT or not state.keys() >= _KEYS:
        raise CheckpointError(
            f"{path} is not a training state of this version: its format is {found!r}, not "
            f"{_FORMAT!r}"
        )
    return state


def _check_archive(path: Path) -> None:
    """Compare the checksums that `torch.save` writes into its archive, and `torch.load` passes
    over.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except FileNotFoundError as error:
        raise CheckpointError(f"there is no training state {path}") from error
    except Exception as error:  # damage shows in many kinds
        raise CheckpointError(
            f"{path} is not a training state, or a damaged one: {error}"
        ) from error
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of {damaged!r} in it is wrong")


def portable(state: dict[str, Any]) -> dict[str, Any]:
    """Reduce a state to what another run starts from."""
    trainer = state["trainer"]
    kept = {
        "averaged": {name: _rounded(name, value) for name, value in trainer["averaged"].items()},
        "discriminator": {
            name: _rounded(name, value) for name, value in trainer["discriminator"].items()
        },
        "steps": trainer["steps"],
        "quantizing": trainer["quantizing"],
    }
    return state | {"trainer": kept}


def _rounded(name: str, value: Tensor) -> Tensor:
    # Rounding a codebook or a running statistic would change codes; together they are a small part
    # of the file.
    is_weight = (
        value.is_floating_point() and value.numel() >= _LARGE and not name.startswith("quantizer.")
    )
    return value.to(torch.bfloat16) if is_weight else value.clone()


def _check_same_run(trainer: Trainer, state: dict[str, Any], path: Path) -> None:
    ours = trainer.model.config
    _check_same_model(trainer, state, path, ModelConfig.from_dict(state["model_config"]), ours)
    if "optimiser" not in state["trainer"]:
        raise CheckpointError(
            f"{path} is a portable state; no run goes on from it, but a new one can start (--init)"
        )
    changed = _differences(TrainingConfig.from_dict(state["settings"]), trainer.settings)
    _refuse(
        path,
        "other settings",
        {name: pair for name, pair in changed.items() if name not in _FREE_SETTINGS},
    )


def _check_same_model(
    trainer: Trainer, state: dict[str, Any], path: Path, theirs: ModelConfig, ours: ModelConfig
) -> None:
    settings = TrainingConfig.from_dict(state["settings"])
    _refuse(path, "another model", _differences(theirs, ours))
    _refuse(
        path,
        "other discriminators",
        _differences(settings.discriminator, trainer.settings.discriminator),
    )


def _differences(theirs: Any, ours: Any, name: str = "") -> dict[str, tuple[Any, Any]]:
    """The fields in which two configurations differ, and both values; "stages[0].bits" for one of a
    part.
    """
    if dataclasses.is_dataclass(ours) and dataclasses.is_dataclass(theirs):
        prefix = f"{name}." if name else ""
        parts = [(prefix + field.name, field.name) for field in dataclasses.fields(ours)]
        pairs = [(path, getattr(theirs, key), getattr(ours, key)) for path, key in parts]
    elif (
        isinstance(ours, tuple)
        and len(ours) == len(theirs)
        and all(map(dataclasses.is_dataclass, ours))
    ):
        pairs = [
            (f"{name}[{index}]", *pair) for index, pair in enumerate(zip(theirs, ours, strict=True))
        ]
    else:
        return {} if theirs == ours else {name: (theirs, ours)}
    return {
        path: pair for one in pairs for path, pair in _differences(one[1], one[2], one[0]).items()
    }


def _short(value: Any) -> str:
    """A value of a configuration, of which a tuple of parts is known by how many there are."""
    if isinstance(value, tuple) and any(map(dataclasses.is_dataclass, value)):
        return f"of {len(value)}"
    return reprlib.repr(value)


def _refuse(path: Path, what: str, changed: dict[str, tuple[Any, Any]]) -> None:
    if not changed:
        return
    listed = [
        f"{name} {_short(theirs)}, not {_short(ours)}" for name, (theirs, ours) in changed.items()
    ]
    more = f"; and {len(listed) - _LISTED} more" if len(listed) > _LISTED else ""
    raise CheckpointError(
        f"{path} is a state of {what}: it has {'; '.join(listed[:_LISTED])}{more}. "
        "Ask for the same, or begin in another folder"
    )


def main(run: Path, out: Path, /, force: bool = False) -> None:
    """Make a portable training state: what another run starts from (`--init`), small enough to
    share.

    Args:
        run: A run's folder, or its state file.
        out: The file to write.
        force: Overwrite an existing file.
    """
    refuse_existing(out, overwrite=force)
    _write(out, portable(load_state(run)))
    print(f"{out}: {out.stat().st_size / 1e6:.1f} MB", file=sys.stderr)


if __name__ == "__main__":
    import tyro

    try:
        tyro.cli(main, prog="python -m codec.training.state")
    except DiveqCodecError as error:
        sys.exit(f"error: {error}")
