"""DiVeQ and SF-DiVeQ, as functions, as stages, and as a residual chain of stages."""

from .codebooks import initialise, kmeans, replace_unused, sort_codebook, tour
from .diveq import Estimate, Noise, diveq, nearest
from .residual import Quantized, ResidualQuantizer
from .sf_diveq import curve_points, curve_table, nearest_on_curve, sf_diveq
from .stage import Estimator, QuantizerStage, StageStatistics

__all__ = [
    "Estimate",
    "Estimator",
    "Noise",
    "Quantized",
    "QuantizerStage",
    "ResidualQuantizer",
    "StageStatistics",
    "curve_points",
    "curve_table",
    "diveq",
    "initialise",
    "kmeans",
    "nearest",
    "nearest_on_curve",
    "replace_unused",
    "sf_diveq",
    "sort_codebook",
    "tour",
]
