"""Computes one training step of generator and discriminators, and holds all the state that steps
change.

The loop around it (budget, logs, checkpoints) is in `run.py`. Everything random in a step follows
from (seed, step), so a resumed run needs no generator states: it equals the unbroken one (but where
processes step alone,
with `average_every`: all go on from the first one's state).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor

from ..layouts.config import ModelConfig
from ..model import CodecModel, ModelOutput
from ..quantizers import StageStatistics, initialise, replace_unused
from .distributed import average, average_gradients, gather_rows, without_radial_part
from .generator_objective import Objective
from .settings import TrainingConfig
from .stage_dropout import active_stages, lost_frames

if TYPE_CHECKING:
    from jaxtyping import Bool, Float, Int

Batches = Callable[[int], Tensor]  # step → this process's share of the batch, (batch, 1, samples)


@dataclass(frozen=True)
class StepResult:
    """Figures of one step as tensors on the device: losses and norms by name, and each stage's
    statistics.
    """

    figures: dict[str, Tensor]
    statistics: list[StageStatistics]


class Trainer:
    """Generator, discriminators, their optimisers and the averaged weights.

    `step(batch, progress)` does one update; `progress` in [0, 1) is how much of the run has passed
    and decides phase and learning rate. All processes must pass the same progress.
    """

    def __init__(
        self, model: ModelConfig, settings: TrainingConfig, accelerator: Accelerator
    ) -> None:
        self.settings, self.accelerator, self.device = settings, accelerator, accelerator.device
        torch.manual_seed(settings.seed)
        self.model = CodecModel(model).to(self.device)
        self.objective = Objective(model, settings).to(self.device)
        self.discriminator = self.objective.discriminators
        self.averaged = copy.deepcopy(self.model).requires_grad_(False).eval()
        self.optimiser = self._generator_optimiser()
        self.discriminator_optimiser = torch.optim.AdamW(
            self.discriminator.parameters(),
            lr=settings.discriminator_rate,
            betas=(settings.beta_1, settings.beta_2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.steps = 0
        self.started = False
        self.quantizing = False
        self.known_stages = 0  # of a model file that training starts from
        self.skipped = torch.zeros(
            (), device=self.device
        )  # steps in a row whose gradient was not finite
        self.all_skipped = torch.zeros((), device=self.device)
        if (
            settings.compile
        ):  # in place: names of weights stay; the quantizer is small and stays eager
            self.model.encoder.compile()
            self.model.decoder.compile()

    def _generator_optimiser(self) -> torch.optim.AdamW:
        settings = self.settings
        codebooks = [stage.codebook for stage in self.model.quantizer]
        chosen = {id(codebook) for codebook in codebooks}
        others = [parameter for parameter in self.model.parameters() if id(parameter) not in chosen]
        return torch.optim.AdamW(
            [
                {"params": others, "rate": settings.learning_rate},
                {
                    "params": codebooks,
                    "rate": settings.learning_rate * settings.codebook_rate_scale,
                    "weight_decay": 0.0,
                },
            ],
            lr=settings.learning_rate,
            betas=(settings.beta_1, settings.beta_2),
            weight_decay=settings.weight_decay,
            fused=True,
        )

    @property
    def quantize_from(self) -> float:
        """The transform layout starts with latents worth quantizing; a filterbank has to learn them
        first.
        """
        given = self.settings.quantize_from
        return given if given is not None else 0.0 if self.model.config.transform else 0.05

    def start(self, batches: Batches) -> list[float]:
        """Before the first step: what starts from the batches that come first, a layout or stages
        that `init` lacks.
        """
        self.started = True
        if self.quantizing:
            residual = self._latents(batches, self.known_stages)
            left = initialise(
                list(self.model.quantizer)[self.known_stages :], residual, self._generator()
            )
            self.averaged.load_state_dict(self.model.state_dict())
            return left
        if not self.model.config.transform:
            return []
        waves: list[Tensor] = []
        while (
            sum(map(torch.numel, waves)) < self.settings.initialise_vectors * self.model.config.hop
        ):
            waves.append(gather_rows(batches(self.steps + len(waves)).to(self.device)))
        self.model.start_from_waves(torch.cat(waves))
        self.averaged.load_state_dict(self.model.state_dict())
        return []

    def start_quantizing(self, batches: Batches) -> list[float]:
        """End of the warm-up: all stages start from the latents of the batches that come next.

        Returns the share of the latents' energy left after each stage.
        """
        left = self.model.start_quantizing(self._latents(batches), self._generator())
        self.averaged.load_state_dict(self.model.state_dict())
        self.quantizing = True
        return left

    @torch.no_grad()
    def _latents(self, batches: Batches, stages: int = 0) -> Float[Tensor, "n channels"]:
        """Encode the next batches of all processes; return the residual of the latents after the
        first `stages`.
        """
        rows: list[Tensor] = []
        step = self.steps
        while sum(map(len, rows)) < self.settings.initialise_vectors:
            with self.accelerator.autocast():
                latent = self.model.encoder(batches(step).to(self.device))
            residual = latent.transpose(1, 2).flatten(0, 1).float()
            for stage in list(self.model.quantizer)[:stages]:
                residual = residual - stage.decode(stage.encode(residual))
            rows.append(gather_rows(residual))
            step += 1
        return torch.cat(rows)

    def step(self, batch: Float[Tensor, "batch 1 time"], progress: float) -> StepResult:
        """One update of the generator and, in the adversarial phase, of the discriminators."""
        torch.manual_seed(
            self.settings.seed * 1_000_003 + self.steps
        )  # the same on all processes: they share λ
        adversarial = self.quantizing and progress >= self.settings.adversarial_from
        self._set_rates(progress)
        self.optimiser.zero_grad(set_to_none=True)
        self.discriminator_optimiser.zero_grad(set_to_none=True)
        figures: dict[str, Tensor] = {}
        statistics: list[list[StageStatistics]] = []
        parts, kept, lost = (
            whole.chunk(self.settings.accumulate)
            for whole in (batch, self._active_stages(batch), self._lost(batch))
        )
        for part, part_kept, part_lost in zip(parts, kept, lost, strict=True):
            output = self._reconstruct(part, part_kept, part_lost, progress)
            losses = self._backward(output, part, adversarial, 1 / len(parts))
            for name, value in losses.items():
                figures[name] = figures.get(name, 0) + value / len(parts)
            statistics.append(output.statistics)
        figures |= self._update(adversarial)
        merged = (
            [_merged(list(group)) for group in zip(*statistics, strict=True)]
            if self.quantizing
            else []
        )
        self._after_update(merged, adversarial)
        average([figures[name] for name in sorted(figures)])
        return StepResult(figures=figures, statistics=merged)

    def _reconstruct(
        self, wave: Tensor, active_stages: Tensor, lost: Tensor, progress: float
    ) -> ModelOutput:
        position_bits = (
            self.settings.position_bits if progress >= self.settings.table_from else None
        )
        with self.accelerator.autocast():
            if not self.quantizing:
                return self.model(wave, quantize=False)
            output = self.model(
                wave,
                active_stages=active_stages,
                lost=lost,
                position_bits=position_bits,
            )
        # The scale of the latent means nothing: the stages' normalisation undoes it. Yet the
        # quantizer's gradient has a steady part along it (a decoder that gets few stages asks for
        # more energy), and without this the latent grew a hundredfold in 600 steps, faster than the
        # normalisation and the decoder could follow.
        latent = output.latent.detach()
        output.latent.register_hook(lambda gradient: without_radial_part(gradient, latent))
        return output

    def _backward(
        self, output: ModelOutput, reference: Tensor, adversarial: bool, share: float
    ) -> dict[str, Tensor]:
        """Losses of one micro-batch, their gradients added up in the parameters; returns the
        figures.
        """
        estimate = output.wave.float()
        generator = self._generator()
        terms = self.objective.distances(estimate, reference, generator)
        figures: dict[str, Tensor] = {}
        if adversarial:
            with self.accelerator.autocast():
                real, fake = self.objective.verdicts(estimate, reference, generator)
            figures["discriminator"], played = self.objective.game(real, fake)
            (figures["discriminator"] * share).backward(
                inputs=[p for p in self.discriminator.parameters() if p.requires_grad],
                retain_graph=True,
            )
            terms |= played
        total = self.objective.total(terms)
        figures |= terms
        (total * share).backward(inputs=[p for p in self.model.parameters() if p.requires_grad])
        return {name: value.detach() for name, value in figures.items()} | {"total": total.detach()}

    def _update(self, adversarial: bool) -> dict[str, Tensor]:
        """Average, clip, step. A gradient that is not finite leaves both sides as they were,
        without a host sync.
        """
        norms = {"gradient_norm": self._clip(self.model, self.settings.gradient_clip)}
        if adversarial:
            norms["discriminator_norm"] = self._clip(
                self.discriminator, self.settings.discriminator_clip
            )
        broken = 1.0 - torch.stack([norm.isfinite() for norm in norms.values()]).all().float()
        if self._steps_alone:
            average([broken])  # one process's broken step is everybody's: all count the same
            broken = broken.sign()
        for optimiser in (self.optimiser, self.discriminator_optimiser)[: 1 + adversarial]:
            # What a gradient scaler would set; a fused optimiser reads it and skips the step on the
            # device.
            setattr(optimiser, "grad_scale", None)  # noqa: B010 (not declared by the class)
            setattr(optimiser, "found_inf", broken)  # noqa: B010
            optimiser.step()
        self.skipped = (self.skipped + 1) * broken
        self.all_skipped += broken
        return norms

    @property
    def _steps_alone(self) -> bool:
        """Whether this is local SGD: processes average their weights now and then, not their
        gradients.
        """
        return self.settings.average_every > 1

    def _clip(self, module: torch.nn.Module, limit: float) -> Tensor:
        if not self._steps_alone:
            average_gradients(module.parameters())
        return torch.nn.utils.clip_grad_norm_(module.parameters(), limit)

    @torch.no_grad()
    def _after_update(self, statistics: list[StageStatistics], adversarial: bool) -> None:
        settings = self.settings
        average([t for s in statistics for t in (s.use, s.mean, s.mean_square, s.error)])
        for stage, stage_statistics in zip(self.model.quantizer, statistics, strict=False):
            finite = (
                stage_statistics.mean_square.isfinite().all()
            )  # a broken step must not reach the buffers
            momentum = torch.where(finite, settings.normalisation_momentum, 0.0)
            safe = StageStatistics(
                *(torch.nan_to_num(t, 0.0, 0.0, 0.0) for t in vars(stage_statistics).values())
            )
            stage.update_normalisation(safe, momentum)
            stage.update_use(safe, decay=1 - 1 / settings.replace_every_steps)
        self.steps += 1
        if statistics and self.steps % settings.replace_every_steps == 0:
            for stage in self.model.quantizer:
                if not stage.config.is_space_filling:
                    replace_unused(stage, self._generator(), threshold=settings.replace_below)
        if self._steps_alone and self.steps % self.settings.average_every == 0:
            average(
                [
                    *self.model.parameters(),
                    *(self.discriminator.parameters() if adversarial else ()),
                ]
            )
        self._average_weights()

    def _average_weights(self) -> None:
        """Update the exponential average of weights and statistics; it is quicker at the start, to
        forget it.
        """
        decay = min(self.settings.ema_decay, (1 + self.steps) / (10 + self.steps))
        ours, theirs = self.averaged.state_dict(), self.model.state_dict()
        foreach_lerp_ = torch._foreach_lerp_  # pyright: ignore[reportPrivateImportUsage] (one kernel for all tensors)
        foreach_lerp_(list(ours.values()), list(theirs.values()), 1 - decay)

    def _active_stages(self, wave: Float[Tensor, "batch 1 time"]) -> Int[Tensor, "batch frames"]:
        config, clips, index = self.model.config, len(wave), self.accelerator.process_index
        share = slice(index * clips, (index + 1) * clips)  # of the global batch
        return active_stages(
            wave,
            config,
            self.settings,
            share,
            clips * self.accelerator.num_processes,
            self._generator(),
        )

    def _lost(self, wave: Float[Tensor, "batch 1 time"]) -> Bool[Tensor, "batch frames"]:
        config = self.model.config
        frames = wave.shape[2] // config.hop
        if not config.conceals:
            return torch.zeros(len(wave), frames, dtype=torch.bool, device=wave.device)
        generator = torch.Generator().manual_seed(
            (self.settings.seed * 1_000_003 + self.steps) * 1_009 + self.accelerator.process_index
        )
        lost = lost_frames(len(wave), frames, config.frame_rate_hz, self.settings, generator)
        return lost.to(wave.device)

    def _generator(self) -> torch.Generator:
        """Return a CPU generator that is the same on every process."""
        return torch.Generator().manual_seed(self.settings.seed * 1_000_003 + self.steps)

    def _set_rates(self, progress: float) -> None:
        """Linear warm-up over steps, cosine decay over the run."""
        settings = self.settings
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        factor = settings.final_rate_share + (1 - settings.final_rate_share) * cosine
        factor *= min(1.0, (self.steps + 1) / settings.rate_warmup_steps)
        for group in self.optimiser.param_groups:
            group["lr"] = group["rate"] * factor
        for group in self.discriminator_optimiser.param_groups:
            group["lr"] = settings.discriminator_rate * factor

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed run needs, to continue as if it had not stopped."""
        return {
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "discriminator_optimiser": self.discriminator_optimiser.state_dict(),
            "steps": self.steps,
            "started": self.started,
            "quantizing": self.quantizing,
            "skipped": self.skipped,
            "all_skipped": self.all_skipped,
        }

    def start_from(self, state: dict[str, Any], *, known_stages: int) -> None:
        """Fine-tune: another run's averaged weights and its discriminators, with fresh
        optimisers.

        What that run's model does not have keeps its initial weights; stages start from data.
        """
        self.model.load_state_dict(self.model.state_dict() | state["averaged"])
        self.averaged.load_state_dict(self.model.state_dict())
        self.discriminator.load_state_dict(state["discriminator"])
        self._go_on(known_stages, quantizing=state["quantizing"])

    def start_from_model(self, folded: CodecModel) -> None:
        """Fine-tune a model file: its weights, with fresh discriminators and optimisers.

        Stages that it does not have start from data, at `start`.
        """
        self.model.unfold(folded.to(self.device))
        self.averaged.load_state_dict(self.model.state_dict())
        self._go_on(len(list(folded.quantizer)), quantizing=True)

    def _go_on(self, known_stages: int, *, quantizing: bool) -> None:
        """Leave the stages that are not known to `start`, where the known ones quantize already."""
        self.quantizing, self.known_stages = quantizing, known_stages
        self.started = not quantizing or known_stages == len(list(self.model.quantizer))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of `state_dict`."""
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.discriminator_optimiser.load_state_dict(state["discriminator_optimiser"])
        self.steps, self.started, self.quantizing = (
            state["steps"],
            state["started"],
            state["quantizing"],
        )
        self.skipped = state["skipped"].to(self.device)
        self.all_skipped = state["all_skipped"].to(self.device)


def _merged(parts: list[StageStatistics]) -> StageStatistics:
    """The statistics of all micro-batches of a step; they are equally large."""
    if len(parts) == 1:
        return parts[0]
    stacked = [
        torch.stack(values) for values in zip(*(vars(part).values() for part in parts), strict=True)
    ]
    use, mean, mean_square, error = stacked
    return StageStatistics(
        use=use.sum(0), mean=mean.mean(0), mean_square=mean_square.mean(0), error=error.mean(0)
    )
