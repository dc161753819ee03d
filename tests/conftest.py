"""Fixtures that several rooms use; and the shapes in the signatures of model and quantizers,
checked at each call.
"""

from __future__ import annotations

import functools
import gc
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: small models, to which threads cost

import pytest
from shape_checks import shapes_checked
from synthesis import synthesize_speech

if TYPE_CHECKING:
    from codec.checkpoint import Checkpoint
    from codec.layouts.stage_kinds import StageKind

# A shell that starts tests in the background has them ignore Ctrl-C, and so would the commands
# whose manners they try.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection() -> None:
    """Have shapes checked, before tests import what has them. xdist's first process, which runs no
    test, does not come here, and imports no torch.
    """
    with shapes_checked(
        "codec.quantizers",
        "codec.model",
        "codec.layouts.filterbank.filterbank_network",
        "codec.layouts.filterbank.layers",
        "codec.layouts.transform.excitation",
        "codec.layouts.transform.lapped_transform",
        "codec.layouts.transform.transform_network",
        "codec.layouts.transform.transform_start",
    ):
        import codec.model  # noqa: F401 (what is checked has to be imported here)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Rooms of long files come first, so that no process works alone for long at the end."""
    items.sort(key=lambda item: not {"recipes", "training"} & set(item.path.parts))


def pytest_collection_finish() -> None:
    """What is there now stays: the collector need not walk all these objects again and again."""
    gc.collect()
    gc.freeze()


@functools.cache
def make_checkpoint(kind: StageKind = "diveq", seed: int = 0) -> Checkpoint:
    """A tiny model whose codebooks were started from speech-like latents; its sound is noise, its
    codes are varied.
    """
    import torch

    from codec.checkpoint import Checkpoint
    from codec.layouts.presets import tiny
    from codec.model import CodecModel

    torch.manual_seed(seed)
    model = CodecModel(tiny(kind=kind))
    wave = torch.from_numpy(synthesize_speech(8.0, seed=seed))
    with torch.no_grad():
        latent = model.encoder(wave[None, None])
        model.start_quantizing(
            latent.transpose(1, 2).flatten(0, 1), torch.Generator().manual_seed(seed)
        )
    weights = {name: value.numpy() for name, value in model.folded().named_parameters()}
    return Checkpoint(config=model.config, weights=weights)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory) -> Path:
    """The file of a tiny DiVeQ model."""
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    make_checkpoint().save(path)
    return path


@pytest.fixture(scope="session")
def tiny_sf_model(tmp_path_factory) -> Path:
    """The file of a tiny SF-DiVeQ model."""
    path = tmp_path_factory.mktemp("models") / "tiny_sf.safetensors"
    make_checkpoint("sf_diveq").save(path)
    return path
