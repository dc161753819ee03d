"""One `Codec` in many threads, from its first use on, and in forked and spawned processes."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from synthesis import synthesize_speech

from codec import Codec
from codec.backends.torch_backend import tf32

RATE_HZ = 16_000
THREADS = 8
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    from codec.checkpoint import Checkpoint
    from codec.layouts.presets import tiny
    from codec.model import CodecModel

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "tiny.safetensors"
    weights = {
        name: value.detach().numpy() for name, value in CodecModel.plain(tiny()).named_parameters()
    }
    Checkpoint(config=tiny(), weights=weights).save(path)
    return str(path)


def clip(seed: int) -> np.ndarray:
    return synthesize_speech(0.5 + 0.1 * seed, seed=seed, level=0.05)


def work(codec: Codec, seed: int) -> tuple[bytes, np.ndarray]:
    data = codec.encode(clip(seed), sample_rate_hz=RATE_HZ).to_bytes()
    return data, codec.decode(data).wave


@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_eight_threads_begin_at_once(model, backend, monkeypatch):
    sessions = []
    if backend == "onnx":
        from codec.backends.onnx import onnx_backend

        make = onnx_backend._session
        monkeypatch.setattr(
            onnx_backend, "_session", lambda graph: sessions.append(graph.name) or make(graph)
        )
    fresh = Codec.load(model, device="cpu", backend=backend)
    start = threading.Barrier(THREADS)

    def first_use(seed: int) -> tuple[bytes, np.ndarray]:
        start.wait()
        return work(fresh, seed)

    with ThreadPoolExecutor(THREADS) as pool:
        made = list(pool.map(first_use, range(THREADS)))
    alone = Codec.load(model, device="cpu", backend=backend)
    for seed, (data, wave) in enumerate(made):
        expected, heard = work(alone, seed)
        assert data == expected
        np.testing.assert_allclose(wave, heard, rtol=0, atol=1e-6)
    if backend == "onnx":
        assert len(sessions) == 4  # one to encode and one to decode, of each codec


def test_tf32_is_off_while_any_thread_needs_it_off():
    """The interleaving that once switched it on again: A begins, B begins, A ends, B computes."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    first_left, both_in = threading.Event(), threading.Barrier(2)
    seen = []

    def second() -> None:
        with tf32(allowed=False):
            both_in.wait()
            first_left.wait()
            seen.append((torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32))

    thread = threading.Thread(target=second)
    with tf32(allowed=False):
        thread.start()
        both_in.wait()
    first_left.set()
    thread.join()
    assert seen == [(False, False)]
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32) == before


def test_tf32_waits_for_those_who_want_the_other():
    order = []
    inside = threading.Event()

    def other() -> None:
        inside.set()
        with tf32(allowed=True):
            order.append(("on", torch.backends.cuda.matmul.allow_tf32))

    with tf32(allowed=False):
        thread = threading.Thread(target=other)
        thread.start()
        inside.wait()
        order.append(("off", torch.backends.cuda.matmul.allow_tf32))
    thread.join()
    assert order == [("off", False), ("on", True)]


FORKED = """
import os, sys, time
import numpy as np
from codec import Codec

codec = Codec.load({model!r}, backend={backend!r}, device="cpu")
wave = (0.1 * np.sin(np.arange(16_000) * 0.05)).astype(np.float32)
expected = codec.encode(wave, sample_rate_hz=16_000).to_bytes()
codec.decode(expected)
child = os.fork()
if child == 0:
    data = codec.encode(wave, sample_rate_hz=16_000).to_bytes()
    codec.decode(data)
    fresh = Codec.load({model!r}, backend={backend!r}, device="cpu")
    os._exit(0 if data == expected == fresh.encode(wave, sample_rate_hz=16_000).to_bytes() else 7)
deadline = time.monotonic() + 100
while time.monotonic() < deadline:
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        sys.exit(os.waitstatus_to_exitcode(status))
    time.sleep(0.05)
os.kill(child, 9)
sys.exit("the child hangs")
"""


@needs_fork
@pytest.mark.parametrize("backend", ["torch", "onnx"])
def test_a_forked_process_codes_as_its_parent(model, backend):
    """With two threads: OpenMP's second one, which the parent has used, is missing in the child."""
    import subprocess
    import sys

    program = FORKED.format(model=model, backend=backend)
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stderr) == (0, "")


class Clips(torch.utils.data.Dataset):
    """Clips as codes by each backend, coded where the loader's workers are."""

    def __init__(self, codecs: list[Codec]) -> None:
        self.codecs = codecs

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> list[np.ndarray]:
        return [codec.encode(clip(index), sample_rate_hz=RATE_HZ).codes for codec in self.codecs]


@needs_fork
@pytest.mark.parametrize("context", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_workers_of_a_data_loader(model, context):
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system has no {context}")
    clips = Clips([Codec.load(model, device="cpu", backend=name) for name in ("torch", "onnx")])
    workers = 2 if context == "fork" else 1  # one that spawns takes seconds to import torch
    loader = torch.utils.data.DataLoader(
        clips,
        batch_size=None,
        num_workers=workers,
        multiprocessing_context=context,
        timeout=100,
    )
    for index, found in enumerate(loader):
        for codes, expected in zip(found, clips[index], strict=True):
            np.testing.assert_array_equal(codes, expected)
