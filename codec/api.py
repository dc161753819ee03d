"""The public verbs: load a model, encode, decode."""

from __future__ import annotations

import operator
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, cast

import numpy as np
from numpy.typing import ArrayLike

from .audio import MAX_CHANNELS, AudioWriter, atomic_output, open_audio, resample_blocks, resampled_length
from .backends import load_backend
from .bitstream import (
    EntropyTables,
    StageLayout,
    StreamHeader,
    StreamReader,
    StreamWriter,
    default_packet_frames,
)
from .blocks import Counter, cut_to
from .checkpoint import DEFAULT_MODEL, Checkpoint, find_model, model_with_fingerprint
from .config import MAX_RATE_HZ, ModelConfig
from .errors import AudioError, BitstreamError, ConfigError
from .results import Audio, DecodedFile, Encoded, EncodedFile
from .runner import Runner

if TYPE_CHECKING:
    import torch

Path_ = str | PathLike[str]
OutputRate = int | Literal["original", "model"]


class Codec:
    """A model, ready to encode and decode. Made by `Codec.load`.

    Example:
        >>> import numpy as np
        >>> codec = Codec.load(device="cpu")
        >>> wave = 0.1 * np.sin(np.arange(16000) * 0.05)
        >>> encoded = codec.encode(wave, sample_rate_hz=16000, stages=4)
        >>> encoded.codes.shape
        (1, 4, 50)
        >>> audio = codec.decode(encoded.to_bytes())
        >>> audio.wave.shape, audio.sample_rate_hz
        ((1, 16000), 16000)
    """

    def __init__(self, checkpoint: Checkpoint, *, name: str, device: str = "auto", backend: str = "auto") -> None:
        self.name = name
        self.config: ModelConfig = checkpoint.config
        self.facts = dict(checkpoint.facts)
        self.fingerprint = checkpoint.fingerprint()
        self.tables = EntropyTables.from_arrays(checkpoint.tables) if checkpoint.tables else None
        network = load_backend(checkpoint, backend, device=device)
        self.device = network.device
        self._runner = Runner(network, self.config)

    @classmethod
    def load(cls, name_or_path: Path_ = DEFAULT_MODEL, *, device: str = "auto", backend: str = "auto") -> Codec:
        """Load a shipped model by name, or a model file.

        Args:
            name_or_path: see `shipped_models` for the names.
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …
            backend: what computes: "torch"; "onnx" (onnxruntime, on the CPU, which starts quickest); or "auto",
                torch where it is installed. Their codes are equal, but for ties within the rounding of floats.

        Raises:
            CheckpointError: no such model, or its file is damaged.
            ConfigError: the device is not there, or the backend is not installed.
        """
        path = find_model(name_or_path)
        return cls(Checkpoint.load(path), name=path.stem, device=device, backend=backend)

    @classmethod
    def load_for(cls, stream: StreamReader, *, device: str = "auto", backend: str = "auto") -> Codec:
        """Load the shipped model that a stream was coded with.

        Example:
            >>> from io import BytesIO
            >>> from codec import StreamReader
            >>> file = Codec.load(device="cpu").encode([0.0] * 320, sample_rate_hz=16000).to_bytes()
            >>> stream = StreamReader(BytesIO(file))
            >>> Codec.load_for(stream, device="cpu").decode(stream).wave.shape
            (1, 320)
        """
        path = model_with_fingerprint(stream.header.fingerprint)
        return cls(Checkpoint.load(path), name=path.stem, device=device, backend=backend)

    def stages_for(self, bitrate_kbps: float) -> int:
        """The most stages whose fixed-width codes, for one channel, take at most `bitrate_kbps`."""
        rate, stages = 0.0, 0
        for stage in self.config.stages:
            rate += stage.bits * self.config.frame_rate_hz / 1000
            stages += rate <= bitrate_kbps * (1 + 1e-9)
        if not stages:
            least = self.config.stages[0].bits * self.config.frame_rate_hz / 1000
            raise ConfigError(f"{self.name} needs at least {least:g} kbps, not {bitrate_kbps:g}")
        return stages

    def encode(
        self,
        wave: ArrayLike | torch.Tensor,
        *,
        sample_rate_hz: int,
        stages: int | None = None,
        position_bits: int = 0,
    ) -> Encoded:
        """Encode audio held in memory.

        Args:
            wave: floats (samples,) or (channels, samples), nominally in [-1, 1]; each channel is coded by itself.
            sample_rate_hz: of `wave`; resampled to the model's rate if it differs.
            stages: how many stages to use, 1 to all (None).
            position_bits: SF stages transmit this many extra bits for the position on the segment, 0 to 7.

        Raises:
            AudioError: not audio, NaN or infinite.
            ConfigError: more stages than the model has, or positions on a stage without a curve.
        """
        wave = _checked_wave(wave)
        header = self._header(sample_rate_hz, len(wave), stages, position_bits)
        codes = list(self._codes([wave], header))
        empty = np.zeros((len(wave), len(header.stages), 0), dtype=np.int32)
        return Encoded(
            codes=np.concatenate([empty, *codes], axis=-1),
            samples=wave.shape[1],
            header=header,
            tables=self.tables,
        )

    def encode_file(
        self,
        source: Path_ | BinaryIO,
        target: Path_ | BinaryIO,
        *,
        stages: int | None = None,
        position_bits: int = 0,
        overwrite: bool = False,
    ) -> EncodedFile:
        """Encode an audio file or pipe into a `.dvq` file or pipe, in constant memory.

        Raises what `encode` does, and AudioError where `source` cannot be read or `target` exists.
        """
        with ExitStack() as stack:
            reader = stack.enter_context(open_audio(source))
            header = self._header(reader.sample_rate_hz, reader.channels, stages, position_bits)
            counter = Counter(reader.blocks(reader.sample_rate_hz))
            writer = StreamWriter(_output(stack, target, overwrite), header, self.tables)
            for codes in self._codes(counter, header):
                writer.write(codes)
            writer.close(samples=counter.samples)
        return EncodedFile(header=header, samples=counter.samples, size_bytes=writer.size_bytes)

    def decode(
        self,
        source: Encoded | bytes | Path_ | BinaryIO | StreamReader,
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        recover: bool = False,
    ) -> Audio:
        """Decode to memory.

        Args:
            source: what `encode` gave, a `.dvq` file's bytes, path or file object, or an open stream.
            sample_rate_hz: "original" (exactly as many samples as were coded), "model", or a rate.
            stages: decode only the first stages.
            recover: replace damaged packets by silence instead of raising.

        Raises:
            BitstreamError: damaged, or coded with another model.
        """
        with ExitStack() as stack:
            stream = source if isinstance(source, Encoded) else _stream(stack, source)
            rate = _output_rate(stream.header, sample_rate_hz)
            blocks = list(self._decoded(stream, rate, stages, recover))
            empty = np.zeros((stream.header.channels, 0), dtype=np.float32)
        return Audio(wave=np.concatenate([empty, *blocks], axis=-1), sample_rate_hz=rate)

    def decode_file(
        self,
        source: Path_ | BinaryIO | StreamReader,
        target: Path_ | BinaryIO,
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        recover: bool = False,
        subtype: str | None = None,
        overwrite: bool = False,
    ) -> DecodedFile:
        """Decode a `.dvq` file or pipe into an audio file (format by its suffix) or pipe (WAV), in constant memory.

        Arguments as in `decode`; `subtype` is soundfile's ("PCM_16", "FLOAT", …; None: the format's usual one).
        """
        with ExitStack() as stack:
            stream = _stream(stack, source)
            rate = _output_rate(stream.header, sample_rate_hz)
            writer = stack.enter_context(
                AudioWriter(
                    target,
                    sample_rate_hz=rate,
                    channels=stream.header.channels,
                    subtype=subtype,
                    overwrite=overwrite,
                )
            )
            counter = Counter(self._decoded(stream, rate, stages, recover))
            for block in counter:
                writer.write(block)
        seconds = stream.header.seconds
        lost = [(seconds(loss.first_frame), seconds(loss.frames), loss.reason) for loss in stream.losses]
        return DecodedFile(sample_rate_hz=rate, samples=counter.samples, clipped=writer.clipped, lost=lost)

    def _header(self, sample_rate_hz: int, channels: int, stages: int | None, position_bits: int) -> StreamHeader:
        sample_rate_hz, position_bits = _whole("sample_rate_hz", sample_rate_hz), _whole("position_bits", position_bits)
        count = len(self.config.stages) if stages is None else _whole("stages", stages)
        if not 1 <= sample_rate_hz <= MAX_RATE_HZ:
            raise ConfigError(f"audio has a sample rate of 1 to {MAX_RATE_HZ} Hz, not {sample_rate_hz}")
        if not 1 <= count <= len(self.config.stages):
            raise ConfigError(f"{self.name} has stages 1 to {len(self.config.stages)}, not {count}")
        if not 1 <= channels <= MAX_CHANNELS:
            raise AudioError(f"audio has 1 to {MAX_CHANNELS} channels, not {channels}")
        used = self.config.stages[:count]
        if position_bits and not any(stage.is_space_filling for stage in used):
            raise ConfigError(f"{self.name} has no SF-DiVeQ stage, so position_bits is 0, not {position_bits}")
        try:
            layout = tuple(StageLayout(stage.bits, position_bits * stage.is_space_filling) for stage in used)
            return StreamHeader(
                fingerprint=self.fingerprint,
                model_rate_hz=self.config.sample_rate_hz,
                original_rate_hz=sample_rate_hz,
                hop=self.config.hop,
                channels=channels,
                packet_frames=default_packet_frames(
                    layout, Fraction(self.config.sample_rate_hz, self.config.hop), channels
                ),
                stages=layout,
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def _codes(self, blocks: Iterable[np.ndarray], header: StreamHeader) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at the original rate → codes (channels, stages, frames)."""
        at_model_rate = resample_blocks(
            blocks, from_hz=header.original_rate_hz, to_hz=header.model_rate_hz, channels=header.channels
        )
        return self._runner.encode(at_model_rate, header)

    def _decoded(
        self, stream: Encoded | StreamReader, rate: int, stages: int | None, recover: bool
    ) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at `rate`, of the exact length."""
        header = stream.header
        self._check(header)
        stages = None if stages is None else _whole("stages", stages)
        if stages is not None and not 1 <= stages <= len(header.stages):
            raise BitstreamError(f"the stream has {len(header.stages)} stages; stages is 1 to that, not {stages}")
        packets = [stream] if isinstance(stream, Encoded) else stream.packets(self.tables, recover=recover)

        waves = self._runner.decode(packets, header, stages or len(header.stages))
        waves = cut_to(waves, header.hop, lambda: header.model_samples(stream.samples))
        waves = resample_blocks(waves, from_hz=header.model_rate_hz, to_hz=rate, channels=header.channels)
        slack = rate // min(header.model_rate_hz, header.original_rate_hz) + 2
        return cut_to(waves, slack, lambda: resampled_length(stream.samples, header.original_rate_hz, rate))

    def _check(self, header: StreamHeader) -> None:
        if header.fingerprint != self.fingerprint:
            raise BitstreamError(
                f"the stream was coded with the model {header.fingerprint.hex()}, this is {self.name} "
                f"({self.fingerprint.hex()}): load the model that coded it"
            )
        found = (header.model_rate_hz, header.hop, tuple(stage.codebook_bits for stage in header.stages))
        bits = tuple(stage.bits for stage in self.config.stages)
        if found != (self.config.sample_rate_hz, self.config.hop, bits[: len(header.stages)]):
            raise BitstreamError(f"the stream's rate, hop or stages are not those of {self.name}: it is damaged")


def _stream(stack: ExitStack, source: Any) -> StreamReader:
    if isinstance(source, StreamReader):
        return source
    if isinstance(source, bytes | bytearray | memoryview):
        return StreamReader(BytesIO(source))
    if isinstance(source, str | PathLike):
        try:
            return StreamReader(stack.enter_context(Path(source).open("rb")))
        except OSError as error:
            raise BitstreamError(f"cannot read {source}: {error.strerror or error}") from error
    return StreamReader(source)


def _output(stack: ExitStack, target: Any, overwrite: bool) -> BinaryIO:
    if isinstance(target, str | PathLike):
        return stack.enter_context(atomic_output(target, overwrite=overwrite))
    return target


def _output_rate(header: StreamHeader, sample_rate_hz: OutputRate) -> int:
    named = {"original": header.original_rate_hz, "model": header.model_rate_hz}
    if isinstance(sample_rate_hz, str) and sample_rate_hz not in named:
        raise AudioError(f"sample_rate_hz is 'original', 'model' or a number of Hz, not {sample_rate_hz!r}")
    rate = named[sample_rate_hz] if isinstance(sample_rate_hz, str) else _whole("sample_rate_hz", sample_rate_hz)
    if not 1 <= rate <= MAX_RATE_HZ:  # a few bytes of a stream could otherwise ask for gigabytes of audio
        raise AudioError(f"audio has a sample rate of 1 to {MAX_RATE_HZ} Hz, not {rate}; choose another output rate")
    return rate


def _checked_wave(wave: ArrayLike | torch.Tensor) -> np.ndarray:
    wave = _as_array(wave)
    try:
        array = np.asarray(wave)
    except ValueError as error:
        raise AudioError(f"audio has the shape (samples,) or (channels, samples): {error}") from error
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise AudioError(f"audio has the shape (samples,) or (channels, samples), not {array.shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"audio is floats in [-1, 1], not {array.dtype}; divide int16 samples by 32768")
    with np.errstate(over="ignore"):
        array = np.asarray(array, dtype=np.float32)
    if not np.isfinite(array).all():
        raise AudioError("the audio holds NaN or infinite samples")
    return array


def _as_array(wave: ArrayLike | torch.Tensor) -> ArrayLike:
    """A tensor as an array; whoever gives one has imported torch, and nobody else needs it."""
    module = sys.modules.get("torch")
    if module is None or not isinstance(wave, module.Tensor):
        return cast("ArrayLike", wave)
    tensor = cast("torch.Tensor", wave).detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _whole(name: str, value: object) -> int:
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise ConfigError(f"{name} is a whole number, not {value!r}") from None
