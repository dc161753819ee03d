"""A colour map whose lightness rises evenly: equal steps in level look like equal steps."""

from __future__ import annotations

import numpy as np

__all__ = ["lightness_palette"]

_DARK, _LIGHT = 0.14, 0.97
_FIRST_HUE, _LAST_HUE = 285.0, 455.0  # degrees: from violet through red to yellow
_CHROMA = 0.17


def lightness_palette() -> np.ndarray:
    """uint8 (256, 3): from near black through violet, red and orange to pale yellow.

    Made in OKLab (Björn Ottosson, "A perceptual color space for image processing", 2020): lightness
    is linear, hue turns at an even pace, chroma swells and fades so that all colours can be shown.
    """
    position = np.linspace(0, 1, 256)
    lightness = _DARK + (_LIGHT - _DARK) * position
    hue = np.radians(_FIRST_HUE + (_LAST_HUE - _FIRST_HUE) * position)
    chroma = _CHROMA * np.sin(np.pi * position) ** 0.75
    return _srgb(lightness, chroma * np.cos(hue), chroma * np.sin(hue))


def _srgb(lightness: np.ndarray, green_red: np.ndarray, blue_yellow: np.ndarray) -> np.ndarray:
    """OKLab (N,) each to 8-bit sRGB (N, 3), with Ottosson's matrices."""
    long = (lightness + 0.3963377774 * green_red + 0.2158037573 * blue_yellow) ** 3
    middle = (lightness - 0.1055613458 * green_red - 0.0638541728 * blue_yellow) ** 3
    short = (lightness - 0.0894841775 * green_red - 1.2914855480 * blue_yellow) ** 3
    linear = np.stack(
        [
            4.0767416621 * long - 3.3077115913 * middle + 0.2309699292 * short,
            -1.2684380046 * long + 2.6097574011 * middle - 0.3413193965 * short,
            -0.0041960863 * long - 0.7034186147 * middle + 1.7076147010 * short,
        ],
        axis=1,
    ).clip(0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * encoded).astype(np.uint8)
