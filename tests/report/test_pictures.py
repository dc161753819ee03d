"""PNG files, colours and spectrograms, against matplotlib's reader, the CIE's lightness, and
tones.
"""

from __future__ import annotations

import io

import numpy as np
import pytest
from report.evaluations import tone

from codec.report.colours import lightness_palette
from codec.report.png import palette_png
from codec.report.spectrogram import Axes, spectrogram_png


def decode(png: bytes) -> np.ndarray:
    """uint8 (height, width, 3), by another's reader."""
    image = pytest.importorskip("matplotlib.image")
    return np.rint(255 * image.imread(io.BytesIO(png))[..., :3]).astype(np.uint8)


def test_png_files_are_read_by_others():
    random = np.random.default_rng(0)
    indices = random.integers(256, size=(5, 7), dtype=np.uint8)
    palette = random.integers(256, size=(256, 3), dtype=np.uint8)
    assert (decode(palette_png(indices, palette)) == palette[indices]).all()


def test_lightness_rises_evenly():
    linear = lightness_palette() / 255
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    cie = np.where(luminance > 216 / 24389, 116 * np.cbrt(luminance) - 16, luminance * 24389 / 27)
    steps = np.diff(cie[::16])
    assert cie[0] < 5
    assert cie[-1] > 95
    assert 0.5 * steps.mean() < steps.min() <= steps.max() < 1.5 * steps.mean()


def brightness(signal: np.ndarray, rate: int, axes: Axes) -> np.ndarray:
    """Rows from 0 Hz up."""
    return decode(spectrogram_png(signal, rate, axes)).astype(int).sum(axis=2)[::-1]


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_a_tone_is_a_line_at_its_frequency_whatever_the_rate(rate):
    axes = Axes(seconds=1.0, top_hz=8_000, peak=0.01)
    picture = brightness(tone(2_000, seconds=1.0, rate=rate), rate, axes)
    rows, columns = picture.shape
    brightest = picture[:, columns // 2].argmax()
    assert abs((brightest + 0.5) / rows * 8_000 - 2_000) <= 8_000 / rows
    assert (picture[int(rows * 0.75) :, columns // 2] == picture.min()).all()


def test_time_goes_right_and_what_is_missing_is_silence():
    rate = 16_000
    loud = tone(1_000, seconds=1.0)
    axes = Axes.of(np.concatenate([loud, loud]), rate)
    columns = brightness(loud, rate, axes).max(axis=0)
    middle = len(columns) // 2
    assert columns[: middle - 20].min() > 600  # of 765
    assert columns[middle + 20 :].max() < 50


def test_silence_is_dark():
    axes = Axes.of(np.zeros(1600), 16_000)
    assert brightness(np.zeros(1600), 16_000, axes).max() < 50
