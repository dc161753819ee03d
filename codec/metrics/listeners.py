"""Models of listeners: trained on the scores that people gave, they judge a signal alone, whatever
it was coded from.

They need the packages of `pip install 'diveq-codec[listeners]'`, which bring their weights along.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
from collections.abc import Iterator
from importlib.resources import as_file, files
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from ..threads import allowed_threads
from .metric import MetricError, check_pair, package_for, resampled
from .spectra import mel_bands

if TYPE_CHECKING:
    from jaxtyping import Float

__all__ = ["distillmos", "dnsmos_ovrl", "dnsmos_p808", "plcmos"]

_RATE_HZ = 16_000
_WINDOW = int(9.01 * _RATE_HZ)  # of DNSMOS
_PLC_WINDOW, _PLC_HOP, _PLC_RATERS = 512, 256, 15
_P808_WINDOW, _P808_HOP, _P808_BANDS = 321, 160, 120
_OVRL_FIT = (
    -0.06766283,
    1.11546468,
    0.04602535,
)  # of the package: the network's scale to that of P.835


def distillmos(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """DistillMOS (Stahl and Gamper 2025), 1 to 5, of the estimate at 16 kHz; the reference has no
    influence.
    """
    torch, model = _distillmos_model()
    with torch.inference_mode():
        return float(model(torch.from_numpy(_heard(reference, estimate, sample_rate_hz))[None]))


def dnsmos_p808(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """DNSMOS P.808 (Reddy et al. 2021), 1 to 5, of the estimate at 16 kHz; the reference has no
    influence.

    It is the mean over windows of 9.01 s, one each second, T - 9 of them for whole T seconds; a
    shorter signal is repeated to fill one window. (The authors' script repeats it to up to twice
    that, and averages windows that hold
    the same sounds: on 13 clips of 1 to 8 s that made less than 0.02 of difference to a mean.)
    """
    session = _session("dnsmos_models/model_v8.onnx")
    signal = _heard(reference, estimate, sample_rate_hz)
    spectra = (_p808_spectrum(window[:-_P808_HOP]) for window in _windows(signal))
    return float(
        np.mean([session.run(None, {"input_1": spectrum[None]})[0][0, 0] for spectrum in spectra])
    )


def dnsmos_ovrl(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """DNSMOS P.835 (Reddy et al. 2022), the overall score, 1 to 5; windows as in `dnsmos_p808`."""
    session = _session("dnsmos_models/sig_bak_ovr.onnx")
    signal = _heard(reference, estimate, sample_rate_hz)
    raw = [session.run(None, {"input_1": window[None]})[0][0, 2] for window in _windows(signal)]
    return float(np.polyval(_OVRL_FIT, raw).mean())


def plcmos(reference: np.ndarray, estimate: np.ndarray, *, sample_rate_hz: int) -> float:
    """PLCMOS v2 (Diener et al. 2023), 1 to 5, of speech whose lost packets were concealed; the
    reference has no influence.

    It is the mean over 15 raters, whom the network takes as random vectors, here the same ones for
    every signal.
    """
    session = _session("plcmos_models/plcmos_v2.onnx")
    signal = _heard(reference, estimate, sample_rate_hz)
    frames = -(-(len(signal) + _PLC_HOP) // _PLC_HOP)
    padded = np.zeros((frames - 1) * _PLC_HOP + _PLC_WINDOW)
    padded[_PLC_HOP:][: len(signal)] = signal
    windows = np.lib.stride_tricks.sliding_window_view(padded, _PLC_WINDOW)[::_PLC_HOP]
    hamming = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(_PLC_WINDOW) / _PLC_WINDOW)
    powers = np.abs(np.fft.rfft(windows * hamming)) ** 2
    powers[powers == 0] = 1e-12 * powers[powers > 0].min()
    features = (np.log(powers) / 20)[None, None].astype(np.float32)
    raters = np.random.default_rng(0).standard_normal((_PLC_RATERS, 1, 64)).astype(np.float32)
    inputs = [{"degraded_audio": features, "rater_embed": rater} for rater in raters]
    return float(np.mean([session.run(None, each)[0] for each in inputs]))


def _heard(
    reference: np.ndarray, estimate: np.ndarray, sample_rate_hz: int
) -> Float[np.ndarray, " samples"]:
    """Resample the estimate to 16 kHz and clip it at full scale, as a sound card would."""
    check_pair(reference, estimate, both_heard=True)
    signal = resampled(estimate, sample_rate_hz, _RATE_HZ).clip(-1, 1)
    if len(signal) < _RATE_HZ // 4:
        raise MetricError(
            f"{len(signal) / _RATE_HZ:g} s are too short to be judged; 0.25 s are enough"
        )
    return signal


def _windows(signal: np.ndarray) -> Iterator[np.ndarray]:
    if len(signal) < _WINDOW:
        signal = np.resize(signal, _WINDOW)
    for second in range(max(1, len(signal) // _RATE_HZ - 9)):
        yield signal[second * _RATE_HZ :][:_WINDOW]


def _p808_spectrum(wave: np.ndarray) -> Float[np.ndarray, "frames bands"]:
    """Levels of mel bands from -80 dB below the loudest, mapped to -1 to 1, as the network was
    trained on.
    """
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_P808_WINDOW) / _P808_WINDOW)
    padded = np.pad(wave.astype(np.float64), _P808_WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, _P808_WINDOW)[::_P808_HOP]
    powers = (
        np.abs(np.fft.rfft(hann * frames)) ** 2 @ mel_bands(_RATE_HZ, _P808_WINDOW, _P808_BANDS).T
    )
    levels = 10 * np.log10(np.maximum(powers, 1e-10))
    levels = np.maximum(levels - levels.max(), -80)
    return ((levels + 40) / 40).astype(np.float32)


@functools.lru_cache
def _session(name: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = allowed_threads()
    package = package_for("speechmos", extra="listeners")
    with as_file(files(package) / name) as path:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@functools.lru_cache
def _distillmos_model() -> tuple[ModuleType, Any]:
    """PyTorch, and the network."""
    torch = package_for("torch", extra="listeners")
    with (
        _something_called("torchaudio"),
        contextlib.redirect_stdout(io.StringIO()),
    ):  # it says where its weights lie
        return torch, package_for("distillmos", extra="listeners").ConvTransformerSQAModel().eval()


@contextlib.contextmanager
def _something_called(name: str) -> Iterator[None]:
    """An empty module in the place of one that is not imported yet.

    DistillMOS imports torchaudio to read files, which is not asked of it here; and torchaudio's
    wheel does not import beside a torch for CPUs alone.
    """
    if name in sys.modules:
        yield
        return
    sys.modules[name] = ModuleType(name)
    try:
        yield
    finally:
        del sys.modules[name]
