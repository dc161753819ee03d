"""The public verbs: load a model, encode, decode."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from functools import cached_property
from os import PathLike
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike

from .audio import AudioWriter, open_audio
from .audio.blocks import Counter
from .audio.sound import Sound, read_sound
from .backends import load_backend
from .bitstream import (
    EntropyTables,
    LiveFormat,
    StageLayout,
    StreamHeader,
    StreamReader,
    StreamWriter,
)
from .bitstream.layout import MAX_CHANNELS
from .checkpoint import Checkpoint
from .errors import ConfigError
from .hub import find_pretrained, pretrained_name, push_model, save_model
from .layouts.config import ModelConfig
from .model_lookup import DEFAULT_MODEL, model_name, model_with_fingerprint
from .streams.arguments import (
    OutputRate,
    open_output,
    open_stream,
    optional_number,
    output_rate,
    whole_number,
)
from .streams.headers import StreamRules
from .streams.live import LiveDecoder, LiveEncoder, checked_copies, checked_rate
from .streams.pipeline import Pipeline
from .streams.results import Audio, DecodedFile, Encoded, EncodedFile
from .streams.runner import Runner
from .streams.tokens import CodeVectors, clips_of_codes, one_clip

if TYPE_CHECKING:
    import torch

Path_ = str | PathLike[str]
Codes: TypeAlias = "ArrayLike | torch.Tensor"
Coded = Encoded | bytes | Path_ | BinaryIO | StreamReader

BATCH_SECONDS = 60.0


class Codec:
    """A model that encodes and decodes. `Codec.load` makes one.

    One codec serves any number of threads. Processes are best started by "spawn"; one that was
    forked after PyTorch was imported computes in a single thread, on the CPU alone.

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

    def __init__(
        self, checkpoint: Checkpoint, *, name: str, device: str = "auto", backend: str = "auto"
    ) -> None:
        self.name = name
        self.config: ModelConfig = checkpoint.config
        self.facts = dict(checkpoint.facts)
        self.fingerprint = checkpoint.fingerprint()
        self._checkpoint = checkpoint
        self.tables = EntropyTables.from_arrays(checkpoint.tables) if checkpoint.tables else None
        expected = self.tables and self.tables.expected_bits
        self._rules = StreamRules(self.config, self.fingerprint, name, expected)
        network = load_backend(checkpoint, backend, device=device)
        self.device = network.device
        self._runner = Runner(network, self.config)
        self._pipeline = Pipeline(self._runner, self._rules, self.tables)

    @classmethod
    def load(
        cls,
        name_or_path: Path_ = DEFAULT_MODEL,
        *,
        device: str = "auto",
        backend: str = "auto",
        revision: str | None = None,
    ) -> Codec:
        """Load a model.

        Args:
            name_or_path: the name of a model that is found by name (see `found_models`), a model
                file, a folder that `save_pretrained` wrote, or, where none of these is there, an id
                "owner/name" on the Hugging Face hub.
            device: "auto" (CUDA where there is one), "cpu", "cuda", "cuda:1", …
            backend: what computes: "torch"; "onnx" (onnxruntime, on the CPU, which starts
                quickest); or "auto", torch where it is installed. Their codes are equal, but for
                ties within the rounding of floats.
            revision: of the hub's repository: a branch, a tag or a commit.

        Raises:
            CheckpointError: no such model, or its file is damaged.
            ConfigError: the device is not there, or the backend is not installed.
        """
        path = find_pretrained(name_or_path, revision=revision)
        return cls(
            Checkpoint.load(path),
            name=pretrained_name(name_or_path),
            device=device,
            backend=backend,
        )

    from_pretrained = load  # the name that users of other libraries look for

    def save_pretrained(self, folder: Path_) -> None:
        """Write a folder that `from_pretrained` loads: the model, its configuration, a model
        card.
        """
        save_model(self._checkpoint, folder, name=self.name)

    def push_to_hub(self, repository: str, *, private: bool | None = None) -> str:
        """Upload what `save_pretrained` writes to "owner/name" on the Hugging Face hub; returns the
        commit's URL.

        Raises:
            ConfigError: huggingface_hub is not installed.
            OutputError: the hub cannot be reached, or does not let you push (`hf auth login`).
        """
        return push_model(self._checkpoint, repository, private=private)

    @classmethod
    def load_for(
        cls, stream: StreamReader, *, device: str = "auto", backend: str = "auto"
    ) -> Codec:
        """Load the model that a stream was coded with, of those that are found by name.

        Example:
            >>> from io import BytesIO
            >>> file = Codec.load(device="cpu").encode([0.0] * 320, sample_rate_hz=16000).to_bytes()
            >>> stream = StreamReader(BytesIO(file))
            >>> Codec.load_for(stream, device="cpu").decode(stream).wave.shape
            (1, 320)
        """
        path = model_with_fingerprint(stream.header.fingerprint)
        return cls(Checkpoint.load(path), name=model_name(path), device=device, backend=backend)

    def encode(
        self,
        sound: Sound,
        *,
        sample_rate_hz: int | None = None,
        stages: int | None = None,
        bitrate_kbps: float | None = None,
        position_bits: int = 0,
    ) -> Encoded:
        """Encode audio held in memory.

        Here as in all that encodes, a high-pass filter at 20 Hz first removes what lies below
        speech: an offset, rumble, wind.

        Args:
            sound: floats (samples,) or (channels, samples), nominally in [-1, 1], as an array, a
                list or a tensor; each channel is coded by itself. Or what knows its own rate: the
                path of an audio file, an entry of an audio column of Hugging Face `datasets`, an
                `AudioSignal` of audiotools.
            sample_rate_hz: of an array; resampled to the model's rate if it differs.
            stages: how many stages to use, 1 to all (None): for every frame, or with `bitrate_kbps`
                at most. Digital silence has none (-1) with the models that ship.
            bitrate_kbps: the most that a channel may take, before entropy coding and framing.
                Frames then have as many stages as it allows on average, more where speech is loud
                and fewer in its pauses (`codec.streams`); -1 stands in the codes where a frame has
                no more. It sounds better than as many stages in every frame.
            position_bits: SF stages transmit this many extra bits for the position on the segment,
                0 to 7.

        Raises:
            AudioError: not audio, NaN or infinite.
            ConfigError: more stages than the model has, a bitrate below that of one, or positions
                on a stage without a curve.
        """
        wave, rate = read_sound(sound, sample_rate_hz)
        plan = self._rules.plan(
            rate, len(wave), stages=stages, bitrate_kbps=bitrate_kbps, position_bits=position_bits
        )
        codes = list(self._pipeline.encode([wave], plan))
        empty = np.zeros((len(wave), len(plan.header.stages), 0), dtype=np.int32)
        return Encoded(
            codes=np.concatenate([empty, *codes], axis=-1),
            samples=wave.shape[1],
            header=plan.header,
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
        """Encode an audio file or pipe into a `.dvq` file or pipe, in constant memory. Arguments as
        in `encode`.

        Raises what `encode` does, AudioError where `source` cannot be read, OutputError where
        `target` exists.
        """
        with ExitStack() as stack:
            reader = stack.enter_context(open_audio(source))
            plan = self._rules.plan(
                reader.sample_rate_hz,
                reader.channels,
                stages=stages,
                bitrate_kbps=bitrate_kbps,
                position_bits=position_bits,
            )
            counter = Counter(reader.blocks(reader.sample_rate_hz))
            writer = StreamWriter(open_output(stack, target, overwrite), plan.header, self.tables)
            for codes in self._pipeline.encode(counter, plan):
                writer.write(codes)
            writer.close(samples=counter.samples)
        return EncodedFile(
            header=plan.header, samples=counter.samples, size_bytes=writer.size_bytes
        )

    def encode_batch(
        self,
        sounds: Sequence[Sound],
        *,
        sample_rate_hz: int | None = None,
        stages: int | None = None,
        bitrate_kbps: float | None = None,
        position_bits: int = 0,
        batch_seconds: float = BATCH_SECONDS,
    ) -> list[Encoded]:
        """Encode many clips of any lengths, several at once: what `encode` gives for each.

        Arguments as in `encode`; `batch_seconds` is how much audio, over all channels, is computed
        at once. It decides how much memory is taken, and on a GPU how well it is used.

        Example:
            >>> codec = Codec.load(device="cpu")
            >>> clips = codec.encode_batch([[0.0] * 8000, [0.1] * 16000], sample_rate_hz=16000)
            >>> [clip.codes.shape for clip in clips]
            [(1, 14, 25), (1, 14, 50)]
        """
        read = [read_sound(sound, sample_rate_hz) for sound in sounds]
        asked = {"stages": stages, "bitrate_kbps": bitrate_kbps, "position_bits": position_bits}
        plans = [self._rules.plan(rate, len(wave), **asked) for wave, rate in read]
        return self._pipeline.encode_clips([wave for wave, _ in read], plans, batch_seconds)

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
            source: what `encode` gave, a `.dvq` file's bytes, path or file object, or an open
                stream.
            sample_rate_hz: "original" (exactly as many samples as were coded), "model", or a rate.
            stages: decode only the first stages.
            recover: replace damaged packets by silence instead of raising.
            max_seconds: the most audio to decode, in seconds over all channels, of rates up to 48
                kHz. By default a
                day, and of a small file less: 300 seconds and a tenth of one for each of its bytes.

        Raises:
            BitstreamError: damaged, coded with another model, or too long.
        """
        with ExitStack() as stack:
            stream = source if isinstance(source, Encoded) else open_stream(stack, source)
            rate = output_rate(stream.header, sample_rate_hz)
            return _audio(
                self._pipeline.decode(stream, rate, stages, recover, max_seconds),
                stream.header,
                rate,
            )

    def decode_batch(
        self,
        sources: Sequence[Coded],
        *,
        sample_rate_hz: OutputRate = "original",
        stages: int | None = None,
        batch_seconds: float = BATCH_SECONDS,
    ) -> list[Audio]:
        """Decode many clips of any lengths, several at once: what `decode` gives for each, within
        float's rounding.

        Arguments as in `decode` and `encode_batch`.
        """
        clips = [self._read(source) for source in sources]
        rates = [output_rate(clip.header, sample_rate_hz) for clip in clips]
        waves = self._pipeline.decode_clips(clips, rates, stages, batch_seconds)
        return [
            _audio(wave, clip.header, rate)
            for wave, clip, rate in zip(waves, clips, rates, strict=True)
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
        """Decode a `.dvq` file or pipe into an audio file (format by its suffix) or pipe (WAV), in
        constant memory.

        Arguments as in `decode`; `subtype` is soundfile's ("PCM_16", "FLOAT", …; None: the format's
        usual one).
        """
        with ExitStack() as stack:
            stream = open_stream(stack, source)
            rate, channels = output_rate(stream.header, sample_rate_hz), stream.header.channels
            writer = stack.enter_context(
                AudioWriter(
                    target,
                    sample_rate_hz=rate,
                    channels=channels,
                    subtype=subtype,
                    overwrite=overwrite,
                )
            )
            counter = Counter(self._pipeline.decode(stream, rate, stages, recover, max_seconds))
            for block in counter:
                writer.write(block)
        seconds = stream.header.seconds
        lost = [
            (seconds(loss.first_frame), seconds(loss.frames), loss.reason) for loss in stream.losses
        ]
        return DecodedFile(
            sample_rate_hz=rate, samples=counter.samples, clipped=writer.clipped, lost=lost
        )

    def live_encoder(
        self,
        *,
        sample_rate_hz: int,
        bitrate_kbps: float | None = None,
        packet_ms: float = 60,
        channels: int = 1,
        dtx: bool = False,
        copies: int = 0,
    ) -> LiveEncoder:
        """Make an encoder for a call: it takes samples as they come and gives packets
        (codec/bitstream/LIVE.md).

        Args:
            sample_rate_hz: of the samples; resampled to the model's rate if it differs, which takes
                some milliseconds.
            bitrate_kbps: of each channel, on average, before entropy coding; None for all that the
                model has. It can be changed while the encoder runs.
            packet_ms: 20 to 120, whole frames.
            channels: each is coded by itself.
            dtx: pauses may have frames without a stage, which take no bits; see `RtpSender` for
                leaving them out.
            copies: how many packets before it each packet repeats, in their first stages: at 20 %
                loss speech stays intelligible with 2.

        Raises:
            ConfigError: the model is not of the transform layout, or an argument is out of range.

        Example:
            >>> codec = Codec.load(device="cpu")
            >>> encoder = codec.live_encoder(sample_rate_hz=16000, bitrate_kbps=3, packet_ms=60)
            >>> decoder = codec.live_decoder(sample_rate_hz=16000)
            >>> packets = encoder.push([0.0] * 16000) + encoder.flush()
            >>> sum(len(decoder.push(packet)) for packet in packets) + len(decoder.flush())
            16320
        """
        rate, count = (
            whole_number("sample_rate_hz", sample_rate_hz),
            whole_number("channels", channels),
        )
        return LiveEncoder(
            self._runner.network,
            self.config,
            self._live_format(count),
            sample_rate_hz=checked_rate(rate),
            bitrate_kbps=optional_number("bitrate_kbps", bitrate_kbps),
            packet_ms=packet_ms,
            dtx=dtx,
            copies=checked_copies(whole_number("copies", copies)),
        )

    def live_decoder(self, *, sample_rate_hz: int, channels: int = 1) -> LiveDecoder:
        """Make a decoder for a call: it takes packets, or None for each that was lost, and gives
        samples. See `live_encoder`.
        """
        rate, count = (
            whole_number("sample_rate_hz", sample_rate_hz),
            whole_number("channels", channels),
        )
        live = self._live_format(count)
        return LiveDecoder(
            self._runner.network, self.config, live, sample_rate_hz=checked_rate(rate)
        )

    def _live_format(self, channels: int) -> LiveFormat:
        if not 1 <= channels <= MAX_CHANNELS:
            raise ConfigError(f"a call has 1 to {MAX_CHANNELS} channels, not {channels}")
        layout = [StageLayout(stage.bits) for stage in self.config.stages]
        return LiveFormat(
            fingerprint=self.fingerprint, stages=layout, channels=channels, tables=self.tables
        )

    def _read(self, source: Coded) -> Encoded:
        """All of a stream in memory."""
        with ExitStack() as stack:
            return self._pipeline.read(
                source if isinstance(source, Encoded) else open_stream(stack, source)
            )

    @overload
    def decode_codes(
        self,
        codes: Codes,
        *,
        sample_rate_hz: OutputRate = ...,
        lengths: None = ...,
        position_bits: int = ...,
    ) -> Audio: ...

    @overload
    def decode_codes(
        self,
        codes: Codes,
        *,
        sample_rate_hz: OutputRate = ...,
        lengths: Codes,
        position_bits: int = ...,
    ) -> list[Audio]: ...

    def decode_codes(
        self,
        codes: Codes,
        *,
        sample_rate_hz: OutputRate = "model",
        lengths: Codes | None = None,
        position_bits: int = 0,
    ) -> Audio | list[Audio]:
        """Decode codes without a stream around them, such as a language model's.

        Args:
            codes: whole numbers (stages, frames) or (channels, stages, frames), of the first
                stages, as many as there are; -1 stands for a stage that a frame does not have.
            sample_rate_hz: "model", or a rate to resample to.
            lengths: frames of each clip, (batch,), where `codes` is a padded batch (batch, stages,
                frames).
            position_bits: those of `encode`.

        Example:
            >>> codec = Codec.load(device="cpu")
            >>> clips = codec.decode_codes([[[5, 6]], [[7, -1]]], lengths=[2, 1])
            >>> [audio.wave.shape for audio in clips]
            [(1, 640), (1, 320)]
        """
        clips = [one_clip(codes)] if lengths is None else clips_of_codes(codes, lengths)
        encoded = [self._rules.without_stream(clip, position_bits) for clip in clips]
        if lengths is None:
            return self.decode(encoded[0], sample_rate_hz=sample_rate_hz)
        return self.decode_batch(encoded, sample_rate_hz=sample_rate_hz)

    def latents(self, codes: Codes, *, position_bits: int = 0) -> np.ndarray:
        """Return the quantized latents of codes (as for `decode_codes`): float32 (channels, latent
        channels, frames).

        Each is the sum of the rows of `codebooks` that a frame's codes name.
        """
        return self._vectors.latents(one_clip(codes), position_bits)

    @cached_property
    def codebooks(self) -> list[np.ndarray]:
        """Return the codebook of each stage, float32 (codewords, latent channels); embeddings of
        codes can start from them.
        """
        return self._vectors.codebooks()

    @cached_property
    def _vectors(self) -> CodeVectors:
        return CodeVectors(self.config, self._checkpoint.weights)


def _audio(blocks: Iterable[np.ndarray], header: StreamHeader, rate: int) -> Audio:
    empty = np.zeros((header.channels, 0), dtype=np.float32)
    return Audio(wave=np.concatenate([empty, *blocks], axis=-1), sample_rate_hz=rate)
