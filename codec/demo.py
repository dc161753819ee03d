"""A page on which a model is tried: record or drop a clip, slide the bitrate, hear and see what
comes back.

`diveq-codec demo` serves it. As a Hugging Face space this file is the whole app: copy it to
`app.py`, beside a `requirements.txt` of the line `diveq-codec[demo]`, and choose the Gradio SDK.
"""

from __future__ import annotations

import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from codec.api import Codec
from codec.audio.audio_reader import open_audio
from codec.audio.sound import checked_wave
from codec.bitstream import LivePacket
from codec.errors import AudioError, ConfigError, DiveqCodecError
from codec.report.document import page_file
from codec.report.embedded_clips import data_uri, flac_bytes
from codec.report.listening_panel import transport
from codec.report.markup import Markup, tag
from codec.report.spectrogram import Axes, spectrogram_png
from codec.streams.live import LiveDecoder

if TYPE_CHECKING:
    import gradio as gr

__all__ = ["coded", "decoded", "make_page", "serve_demo"]

MOST_SECONDS = 120.0
_PACKET_MS = 60
_UPLOADS = "GRADIO_TEMP_DIR"
_MOST_CHANNELS, _MOST_COPIES = 2, 3
_SECONDS_BETWEEN_CLEANINGS, _SECONDS_KEPT = 60, 3600  # of what closed pages leave behind


@contextmanager
def serve_demo(codec: Codec, *, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serve the page while the context lasts; yields its address. Needs gradio.

    Args:
        codec: the model.
        host: the address to listen on: by default loopback, which other machines do not reach.
        port: None takes the first free one from 7860 on.

    Raises:
        ConfigError: gradio is not installed, or the port is taken.
    """
    if find_spec("gradio") is None:
        raise ConfigError("the demo needs gradio: pip install 'diveq-codec[demo]'")
    with _upload_folder():
        page = make_page(codec)
        try:
            _, address, _ = page.launch(
                **_look(), server_name=host, server_port=port, prevent_thread_lock=True, quiet=True
            )
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}, port {port or 'from 7860 on'}; choose another"
            ) from error
        try:
            yield address
        finally:
            page.close(verbose=False)


@contextmanager
def _upload_folder() -> Iterator[None]:
    """Have gradio keep uploads in a folder that goes with the context: none is left behind."""
    before = os.environ.get(_UPLOADS)
    with tempfile.TemporaryDirectory(prefix="diveq-demo-") as folder:
        os.environ[_UPLOADS] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[_UPLOADS]
            else:
                os.environ[_UPLOADS] = before


def make_page(codec: Codec) -> gr.Blocks:
    """The page, to be launched."""
    import gradio as gr

    bits = [stage.bits * codec.config.frame_rate_hz / 1000 for stage in codec.config.stages]
    least, most = float(bits[0]), float(sum(bits))
    uploads: dict[str, set[str]] = {}  # of each page that is open

    def shown(work: Callable[..., str], path: str | None, *given: Any) -> str:
        try:
            return "" if path is None else work(codec, path, *given)
        except DiveqCodecError as error:
            raise gr.Error(str(error), print_exception=False) from error

    def hear_clip(path: str | None, kbps: float, loss: float, copies: int, request: Any) -> str:
        uploads.setdefault(request.session_hash, set()).update([path] if path else [])
        return shown(coded, path, kbps, loss / 100, int(copies))

    def hear_file(path: str | None, request: Any) -> str:
        uploads.setdefault(request.session_hash, set()).update([path] if path else [])
        return shown(decoded, path)

    def forget(request: Any) -> None:
        for path in released_uploads(uploads, request.session_hash):
            Path(path).unlink(missing_ok=True)

    for function in (hear_clip, hear_file, forget):  # gradio looks for the class, not its name
        function.__annotations__["request"] = gr.Request

    with gr.Blocks(
        title="diveq-codec",
        analytics_enabled=False,
        delete_cache=(_SECONDS_BETWEEN_CLEANINGS, _SECONDS_KEPT),
    ) as page:
        gr.Markdown(
            f"# diveq-codec\nA neural speech codec, {least:g} to {most:g} kbps a channel. Drop a "
            "clip or record one, then slide the bitrate. Lost packets are those of a call; copies "
            "of earlier packets in each fill the gaps. Nothing is kept."
        )
        with gr.Row():
            clip = gr.Audio(
                sources=["upload", "microphone"],
                type="filepath",
                label="Clip",
                buttons=[],
                scale=3,
            )
            file = gr.File(label=".dvq file", file_types=[".dvq"], height=160, scale=1)
        with gr.Row():
            kbps = gr.Slider(least, most, min(3.0, most), step=0.1, label="Bitrate, kbps")
            loss = gr.Slider(0, 50, 0, step=1, label="Lost packets, %")
            copies = gr.Slider(0, _MOST_COPIES, 0, step=1, label="Copies in each packet")
        heard = gr.HTML(
            elem_id="heard",
            css_template=page_file("demo.css"),
            js_on_load=f"{page_file('player.js')}\n{page_file('demo.js')}",
        )
        settings = [kbps, loss, copies]
        gr.on(
            [part.change for part in (clip, *settings)],
            hear_clip,
            [clip, *settings],
            heard,
            show_progress="minimal",
            trigger_mode="always_last",
            api_visibility="private",
        )
        file.change(hear_file, file, heard, show_progress="minimal", api_visibility="private")
        page.unload(forget)
    return page


def released_uploads(uploads: dict[str, set[str]], session: str) -> set[str]:
    """Forget a session; returns its uploads that no other has: gradio names files by content."""
    return uploads.pop(session, set()).difference(*uploads.values())


def _look() -> dict[str, Any]:
    """Settings of `launch`: nothing comes from elsewhere, and nothing of a visit is recorded."""
    from gradio.themes import Default

    theme = Default(font=["system-ui", "sans-serif"], font_mono=["monospace"])
    return {
        "theme": theme,
        "share": False,
        "footer_links": [],
        "run_history": False,
        "ssr_mode": False,
        "max_file_size": "64mb",
    }


def coded(codec: Codec, path: str, kbps: float, loss: float = 0.0, copies: int = 0) -> Markup:
    """Markup of a sound file beside what comes back at a bitrate: from a `.dvq` file, or over a
    network that loses the share `loss` of its packets.
    """
    wave, rate = _read(path)
    encoded = codec.encode(wave, sample_rate_hz=rate, bitrate_kbps=kbps)
    stream = encoded.to_bytes()
    raw_bytes = 2 * wave.size
    note = (
        f"{_size(len(stream), wave.shape[1] / rate)}, {raw_bytes / len(stream):.0f} times smaller"
    )
    if loss:
        made, network_note = _called(codec, wave, rate, kbps, loss, copies)
        versions = [_Version("Decoded", network_note, made, rate)]
    else:
        audio = codec.decode(encoded)
        versions = [_Version("Decoded", note, audio.wave, rate)]
    original = _Version("Original", _size(raw_bytes, wave.shape[1] / rate), wave, rate)
    name = f"{Path(path).stem}_{kbps:g}kbps.dvq"
    return _panel([original, *versions], codec.config.sample_rate_hz, name, stream)


def decoded(codec: Codec, path: str) -> Markup:
    """Markup of a `.dvq` file."""
    stream = Path(path).read_bytes()
    audio = codec.decode(stream, max_seconds=MOST_SECONDS)
    if not audio.wave.size:
        raise AudioError("the file holds no sound; choose another")
    note = _size(len(stream), audio.wave.shape[1] / audio.sample_rate_hz)
    version = _Version("Decoded", note, audio.wave, audio.sample_rate_hz)
    return _panel([version], codec.config.sample_rate_hz, Path(path).name, stream)


def _read(path: str) -> tuple[np.ndarray, int]:
    """A clip (channels, samples) of one or two channels."""
    blocks, samples = [], 0
    with open_audio(path) as reader:
        rate = reader.sample_rate_hz
        for block in reader.blocks(rate):
            blocks.append(block)
            samples += block.shape[1]
            if samples > MOST_SECONDS * rate:
                raise AudioError(
                    f"the clip is longer than {MOST_SECONDS:g} s; choose a shorter one"
                )
    if not samples:
        raise AudioError("the clip holds no sound; choose another")
    wave = np.concatenate(blocks, axis=1)
    return checked_wave(wave[:_MOST_CHANNELS]), rate


def _called(
    codec: Codec, wave: np.ndarray, rate: int, kbps: float, loss: float, copies: int
) -> tuple[np.ndarray, str]:
    """What the other end of a call hears, and what was sent."""
    encoder = codec.live_encoder(
        sample_rate_hz=rate,
        bitrate_kbps=kbps,
        packet_ms=_PACKET_MS,
        channels=len(wave),
        copies=copies,
    )
    decoder = codec.live_decoder(sample_rate_hz=rate, channels=len(wave))
    packets = encoder.push(wave) + encoder.flush()
    arrives = np.random.default_rng(0).random(len(packets)) >= loss
    received = [
        decoder.live.unpack(packet) if here else None
        for packet, here in zip(packets, arrives, strict=True)
    ]
    heard = [
        decoder.push_codes(_codes_of(received, number, decoder, encoder.packet_frames))
        for number in range(len(received))
    ]
    made = np.atleast_2d(np.concatenate([*heard, decoder.flush()], axis=-1))
    note = (
        f"{len(packets)} packets of {_PACKET_MS} ms, {int((~arrives).sum())} lost; "
        f"{_size(sum(map(len, packets)), wave.shape[1] / rate)} without headers"
    )
    return made[:, : wave.shape[1]], note


def _codes_of(
    received: list[LivePacket | None], number: int, decoder: LiveDecoder, frames: int
) -> np.ndarray:
    """The codes of a packet, or of the first copy of it that has come, or those that stand for
    lost ones.
    """
    own = received[number]
    if own is not None:
        return own.codes
    for distance, later in enumerate(received[number + 1 : number + 1 + _MOST_COPIES]):
        copy = later.copies[distance] if later and distance < len(later.copies) else None
        if copy is not None:
            return copy
    return decoder.lost_codes(frames)


@dataclasses.dataclass(frozen=True)
class _Version:
    """Something to hear: wave (channels, samples)."""

    name: str
    note: str
    wave: np.ndarray
    rate: int


def _panel(versions: list[_Version], model_hz: int, file_name: str, stream: bytes) -> Markup:
    """Controls, the versions under each other on the same axes, and the file to download."""
    first = versions[0]
    axes = Axes.of(first.wave.mean(axis=0), first.rate)
    axes = dataclasses.replace(axes, top_hz=min(first.rate, model_hz) / 2)
    download = tag(
        "a",
        f"Download {file_name}",
        download=file_name,
        href=data_uri("application/octet-stream", stream),
    )
    note = (
        f"Spectrograms: 0 to {axes.top_hz / 1000:g} kHz upward, {axes.seconds:.1f} s, light is "
        "loud (80 dB). Choose a version with a click: the place stays."
    )
    return tag(
        "div",
        transport(),
        *(_row(version, axes, chosen=version is versions[-1]) for version in versions),
        tag("p", download),
        tag("p", note, class_="note"),
        data_part="panel",
        data_seconds=axes.seconds,
    )


def _row(version: _Version, axes: Axes, *, chosen: bool) -> Markup:
    picture = spectrogram_png(version.wave.mean(axis=0), version.rate, axes)
    flac = flac_bytes(version.wave.T, version.rate, version.name)
    return tag(
        "figure",
        tag(
            "figcaption",
            tag(
                "label",
                tag("input", type="radio", name="version", checked=chosen),
                tag("b", version.name),
            ),
            tag("span", version.note, class_="note"),
        ),
        tag(
            "div",
            tag(
                "img",
                src=data_uri("image/png", picture),
                alt=f"Spectrogram: {version.name}",
            ),
            tag("span", class_="cursor"),
            class_="spectrogram",
        ),
        data_audio=data_uri("audio/flac", flac),
    )


def _size(count: int, seconds: float) -> str:
    shown = f"{count:,} bytes" if count < 10_000 else f"{count / 1000:,.0f} kB"
    return f"{shown}, {8 * count / seconds / 1000:.2f} kbps"


if __name__ == "__main__":
    make_page(Codec.load()).launch(**_look())
