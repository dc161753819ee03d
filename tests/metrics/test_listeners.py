"""Models of listeners against their packages, called directly."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import soundfile

import codec
from codec.errors import ConfigError
from codec.metrics import (
    METRICS,
    MetricError,
    Score,
    absent_metrics,
    dnsmos_ovrl,
    dnsmos_p808,
    listeners,
    plcmos,
    score,
)
from codec.threads import allowed_threads

RATE_HZ = 16_000
SAMPLES = Path(__file__).parents[2] / "samples"
SPEECH = np.concatenate(
    [soundfile.read(path, dtype="float32")[0] for path in sorted(SAMPLES.glob("*.flac"))[:4]]
)
NOISY = (SPEECH + 0.02 * np.random.default_rng(0).standard_normal(len(SPEECH))).astype(np.float32)
INSTALLED = [
    name for name in ("distillmos", "dnsmos_p808", "dnsmos_ovrl") if name not in absent_metrics()
]

needs_listeners = pytest.mark.skipif(
    len(INSTALLED) < 3, reason="the extra diveq-codec[listeners] is not installed"
)


@needs_listeners
@pytest.mark.parametrize("seconds", [3.0, 11.5])
def test_dnsmos_is_that_of_the_package(seconds):
    """Of a signal of two windows; and of one that is shorter, as its package scores one window
    filled with it.
    """
    dnsmos = pytest.importorskip(
        "speechmos.dnsmos", reason="the package itself wants librosa and requests"
    )
    signal = NOISY[: int(seconds * RATE_HZ)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = dnsmos.run(np.resize(signal, max(len(signal), 144_160)), RATE_HZ)
    assert dnsmos_p808(signal, signal, sample_rate_hz=RATE_HZ) == pytest.approx(
        expected["p808_mos"], abs=2e-3
    )
    assert dnsmos_ovrl(signal, signal, sample_rate_hz=RATE_HZ) == pytest.approx(
        expected["ovrl_mos"], abs=1e-4
    )


@needs_listeners
def test_plcmos_is_that_of_the_package(monkeypatch):
    """With the raters that it draws replaced by ours."""
    package = pytest.importorskip("speechmos.plcmos")
    raters = np.random.default_rng(0).standard_normal((15, 1, 64))
    monkeypatch.setattr(package.np.random, "normal", lambda size: next(drawn))
    for samples in (RATE_HZ, 3 * RATE_HZ + 101):
        signal, drawn = NOISY[:samples].copy(), iter(raters)
        signal[4000:6000] = 0  # frames without power
        expected = package.run(signal, RATE_HZ)["plcmos"]
        assert plcmos(signal, signal, sample_rate_hz=RATE_HZ) == pytest.approx(expected, abs=1e-3)


@needs_listeners
def test_noise_lowers_them_and_the_reference_has_no_influence():
    clean, noisy = SPEECH[: 6 * RATE_HZ], NOISY[: 6 * RATE_HZ]
    for name in INSTALLED:
        metric = METRICS[name]
        better, worse = (metric(clean, signal, sample_rate_hz=RATE_HZ) for signal in (clean, noisy))
        assert 1 <= worse < better <= 5
        assert metric(noisy, clean, sample_rate_hz=RATE_HZ) == better
        assert metric.judges_originals


@needs_listeners
def test_distillmos_needs_no_torchaudio_and_leaves_none_behind(monkeypatch):
    monkeypatch.delitem(sys.modules, "torchaudio", raising=False)
    monkeypatch.delitem(sys.modules, "distillmos", raising=False)
    monkeypatch.delitem(sys.modules, "distillmos.sqa", raising=False)
    listeners._distillmos_model.cache_clear()
    torch, model = listeners._distillmos_model()
    assert "torchaudio" not in sys.modules
    signal = NOISY[: 2 * RATE_HZ]
    with torch.inference_mode():
        expected = float(model(torch.from_numpy(signal)[None]))
    assert METRICS["distillmos"](signal, signal, sample_rate_hz=RATE_HZ) == pytest.approx(
        expected, abs=1e-6
    )


@needs_listeners
def test_what_is_too_short_or_silent_is_a_failure():
    for name in INSTALLED:
        with pytest.raises(MetricError, match=r"0\.1 s are too short to be judged"):
            METRICS[name](SPEECH[:1600], SPEECH[:1600], sample_rate_hz=RATE_HZ)
        silent = score(SPEECH, 0 * SPEECH, sample_rate_hz=RATE_HZ, names=[name])[name]
        assert silent == Score(None, "the estimate is silent")


@pytest.mark.parametrize("wanted", ["3", "4,2", ""])
def test_threads_are_those_that_the_process_may_use(monkeypatch, wanted):
    """Also where OMP_NUM_THREADS lists those of nested regions, as OpenMP allows."""
    given = []
    monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    monkeypatch.setattr(listeners, "package_for", lambda *_, **__: codec)
    monkeypatch.setattr(
        "onnxruntime.InferenceSession",
        lambda _path, options, **_: given.append(options.intra_op_num_threads),
    )
    listeners._session.__wrapped__("py.typed")
    assert given == [allowed_threads()]


@pytest.mark.parametrize(
    ("name", "package"),
    [("distillmos", "torch"), ("dnsmos_p808", "speechmos"), ("dnsmos_ovrl", "speechmos")],
)
def test_what_is_not_installed_is_said(name, package, monkeypatch):
    for load in (listeners._distillmos_model, listeners._session):
        load.cache_clear()
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        ConfigError, match=rf"package {package}: pip install 'diveq-codec\[listeners\]'"
    ):
        METRICS[name](SPEECH, NOISY, sample_rate_hz=RATE_HZ)
