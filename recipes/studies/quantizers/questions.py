"""The questions of the study, each a list of runs: same latents, same steps, three seeds."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

from .latent_codec import Run
from .methods import METHODS, Method

SEEDS = (0, 1, 2)

MAIN: tuple[Method, ...] = ("ste", "ema", "rotation", "st_gumbel", "nsvq", "diveq", "sf_diveq")


CHAIN: tuple[Method, ...] = ("ste", "ema", "diveq", "diveq_sum", "sf_diveq")
SHORT = 200  # steps, where many runs answer one question


def _runs(**choices: Any) -> list[Run]:
    """A run for each combination of the lists given, seeds last."""
    names = list(choices)
    lists = [values if isinstance(values, list | tuple) else [values] for values in choices.values()]
    return [Run(**dict(zip(names, values, strict=True)), seed=seed) for values in product(*lists) for seed in SEEDS]


def codebook() -> list[Run]:
    """One codebook, of speech and of toy latents."""
    return _runs(source=["speech", "toy"], stages=1, bits=8, method=MAIN)


def residual() -> list[Run]:
    """Four stages, all methods."""
    return _runs(source="speech", stages=4, bits=8, method=METHODS)


def toy() -> list[Run]:
    """Four stages of toy latents, whose dimensions a single stage sees all."""
    return _runs(source="toy", stages=4, bits=8, method=CHAIN)


def stages() -> list[Run]:
    """Eight stages."""
    return _runs(source="speech", stages=8, bits=8, method=CHAIN)


def tuned() -> list[Run]:
    """Four stages with the settings that other questions found better: five times the rate, a smaller commitment."""
    common: dict[str, Any] = {"source": "speech", "stages": 4, "bits": 8, "learning_rate": 5e-3}
    baselines = _runs(**common, method=("ste", "ema"), commitment=0.05)
    return baselines + _runs(**common, method=("diveq", "sf_diveq"))


def codewords() -> list[Run]:
    """Nothing but the codebooks is trained: the methods' gradients for the codewords alone."""
    return _runs(source="speech", stages=1, bits=8, method=MAIN, trained="codebooks", start="latents")


def bits() -> list[Run]:
    """DiVeQ with the bits that SF's positions cost: the other side of the comparison at equal bits."""
    return _runs(source="speech", stages=1, bits=[9, 10, 11], method="diveq", start="kmeans")


def positions() -> list[Run]:
    """SF-DiVeQ whose last phase trains on other tables than the codewords: eight positions, or drawn ones."""
    return _runs(source="speech", stages=1, bits=8, method="sf_diveq", final_position_bits=[None, 3])


def commitment() -> list[Run]:
    """A smaller commitment loss than the usual one, which pulls at every stage of a chain."""
    return _runs(source="speech", stages=4, bits=8, method=("ste", "ema", "rotation"), commitment=0.05)


def noise() -> list[Run]:
    """The variance of the noise over five orders of magnitude."""
    variances = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1]
    return _runs(source="speech", stages=1, bits=8, method=("diveq", "sf_diveq"), noise_variance=variances, steps=SHORT)


def starts() -> list[Run]:
    """How codebooks start, without replacement of unused codewords."""
    return _runs(
        source="speech", stages=1, bits=8, method=("ste", "diveq", "sf_diveq"),
        start=["random", "averages", "kmeans", "tour"], replacement=False, steps=SHORT,
    )  # fmt: skip


def rates() -> list[Run]:
    """Learning rate and batch size, from latents drawn at random and without replacement: where baselines collapse."""
    common: dict[str, Any] = {
        "source": "speech", "stages": 1, "bits": 10, "start": "latents", "replacement": False, "steps": SHORT,
    }  # fmt: skip
    chosen = ("ste", "ema", "diveq", "sf_diveq")
    by_rate = _runs(**common, method=chosen, learning_rate=[1e-3, 1e-2, 1e-1])
    by_batch = _runs(**common, method=chosen, batch=32)
    return by_rate + by_batch


QUESTIONS: dict[str, Callable[[], list[Run]]] = {
    question.__name__: question
    for question in (
        codebook,
        residual,
        toy,
        stages,
        commitment,
        tuned,
        codewords,
        bits,
        positions,
        noise,
        starts,
        rates,
    )
}
