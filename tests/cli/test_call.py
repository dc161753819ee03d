"""`send` and `receive` over loopback, in processes of their own and in real time where audio is
sent.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import soundfile
from codec.cli import send
from small_models import started_checkpoint, tiny_noisy
from synthesis import synthesize_speech

from codec import Codec, RtpSender

SECONDS = 1.5


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "live.safetensors"
    started_checkpoint(tiny_noisy()).save(path)
    return str(path)


def finish(process, seconds=300):
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out.decode(), err.decode()


@pytest.fixture
def port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_until_it_listens(receiver, port):
    assert (
        receiver.stderr.readline().decode().strip() == f"diveq-codec: listening on 127.0.0.1:{port}"
    )


def start_speaking(start, seconds, to, model):
    """A sender whose standard input got so much raw speech, and stays open."""
    sender = start("send", "-", to, "--model", model, stdin=subprocess.PIPE)
    sender.stdin.write((synthesize_speech(seconds, seed=4) * 32767).astype("<i2").tobytes())
    sender.stdin.flush()
    return sender


class Relay:
    """Hands datagrams on to a port, and counts them, so that nobody need guess how long they
    take.
    """

    def __init__(self, port: int) -> None:
        self._target = ("127.0.0.1", port)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._passed = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._hand_on, daemon=True)
        self.port = self._socket.getsockname()[1]

    def __enter__(self) -> Relay:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        """End once all that was sent so far is handed on: an empty datagram is the last."""
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _hand_on(self) -> None:
        while datagram := self._socket.recv(1 << 16):
            self._socket.sendto(datagram, self._target)
            self._passed.release()

    def wait_for(self, datagrams: int) -> None:
        for _ in range(datagrams):
            assert self._passed.acquire(timeout=300), "the sender has not sent so many"


def test_a_file_is_sent_and_received(start, tmp_path, model, port):
    wave = synthesize_speech(SECONDS, seed=4)
    soundfile.write(tmp_path / "speech.wav", wave, 16_000)
    heard = tmp_path / "heard.wav"
    receiver = start("receive", port, heard, "--model", model, "--json")
    wait_until_it_listens(receiver, port)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"nothing", ("127.0.0.1", port))
        sender = start(
            "send",
            tmp_path / "speech.wav",
            f"127.0.0.1:{port}",
            "--model",
            model,
            "--bitrate",
            0.9,
            "--json",
        )
        code, out, err = finish(sender)
    assert (code, err) == (0, "")
    sent = json.loads(out)
    assert sent["packets"] == SECONDS / 0.06
    assert sent["seconds"] == pytest.approx(SECONDS)
    assert sent["network_kbps"] > sent["payload_kbps"] + 5
    code, out, err = finish(receiver)
    assert (code, err) == (0, "")
    received = json.loads(out)
    assert (received["packets"], received["lost"], received["malformed"]) == (25, 0, 1)
    samples, rate = soundfile.read(heard)
    assert rate == 16_000
    assert len(samples) == round(received["played_seconds"] * 16_000)
    assert np.std(samples) > 0


def test_ctrl_c_ends_both_and_keeps_what_was_heard(start, tmp_path, model, port):
    heard = tmp_path / "heard.wav"
    receiver = start("receive", port, heard, "--model", model)
    wait_until_it_listens(receiver, port)
    with Relay(port) as relay:
        sender = start_speaking(start, 1.0, f"127.0.0.1:{relay.port}", model)
        relay.wait_for(16)
        assert sender.poll() is None  # it waits for more
        sender.send_signal(signal.SIGINT)
        code, _, err = finish(sender)
    assert code == 0
    assert "the stream ends here" in err
    assert "sent 16 packets for 0.96 s" in err
    code, _, err = finish(receiver)
    assert code == 0
    assert "received 16 packets" in err
    assert soundfile.info(heard).duration >= 0.96


@pytest.mark.skipif(sys.platform == "win32", reason="processes cannot be halted")
def test_a_receiver_that_falls_behind_says_so(start, tmp_path, model, port):
    soundfile.write(tmp_path / "speech.wav", synthesize_speech(3.0, seed=4), 16_000)
    receiver = start("receive", port, tmp_path / "heard.wav", "--model", model, "--json")
    wait_until_it_listens(receiver, port)
    with Relay(port) as relay:
        to = f"127.0.0.1:{relay.port}"
        sender = start("send", tmp_path / "speech.wav", to, "--model", model)
        relay.wait_for(15)
        receiver.send_signal(signal.SIGSTOP)
        relay.wait_for(25)
        receiver.send_signal(signal.SIGCONT)
        assert finish(sender)[0] == 0
    received = json.loads(finish(receiver)[1])
    assert (received["packets"], received["lost"], received["late"]) == (50, 0, 0)
    assert received["behind_seconds"] > 1
    assert received["delay_seconds"] >= 0


@pytest.mark.skipif(sys.platform != "linux", reason="needs a pipe of a size of its own")
def test_a_signal_ends_it_where_nobody_reads(start, model, port):
    import fcntl

    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)  # an eighth of a second of audio
    receiver = start("receive", port, "-", "--model", model, stdout=writer)
    wait_until_it_listens(receiver, port)
    sender = start_speaking(start, 1.5, f"127.0.0.1:{port}", model)
    sender.stdin.close()
    assert sender.wait(timeout=300) == 0
    receiver.send_signal(signal.SIGTERM)
    assert receiver.wait(timeout=300) == 0
    assert "received" in receiver.stderr.read().decode()
    os.close(reader)
    os.close(writer)


def test_strangers_do_not_keep_it_alive(start, tmp_path, model, port):
    receiver = start("receive", port, tmp_path / "heard.wav", "--model", model, "--idle", 1)
    wait_until_it_listens(receiver, port)
    with Relay(port) as relay:
        sender = start_speaking(start, 0.5, f"127.0.0.1:{relay.port}", model)
        relay.wait_for(6)
        sender.kill()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while receiver.poll() is None:
            stranger.sendto(b"nothing", ("127.0.0.1", port))
            time.sleep(0.05)
    assert "nothing has come for 1 s" in receiver.stderr.read().decode()
    assert soundfile.info(tmp_path / "heard.wav").duration < 10


def test_a_moment_without_network_ends_nothing(capsys):
    class Gone:
        sent = 0

        def send(self, datagram):
            self.sent += 1
            if self.sent < 3:
                raise OSError(errno.ENETUNREACH, "Network is unreachable")

    gone = Gone()
    give = send._given_to(gone)
    for _ in range(4):
        give(b"x")
    assert gone.sent == 4
    assert capsys.readouterr().err.count("Network is unreachable; going on") == 1


def test_what_was_recorded_meanwhile_is_sent_at_once(model):
    """And what is not due yet waits."""
    codec = Codec.load(model, backend="onnx")
    blocks = np.split(synthesize_speech(0.9, seed=4), 9)
    for recorded, least, most in ((0.0, 0.9, 60.0), (100.0, 0.0, 0.8)):
        encoder = codec.live_encoder(sample_rate_hz=16_000)
        send._take_first_time(encoder, 16_000)
        packets: list[bytes] = []
        begun = time.monotonic()
        send._send_all(
            iter(blocks),
            16_000,
            encoder,
            RtpSender(clock_hz=16_000),
            packets.append,
            begun - recorded,
        )
        assert least <= time.monotonic() - begun < most
        assert len(packets) == 15


def test_a_damaged_recording_is_not_sent(call, tmp_path, model):
    whole = tmp_path / "whole.wav"
    soundfile.write(whole, synthesize_speech(0.5, seed=4), 16_000)
    (tmp_path / "half.wav").write_bytes(whole.read_bytes()[:-4000])
    result = call("send", tmp_path / "half.wav", "127.0.0.1:9", "--model", model)
    assert result.code == 1
    assert "half.wav" in result.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["send", "speech.wav", "5004"], 2, "HOST:PORT with a port of 1 to 65535, not '5004'"),
        (["send", "no.wav", "127.0.0.1:5004"], 1, "cannot read no.wav"),
        (
            ["receive", "70000", "out.wav"],
            2,
            "PORT or HOST:PORT with a port of 1 to 65535, not '70000'",
        ),
        (["receive", "203.0.113.9:5004", "out.wav"], 1, "203.0.113.9:5004 cannot be used"),
        (["receive", "5004", "out.wav", "--delay-ms", "nan"], 2, "--delay-ms is 0 to 500, not nan"),
        (["receive", "5004", "out.wav", "--delay-ms", "501"], 2, "--delay-ms is 0 to 500, not 501"),
    ],
)
def test_what_cannot_be_is_named(call, tmp_path, monkeypatch, model, arguments, code, reason):
    monkeypatch.chdir(tmp_path)
    result = call(*arguments, "--model", model)
    assert result.code == code
    assert reason in result.err
    assert not list(tmp_path.iterdir())
