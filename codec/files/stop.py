"""Stop signals: they end a process within a second, and leave no half-written file and no child
process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

from .output import abandon_outputs

__all__ = ["Stopped", "check_stopped", "end_process", "stop_signals"]

_SIGNALS = [signal.SIGTERM, signal.SIGINT]
if hasattr(signal, "SIGHUP"):  # not on Windows
    _SIGNALS.append(signal.SIGHUP)
_UNHANDLED = (signal.SIG_DFL, signal.default_int_handler)
_PATIENCE_SECONDS = 0.3

_came: list[int] = []  # the stop signal of this process


class Stopped(KeyboardInterrupt):
    """A stop signal came. Raised in the main thread, where Python handles signals."""

    def __init__(self, number: int, words: str | None = None) -> None:
        super().__init__(number)
        self.exit_code = 128 + number
        self.words = words or ("interrupted" if number == signal.SIGINT else "terminated")


@contextmanager
def stop_signals(*, message: Callable[[Stopped], str] | None = None) -> Iterator[None]:
    """Raise `Stopped` on SIGTERM, SIGINT (Ctrl-C) and SIGHUP, where they have their default action.

    The first one counts: the others are ignored from then on, as `timeout` sends its signal twice.
    With `message` a `Stopped` that would leave the block ends this process, saying so. It has to
    happen in here: once the signals have their default action again, the second would end the
    ending.
    """
    is_main_thread = threading.current_thread() is threading.main_thread()
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number in _SIGNALS if is_main_thread and handlers[number] in _UNHANDLED]

    def stop(number: int, _frame: Any) -> NoReturn:
        for other in ours:
            signal.signal(other, signal.SIG_IGN)
        _came.append(number)
        raise Stopped(number)

    _came.clear()
    try:
        for number in ours:
            signal.signal(number, stop)
        yield
    except Stopped as stopped:
        if message is None:
            raise
        end_process(stopped.exit_code, message(stopped))
    finally:
        for number in ours:
            signal.signal(number, handlers[number])


def check_stopped() -> None:
    """Raise `Stopped` once more where a signal has come: Python drops what is raised while it runs
    a finalizer.
    """
    if _came:
        raise Stopped(_came[0])


def end_process(exit_code: int, message: str) -> NoReturn:
    """End this process at once, whatever its other threads wait for, and with it the processes that
    it started.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    abandon_outputs()
    # Standard error may be a full pipe that nobody reads, or locked by a thread that waits for it.
    _within(_PATIENCE_SECONDS, lambda: print(message, file=sys.stderr, flush=True))
    _silence()
    _within(_PATIENCE_SECONDS, _end_children)
    os._exit(exit_code)


def _within(seconds: float, act: Callable[[], object]) -> None:
    """Run a function in a thread, and wait at most so long."""
    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)


def _silence() -> None:
    """Discard what other threads print from now on, such as that their processes have died."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)


def _end_children() -> None:
    if "multiprocessing" not in sys.modules:
        return
    from multiprocessing import active_children, util

    for child in active_children():
        child.kill()
    # Semaphores, of which a process of the standard library would else tell as "leaked".
    util._run_finalizers(0)  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]
