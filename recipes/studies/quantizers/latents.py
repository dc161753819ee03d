"""Store the latents that a model's encoder makes of speech, for the study of the quantizer alone; or toy latents.

    python -m recipes.studies.quantizers.latents --data speech/train --held-out speech/val --out runs/latents/speech
    python -m recipes.studies.quantizers.latents --toy --out runs/latents/toy

A folder holds `train.npy` and `held_out.npy`, (frames, channels) float16, the lengths of their clips in frames, and
`facts.json`. The mean of the training latents is taken out of both, and frames beyond five median norms are pulled
back to that distance: a frame in 500 of the shipped model's, which would otherwise hold a third of the energy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from codec import AudioError
from codec.checkpoint import DEFAULT_MODEL, Checkpoint, find_model
from codec.model import CodecModel
from codec.training.validation import audio_files, read_clip

from ...run_script import run_script

if TYPE_CHECKING:
    from jaxtyping import Float, Int

TOY_CHANNELS = 8
_TOY_CLIP_FRAMES = 200
_TOY_MEMORY = 0.9  # correlation of a frame with the one before

_LEVEL = 10 ** (-24 / 20)  # RMS to which clips are brought, the middle of what the shipped model was trained on
_QUIETEST = 1e-4  # RMS of a clip below which it is not made louder still
_FARTHEST = 5.0  # median norms from the mean: the few frames beyond are pulled back, or they alone would be the error


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Where the latents come from and go to."""

    out: Path
    """The folder to write."""
    model: str = DEFAULT_MODEL
    """A model file, or the name of a shipped model."""
    data: Path | None = None
    """Folder tree of audio to train on."""
    held_out: Path | None = None
    """Folder tree of audio by other speakers, to measure on."""
    minutes: float = 40.0
    """How much of `data` to use, in clips drawn at random, always the same."""
    toy: bool = False
    """Correlated Gaussian vectors instead: no model and no audio."""


@dataclass(frozen=True)
class Latents:
    """Latents of mean zero, clip after clip, and how many frames each clip has."""

    vectors: Float[np.ndarray, "frames channels"]
    clip_frames: Int[np.ndarray, " clips"]

    def tensor(self) -> torch.Tensor:
        """(frames, channels) float32."""
        return torch.from_numpy(self.vectors.astype(np.float32))


@dataclass(frozen=True)
class LatentSet:
    """What a folder of latents holds."""

    name: str
    train: Latents
    held_out: Latents
    facts: dict[str, Any]


def main(arguments: Arguments) -> None:
    if arguments.toy:
        train, held_out, facts = toy_latents(100_000, seed=0), toy_latents(20_000, seed=1), {"source": "toy"}
    else:
        train, held_out, facts = _of_speech(arguments)
    save(arguments.out, train, held_out, facts)
    print(f"{len(train.vectors)} latents to train on, {len(held_out.vectors)} to measure on, in {arguments.out}")


def save(folder: Path, train: Latents, held_out: Latents, facts: dict[str, Any]) -> None:
    """Write a folder of latents, less the mean of those to train on, outliers pulled back."""
    folder.mkdir(parents=True, exist_ok=True)
    mean = train.vectors.mean(0, dtype=np.float64)
    farthest = _FARTHEST * float(np.median(np.linalg.norm(train.vectors - mean, axis=1)))
    for name, latents in (("train", train), ("held_out", held_out)):
        centered = latents.vectors - mean
        norms = np.linalg.norm(centered, axis=1, keepdims=True)
        facts[f"{name}_pulled_back"] = float((norms > farthest).mean())
        within = centered * np.minimum(1.0, farthest / np.maximum(norms, 1e-12))
        np.save(folder / f"{name}.npy", within.astype(np.float16))
        np.save(folder / f"{name}_clip_frames.npy", latents.clip_frames)
    (folder / "facts.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def load(folder: Path) -> LatentSet:
    """Read what `save` wrote."""
    if not (folder / "facts.json").is_file():
        raise AudioError(
            f"there are no latents in {folder}; make them with python -m recipes.studies.quantizers.latents"
        )
    train, held_out = (
        Latents(np.load(folder / f"{name}.npy"), np.load(folder / f"{name}_clip_frames.npy"))
        for name in ("train", "held_out")
    )
    return LatentSet(folder.name, train, held_out, json.loads((folder / "facts.json").read_text(encoding="utf-8")))


def toy_latents(frames: int, *, seed: int) -> Latents:
    """Gaussian vectors whose channels are correlated, and which move slowly; the covariance is always the same."""
    mixing = np.random.default_rng(12345).standard_normal((TOY_CHANNELS, TOY_CHANNELS))
    drawn = np.random.default_rng(seed).standard_normal((frames, TOY_CHANNELS))
    moving = np.empty_like(drawn)
    for start in range(0, frames, _TOY_CLIP_FRAMES):
        clip = slice(start, start + _TOY_CLIP_FRAMES)
        moving[clip] = _autoregressive(drawn[clip])
    full, rest = divmod(frames, _TOY_CLIP_FRAMES)
    lengths = np.array([_TOY_CLIP_FRAMES] * full + [rest] * (rest > 0))
    return Latents((moving @ mixing / TOY_CHANNELS**0.5).astype(np.float32), lengths)


def _autoregressive(innovations: np.ndarray) -> np.ndarray:
    """Each row 0.9 of the one before plus its own innovation, at unit variance throughout."""
    rows = innovations.copy()
    for index in range(1, len(rows)):
        rows[index] = _TOY_MEMORY * rows[index - 1] + (1 - _TOY_MEMORY**2) ** 0.5 * innovations[index]
    return rows


def _of_speech(arguments: Arguments) -> tuple[Latents, Latents, dict[str, Any]]:
    if arguments.data is None or arguments.held_out is None:
        raise AudioError("latents of speech need --data and --held-out; or give --toy")
    checkpoint = Checkpoint.load(find_model(arguments.model))
    model = CodecModel.plain(checkpoint.config)
    weights = {name: torch.from_numpy(np.array(value)).float() for name, value in checkpoint.weights.items()}
    model.load_state_dict(weights, strict=False)  # what a file lacks is of training only
    train = _encode(model, _evenly(audio_files(arguments.data), model, 60 * arguments.minutes))
    held_out = _encode(model, (read_clip(path, _rate(model)) for path in audio_files(arguments.held_out)))
    facts = {
        "source": arguments.data.name,
        "model": arguments.model,
        "fingerprint": checkpoint.fingerprint().hex(),
        "minutes": len(train.vectors) / checkpoint.config.frame_rate_hz / 60,
        "held_out_minutes": len(held_out.vectors) / checkpoint.config.frame_rate_hz / 60,
    }
    return train, held_out, facts


def _rate(model: CodecModel) -> int:
    return model.config.sample_rate_hz


def _evenly(paths: list[Path], model: CodecModel, seconds: float) -> Iterator[np.ndarray]:
    """Clips in a shuffled order, always the same, until there are enough seconds."""
    left = seconds * _rate(model)
    for index in np.random.default_rng(0).permutation(len(paths)):
        if left <= 0:
            return
        wave = read_clip(paths[index], _rate(model))
        left -= len(wave)
        yield wave


@torch.inference_mode()
def _encode(model: CodecModel, waves: Iterable[np.ndarray]) -> Latents:
    parts = []
    for wave in waves:
        gain = _LEVEL / max(float(np.sqrt(np.mean(wave**2))), _QUIETEST)
        whole = gain * torch.from_numpy(wave[: len(wave) // model.config.hop * model.config.hop])
        if len(whole):
            parts.append(model.encoder(whole[None, None])[0].T.numpy())
    return Latents(np.concatenate(parts), np.array([len(part) for part in parts]))


if __name__ == "__main__":
    run_script(main, Arguments)
