"""The public verbs: load a model, encode, decode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import ArrayLike

from .audio import AudioWriter, open_audio, resample_blocks, resampled_length
from .audio.blocks import Counter, cut_to
from .backends import load_backend
from .bitstream import EntropyTables, StreamHeader, StreamReader, StreamWriter
from .checkpoint import DEFAULT_MODEL, Checkpoint, find_model, model_with_fingerprint
from .layouts.config import ModelConfig
from .streams.arguments import OutputRate, checked_wave, open_output, open_stream, optional_number, output_rate
from .streams.headers import Coding
from .streams.limits import limited_packets
from .streams.results import Audio, DecodedFile, Encoded, EncodedFile
from .streams.runner import Piece, Runner

if TYPE_CHECKING:
    import torch

Path_ = str | PathLike[str]
Coded = Encoded | bytes | Path_ | BinaryIO | StreamReader

BATCH_SECONDS = 60.0


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
        self._coding = Coding(self.config, self.fingerprint, name)
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

    def encode(
        self,
        wave: ArrayLike | torch.Tensor,
        *,
        sample_rate_hz: int,
        stages: int | None = None,
        bitrate_kbps: float | None = None,
        position_bits: int = 0,
    ) -> Encoded:
        """Encode audio held in memory.

        Args:
            wave: floats (samples,) or (channels, samples), nominally in [-1, 1]; each channel is coded by itself.
            sample_rate_hz: of `wave`; resampled to the model's rate if it differs.
            stages: how many stages to use, 1 to all (None): for every frame, or with `bitrate_kbps` at most.
            bitrate_kbps: the most that a channel may take, before entropy coding and framing. Frames then have as many
                stages as it allows on average, more where speech is loud and fewer in its pauses (`codec.streams`);
                -1 stands in the codes where a frame has no more. It sounds better than as many stages in every frame.
            position_bits: SF stages transmit this many extra bits for the position on the segment, 0 to 7.

        Raises:
            AudioError: not audio, NaN or infinite.
            ConfigError: more stages than the model has, a bitrate below that of one, or positions on a stage without a
                curve.
        """
        wave = checked_wave(wave)
        kbps = optional_number("bitrate_kbps", bitrate_kbps)
        header = self._header(sample_rate_hz, len(wave), stages, kbps, position_bits)
        codes = list(self._codes([wave], header, kbps))
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
        bitrate_kbps: float | None = None,
        position_bits: int = 0,
        overwrite: bool = False,
    ) -> EncodedFile:
        """Encode an audio file or pipe into a `.dvq` file or pipe, in constant memory. Arguments as in `encode`.

        Raises what `encode` does, and AudioError where `source` cannot be read or `target` exists.
        """
        kbps = optional_number("bitrate_kbps", bitrate_kbps)
        with ExitStack() as stack:
            reader = stack.enter_context(open_audio(source))
            header = self._header(reader.sample_rate_hz, reader.channels, stages, kbps, position_bits)
            counter = Counter(reader.blocks(reader.sample_rate_hz))
            writer = StreamWriter(open_output(stack, target, overwrite), header, self.tables)
            for codes in self._codes(counter, header, kbps):
                writer.write(codes)
            writer.close(samples=counter.samples)
        return EncodedFile(header=header, samples=counter.samples, size_bytes=writer.size_bytes)

    def encode_batch(
        self,
        waves: Sequence[ArrayLike | torch.Tensor],
        *,
        sample_rate_hz: int,
        stages: int | None = None,
        bitrate_kbps: float | None = None,
        position_bits: int = 0,
        batch_seconds: float = BATCH_SECONDS,
    ) -> list[Encoded]:
        """Encode many clips of any lengths, several at once: what `encode` gives for each.

        Arguments as in `encode`; `batch_seconds` is how much audio, over all channels, is computed at once. It
        decides how much memory is taken, and on a GPU how well it is used.

        Example:
            >>> codec = Codec.load(device="cpu")
            >>> clips = codec.encode_batch([[0.0] * 8000, [0.1] * 16000], sample_rate_hz=16000)
            >>> [clip.codes.shape for clip in clips]
            [(1, 14, 25), (1, 14, 50)]
        """
        checked = [checked_wave(wave) for wave in waves]
        kbps = optional_number("bitrate_kbps", bitrate_kbps)
        headers = [self._header(sample_rate_hz, len(wave), stages, kbps, position_bits) for wave in checked]
        if not headers:
            return []
        at_model_rate = [self._at_model_rate(wave, header) for wave, header in zip(checked, headers, strict=True)]
        clips = self._runner.encode_batch(at_model_rate, headers, kbps, self._frames(batch_seconds))
        return [
            # codes of a clip's own: a view would keep its whole batch in memory
            Encoded(codes=codes.copy(), samples=wave.shape[1], header=header, tables=self.tables)
            for codes, wave, header in zip(clips, checked, headers, strict=True)
        ]

    def decode(
        self,
        source: Coded,
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        recover: bool = False,
        max_seconds: float | None = None,
    ) -> Audio:
        """Decode to memory.

        Args:
            source: what `encode` gave, a `.dvq` file's bytes, path or file object, or an open stream.
            sample_rate_hz: "original" (exactly as many samples as were coded), "model", or a rate.
            stages: decode only the first stages.
            recover: replace damaged packets by silence instead of raising.
            max_seconds: the most audio to decode, in seconds over all channels, of rates up to 48 kHz. By default a
                day, and of a small file less: 300 seconds and a tenth of one for each of its bytes.

        Raises:
            BitstreamError: damaged, coded with another model, or too long.
        """
        with ExitStack() as stack:
            stream = source if isinstance(source, Encoded) else open_stream(stack, source)
            rate = output_rate(stream.header, sample_rate_hz)
            return _audio(self._decoded(stream, rate, stages, recover, max_seconds), stream.header, rate)

    def decode_batch(
        self,
        sources: Sequence[Coded],
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        batch_seconds: float = BATCH_SECONDS,
    ) -> list[Audio]:
        """Decode many clips of any lengths, several at once: what `decode` gives for each, within float's rounding.

        Arguments as in `decode` and `encode_batch`.
        """
        clips = [self._read(source) for source in sources]
        kept = [self._coding.stages_of(clip.header, stages) for clip in clips]
        layouts = [
            tuple(stage.position_bits for stage in clip.header.stages[:count])
            for clip, count in zip(clips, kept, strict=True)
        ]
        waves: dict[int, np.ndarray] = {}
        for layout in set(layouts):
            numbers = [number for number in range(len(clips)) if layouts[number] == layout]
            codes = [clips[number].codes[:, : len(layout)] for number in numbers]
            made = self._runner.decode_batch(codes, layout, self._frames(batch_seconds))
            waves.update(zip(numbers, made, strict=True))
        return [
            _audio(self._at_rate([waves[number]], clip, rate), clip.header, rate)
            for number, clip in enumerate(clips)
            for rate in [output_rate(clip.header, sample_rate_hz)]
        ]

    def decode_file(
        self,
        source: Path_ | BinaryIO | StreamReader,
        target: Path_ | BinaryIO,
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        recover: bool = False,
        max_seconds: float | None = None,
        subtype: str | None = None,
        overwrite: bool = False,
    ) -> DecodedFile:
        """Decode a `.dvq` file or pipe into an audio file (format by its suffix) or pipe (WAV), in constant memory.

        Arguments as in `decode`; `subtype` is soundfile's ("PCM_16", "FLOAT", …; None: the format's usual one).
        """
        with ExitStack() as stack:
            stream = open_stream(stack, source)
            rate = output_rate(stream.header, sample_rate_hz)
            writer = stack.enter_context(
                AudioWriter(
                    target,
                    sample_rate_hz=rate,
                    channels=stream.header.channels,
                    subtype=subtype,
                    overwrite=overwrite,
                )
            )
            counter = Counter(self._decoded(stream, rate, stages, recover, max_seconds))
            for block in counter:
                writer.write(block)
        seconds = stream.header.seconds
        lost = [(seconds(loss.first_frame), seconds(loss.frames), loss.reason) for loss in stream.losses]
        return DecodedFile(sample_rate_hz=rate, samples=counter.samples, clipped=writer.clipped, lost=lost)

    def _header(
        self, sample_rate_hz: int, channels: int, stages: int | None, bitrate_kbps: float | None, position_bits: int
    ) -> StreamHeader:
        return self._coding.header(
            sample_rate_hz=sample_rate_hz,
            channels=channels,
            stages=stages,
            bitrate_kbps=bitrate_kbps,
            position_bits=position_bits,
        )

    def _codes(
        self, blocks: Iterable[np.ndarray], header: StreamHeader, bitrate_kbps: float | None
    ) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at the original rate → codes (channels, stages, frames)."""
        return self._runner.encode(self._resampled(blocks, header), header, bitrate_kbps)

    def _resampled(self, blocks: Iterable[np.ndarray], header: StreamHeader) -> Iterator[np.ndarray]:
        """From the original rate to the model's."""
        return resample_blocks(
            blocks, from_hz=header.original_rate_hz, to_hz=header.model_rate_hz, channels=header.channels
        )

    def _at_model_rate(self, wave: np.ndarray, header: StreamHeader) -> np.ndarray:
        """All of a wave at the model's rate; not copied where that is its own."""
        if header.original_rate_hz == header.model_rate_hz:
            return wave
        return np.concatenate([wave[:, :0], *self._resampled([wave], header)], axis=-1)

    def _decoded(
        self,
        stream: Encoded | StreamReader,
        rate: int,
        stages: int | None,
        recover: bool,
        max_seconds: float | None,
    ) -> Iterator[np.ndarray]:
        """Blocks (channels, samples) at `rate`, of the exact length."""
        self._coding.check(stream.header)
        count = self._coding.stages_of(stream.header, stages)
        if isinstance(stream, Encoded):
            pieces: Iterable[Piece] = [stream]
        else:
            pieces = limited_packets(stream, self.tables, rate=rate, max_seconds=max_seconds, recover=recover)
        return self._at_rate(self._runner.decode(pieces, stream.header, count), stream, rate)

    def _at_rate(self, waves: Iterable[np.ndarray], stream: Encoded | StreamReader, rate: int) -> Iterator[np.ndarray]:
        """Whole frames (channels, samples) at the model's rate → `rate`, of the exact length."""
        header = stream.header
        waves = cut_to(waves, header.hop, lambda: header.model_samples(stream.samples))
        waves = resample_blocks(waves, from_hz=header.model_rate_hz, to_hz=rate, channels=header.channels)
        slack = rate // min(header.model_rate_hz, header.original_rate_hz) + 2
        return cut_to(waves, slack, lambda: resampled_length(stream.samples, header.original_rate_hz, rate))

    def _read(self, source: Coded) -> Encoded:
        """All of a stream in memory."""
        with ExitStack() as stack:
            stream = source if isinstance(source, Encoded) else open_stream(stack, source)
            self._coding.check(stream.header)
            if isinstance(stream, Encoded):
                return stream
            empty = np.zeros((stream.header.channels, len(stream.header.stages), 0), dtype=np.int32)
            rate = stream.header.model_rate_hz
            packets = limited_packets(stream, self.tables, rate=rate, max_seconds=None)
            pieces = [packet.codes for packet in packets if packet.codes is not None]
            codes = np.concatenate([empty, *pieces], axis=-1)
            return Encoded(codes=codes, samples=stream.samples, header=stream.header, tables=self.tables)

    def _frames(self, seconds: float) -> int:
        return max(1, int(seconds * self.config.frame_rate_hz))


def _audio(blocks: Iterable[np.ndarray], header: StreamHeader, rate: int) -> Audio:
    empty = np.zeros((header.channels, 0), dtype=np.float32)
    return Audio(wave=np.concatenate([empty, *blocks], axis=-1), sample_rate_hz=rate)
