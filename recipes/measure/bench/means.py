"""What might make the network faster on a GPU, measured before any of it goes into the product.

A means is worth having only where codes stay what they are, so those that differ from the CPU's are
counted, as is how far waveforms move. The product computes in float32, where PyTorch's own default
on a GPU is TF32, of ten bits, in convolutions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec.backends.torch_backend import TorchBackend, tf32
from codec.checkpoint import Checkpoint
from codec.model import CodecModel

from .routes import whole_frames
from .sweep import reason_of, synchronised
from .timing import interleaved

_CHECKED_CLIPS = 16
_CAPTURE_WARM_UPS = 3

Step = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class BatchNetwork:
    """`encode`: waves (batch, 1, time) to codes (batch, stages, frames); `decode` back."""

    encode: Step
    decode: Step

    def each(self, change: Callable[[Step], Step]) -> BatchNetwork:
        return BatchNetwork(change(self.encode), change(self.decode))


def _plain(model: CodecModel) -> BatchNetwork:
    bits = [0] * len(model.config.stages)
    return BatchNetwork(
        lambda waves: model.encode(waves, bits), lambda codes: model.decode(codes, bits)
    )


def _bf16(model: CodecModel) -> BatchNetwork:
    """Encoder and decoder in bfloat16 where autocast thinks it safe; the search in float32, as in
    training.
    """
    bits = [0] * len(model.config.stages)

    def encode(waves: Tensor) -> Tensor:
        with torch.autocast(waves.device.type, dtype=torch.bfloat16):
            latent = model.encoder(waves)
        return model.quantizer.encode(latent.float(), bits)

    def decode(codes: Tensor) -> Tensor:
        with torch.autocast(codes.device.type, dtype=torch.bfloat16):
            return model.decode(codes, bits).float()

    return BatchNetwork(encode, decode)


def _in_tf32(step: Step) -> Step:
    return _with_tf32(step, allowed=True)


def _in_float32(step: Step) -> Step:
    return _with_tf32(step, allowed=False)


def _with_tf32(step: Step, *, allowed: bool) -> Step:
    def run(given: Tensor) -> Tensor:
        with tf32(allowed=allowed):
            return step(given)

    return run


class _Captured:
    """A step as one CUDA graph, for inputs of one shape; each result is overwritten by the next."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, given: Tensor) -> Tensor:
        if self._graph is None:
            self._graph = self._capture(given)
        self._given.copy_(given)
        self._graph.replay()
        return self._made

    def _capture(self, given: Tensor) -> torch.cuda.CUDAGraph:
        self._given = given.clone()
        aside = (
            torch.cuda.Stream()
        )  # capture needs libraries that have done the work once, on another stream
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(_CAPTURE_WARM_UPS):
                self._step(self._given)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._made = self._step(self._given)
        return graph


def _compiled(step: Step, mode: str | None = None) -> Step:
    return torch.compile(step, dynamic=False, mode=mode)


MEANS: dict[str, Callable[[CodecModel], BatchNetwork]] = {
    "as the product": lambda model: _plain(model).each(_in_float32),
    "bf16": lambda model: _bf16(model).each(_in_float32),
    "compile": lambda model: _plain(model).each(_compiled).each(_in_float32),
    "tf32": lambda model: _plain(model).each(_in_tf32),
    "graphs": lambda model: _plain(model).each(_Captured).each(_in_float32),
    "compile and graphs": lambda model: (
        _plain(model).each(lambda step: _compiled(step, "reduce-overhead")).each(_in_float32)
    ),
}
ON_GPU_ALONE = ("tf32", "graphs", "compile and graphs")


@dataclass(frozen=True, kw_only=True)
class Gain:
    """Throughput with a means, in hours of audio a minute; the share of codes that differ from
    those of the CPU, in all stages and in the first; and the largest difference of a waveform's
    sample.
    """

    means: str
    clips: int
    encode: float
    decode: float
    codes_differ: float
    first_codes_differ: float
    wave_differs: float


@torch.inference_mode()
def measure_means(
    checkpoint: Checkpoint,
    names: Sequence[str],
    device: torch.device,
    waves: np.ndarray,
    repeats: int,
) -> tuple[list[Gain], dict[str, str]]:
    """Of the network alone on one batch (clips, samples); and why means failed, by their names."""
    whole = torch.from_numpy(whole_frames(waves, checkpoint.config.hop))
    reference = _plain(TorchBackend(checkpoint, "cpu").model)
    codes = reference.encode(whole[:_CHECKED_CLIPS])
    heard = reference.decode(codes)
    model = TorchBackend(checkpoint, str(device)).model
    given = whole.to(device)
    coded = _plain(model).encode(given)
    coded[:_CHECKED_CLIPS] = codes.to(device)  # so that all decode what the CPU does
    ready, failed, tasks = [], {}, []
    for name in names:
        try:
            network = MEANS[name](model)
            differ = network.encode(given)[:_CHECKED_CLIPS].cpu() != codes
            distance = (network.decode(coded)[:_CHECKED_CLIPS].cpu() - heard).abs().max()
        except (RuntimeError, MemoryError) as error:
            failed[name] = reason_of(error)
            continue
        ready.append((name, differ.double().mean(), differ[:, 0].double().mean(), distance))
        tasks += [
            synchronised(lambda network=network: network.encode(given), device),
            synchronised(lambda network=network: network.decode(coded), device),
        ]
    times = interleaved(tasks, repeats)
    hours = whole.numel() / checkpoint.config.sample_rate_hz / 3600
    return [
        Gain(
            means=name,
            clips=len(whole),
            encode=60 * hours / encode,
            decode=60 * hours / decode,
            codes_differ=float(every),
            first_codes_differ=float(first),
            wave_differs=float(distance),
        )
        for (name, every, first, distance), encode, decode in zip(
            ready, times[::2], times[1::2], strict=True
        )
    ], failed
