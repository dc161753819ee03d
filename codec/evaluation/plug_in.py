"""Loads metrics of the user: no-reference quality, speaker similarity, word error rate, …"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, cast

from ..errors import ConfigError
from ..metrics import Metric

__all__ = ["load_metric"]


def load_metric(place: str) -> tuple[str, Metric]:
    """Load the metric at "module:name"; return its name and the metric.

    It is a `Metric`, or a function as one measures with, which is shown by its name, higher being
    better: it takes `reference` and `estimate`, float32 (samples,), aligned and equally long, and
    `sample_rate_hz`, and returns a number, or a `Weighted` one, or raises (`NothingToMeasure` where
    it has nothing to say of a clip). For example, in `my_metrics.py`:

        from functools import lru_cache
        from codec import Metric

        @lru_cache  # load the model once in each process
        def recogniser(): ...

        def word_error_rate(reference, estimate, *, sample_rate_hz):
            expected = recogniser().words(reference, sample_rate_hz)
            heard = recogniser().words(estimate, sample_rate_hz)
            return 100 * edit_distance(expected, heard) / len(expected)

        wer = Metric(word_error_rate, "Word error rate", "%", higher_is_better=False)

    and `--plug-in my_metrics:wer`.

    Raises:
        ConfigError: There is no such thing.
    """
    module, _, name = place.partition(":")
    if not (module and name):
        raise ConfigError(f"a metric of yours is named as module:name, not {place!r}")
    try:
        found: Any = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"there is no metric {place}: {error}") from error
    if isinstance(found, Metric):
        return name, found
    if not callable(found):
        raise ConfigError(f"{place} is no metric and no function, but {type(found).__name__}")
    return name, Metric(cast("Callable[..., float]", found), name)
