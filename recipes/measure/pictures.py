"""A picture for a model card: the spectrogram of a clip, and below it what the model makes of it.

python -m recipes.measure.pictures --data speech/val --clip NAME --out picture.png
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from codec import DEFAULT_MODEL, Codec, atomic_output
from codec.errors import ConfigError
from codec.evaluation.model_candidate import model_candidates
from codec.evaluation.signal import Signal, Source, find_sources
from codec.files.output import refuse_existing
from codec.report.spectrogram import Axes, spectrogram_png
from codec.training.validation import read_clip

from ..rates import Bitrates
from ..run_script import run_script

_PANEL_INCHES = (9.2, 1.75)
_DOTS_PER_INCH = 100
_COLOURS = 64
_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to draw."""

    data: Path
    """Folder tree of audio, or one file."""
    clip: str
    """The clip's name below the folder, with or without its suffix."""
    out: Path
    """The PNG to write."""
    model: str = DEFAULT_MODEL
    """A shipped model's name, or a model file."""
    bitrates: Bitrates = (1.5, 3.0, 6.0)
    """The bitrates to code at, in kbps."""
    force: bool = False
    """Replace an existing file."""


def main(arguments: Arguments) -> None:
    refuse_existing(arguments.out, overwrite=arguments.force)
    source = find_clip(find_sources(arguments.data), arguments.clip)
    codec = Codec.load(arguments.model)
    rate = codec.config.sample_rate_hz
    figure = draw(versions(codec, read_clip(source.path, rate), arguments.bitrates), rate)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(arguments.out, overwrite=arguments.force) as file:
        file.write(small_png(figure))


def find_clip(sources: Sequence[Source], name: str) -> Source:
    """The source of this name.

    Raises:
        ConfigError: There is none, or there are several that differ in their suffix.
    """
    found = [
        source
        for source in sources
        if name in (source.name, PurePosixPath(source.name).with_suffix("").as_posix())
    ]
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(
            f"--clip {name} may be {' or '.join(source.name for source in found)}: give the suffix "
            f"too"
        )
    some = ", ".join(source.name for source in sources[:_MOST_NAMED])
    raise ConfigError(
        f"no clip is called {name!r}; there are {len(sources)}: "
        f"{some}{', …' * (len(sources) > _MOST_NAMED)}"
    )


def versions(
    codec: Codec, wave: np.ndarray, bitrates_kbps: Sequence[float]
) -> list[tuple[str, np.ndarray]]:
    """Labels and waves (samples,), at the model's rate: the original, and what is decoded of it at
    each bitrate.
    """
    original = Signal(wave=wave[None], sample_rate_hz=codec.config.sample_rate_hz)
    found = [("original", wave)]
    candidates = model_candidates(codec, bitrates_kbps=bitrates_kbps)
    for bitrate_kbps, candidate in zip(bitrates_kbps, candidates, strict=True):
        decoded = candidate.decode(candidate.name, original)
        kbps = (decoded.bits or 0) / original.seconds / 1000
        found.append(
            (f"{bitrate_kbps:g} kbps; the whole file has {kbps:.2f}", decoded.signal.wave[0])
        )
    return found


def draw(panels: Sequence[tuple[str, np.ndarray]], sample_rate_hz: int) -> Any:
    """A matplotlib figure of labelled waves (samples,), one above the other, on the axes and the
    scale of the first.
    """
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    axes = Axes.of(panels[0][1], sample_rate_hz)
    width, height = _PANEL_INCHES
    figure = Figure(
        figsize=(width, height * len(panels) + 0.3), dpi=_DOTS_PER_INCH, layout="constrained"
    )
    places = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for place, (label, wave) in zip(places, panels, strict=True):
        picture = imread(BytesIO(spectrogram_png(wave, sample_rate_hz, axes)))
        place.imshow(
            picture,
            extent=(0, axes.seconds, 0, axes.top_hz / 1000),
            aspect="auto",
            interpolation="nearest",
        )
        place.set_title(label, fontsize=10, loc="left")
        place.set_ylabel("kHz", fontsize=9)
        place.tick_params(labelsize=8)
    places[-1].set_xlabel("seconds", fontsize=9)
    return figure


def small_png(figure: Any) -> bytes:
    """The figure as a PNG of 64 colours: a third of the size that it has with all of them."""
    from PIL import Image  # matplotlib writes PNG with it

    full, small = BytesIO(), BytesIO()
    figure.savefig(full, format="png")
    image = Image.open(full).convert("RGB")
    image.quantize(_COLOURS, dither=Image.Dither.NONE).save(small, "png", optimize=True)
    return small.getvalue()


if __name__ == "__main__":
    run_script(main, Arguments)
