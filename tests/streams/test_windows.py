"""Windows with exact context give what one pass gives."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from small_models import tiny_filterbank, tiny_noisy, tiny_transform

from codec.layouts.noise import decoder_noise
from codec.layouts.presets import tiny
from codec.layouts.receptive_field import Context
from codec.model import CodecModel
from codec.streams.windows import windowed

KERNEL = np.array([0.3, -1.0, 2.0, 0.5, 0.25])  # a frame sees 3 before and 1 after


def filtered(items: np.ndarray, _first_frame: object = 0) -> np.ndarray:
    """A zero-padded filter over frames, in integers' exact arithmetic."""
    padded = np.pad(items, [(0, 0), (3, 1)])
    return np.stack([padded[:, i : i + items.shape[1]] for i in range(5)], -1) @ KERNEL


def cut_up(array: np.ndarray, lengths: list[int]) -> list[np.ndarray]:
    return np.split(array, np.cumsum(lengths), axis=-1)


@given(
    frames=st.integers(0, 40),
    window=st.integers(1, 50),
    lengths=st.lists(st.integers(0, 9), max_size=8),
)
def test_any_window_and_any_blocks_equal_one_pass(frames, window, lengths):
    items = np.arange(2 * frames, dtype=np.float64).reshape(2, frames) % 7
    pieces = list(
        windowed(
            cut_up(items, lengths), filtered, context=Context(before=3, after=1), window=window
        )
    )
    assert all(0 < piece.shape[1] <= window for piece in pieces)
    result = np.concatenate([np.zeros((2, 0)), *pieces], axis=1)
    np.testing.assert_array_equal(result, filtered(items))


@given(
    frames=st.integers(1, 20),
    window=st.integers(1, 25),
    blocks=st.lists(st.integers(0, 50), max_size=6),
)
def test_items_and_outputs_per_frame(frames, window, blocks):
    """Four items a frame in, two a frame out; blocks need not hold whole frames."""

    def halves(items: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        return filtered(items.reshape(1, -1, 4).sum(2)).repeat(2, axis=1)

    items = (np.arange(4 * frames, dtype=np.float64) % 5)[None]
    pieces = windowed(
        cut_up(items, blocks),
        halves,
        context=Context(before=3, after=1),
        window=window,
        items_per_frame=4,
        outputs_per_frame=2,
    )
    np.testing.assert_array_equal(np.concatenate(list(pieces), axis=1), halves(items))


@given(
    frames=st.integers(1, 40),
    window=st.integers(1, 50),
    lengths=st.lists(st.integers(0, 9), max_size=8),
)
def test_windows_know_where_they_begin(frames, window, lengths):
    def numbered(items: np.ndarray, first_frame: int) -> np.ndarray:
        return items + np.arange(first_frame, first_frame + items.shape[1])

    pieces = windowed(
        cut_up(np.zeros((1, frames)), lengths),
        numbered,
        context=Context(before=3, after=1),
        window=window,
    )
    np.testing.assert_array_equal(np.concatenate(list(pieces), axis=1)[0], np.arange(frames))


def test_memory_is_one_window_not_the_stream():
    longest = 0

    def compute(items: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        nonlocal longest
        longest = max(longest, items.shape[1])
        return filtered(items)

    blocks = (np.ones((1, 10)) for _ in range(500))
    total = sum(
        piece.shape[1]
        for piece in windowed(blocks, compute, context=Context(before=3, after=1), window=8)
    )
    assert total == 5000
    assert longest <= 8 + 3 + 1


@pytest.mark.parametrize(
    "config",
    [
        tiny(),
        tiny_filterbank(causal=True),
        tiny_transform(),
        tiny_noisy(),
        tiny_noisy(excitation_bands=1),
        tiny_noisy(frames_per_latent=2, excitation_bands=1),
    ],
    ids=["filterbank", "causal", "transform", "noisy", "excited", "two frames a latent"],
)
@settings(max_examples=3, deadline=None, phases=[Phase.generate])
@given(window=st.integers(1, 40), seed=st.integers(0, 9))
def test_the_model_in_windows_equals_the_model_in_one_pass(config, window, seed):
    torch.manual_seed(seed)
    model = CodecModel(config).folded()
    wave = 0.3 * torch.randn(2, 37 * config.hop, generator=torch.Generator().manual_seed(seed))
    bits = [0] * 4

    def encode(samples: np.ndarray, _first_frame: object = 0) -> np.ndarray:
        with torch.inference_mode():
            return model.encode(
                torch.from_numpy(np.ascontiguousarray(samples))[:, None], bits
            ).numpy()

    def decode(codes: np.ndarray, first_frame: int = 0) -> np.ndarray:
        noise = torch.from_numpy(decoder_noise(first_frame, codes.shape[2], config.noise_values))[
            None
        ]
        with torch.inference_mode():
            return model.decode(torch.from_numpy(np.ascontiguousarray(codes)), bits, noise)[
                :, 0
            ].numpy()

    codes = encode(wave.numpy())
    pieces = windowed(
        [wave.numpy()],
        encode,
        context=config.layout.encoder_context,
        window=window,
        items_per_frame=config.hop,
    )
    np.testing.assert_array_equal(np.concatenate(list(pieces), axis=-1), codes)
    pieces = windowed(
        [codes],
        decode,
        context=config.layout.decoder_context,
        window=window,
        outputs_per_frame=config.hop,
    )
    np.testing.assert_allclose(
        np.concatenate(list(pieces), axis=-1), decode(codes), rtol=0, atol=1e-5
    )
