"""The demo: what its markup holds, without gradio; and the page, in a browser."""

from __future__ import annotations

import base64
import importlib.util
import io
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from report.browser import Browser, chromium, needs_chromium
from report.reading import parse
from small_models import started_checkpoint, tiny_noisy
from synthesis import synthesize_speech

from codec import AudioError, BitstreamError, Codec
from codec.demo import coded, decoded, released_uploads, serve_demo

RATE = 16_000


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("models") / "live.safetensors"
    started_checkpoint(tiny_noisy()).save(path)
    return path


@pytest.fixture(scope="module")
def codec(model) -> Codec:
    return Codec.load(model, device="cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "a clip.wav"
    soundfile.write(path, synthesize_speech(2.0, seed=2), RATE)
    return path


def data(uri: str) -> bytes:
    return base64.b64decode(uri.partition(",")[2])


def heard(markup: str) -> list[np.ndarray]:
    """The sound of each version, (samples, channels)."""
    figures = parse(markup).all("figure")
    return [
        soundfile.read(io.BytesIO(data(figure.attributes["data-audio"])), always_2d=True)[0]
        for figure in figures
    ]


def test_the_markup_has_what_encode_and_decode_give(codec, clip):
    page = coded(codec, str(clip), 0.9)
    encoded = codec.encode(clip, bitrate_kbps=0.9)
    original, made = heard(page)
    np.testing.assert_allclose(original[:, 0], soundfile.read(clip)[0], atol=1e-4)
    np.testing.assert_allclose(made[:, 0], codec.decode(encoded).wave[0].clip(-1, 1), atol=1e-4)
    link = parse(page).one("a")
    stream = encoded.to_bytes()
    assert (link.attributes["download"], data(link.attributes["href"])) == (
        "a clip_0.9kbps.dvq",
        stream,
    )
    assert f"{len(stream)} bytes, {8 * len(stream) / 2000:.2f} kbps" in page
    pictures = [data(image.attributes["src"]) for image in parse(page).all("img")]
    assert [picture[1:4] for picture in pictures] == [b"PNG", b"PNG"]


def test_a_stream_is_heard_too(codec, clip, tmp_path):
    codec.encode(clip).save(tmp_path / "x.dvq")
    (made,) = heard(decoded(codec, str(tmp_path / "x.dvq")))
    np.testing.assert_allclose(
        made[:, 0], codec.decode(codec.encode(clip)).wave[0].clip(-1, 1), atol=1e-4
    )
    (tmp_path / "bad.dvq").write_bytes(b"none")
    with pytest.raises(BitstreamError):
        decoded(codec, str(tmp_path / "bad.dvq"))


def test_lost_packets_are_heard_and_copies_fill_them(codec, clip):
    wave = soundfile.read(clip)[0]
    encoder = codec.live_encoder(sample_rate_hz=RATE, bitrate_kbps=0.9)
    packets = encoder.push(wave) + encoder.flush()
    page = coded(codec, str(clip), 0.9, loss=0.2)
    lost = int(re.search(rf"{len(packets)} packets of 60 ms, (\d+) lost", page)[1])
    assert 1 <= lost < len(packets) / 2
    assert f"{sum(map(len, packets))} bytes" in page

    def distance(loss: float, copies: int) -> float:
        whole, made = (heard(coded(codec, str(clip), 0.9, x, copies))[1] for x in (1e-9, loss))
        assert made.shape == (2 * RATE, 1)
        return float(np.mean((whole - made) ** 2))

    assert 0 < distance(0.2, 3) < distance(0.2, 0)


def test_two_channels_at_another_rate(codec, tmp_path):
    two = np.stack([synthesize_speech(1.0, seed=seed) for seed in (3, 4)], 1)
    soundfile.write(tmp_path / "two.flac", two, 22_050)
    for loss in (0.0, 0.1):
        shapes = {made.shape for made in heard(coded(codec, str(tmp_path / "two.flac"), 0.9, loss))}
        assert shapes == {two.shape}


def test_what_is_no_clip(codec, tmp_path):
    soundfile.write(tmp_path / "long.wav", np.zeros(121 * 8000), 8000)
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "fast.wav", np.zeros(7000), 700_000)
    (tmp_path / "text.wav").write_text("no audio")
    for name, said in (
        ("fast", "Original: FLAC, .* holds up to 8 channels and 655350 Hz, not 1 .* 700000 Hz"),
        ("long", "longer than 120 s"),
        ("empty", "holds no sound"),
        ("text", "text.wav"),
    ):
        with pytest.raises(AudioError, match=said):
            coded(codec, str(tmp_path / f"{name}.wav"), 0.9)


def test_a_clip_stays_while_another_session_has_it():
    uploads = {"a": {"x.wav", "y.wav"}, "b": {"x.wav"}}
    assert released_uploads(uploads, "a") == {"y.wav"}
    assert released_uploads(uploads, "b") == {"x.wav"}
    assert released_uploads(uploads, "c") == set()


def test_without_gradio_one_line_says_how_to_get_it(call, model, monkeypatch):
    monkeypatch.setattr("codec.demo.find_spec", lambda name: None)
    result = call("demo", "--no-browser", "--model", model)
    assert result.code == 1
    assert result.error == (
        "diveq-codec: error: the demo needs gradio: pip install 'diveq-codec[demo]'"
    )


class Page:
    """Stands for gradio's, which starts no server."""

    def launch(self, **_: object) -> tuple[None, str, None]:
        self.folder = Path(os.environ["GRADIO_TEMP_DIR"])
        return None, "an address", None

    def close(self, **_: object) -> None:
        assert self.folder.is_dir()


@pytest.mark.parametrize("before", [None, "mine"])
def test_the_folder_of_uploads_goes_and_the_variable_is_as_before(codec, monkeypatch, before):
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)
    if before is not None:
        monkeypatch.setenv("GRADIO_TEMP_DIR", before)
    page = Page()
    monkeypatch.setattr("codec.demo.find_spec", lambda name: name)
    monkeypatch.setattr("codec.demo._look", dict)
    monkeypatch.setattr("codec.demo.make_page", lambda codec: page)
    with serve_demo(codec):
        assert page.folder.is_dir()
        assert page.folder != Path(before or "")
    assert not page.folder.exists()
    assert os.environ.get("GRADIO_TEMP_DIR") == before


needs_gradio = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is not installed"
)
PATIENCE_SECONDS = 240  # gradio alone takes many to import on a busy machine
COUNT_STARTS = """
window.starts = 0;
const start = AudioBufferSourceNode.prototype.start;
AudioBufferSourceNode.prototype.start = function (...given) {
  window.starts += 1;
  return start.apply(this, given);
};
"""


class Server:
    """`diveq-codec demo` as a process, whose temporary files lie in `folder`."""

    def __init__(self, folder: Path, model: Path) -> None:
        folder.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.folder, self.address = folder, f"http://127.0.0.1:{port}/"
        command = ("demo", "--no-browser", "--port", str(port), "--model", str(model))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "codec.cli", *command],
            env=os.environ | {"TMPDIR": str(folder), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        said = self.process.stderr.readline()
        assert said == f"diveq-codec: listening on {self.address}; Ctrl-C ends it\n"

    def files(self) -> list[Path]:
        """Those that hold anything; gradio makes empty ones besides."""
        return [path for path in self.folder.rglob("*") if path.is_file() and path.stat().st_size]


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def server(tmp_path_factory, model) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("demo") / "files", model)
    yield server
    server.process.kill()
    server.process.communicate()


@pytest.fixture(scope="module")
def browser(tmp_path_factory, server, clip) -> Iterator[Browser]:
    """A Chromium whose microphone hears the clip, over and over."""
    microphone = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={clip}",
    )
    with chromium(tmp_path_factory.mktemp("profile"), *microphone) as browser:
        browser.call("Page.addScriptToEvaluateOnNewDocument", source=COUNT_STARTS)
        yield browser


@pytest.fixture
def page(browser, server) -> Iterator[Browser]:
    """The page, fresh; nothing but the server is asked for anything, and no error is logged."""
    browser.open(server.address)
    wait_for(lambda: browser.run("document.querySelectorAll('input[type=file]').length == 2"))
    browser.console.clear()
    yield browser
    hosts = {urlsplit(address).netloc for address in browser.requests}
    assert hosts <= {urlsplit(server.address).netloc, ""}
    assert set(browser.console) <= {"Method not implemented."}  # of gradio's, on closing a stream


def drop(page: Browser, number: int, file: Path) -> None:
    """Give a file to the page's input of that number: 0 is for clips, 1 for `.dvq`."""
    root = page.call("DOM.getDocument")["root"]["nodeId"]
    inputs = page.call("DOM.querySelectorAll", nodeId=root, selector="input[type=file]")["nodeIds"]
    page.call("DOM.setFileInputFiles", nodeId=inputs[number], files=[str(file)])


def slide(page: Browser, name: str, value: float) -> None:
    page.run(
        f"""(() => {{
          const label = [...document.querySelectorAll("label")].find((one) =>
            one.textContent.includes({name!r}));
          const slider = label.closest(".block").querySelector("input[type=range]");
          slider.value = {value};
          slider.dispatchEvent(new Event("input", {{ bubbles: true }}));
          slider.dispatchEvent(new Event("change", {{ bubbles: true }}));
        }})()"""
    )


def shown(page: Browser) -> str:
    return page.run("document.querySelector('#heard').innerHTML")


def figures(page: Browser) -> int:
    return page.run("document.querySelectorAll('#heard figure').length")


@needs_gradio
@needs_chromium
def test_a_clip_is_coded_as_the_bitrate_slides(page, codec, clip):
    drop(page, 0, clip)
    wait_for(lambda: figures(page) == 2)
    slide(page, "Bitrate", 0.6)
    stream = codec.encode(clip, bitrate_kbps=0.6).to_bytes()
    wait_for(lambda: f"{len(stream)} bytes" in shown(page))
    link = parse(shown(page)).one("a")
    assert link.attributes["download"] == "a clip_0.6kbps.dvq"
    assert data(link.attributes["href"]) == stream
    slide(page, "Lost", 20)
    wait_for(lambda: " lost" in shown(page))


@needs_gradio
@needs_chromium
def test_original_and_decoded_are_heard_in_place(page, clip):
    drop(page, 0, clip)
    wait_for(lambda: figures(page) == 2)
    page.run("document.querySelector('[data-part=loop]').click()")
    page.run("document.querySelector('[data-part=play]').click()")
    clock = "parseFloat(document.querySelector('[data-part=time]').textContent)"
    wait_for(lambda: page.run(clock) > 0.2)
    starts = page.run("window.starts")
    page.run("document.querySelector('#heard figure input').click()")
    assert page.run("document.querySelector('#heard .heard b').textContent") == "Original"
    assert page.run("window.starts") == starts == 2, "both run, and switching starts nothing anew"
    page.run("document.querySelector('[data-part=play]').click()")
    place = page.run(clock)
    slide(page, "Bitrate", 0.7)
    wait_for(lambda: page.run("document.querySelectorAll('#heard figure.heard').length") == 1)
    assert page.run("document.querySelector('#heard .heard b').textContent") == "Original"
    assert page.run(clock) == place


@needs_gradio
@needs_chromium
def test_a_dropped_stream_is_heard(page, codec, clip, tmp_path):
    codec.encode(clip).save(tmp_path / "x.dvq")
    drop(page, 1, tmp_path / "x.dvq")
    wait_for(lambda: figures(page) == 1)
    assert 'download="x.dvq"' in shown(page)


@needs_gradio
@needs_chromium
def test_a_microphone_is_recorded(page, codec):
    page.run("document.querySelector('button[aria-label=\"Record audio\"]').click()")
    wait_for(lambda: page.run("!!document.querySelector('button.record')"))
    page.run("document.querySelector('button.record').click()")
    wait_for(lambda: page.run("!!document.querySelector('button.stop-button')"))
    time.sleep(3)
    page.run("document.querySelector('button.stop-button').click()")
    wait_for(lambda: figures(page) == 2)
    original, made = heard(shown(page))
    assert len(original) == len(made) > 0
    assert np.std(original) > 1e-3


@needs_gradio
@needs_chromium
def test_a_phone_needs_no_sideways_scrolling(page, clip):
    page.size(320, 640)
    drop(page, 0, clip)
    wait_for(lambda: figures(page) == 2)
    assert page.run("document.documentElement.scrollWidth") == 320
    page.size(1280, 900)


@needs_gradio
@needs_chromium
def test_what_is_no_clip_is_said(page, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    drop(page, 0, tmp_path / "text.wav")
    said = "document.querySelector('.toast-body')?.innerText ?? ''"
    wait_for(lambda: "text.wav" in page.run(said))
    page.console.clear()  # the browser's own complaint


@needs_gradio
@needs_chromium
def test_uploads_go_with_the_page_and_all_else_with_the_server(browser, server, clip):
    browser.open(server.address)
    wait_for(lambda: browser.run("document.querySelectorAll('input[type=file]').length == 2"))
    drop(browser, 0, clip)
    wait_for(lambda: figures(browser) == 2)
    assert clip.name in {path.name for path in server.files()}
    browser.open("about:blank")
    wait_for(lambda: not server.files())
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE_SECONDS) == 0
    assert list(server.folder.iterdir()) == []
