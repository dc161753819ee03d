"""Pictures of decoded speech: small files that show each version, and clips that are found by
name.
"""

from __future__ import annotations

import numpy as np
import pytest
from synthesis import synthesize_speech, tone, write_corpus

from codec import Codec
from codec.errors import ConfigError, OutputError
from codec.evaluation.signal import find_sources
from recipes.measure.pictures import Arguments, draw, find_clip, main, versions


def test_a_picture_has_a_panel_for_each_version(tmp_path, tiny_model):
    image = pytest.importorskip("matplotlib.image", reason="matplotlib is not installed")
    data = write_corpus(tmp_path / "data", [1.0, 1.2])
    sizes = []
    for bitrates in ((0.3,), (0.3, 0.45, 1.2)):
        out = tmp_path / "made" / f"{len(bitrates)}.png"
        arguments = Arguments(
            data=data, clip="speaker01/clip", out=out, model=str(tiny_model), bitrates=bitrates
        )
        main(arguments)
        assert out.stat().st_size < 300_000
        sizes.append(image.imread(out).shape[:2])
    (low, width), (high, same) = sizes
    assert width == same
    assert high - 30 == pytest.approx(
        2 * (low - 30), abs=2
    )  # four panels, and two; 30 pixels below them
    with pytest.raises(OutputError, match=r"3\.png exists already; --force"):
        main(arguments)


def test_versions_are_decoded_at_the_bitrates_they_name(tiny_model):
    codec, wave = Codec.load(tiny_model), synthesize_speech(1.5)
    (title, original), *decoded = versions(codec, wave, (0.45, 1.2))
    assert title == "original"
    np.testing.assert_array_equal(original, wave)
    for kbps, (title, found) in zip((0.45, 1.2), decoded, strict=True):
        data = codec.encode(wave, sample_rate_hz=16_000, bitrate_kbps=kbps).to_bytes()
        assert title == f"{kbps} kbps; the whole file has {8e-3 * len(data) / 1.5:.2f}"
        np.testing.assert_array_equal(found, codec.decode(data).wave[0])


def test_panels_show_time_to_the_right_and_frequency_upward():
    """A high tone in the second half lights the upper right quarter of its panel, on the scale of
    the first panel.
    """
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    reference = synthesize_speech(1.0)
    sound = np.concatenate([np.zeros(8000, np.float32), tone(0.5, 6000.0)])
    places = draw([("original", reference), ("tone", sound)], 16_000).axes
    assert [place.get_title(loc="left") for place in places] == ["original", "tone"]
    (picture,) = places[1].get_images()
    light = np.asarray(picture.get_array())[..., :3].mean(axis=-1)
    rows, columns = light.shape
    quarters = light.reshape(2, rows // 2, 2, columns // 2).mean(
        axis=(1, 3)
    )  # upper, lower; left, right
    assert quarters.argmax() == 1
    assert tuple(picture.get_extent()) == (0, 1.0, 0, 8.0)


def test_clips_are_found_by_name(tmp_path):
    data = write_corpus(tmp_path, [0.1] * 6)
    sources = find_sources(data)
    assert (
        find_clip(sources, "speaker02/clip")
        == find_clip(sources, "speaker02/clip.wav")
        == sources[2]
    )
    with pytest.raises(
        ConfigError,
        match=r"no clip is called 'clip'; there are 6: speaker00/clip\.wav, .*04/clip\.wav, …",
    ):
        find_clip(sources, "clip")
    (data / "speaker02" / "clip.flac").write_bytes(b"")
    with pytest.raises(
        ConfigError,
        match=r"may be speaker02/clip\.flac or speaker02/clip\.wav: give the suffix too",
    ):
        find_clip(find_sources(data), "speaker02/clip")
