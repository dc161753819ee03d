"""`diveq-codec demo`: a page in the browser on which a model is tried."""

from __future__ import annotations

import contextlib
import time
import webbrowser
from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from tyro.conf import arg

from .console import note
from .options import Debug, Engine, Flag, group


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """Try a model in the browser: record, slide the bitrate, listen.

    $ diveq-codec demo
    $ diveq-codec demo --host 0.0.0.0 --no-browser     for a phone in the same network

    Needs gradio: pip install 'diveq-codec[demo]'. Clips stay on this machine, and are removed when
    their page is closed. Browsers open the microphone only to pages from their own machine or over
    https.
    """

    ends_when_stopped: ClassVar[bool] = True
    host: Annotated[str, arg(metavar="ADDRESS", help_behavior_hint="")] = "127.0.0.1"
    """To listen on. By default this machine alone can connect; 0.0.0.0 lets any other."""
    port: Annotated[int, arg(metavar="N", help_behavior_hint="")] = 0
    """By default the first free one from 7860 on."""
    no_browser: Flag = False
    """Do not open the page."""
    engine: Annotated[Engine, group(Engine)] = field(default_factory=Engine)
    debug: Debug = False

    def run(self) -> int:
        """Serve until a stop signal comes."""
        from codec import serve_demo

        self.engine.share_threads(1)
        codec = self.engine.load_for_calls()
        with serve_demo(codec, host=self.host, port=self.port or None) as address:
            note(f"listening on {address}; Ctrl-C ends it")
            if not self.no_browser:
                webbrowser.open(address)
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(1)
        return 0
