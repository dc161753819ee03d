"""Where codes of PyTorch and onnxruntime differ, how near to a tie that is, and how far their waves
are apart.

    python tests/measure_backends.py ../shared/speech/val [--model speech_16khz]

Of each frame whose codes differ, the first stage that differs is listed (the next ones quantize
another residual), with both codewords' distances to the residual, in double precision.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from codec import DEFAULT_MODEL, Codec
from codec.audio import walk_audio
from codec.backends.torch_backend import TorchBackend
from codec.checkpoint import Checkpoint
from codec.model_lookup import find_model


@dataclass
class Totals:
    seconds: float = 0.0
    frames: int = 0
    codes: int = 0
    differing_frames: int = 0
    largest_wave_difference: float = 0.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    options = parser.parse_args()
    one, other = (
        Codec.load(options.model, device="cpu", backend=backend) for backend in ("torch", "onnx")
    )
    plain = TorchBackend(Checkpoint.load(find_model(options.model)), "cpu")
    totals = Totals()
    for path in sorted(walk_audio(options.folder)):
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        codes = one.encode(wave.T, sample_rate_hz=rate)
        other_codes = other.encode(wave.T, sample_rate_hz=rate).codes
        heard, other_heard = one.decode(codes).wave, other.decode(codes).wave
        totals.seconds += len(wave) / rate
        totals.frames += codes.codes.shape[0] * codes.codes.shape[2]
        totals.codes += codes.codes.size
        totals.largest_wave_difference = max(
            totals.largest_wave_difference, float(np.abs(heard - other_heard).max())
        )
        for channel, frame in zip(*np.nonzero((codes.codes != other_codes).any(1)), strict=True):
            totals.differing_frames += 1
            pair = codes.codes[channel, :, frame], other_codes[channel, :, frame]
            print(
                f"{path.name} frame {frame}: {tie(plain, wave.T[channel], rate, one, frame, *pair)}"
            )
    print(totals)


@torch.inference_mode()
def tie(
    plain: TorchBackend,
    wave: np.ndarray,
    rate: int,
    codec: Codec,
    frame: int,
    codes: np.ndarray,
    others: np.ndarray,
) -> str:
    """The first stage whose codewords differ, and how near both are."""
    if rate != codec.config.sample_rate_hz:
        return "differs (give audio at the model's rate to see how near to a tie)"
    whole = np.pad(wave, (0, -len(wave) % codec.config.hop))
    residual = plain.model.encoder(torch.from_numpy(whole)[None, None])[0, :, frame].double()
    for number, stage in enumerate(plain.model.quantizer):
        directions, table = stage.projection.double(), stage.codebook.double()
        distances = (table - directions @ residual).norm(dim=1)
        code, other = int(codes[number]), int(others[number])
        if code != other:
            return (
                f"stage {number}, codewords {code} and {other} at {distances[code]:.8f} and "
                f"{distances[other]:.8f}"
            )
        residual = residual - table[code] @ directions
    raise AssertionError("equal codes were said to differ")


if __name__ == "__main__":
    main()
