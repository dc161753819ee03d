"""Published neural codecs, through their own packages: with weights from the user's disk, or with
random ones.

Nothing is ever downloaded. Random weights in the published configuration say how fast a model is,
and no more.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.errors import AudioError, ConfigError

from .peer import Coded, Peer

Codes = Sequence[Tensor]

TIMED_KBPS = 6.0
"""Neural peers are timed at the rate of theirs that is nearest to this, that of 12 stages of 10
bits at 50 Hz.
"""


@dataclass(frozen=True, kw_only=True)
class NeuralModel:
    """A model ready to run: `encode` maps a wave (1, 1, time) and a number of codebooks to codes,
    `decode` back.
    """

    module: nn.Module
    sample_rate_hz: int
    encode: Callable[[Tensor, int], Codes]
    decode: Callable[[Codes], Tensor]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A published codec.

    Attributes:
        family: Its name, with the rate.
        package: What must be installed.
        sample_rate_hz: Of the waves it takes and gives.
        hop: Samples that a wave's length must be a multiple of.
        code_bits: Bits of one code at fixed width.
        kbps: Bits per second, in thousands, by the numbers of codebooks to measure at.
        load: The model, from a folder of weights or with random ones.
    """

    family: str
    package: str
    sample_rate_hz: int
    hop: int
    code_bits: int
    kbps: dict[int, float]
    load: Callable[[Path | None], NeuralModel]

    @property
    def timed_codebooks(self) -> int:
        """How many codebooks it is timed with."""
        return min(self.kbps, key=lambda codebooks: abs(self.kbps[codebooks] - TIMED_KBPS))


def load(layout: Layout, weights: Path | None) -> NeuralModel:
    """Load the model, in inference mode.

    Raises:
        ConfigError: Its package is not installed, or the folder is not there or holds something
            else.
    """
    if weights is not None and not (weights / "config.json").is_file():
        raise ConfigError(
            f"{weights} is not a folder with {layout.family}'s config.json and weights"
        )
    try:
        model = layout.load(weights)
    except ImportError as error:
        raise ConfigError(
            f"{layout.family} needs the package {layout.package}: pip install {layout.package}"
        ) from error
    except (
        OSError,
        ValueError,
        RuntimeError,
        KeyError,
        TypeError,
    ) as error:  # whatever their loaders raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{weights or layout.family} cannot be loaded as {layout.family}: {reason}"
        ) from error
    if model.sample_rate_hz != layout.sample_rate_hz:
        raise ConfigError(
            f"{weights or 'the model'} is for {model.sample_rate_hz} Hz: it is not {layout.family}"
        )
    model.module.eval().requires_grad_(False)
    return model


def _from_transformers(name: str, weights: Path | None, **published: Any) -> Any:
    """`name`Model of Hugging Face transformers; `published` is what the configuration has beside
    the defaults.
    """
    transformers = importlib.import_module("transformers")
    model = getattr(transformers, f"{name}Model")
    if weights is None:
        return model(getattr(transformers, f"{name}Config")(**published))
    return model.from_pretrained(str(weights), local_files_only=True)


def _encodec(weights: Path | None) -> NeuralModel:
    model = _from_transformers("Encodec", weights)
    return NeuralModel(
        module=model,
        sample_rate_hz=model.config.sampling_rate,
        encode=lambda wave, codebooks: [
            model.encode(wave, bandwidth=ENCODEC.kbps[codebooks]).audio_codes
        ],
        decode=lambda codes: model.decode(codes[0], [None]).audio_values,
    )


def _dac(weights: Path | None) -> NeuralModel:
    # descript/dac_16khz; the other values are the defaults: widths 64 and 1536, codebooks of 1,024
    # in 8 dimensions.
    model = _from_transformers("Dac", weights, downsampling_ratios=[2, 4, 5, 8], n_codebooks=12)
    return NeuralModel(
        module=model,
        sample_rate_hz=model.config.sampling_rate,
        encode=lambda wave, codebooks: [model.encode(wave, n_quantizers=codebooks).audio_codes],
        decode=lambda codes: model.decode(audio_codes=codes[0]).audio_values[:, None],
    )


def _mimi(weights: Path | None) -> NeuralModel:
    model = _from_transformers("Mimi", weights)
    return NeuralModel(
        module=model,
        sample_rate_hz=model.config.sampling_rate,
        encode=lambda wave, codebooks: [model.encode(wave, num_quantizers=codebooks).audio_codes],
        decode=lambda codes: model.decode(codes[0]).audio_values,
    )


def _snac(weights: Path | None) -> NeuralModel:
    package = importlib.import_module("snac").SNAC
    if weights is None:
        model = package(  # hubertsiuzdak/snac_24khz
            sampling_rate=24_000,
            encoder_dim=48,
            encoder_rates=[2, 4, 8, 8],
            decoder_dim=1024,
            decoder_rates=[8, 8, 4, 2],
            attn_window_size=None,
            codebook_size=4096,
            codebook_dim=8,
            vq_strides=[4, 2, 1],
            noise=True,
            depthwise=True,
        )
    else:
        model = package.from_pretrained(str(weights))
    return NeuralModel(
        module=model,
        sample_rate_hz=model.sampling_rate,
        encode=lambda wave, _: model.encode(wave),
        decode=model.decode,
    )


ENCODEC = Layout(
    family="EnCodec 24 kHz",
    package="transformers",
    sample_rate_hz=24_000,
    hop=320,
    code_bits=10,
    kbps={2: 1.5, 4: 3.0, 8: 6.0, 16: 12.0},
    load=_encodec,
)
DAC = Layout(
    family="DAC 16 kHz",
    package="transformers",
    sample_rate_hz=16_000,
    hop=320,
    code_bits=10,
    kbps={3: 1.5, 6: 3.0, 9: 4.5, 12: 6.0},
    load=_dac,
)
MIMI = Layout(
    family="Mimi 24 kHz",
    package="transformers",
    sample_rate_hz=24_000,
    hop=1920,
    code_bits=11,
    kbps={4: 0.55, 8: 1.1, 16: 2.2, 32: 4.4},
    load=_mimi,
)
SNAC = Layout(  # its three codebooks run at 12, 23 and 47 codes a second
    family="SNAC 24 kHz",
    package="snac",
    sample_rate_hz=24_000,
    hop=2048,
    code_bits=12,
    kbps={3: 0.98},
    load=_snac,
)

LAYOUTS = {"encodec": ENCODEC, "dac": DAC, "mimi": MIMI, "snac": SNAC}


def threads() -> str:
    """How many threads PyTorch computes with, for the note beside a speed."""
    count = torch.get_num_threads()
    return f"{count} thread{'s' * (count != 1)}"


def neural_peers(layout: Layout, weights: Path) -> list[Peer]:
    """A codec at each of its rates, with weights from the disk.

    Raises:
        ConfigError: As `load`.
    """
    model = load(layout, weights)
    warm_up(layout, model)
    return [
        Peer(
            name=f"{layout.family}, {kbps:g} kbps",
            family=layout.family,
            note=f"bits of codes at fixed width, {threads()}",
            sample_rate_hz=layout.sample_rate_hz,
            code=lambda wave, _, codebooks=codebooks: code(layout, model, wave, codebooks),
        )
        for codebooks, kbps in layout.kbps.items()
    ]


def warm_up(layout: Layout, model: NeuralModel) -> None:
    """Run once before timing: the first use finds algorithms and memory."""
    code(layout, model, np.zeros(layout.sample_rate_hz, np.float32), layout.timed_codebooks)


def code(layout: Layout, model: NeuralModel, wave: np.ndarray, codebooks: int) -> Coded:
    """Encode and decode a wave (samples,) at the codec's rate.

    Raises:
        AudioError: The model fails on it, as some do on very short waves.
    """
    try:
        return _code(layout, model, wave, codebooks)
    except (RuntimeError, ValueError, IndexError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise AudioError(f"{layout.family} failed: {reason}") from error


@torch.inference_mode()
def _code(layout: Layout, model: NeuralModel, wave: np.ndarray, codebooks: int) -> Coded:
    whole = np.pad(wave, (0, -len(wave) % layout.hop)).astype(np.float32, copy=False)
    started = time.perf_counter()
    codes = model.encode(torch.from_numpy(whole)[None, None], codebooks)
    encoded_at = time.perf_counter()
    decoded = model.decode(codes)
    decoded_at = time.perf_counter()
    return Coded(
        wave=decoded[0, 0, : len(wave)].numpy(),
        bits=layout.code_bits * sum(code.numel() for code in codes),
        encode_seconds=encoded_at - started,
        decode_seconds=decoded_at - encoded_at,
    )
