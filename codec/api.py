"""The public verbs: load a model, encode, decode."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from .audio import AudioWriter, atomic_output, open_audio, resample_blocks, resampled_length
from .bitstream import (
    EntropyTables,
    Packet,
    StageLayout,
    StreamHeader,
    StreamReader,
    StreamWriter,
    default_packet_frames,
)
from .checkpoint import DEFAULT_MODEL, Checkpoint, find_model, model_with_fingerprint
from .config import MAX_RATE_HZ, ModelConfig
from .errors import AudioError, BitstreamError, CheckpointError, ConfigError
from .geometry import decoder_context, encoder_context
from .model import CodecModel
from .windows import windowed

WINDOW_SECONDS = 10
"""How much audio, over all channels, is computed at once. Results do not depend on it; memory does."""

_MAX_CHANNELS = 255

Path_ = str | PathLike[str]
OutputRate = int | Literal["original", "model"]


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Coded audio.

    Attributes:
        codes: int32 (channels, stages, frames); stage s has values in [0, 2^bits).
        samples: length of the audio that was coded, in samples at `header.original_rate_hz`.
        header: rates, layout and the model's fingerprint, as a file would start.
    """

    codes: np.ndarray
    samples: int
    header: StreamHeader
    tables: EntropyTables | None = None

    def to_bytes(self) -> bytes:
        """The `.dvq` stream."""
        file = BytesIO()
        self._write(file)
        return file.getvalue()

    def save(self, path: Path_, *, overwrite: bool = False) -> None:
        """Write a `.dvq` file, whole or not at all; an existing one only with `overwrite`."""
        with atomic_output(path, overwrite=overwrite) as file:
            self._write(file)

    def _write(self, file: BinaryIO) -> None:
        writer = StreamWriter(file, self.header, self.tables)
        writer.write(self.codes)
        writer.close(samples=self.samples)


@dataclass(frozen=True, kw_only=True)
class Audio:
    """Decoded audio: `wave` float32 (channels, samples), nominally in [-1, 1], and its rate."""

    wave: np.ndarray
    sample_rate_hz: int


@dataclass(frozen=True, kw_only=True)
class EncodedFile:
    """What `Codec.encode_file` wrote: samples at the original rate, and the bytes of the stream."""

    header: StreamHeader
    samples: int
    size_bytes: int

    @property
    def seconds(self) -> float:
        return self.samples / self.header.original_rate_hz


@dataclass(frozen=True, kw_only=True)
class DecodedFile:
    """What `Codec.decode_file` did.

    `lost` lists (start in seconds, seconds, reason) of each stretch that `recover` replaced by silence; `clipped`
    counts samples that the file's format could not hold.
    """

    sample_rate_hz: int
    samples: int
    clipped: int
    lost: list[tuple[float, float, str]]


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

    def __init__(self, checkpoint: Checkpoint, *, name: str, device: str = "auto") -> None:
        self.name = name
        self.config: ModelConfig = checkpoint.config
        self.facts = dict(checkpoint.facts)
        self.fingerprint = checkpoint.fingerprint()
        self.tables = EntropyTables.from_arrays(checkpoint.tables) if checkpoint.tables else None
        self.device = _device(device)
        self._model = _build(checkpoint).to(self.device)

    @classmethod
    def load(cls, name_or_path: Path_ = DEFAULT_MODEL, *, device: str = "auto") -> Codec:
        """Load a shipped model by name, or a model file.

        Args:
            name_or_path: see `shipped_models` for the names.
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …

        Raises:
            CheckpointError: no such model, or its file is damaged.
            ConfigError: the device is not there.
        """
        path = find_model(name_or_path)
        return cls(Checkpoint.load(path), name=path.stem, device=device)

    @classmethod
    def load_for(cls, stream: StreamReader, *, device: str = "auto") -> Codec:
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
        return cls(Checkpoint.load(path), name=path.stem, device=device)

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
        wave: ArrayLike,
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
            counter = _Counter(reader.blocks(reader.sample_rate_hz))
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
            counter = _Counter(self._decoded(stream, rate, stages, recover))
            for block in counter:
                writer.write(block)
        seconds = stream.header.seconds
        lost = [(seconds(loss.first_frame), seconds(loss.frames), loss.reason) for loss in stream.losses]
        return DecodedFile(sample_rate_hz=rate, samples=counter.samples, clipped=writer.clipped, lost=lost)

    def _header(self, sample_rate_hz: int, channels: int, stages: int | None, position_bits: int) -> StreamHeader:
        count = len(self.config.stages) if stages is None else stages
        if not 1 <= count <= len(self.config.stages):
            raise ConfigError(f"{self.name} has stages 1 to {len(self.config.stages)}, not {count}")
        if not 1 <= channels <= _MAX_CHANNELS:
            raise AudioError(f"audio has 1 to {_MAX_CHANNELS} channels, not {channels}")
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
        blocks = resample_blocks(
            blocks, from_hz=header.original_rate_hz, to_hz=header.model_rate_hz, channels=header.channels
        )
        position_bits = [stage.position_bits for stage in header.stages]

        @torch.inference_mode()
        def compute(wave: np.ndarray) -> np.ndarray:
            batch = torch.from_numpy(np.ascontiguousarray(wave))[:, None].to(self.device)
            return self._model.encode(batch, position_bits).int().cpu().numpy()

        return windowed(
            _whole_frames(blocks, header.hop),
            compute,
            context=encoder_context(self.config),
            window=self._window(header),
            items_per_frame=header.hop,
        )

    def _decoded(
        self, stream: Encoded | StreamReader, rate: int, stages: int | None, recover: bool
    ) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at `rate`, of the exact length."""
        header = stream.header
        self._check(header)
        if stages is not None and not 1 <= stages <= len(header.stages):
            raise BitstreamError(f"the stream has {len(header.stages)} stages; stages is 1 to that, not {stages}")
        packets = [stream] if isinstance(stream, Encoded) else stream.packets(self.tables, recover=recover)

        waves = self._waves(packets, header, stages or len(header.stages))
        waves = _cut(waves, header.hop, lambda: header.model_samples(stream.samples))
        waves = resample_blocks(waves, from_hz=header.model_rate_hz, to_hz=rate, channels=header.channels)
        slack = rate // min(header.model_rate_hz, header.original_rate_hz) + 2
        return _cut(waves, slack, lambda: resampled_length(stream.samples, header.original_rate_hz, rate))

    def _waves(self, packets: Iterable[Packet | Encoded], header: StreamHeader, stages: int) -> Iterator[np.ndarray]:
        """Decode each stretch of whole packets by itself; silence for the lost ones between."""
        position_bits = [stage.position_bits for stage in header.stages[:stages]]

        @torch.inference_mode()
        def compute(codes: np.ndarray) -> np.ndarray:
            batch = torch.from_numpy(np.ascontiguousarray(codes, dtype=np.int64)).to(self.device)
            return self._model.decode(batch, position_bits)[:, 0].cpu().numpy()

        for is_lost, stretch in itertools.groupby(packets, key=lambda packet: packet.codes is None):
            if is_lost:
                for packet in stretch:
                    assert isinstance(packet, Packet)
                    yield from _silence(header.channels, packet.frames * header.hop)
            else:
                yield from windowed(
                    (packet.codes[:, :stages] for packet in stretch if packet.codes is not None),
                    compute,
                    context=decoder_context(self.config),
                    window=self._window(header),
                    outputs_per_frame=header.hop,
                )

    def _window(self, header: StreamHeader) -> int:
        return max(1, int(WINDOW_SECONDS * header.frame_rate_hz) // header.channels)

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


class _Counter:
    """Passes blocks (channels, samples) on and counts their samples."""

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        self._blocks = blocks
        self.samples = 0

    def __iter__(self) -> Iterator[np.ndarray]:
        for block in self._blocks:
            self.samples += block.shape[1]
            yield block


def _stream(stack: ExitStack, source: Any) -> StreamReader:
    if isinstance(source, StreamReader):
        return source
    if isinstance(source, bytes):
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
    rate = named[sample_rate_hz] if isinstance(sample_rate_hz, str) else sample_rate_hz
    if not 1 <= rate <= MAX_RATE_HZ:  # a few bytes of a stream could otherwise ask for gigabytes of audio
        raise AudioError(f"audio has a sample rate of 1 to {MAX_RATE_HZ} Hz, not {rate}; choose another output rate")
    return rate


def _checked_wave(wave: ArrayLike) -> np.ndarray:
    array = np.asarray(wave)
    if array.ndim == 1:
        array = array[None]
    if array.ndim != 2:
        raise AudioError(f"audio has the shape (samples,) or (channels, samples), not {array.shape}")
    if not np.issubdtype(array.dtype, np.floating):
        raise AudioError(f"audio is floats in [-1, 1], not {array.dtype}; divide int16 samples by 32768")
    if not np.isfinite(array).all():
        raise AudioError("the audio holds NaN or infinite samples")
    return np.asarray(array, dtype=np.float32)


def _whole_frames(blocks: Iterable[np.ndarray], hop: int) -> Iterator[np.ndarray]:
    """The blocks, and zeros up to a whole number of frames."""
    counter = _Counter(blocks)
    channels = None
    for block in counter:
        channels = len(block)
        yield block
    missing = -counter.samples % hop
    if channels is not None and missing:
        yield np.zeros((channels, missing), dtype=np.float32)


def _cut(blocks: Iterable[np.ndarray], slack: int, length: Callable[[], int]) -> Iterator[np.ndarray]:
    """The first `length()` samples; it is asked at the end, and at most `slack` samples more arrived by then."""
    done = 0
    held: np.ndarray | None = None
    for block in blocks:
        held = block if held is None else np.concatenate([held, block], axis=-1)
        ready = held.shape[-1] - slack
        if ready > 0:
            yield held[..., :ready]
            held = held[..., ready:]
            done += ready
    if held is not None:
        yield held[..., : length() - done]


def _silence(channels: int, samples: int, block: int = 1 << 16) -> Iterator[np.ndarray]:
    for start in range(0, samples, block):
        yield np.zeros((channels, min(block, samples - start)), dtype=np.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} is not available here: {str(error).splitlines()[0]}") from error
    return device


def _build(checkpoint: Checkpoint) -> CodecModel:
    model = CodecModel.plain(checkpoint.config)
    weights = {name: torch.from_numpy(np.array(t)).float() for name, t in checkpoint.weights.items()}
    expected = dict(model.named_parameters())
    wrong = sorted(set(weights) ^ set(expected)) or [n for n in expected if weights[n].shape != expected[n].shape]
    if wrong:
        raise CheckpointError(f"the model file does not fit its configuration, e.g. at {wrong[0]!r}")
    model.load_state_dict(weights, strict=False)  # what is not a parameter is for training only
    return model
