"""Metrics on samples."""

from __future__ import annotations

import math

import numpy as np

from .metric import MetricError, check_pair

__all__ = ["si_sdr"]

MAX_SI_SDR_DB = 100.0


def si_sdr(
    reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int | None = None
) -> float:
    """Scale-invariant signal-to-distortion ratio in dB (Le Roux et al. 2019), means removed, 100 dB
    at most.

    The rate has no influence; it is taken so that all metrics are called alike.
    """
    del sample_rate_hz
    check_pair(reference, estimate, both_heard=True)
    reference = reference.astype(np.float64) - np.mean(reference, dtype=np.float64)
    estimate = estimate.astype(np.float64) - np.mean(estimate, dtype=np.float64)
    energy = np.dot(reference, reference)
    if not energy:
        raise MetricError("the reference is constant")
    target = np.dot(reference, estimate) / energy * reference
    distortion = np.sum((estimate - target) ** 2)
    kept = np.sum(target**2)
    if not kept:
        raise MetricError("the estimate has nothing of the reference")
    return min(MAX_SI_SDR_DB, 10 * math.log10(kept / distortion)) if distortion else MAX_SI_SDR_DB
