"""What is timed on batches of recordings: our models to the bytes of files and back, neural
peers to codes and back.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from codec import Codec
from codec.errors import ConfigError
from codec.model import CodecModel
from codec.training.validation import audio_files, read_clip

from ..compare import neural
from .work import count_multiply_adds, model_work

SAMPLES = Path(__file__).parents[3] / "samples"


@dataclass(frozen=True, kw_only=True)
class TimedSystem:
    """A codec to time.

    Attributes:
        note: What it codes at, and to.
        encode_work, decode_work: Multiply-adds per second of audio.
        encode: From waves (clips, samples) to whatever `decode` takes.
    """

    name: str
    note: str
    is_ours: bool
    sample_rate_hz: int
    parameters: int
    encode_work: float
    decode_work: float
    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], object]


@functools.cache
def _recordings(sample_rate_hz: int) -> np.ndarray:
    return np.concatenate([read_clip(path, sample_rate_hz) for path in audio_files(SAMPLES)])


def speech(clips: int, seconds: float, sample_rate_hz: int) -> np.ndarray:
    """The recordings of `samples/`, over and over, cut into (clips, samples)."""
    return np.resize(_recordings(sample_rate_hz), (clips, round(seconds * sample_rate_hz)))


def our_system(model: str, backend: str, device: str) -> TimedSystem:
    """A model with all its stages, through `encode_batch` and `decode_batch`, each batch at once.

    Raises:
        ConfigError: The backend or the device is missing.
    """
    codec = Codec.load(model, device=device, backend=backend)
    config, rate = codec.config, codec.config.sample_rate_hz

    def encode(waves: np.ndarray) -> tuple[float, list[bytes]]:
        seconds = waves.size / rate + len(waves)  # and a part of a frame for each
        clips = codec.encode_batch(list(waves), sample_rate_hz=rate, batch_seconds=seconds)
        return seconds, [clip.to_bytes() for clip in clips]

    def decode(coded: tuple[float, list[bytes]]) -> object:
        seconds, files = coded
        return codec.decode_batch(files, batch_seconds=seconds)

    encode_work, decode_work = model_work(config)
    kbps = sum(stage.bits for stage in config.stages) * config.frame_rate_hz / 1000
    return TimedSystem(
        name=f"{codec.name} ({backend})",
        note=f"{kbps:g} kbps, to file bytes",
        is_ours=True,
        sample_rate_hz=rate,
        parameters=_parameters(CodecModel.plain(config)),
        encode_work=encode_work,
        decode_work=decode_work,
        encode=encode,
        decode=decode,
    )


def peer_system(layout: neural.Layout, device: str) -> TimedSystem:
    """A peer's network with random weights, as its package runs it.

    Raises:
        ConfigError: Its package is not installed.
    """
    torch.manual_seed(0)
    model = neural.load(layout, None)
    model.module.to(device)
    codebooks = layout.timed_codebooks

    @torch.inference_mode()
    def encode(waves: np.ndarray) -> neural.Codes:
        whole = waves[:, None, : waves.shape[1] // layout.hop * layout.hop]
        batch = torch.from_numpy(np.ascontiguousarray(whole)).to(device)
        return [codes.cpu() for codes in model.encode(batch, codebooks)]

    @torch.inference_mode()
    def decode(codes: neural.Codes) -> object:
        return model.decode([part.to(device) for part in codes]).cpu()

    quarter_second = np.zeros((1, layout.sample_rate_hz // 4), np.float32)
    seconds = quarter_second.size // layout.hop * layout.hop / layout.sample_rate_hz
    coded: list[neural.Codes] = []
    encode_work = count_multiply_adds(model.module, lambda: coded.append(encode(quarter_second)))
    decode_work = count_multiply_adds(model.module, lambda: decode(coded[0]))
    return TimedSystem(
        name=layout.family,
        note=f"{layout.kbps[codebooks]:g} kbps, to codes",
        is_ours=False,
        sample_rate_hz=layout.sample_rate_hz,
        parameters=_parameters(model.module),
        encode_work=encode_work / seconds,
        decode_work=decode_work / seconds,
        encode=encode,
        decode=decode,
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def find_systems(
    models: Sequence[str], backends: Sequence[str], peers: Iterable[str], device: str
) -> tuple[list[TimedSystem], list[str]]:
    """All that can run here; and why the others cannot."""
    makers = [
        functools.partial(our_system, model, backend, device)
        for model, backend in itertools.product(models, backends)
    ]
    makers += [functools.partial(peer_system, neural.LAYOUTS[name], device) for name in peers]
    found, missing = [], []
    for make in makers:
        try:
            found.append(make())
        except ConfigError as error:
            missing.append(str(error))
    return found, missing
