"""A neural speech codec with residual DiVeQ / SF-DiVeQ quantization.

Names are imported when first used, so that `import codec`, and reading a stream's header, never
import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Codec
    from .audio import AUDIO_SUFFIXES, WRITABLE_SUFFIXES, AudioWriter, open_audio
    from .backends.onnx.export_graphs import export_onnx
    from .bitstream import StreamHeader, StreamInfo, StreamReader, cut, read_info, verify
    from .demo import serve_demo
    from .errors import (
        AudioError,
        BitstreamError,
        CheckpointError,
        ConfigError,
        DiveqCodecError,
        ManifestError,
        OutputError,
    )
    from .evaluation.candidates import Candidate, Decoded, DecodedFolder
    from .evaluation.evaluate import evaluate
    from .evaluation.model_candidate import model_candidates
    from .evaluation.plug_in import load_metric
    from .evaluation.recordings import Recordings
    from .evaluation.result import Clip, Evaluation, read_evaluation
    from .evaluation.signal import Signal, Source, find_sources
    from .evaluation.text_and_csv import evaluation_csv, evaluation_text
    from .files.output import atomic_output
    from .layouts.config import MAX_RATE_HZ, MIN_RATE_HZ, ModelConfig, StageConfig
    from .layouts.presets import PRESETS
    from .metrics import DEFAULT_METRICS, METRICS, Metric, absent_metrics
    from .model_lookup import (
        DEFAULT_MODEL,
        LIVE_MODEL,
        ModelInfo,
        found_models,
        model_info,
        shipped_models,
    )
    from .report import ListeningResult, listening_page, listening_result, report_page
    from .streams.live import LiveDecoder, LiveEncoder
    from .streams.results import Audio, DecodedFile, Encoded, EncodedFile
    from .threads import THREADS_VARIABLE, allowed_threads
    from .wire.receiver import ReceiverStatistics, RtpReceiver
    from .wire.sender import RtpSender, SenderStatistics

__version__ = "0.1.0"

_HOMES = {
    "api": ("Codec",),
    "audio": ("AUDIO_SUFFIXES", "WRITABLE_SUFFIXES", "AudioWriter", "open_audio"),
    "bitstream": ("StreamHeader", "StreamInfo", "StreamReader", "cut", "read_info", "verify"),
    "model_lookup": (
        "DEFAULT_MODEL",
        "LIVE_MODEL",
        "ModelInfo",
        "found_models",
        "model_info",
        "shipped_models",
    ),
    "layouts.config": ("MAX_RATE_HZ", "MIN_RATE_HZ", "ModelConfig", "StageConfig"),
    "layouts.presets": ("PRESETS",),
    "demo": ("serve_demo",),
    "errors": (
        "AudioError",
        "BitstreamError",
        "CheckpointError",
        "ConfigError",
        "DiveqCodecError",
        "ManifestError",
        "OutputError",
    ),
    "evaluation.candidates": ("Candidate", "Decoded", "DecodedFolder"),
    "evaluation.evaluate": ("evaluate",),
    "evaluation.model_candidate": ("model_candidates",),
    "evaluation.plug_in": ("load_metric",),
    "evaluation.recordings": ("Recordings",),
    "evaluation.result": ("Clip", "Evaluation", "read_evaluation"),
    "evaluation.signal": ("Signal", "Source", "find_sources"),
    "evaluation.text_and_csv": ("evaluation_csv", "evaluation_text"),
    "metrics": ("DEFAULT_METRICS", "METRICS", "Metric", "absent_metrics"),
    "backends.onnx.export_graphs": ("export_onnx",),
    "files.output": ("atomic_output",),
    "report": ("ListeningResult", "listening_page", "listening_result", "report_page"),
    "streams.results": ("Audio", "DecodedFile", "Encoded", "EncodedFile"),
    "streams.live": ("LiveDecoder", "LiveEncoder"),
    "threads": ("THREADS_VARIABLE", "allowed_threads"),
    "wire.receiver": ("ReceiverStatistics", "RtpReceiver"),
    "wire.sender": ("RtpSender", "SenderStatistics"),
}

__all__ = [
    "AUDIO_SUFFIXES",
    "DEFAULT_METRICS",
    "DEFAULT_MODEL",
    "LIVE_MODEL",
    "MAX_RATE_HZ",
    "METRICS",
    "MIN_RATE_HZ",
    "PRESETS",
    "THREADS_VARIABLE",
    "WRITABLE_SUFFIXES",
    "Audio",
    "AudioError",
    "AudioWriter",
    "BitstreamError",
    "Candidate",
    "CheckpointError",
    "Clip",
    "Codec",
    "ConfigError",
    "Decoded",
    "DecodedFile",
    "DecodedFolder",
    "DiveqCodecError",
    "Encoded",
    "EncodedFile",
    "Evaluation",
    "ListeningResult",
    "LiveDecoder",
    "LiveEncoder",
    "ManifestError",
    "Metric",
    "ModelConfig",
    "ModelInfo",
    "OutputError",
    "ReceiverStatistics",
    "Recordings",
    "RtpReceiver",
    "RtpSender",
    "SenderStatistics",
    "Signal",
    "Source",
    "StageConfig",
    "StreamHeader",
    "StreamInfo",
    "StreamReader",
    "absent_metrics",
    "allowed_threads",
    "atomic_output",
    "cut",
    "evaluate",
    "evaluation_csv",
    "evaluation_text",
    "export_onnx",
    "find_sources",
    "found_models",
    "listening_page",
    "listening_result",
    "load_metric",
    "model_candidates",
    "model_info",
    "open_audio",
    "read_evaluation",
    "read_info",
    "report_page",
    "serve_demo",
    "shipped_models",
    "verify",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
