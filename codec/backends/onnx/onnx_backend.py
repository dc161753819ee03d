"""A model computed by onnxruntime on the CPU: small to install, quick to start."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import NamedTuple, cast

import numpy as np
import onnxruntime

from ...checkpoint import Checkpoint
from ...errors import ConfigError
from ...layouts.config import ModelConfig
from ...layouts.noise import decoder_noise
from ...layouts.receptive_field import Layer, look_ahead
from ...streams.runner import Arrays
from ...threads import allowed_threads
from .graph import Graph
from .model_graphs import model_graphs
from .quantizer_graph import has_curves
from .quantizer_search import QuantizerSearch
from .streaming_graph import decoder_step_graph, encoder_step_graph, frame_inputs

_ERRORS_ONLY = 3


class OnnxBackend:
    """See `codec.streams.runner.Network`."""

    def __init__(self, checkpoint: Checkpoint, device: str) -> None:
        if device not in ("auto", "cpu"):
            raise ConfigError(
                f"device {device!r} needs the torch backend; onnxruntime computes on the cpu"
            )
        self.device = "cpu"
        self._config: ModelConfig = checkpoint.config
        self._weights = checkpoint.weights
        self._has_curves = has_curves(checkpoint.config)
        graphs = model_graphs(checkpoint.config, checkpoint.weights)
        # Whoever only encodes, or only decodes, waits for one session.
        self._encoder = _LazySession(partial(_itself, graphs.encoder))
        self._decoder = _LazySession(partial(_itself, graphs.decoder))
        of_model = checkpoint.config, checkpoint.weights
        if layout := checkpoint.config.transform:
            self._frames_per_latent = layout.frames_per_latent
            self._encoder_step = _Steps(
                partial(encoder_step_graph, *of_model), "seen", layout.encoder_layers, layout.kernel
            )
            self._decoder_step = _Steps(
                partial(decoder_step_graph, *of_model), "hops", layout.decoder_layers, layout.kernel
            )

    def encode(self, waves: np.ndarray, position_bits: Sequence[int]) -> np.ndarray:
        codes = _run(self._encoder.get(), wave=waves, **self._positions(position_bits))
        return codes[:, : len(position_bits)]

    def decode(
        self, codes: np.ndarray, position_bits: Sequence[int], noise: np.ndarray | None = None
    ) -> np.ndarray:
        if noise is None:
            noise = decoder_noise(0, codes.shape[2], self._config.noise_values)[None]
        inputs = {"noise": noise} if self._config.noise_values else {}
        codes = codes.astype(np.int32, copy=False)
        return _run(self._decoder.get(), codes=codes, **inputs, **self._positions(position_bits))

    def encode_step(
        self, hops: np.ndarray, state: Arrays, first: int, end: int, stages: int
    ) -> tuple[np.ndarray, Arrays]:
        seen, after = self._encoder_step.run(state, first, hops.shape[1], end, hops=hops)
        return self._search.codes(seen, stages), after

    def decode_step(
        self,
        codes: np.ndarray,
        noise: np.ndarray,
        state: Arrays,
        first: int,
        end: int,
        position_bits: Sequence[int],
    ) -> tuple[np.ndarray, Arrays]:
        inputs = {"noise": noise[None]} if self._config.noise_values else {}
        codes = codes.astype(np.int32, copy=False)
        positions = self._positions(position_bits)
        frames = codes.shape[2] * self._frames_per_latent
        return self._decoder_step.run(state, first, frames, end, codes=codes, **inputs, **positions)

    @cached_property
    def _search(self) -> QuantizerSearch:
        return QuantizerSearch(self._config, self._weights)

    def _positions(self, position_bits: Sequence[int]) -> dict[str, np.ndarray]:
        if not self._has_curves:
            return {}
        unused = [0] * (len(self._config.stages) - len(position_bits))
        return {"positions": np.left_shift(1, [*position_bits, *unused]).astype(np.int32)}


class _LazySession:
    """An onnxruntime session that is made once, at its first use by any thread; a forked process
    makes its own.

    Args:
        graph: makes the graph.
    """

    def __init__(self, graph: Callable[[], Graph]) -> None:
        self._graph = graph
        self._locks: dict[
            int, threading.Lock
        ] = {}  # by process: a fork may copy one that is locked for ever
        self._sessions: dict[int, _Session] = {}

    def get(self) -> onnxruntime.InferenceSession:
        process = os.getpid()
        with self._locks.setdefault(process, threading.Lock()):
            if process not in self._sessions:
                # The parent's stays as well: to end it would wait for its threads, which are not
                # here.
                self._sessions[process] = _session(self._graph())
            return self._sessions[process].session

    def __reduce__(self) -> tuple[type[_LazySession], tuple[Callable[[], Graph]]]:
        return _LazySession, (self._graph,)


class _Steps:
    """A graph of `streaming_graph`, that of `layers`, and how it is run."""

    def __init__(
        self, graph: Callable[[], Graph], result: str, layers: Sequence[Layer], kernel: int
    ) -> None:
        self._look_ahead = look_ahead(layers)
        self._session, self._kernel = _LazySession(graph), kernel
        self._states = [f"state_{number}" for number in range(len(layers))]
        self._outputs = [result, *(f"window_{number}" for number in range(len(layers)))]

    def run(
        self, state: Arrays, first: int, frames: int, end: int, **inputs: np.ndarray
    ) -> tuple[np.ndarray, Arrays]:
        """Compute the next frames; return the result and the new state."""
        inputs |= frame_inputs(first, frames, end, look_ahead=self._look_ahead, kernel=self._kernel)
        inputs |= zip(self._states, state, strict=True)
        arrays = self._session.get().run(self._outputs, inputs)
        made, *windows = cast("list[np.ndarray]", arrays)
        return made, tuple(map(_last_frames, windows, state))


def _last_frames(window: np.ndarray, before: np.ndarray) -> np.ndarray:
    """As many frames as the state before had."""
    return np.ascontiguousarray(window[:, window.shape[1] - before.shape[1] :])


class _Session(NamedTuple):
    session: onnxruntime.InferenceSession
    constants: Sequence[onnxruntime.OrtValue]  # in memory that the session may refer to


def _itself(graph: Graph) -> Graph:
    return graph


def _session(graph: Graph) -> _Session:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = (
        allowed_threads()
    )  # its own choice ignores OMP_NUM_THREADS and the affinity
    options.log_severity_level = _ERRORS_ONLY
    # All but other orders of axes, which take time to look for and fit no operator here.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    file, constants = graph.without_large_constants()
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in constants.values()]
    options.add_external_initializers(list(constants), values)
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return _Session(session, values)


def _run(session: onnxruntime.InferenceSession, **inputs: np.ndarray) -> np.ndarray:
    (output,) = session.run(None, inputs)
    return cast("np.ndarray", output)
