"""Headless Chromium, driven over two pipes by its DevTools protocol: no driver and no package is
needed.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

fcntl = pytest.importorskip(
    "fcntl", reason="Chromium is spoken to over descriptors that only POSIX systems pass on"
)

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
ANSWER_SECONDS = 60


def find_chromium() -> str | None:
    """The program that DIVEQ_CHROMIUM names, or the first of the usual names on the path."""
    return os.environ.get("DIVEQ_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


needs_chromium = pytest.mark.skipif(
    find_chromium() is None,
    reason=f"no Chromium: none of {', '.join(NAMES)} is installed, nor does DIVEQ_CHROMIUM name "
    f"one",
)


class Browser:
    """One page of one Chromium. `console` has what was logged or thrown, `requests` the addresses
    asked for.
    """

    def __init__(self, to_chromium: int, from_chromium: int) -> None:
        self._write, self._read = to_chromium, from_chromium
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session: str | None = None
        self.console: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)[
            "sessionId"
        ]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its result."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        answer = self._await(lambda heard: heard.get("id") == number)
        assert "error" not in answer, answer
        return answer["result"]

    def open(self, page: Path | str) -> None:
        """Load a page from disk, or from its address, to the end."""
        url = page if isinstance(page, str) else page.resolve().as_uri()
        self.call("Page.navigate", url=url)
        self._await(lambda heard: heard.get("method") == "Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of an expression in the page; a promise is awaited."""
        result = self.call(
            "Runtime.evaluate",
            expression=script,
            returnByValue=True,
            awaitPromise=True,
            userGesture=True,
        )
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def press(self, key: str) -> None:
        """A key, pressed and released, where the focus is."""
        typed = {"text": key} if len(key) == 1 else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, **typed)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key)

    def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """The window's size, and its colour scheme."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What is seen, or the whole page, as a PNG file."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)[
            "data"
        ]
        path.write_bytes(base64.b64decode(data))

    def _await(self, wanted) -> dict[str, Any]:
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            while b"\0" in self._buffer:
                line, self._buffer = self._buffer.split(b"\0", 1)
                heard = json.loads(line)
                self._note(heard)
                if wanted(heard):
                    return heard
            ready, _, _ = select.select([self._read], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "Chromium does not answer"
            data = os.read(self._read, 1 << 20)
            assert data, "Chromium has ended"
            self._buffer += data

    def _note(self, heard: dict[str, Any]) -> None:
        method, parameters = heard.get("method"), heard.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.console.append(
                " ".join(str(argument.get("value")) for argument in parameters["args"])
            )
        elif method == "Runtime.exceptionThrown":
            self.console.append(json.dumps(parameters["exceptionDetails"]))
        elif method == "Log.entryAdded":
            self.console.append(parameters["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(parameters["request"]["url"])


@contextlib.contextmanager
def chromium(profile: Path, *more_options: str) -> Iterator[Browser]:
    """A browser with an empty profile that may play sound without a click, and has no network but
    loopback.
    """
    program = find_chromium()
    assert program is not None
    theirs_in, ours_out = (_out_of_the_way(end) for end in os.pipe())
    ours_in, theirs_out = (_out_of_the_way(end) for end in os.pipe())
    options = (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--autoplay-policy=no-user-gesture-required",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--mute-audio",
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
        "--hide-scrollbars",
        *more_options,
    )

    def speak_on_3_and_4() -> None:
        os.dup2(theirs_in, 3)
        os.dup2(theirs_out, 4)

    process = subprocess.Popen(
        [program, *options],
        close_fds=False,
        preexec_fn=speak_on_3_and_4,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for theirs in (theirs_in, theirs_out):
        os.close(theirs)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        for ours in (ours_out, ours_in):
            os.close(ours)  # which ends it
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _out_of_the_way(end: int) -> int:
    """The end of a pipe under a number above those that Chromium wants."""
    high = fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(end)
    return high
