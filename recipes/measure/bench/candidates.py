"""What is timed: our presets through the product's whole path, and the neural peers' models
alone.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from codec import Codec
from codec.checkpoint import Checkpoint
from codec.errors import ConfigError
from codec.layouts.config import ModelConfig
from codec.layouts.presets import PRESETS
from codec.model import CodecModel
from codec.training.to_model_file import model_tables, to_checkpoint
from codec.training.validation import codec_of

from ..compare import neural
from .work import count, model_work

OURS = "diveq-codec"
_TABLE_SECONDS = 20
_COUNTED_SECONDS = 2


@dataclass(frozen=True, kw_only=True)
class TimedCodec:
    """A codec to time.

    Attributes:
        name: As in the table.
        note: What it codes at.
        sample_rate_hz: Of the waves it takes.
        parameters: How many weights.
        encode_work, decode_work: Multiply-adds per second of audio.
        encode: From a wave (samples,) to whatever `decode` takes.
    """

    name: str
    note: str
    sample_rate_hz: int
    parameters: int
    encode_work: float
    decode_work: float
    encode: Callable[[np.ndarray], Any]
    decode: Callable[[Any], object]


def noise(seconds: float, sample_rate_hz: int) -> np.ndarray:
    """What is coded: speed does not depend on what is heard. float32 (samples,), RMS 0.1."""
    samples = round(seconds * sample_rate_hz)
    return 0.1 * np.random.default_rng(0).standard_normal(samples, dtype=np.float32)


def random_checkpoint(config: ModelConfig) -> Checkpoint:
    """A model of random weights, with entropy tables for its own codes, as a trained one has."""
    torch.manual_seed(0)
    model = CodecModel(config).folded()
    bare = codec_of(to_checkpoint(model, weight_type="float32"), device="cpu")
    rate = config.sample_rate_hz
    codes = bare.encode(noise(_TABLE_SECONDS, rate), sample_rate_hz=rate).codes[0]
    return to_checkpoint(model, weight_type="float32", tables=model_tables(config, [codes]))


def our_candidate(preset: str, backend: str) -> TimedCodec:
    """Float samples to the bytes of a `.dvq` file and back, with all stages.

    Raises:
        ConfigError: The backend is not installed.
    """
    config = PRESETS[preset]()
    name = our_name(preset, backend)
    codec = Codec(random_checkpoint(config), name=name, device="cpu", backend=backend)
    work, rate = model_work(config), config.sample_rate_hz
    kbps = sum(stage.bits for stage in config.stages) * config.frame_rate_hz / 1000
    return TimedCodec(
        name=name,
        note=f"{kbps:g} kbps, to and from file bytes",
        sample_rate_hz=rate,
        parameters=_parameters(CodecModel.plain(config)),
        encode_work=work.encode,
        decode_work=work.decode,
        encode=lambda wave: codec.encode(wave, sample_rate_hz=rate).to_bytes(),
        decode=codec.decode,
    )


def our_name(preset: str, backend: str) -> str:
    """As in the table."""
    return f"{OURS} {preset}" + (f" ({backend})" if backend != "torch" else "")


def peer_candidate(layout: neural.Layout) -> TimedCodec:
    """Samples to code tensors and back: no windows, no file."""
    torch.manual_seed(0)
    model = neural.load(layout, None)
    codebooks, rate = layout.timed_codebooks, layout.sample_rate_hz

    @torch.inference_mode()
    def encode(wave: np.ndarray) -> neural.Codes:
        whole = wave[: len(wave) // layout.hop * layout.hop]
        return model.encode(torch.from_numpy(whole)[None, None], codebooks)

    @torch.inference_mode()
    def decode(codes: neural.Codes) -> object:
        return model.decode(codes)

    sample = noise(_COUNTED_SECONDS, rate)
    sample = sample[: len(sample) // layout.hop * layout.hop]
    seconds, codes = len(sample) / rate, encode(sample)
    return TimedCodec(
        name=layout.family,
        note=f"{layout.kbps[codebooks]:g} kbps, to and from codes",
        sample_rate_hz=rate,
        parameters=_parameters(model.module),
        encode_work=(count(model.module, lambda: encode(sample)) / seconds).multiply_adds,
        decode_work=(count(model.module, lambda: decode(codes)) / seconds).multiply_adds,
        encode=encode,
        decode=decode,
    )


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def find_candidates(
    presets: Iterable[str], backends: Sequence[str], peers: Iterable[str]
) -> tuple[list[TimedCodec], dict[str, str]]:
    """Those that are installed; and why the others are not timed, by their names."""
    wanted: dict[str, Callable[[], TimedCodec]] = {}
    for preset, backend in itertools.product(presets, backends):
        wanted[our_name(preset, backend)] = functools.partial(our_candidate, preset, backend)
    for layout in (neural.LAYOUTS[name] for name in peers):
        wanted[layout.family] = functools.partial(peer_candidate, layout)
    found, skipped = [], {}
    for name, make in wanted.items():
        try:
            found.append(make())
        except ConfigError as error:
            skipped[name] = str(error)
    return found, skipped
