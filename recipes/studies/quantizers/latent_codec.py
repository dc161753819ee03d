"""One run on stored latents: a linear encoder, the codec's residual quantizer, a linear decoder, squared error.

    x (n, C) → E·x → stages, each in `dim` of the C dimensions → D·(sum of stages) → estimate of x

E and D start as the identity. With `trained="all"` both move, and with them the stages' projections and codebooks, so
that a method's gradient for the encoder matters; with "codebooks" nothing else moves, so that only its gradient for
the codewords does. The loss is the squared error over the latents' variance. Optimiser, normalisation, decaying counts,
replacement of unused codewords and the last phase of SF stages are those of `codec.training.trainer`, for all methods.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from codec.layouts.config import StageConfig
from codec.quantizers import ResidualQuantizer, StageStatistics, initialise, kmeans, replace_unused
from codec.training.distributed import without_radial_part

from .baselines import COMMITMENT
from .methods import Method, make_quantizer, stage_configs

if TYPE_CHECKING:
    from jaxtyping import Float, Int

Start = Literal["random", "latents", "averages", "kmeans", "tour"]

_AVERAGED = 8  # latents per codeword for the start "averages"
_START_VECTORS = 20_000
_RECORD_EVERY = 100  # steps


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that decides a run's result, besides the latents of `source`."""

    source: str
    method: Method
    stages: int
    bits: int
    seed: int
    steps: int = 500
    batch: int = 256
    learning_rate: float = 1e-3
    codebook_rate_scale: float = 5.0
    noise_variance: float = 1e-3
    commitment: float = COMMITMENT
    start: Start = "tour"
    replacement: bool = True
    trained: Literal["all", "codebooks"] = "all"
    table_from: float = 0.85
    final_position_bits: int | None = 0  # the table of SF stages' last phase; None draws positions to the end


class LatentCodec(nn.Module):
    """Rows of latents to codes and back."""

    def __init__(self, quantizer: ResidualQuantizer, channels: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(channels, channels, bias=False)
        self.quantizer = quantizer
        self.decoder = nn.Linear(channels, channels, bias=False)
        with torch.no_grad():
            self.encoder.weight.copy_(torch.eye(channels))
            self.decoder.weight.copy_(torch.eye(channels))

    def forward(
        self, x: Float[Tensor, "n channels"], position_bits: int | None
    ) -> tuple[Float[Tensor, "n channels"], list[StageStatistics]]:
        latent = self.encoder(x)
        if latent.requires_grad:  # as the trainer does: the scale of the latent means nothing and would run away
            latent.register_hook(lambda gradient: without_radial_part(gradient, latent.detach()))
        quantized = self.quantizer(latent[:, :, None], None, position_bits)
        return self.decoder(quantized.latent[:, :, 0]), quantized.statistics

    @torch.no_grad()
    def encode(self, x: Float[Tensor, "n channels"], position_bits: int = 0) -> Int[Tensor, "stages n"]:
        """The transmitted indices."""
        return self.quantizer.encode(self.encoder(x)[:, :, None], self._bits(position_bits))[:, :, 0].T

    @torch.no_grad()
    def decode(self, codes: Int[Tensor, "stages n"], position_bits: int = 0) -> Float[Tensor, "n channels"]:
        """What the indices of the first stages name."""
        bits = self._bits(position_bits)[: len(codes)]
        return self.decoder(self.quantizer.decode(codes.T[:, :, None], bits)[:, :, 0])

    def _bits(self, position_bits: int) -> list[int]:
        return [position_bits * stage.config.is_space_filling for stage in self.quantizer]


def trained_codec(
    run: Run, latents: Float[Tensor, "n channels"], start: dict[str, Tensor]
) -> tuple[LatentCodec, dict[str, Any]]:
    """Train from `start_state`; returns the codec and the run's history: figures of every 100 steps, time of a step."""
    torch.manual_seed(run.seed)
    channels = latents.shape[1]
    quantizer = make_quantizer(run.method, _configs(run, channels), channels, commitment=run.commitment)
    quantizer.load_state_dict(start)
    codec = LatentCodec(quantizer, channels)
    return codec, _train(codec, run, latents)


def start_key(run: Run) -> tuple[Any, ...]:
    """Runs that agree in this start from the same state."""
    return (run.source, run.stages, run.bits, run.start, run.seed)


def start_state(run: Run, latents: Float[Tensor, "n channels"]) -> dict[str, Tensor]:
    """The quantizer's state before the first step, the same for all methods."""
    channels = latents.shape[1]
    quantizer = ResidualQuantizer(_configs(run, channels), channels)
    generator = torch.Generator().manual_seed(run.seed)
    chosen = latents[torch.randint(len(latents), (_START_VECTORS,), generator=generator)]
    start(quantizer, chosen, run.start, generator)
    return quantizer.state_dict()


def _configs(run: Run, channels: int) -> tuple[StageConfig, ...]:
    return stage_configs(run.method, run.stages, bits=run.bits, dim=min(8, channels), noise_variance=run.noise_variance)


def _train(codec: LatentCodec, run: Run, latents: Tensor) -> dict[str, Any]:
    optimiser = _optimiser(codec, run)
    generator = torch.Generator().manual_seed(run.seed + 1)
    variance = latents.square().mean()
    history = _History()
    for step in range(run.steps):
        began = time.process_time()
        x = latents[torch.randint(len(latents), (run.batch,), generator=generator)]
        _set_rates(optimiser, run, step)
        position_bits = run.final_position_bits if step >= run.table_from * run.steps else None
        estimate, statistics = codec(x, position_bits)
        loss = (estimate - x).square().mean() / variance
        optimiser.zero_grad(set_to_none=True)
        if loss.requires_grad:  # EMA's does not where nothing but the codebooks moves
            loss.backward()
        optimiser.step()
        _after_step(codec, run, statistics, step + 1)
        history.add(loss, statistics, time.process_time() - began)
    return history.figures


def _optimiser(codec: LatentCodec, run: Run) -> torch.optim.AdamW:
    codebooks = [stage.codebook for stage in codec.quantizer]
    chosen = {id(codebook) for codebook in codebooks}
    others = [parameter for parameter in codec.parameters() if id(parameter) not in chosen]
    for parameter in others:
        parameter.requires_grad_(run.trained == "all")
    groups = [{"params": codebooks, "rate": run.learning_rate * run.codebook_rate_scale}]
    if run.trained == "all":
        groups.append({"params": others, "rate": run.learning_rate})
    return torch.optim.AdamW(groups, lr=run.learning_rate, betas=(0.8, 0.99), weight_decay=0.0, fused=True)


def _set_rates(optimiser: torch.optim.Optimizer, run: Run, step: int) -> None:
    """50 steps of warm-up, then half a cosine down to a twentieth."""
    factor = 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / run.steps))
    for group in optimiser.param_groups:
        group["lr"] = group["rate"] * factor * min(1.0, (step + 1) / 50)


def _after_step(codec: LatentCodec, run: Run, statistics: list[StageStatistics], steps: int) -> None:
    for stage, stage_statistics in zip(codec.quantizer, statistics, strict=True):
        if run.trained == "all":
            stage.update_normalisation(stage_statistics, momentum=0.1)
        stage.update_use(stage_statistics, decay=0.99)
        if run.replacement and steps % 100 == 0 and not stage.config.is_space_filling:
            replace_unused(stage, torch.Generator().manual_seed(run.seed * 1_000_003 + steps))


@torch.no_grad()
def start(
    quantizer: ResidualQuantizer, latents: Float[Tensor, "n channels"], how: Start, generator: torch.Generator
) -> None:
    """Start all stages from latents: projections from principal directions, codewords as `how` says.

    "tour": k-means, in tour order. "kmeans": the same in random order. "latents": drawn from the stage's latents.
    "averages": means of eight of them, as SF-DiVeQ's authors start. "random": Gaussian, of the latents' own variance.
    """
    if how == "tour":
        initialise(quantizer, latents, generator)
        return
    residual = latents
    for stage in quantizer:
        # A codebook of one bit costs nothing to start, and its projection is what a larger one would get.
        probe = ResidualQuantizer([dataclasses.replace(stage.config, bits=1)], latents.shape[1])
        initialise(probe, residual, generator)
        (started,) = probe
        for name in ("projection", "center", "scale"):
            getattr(stage, name).copy_(getattr(started, name))
        z = (residual @ stage.directions().T - stage.center) / stage.scale
        stage.codebook.copy_(_codewords(z, len(stage.codebook), how, generator))
        residual = residual - stage.decode(stage.encode(residual))


def _codewords(z: Tensor, count: int, how: Start, generator: torch.Generator) -> Tensor:
    if how == "random":
        return torch.randn(count, z.shape[1], generator=generator)
    if how == "kmeans":
        return kmeans(z, count, generator)
    each = _AVERAGED if how == "averages" else 1
    return z[torch.randint(len(z), (count, each), generator=generator)].mean(1)


class _History:
    """Figures over the steps, as lists; per stage where there are several."""

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {"step": [], "loss": [], "used": [], "perplexity": [], "error": []}
        self.seconds: list[float] = []
        self._clear()

    def _clear(self) -> None:
        self._losses: list[Tensor] = []
        self._statistics: list[list[StageStatistics]] = []

    def add(self, loss: Tensor, statistics: list[StageStatistics], seconds: float) -> None:
        self._losses.append(loss.detach())
        self._statistics.append(statistics)
        self.seconds.append(seconds)
        if len(self.seconds) % _RECORD_EVERY == 0:
            self._record()

    def _record(self) -> None:
        stages = list(zip(*self._statistics, strict=True))
        counts = [torch.stack([s.use for s in stage]).sum(0) for stage in stages]
        self.figures["step"].append(len(self.seconds))
        self.figures["loss"].append(float(torch.stack(self._losses).mean()))
        self.figures["used"].append([float((count > 0).float().mean()) for count in counts])
        self.figures["perplexity"].append([perplexity(count) for count in counts])
        self.figures["error"].append([float(torch.stack([s.error for s in stage]).mean()) for stage in stages])
        self.figures["step_ms"] = 1000 * sorted(self.seconds)[len(self.seconds) // 2]
        self._clear()


def perplexity(counts: Float[Tensor, " codewords"]) -> float:
    """2 to the entropy of how often codewords are used: how many are in use, as it were."""
    shares = counts / counts.sum()
    return float(torch.special.entr(shares).sum().exp())
