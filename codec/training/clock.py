"""Decides when a run is over and when something in it is due, by the run's own time, which goes on
over resumptions.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any

import torch

from ..files.stop import Stopped
from .distributed import average, from_first, processes
from .trainer import Trainer

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Clock:
    """How much of the run has passed, over all its resumptions: by steps, or by minutes of
    training.

    `tick` moves it. All processes see the same times and the same `stop`, whichever of them got the
    signal.
    """

    def __init__(self, trainer: Trainer, elapsed_s: float) -> None:
        self.trainer = trainer
        self.elapsed_s = elapsed_s
        self.stop = False
        self.stop_signal = 0  # that this process got, or 0
        self.stops_at_once = False
        self._zero = monotonic() - elapsed_s

    def tick(self) -> None:
        """Agree with the other processes on time and stop signal."""
        (self.elapsed_s,) = from_first([monotonic() - self._zero], self.trainer.device)
        self.stop = self._any_requested() if processes() > 1 else bool(self.stop_signal)

    def _any_requested(self) -> bool:
        requests = torch.tensor(float(self.stop_signal > 0), device=self.trainer.device)
        average([requests])
        return bool(requests > 0)

    @property
    def stopped_by(self) -> int:
        """The signal that ended the run, or 0; SIGTERM stands for that of another process."""
        return (self.stop_signal or signal.SIGTERM) if self.stop else 0

    @property
    def progress(self) -> float:
        settings = self.trainer.settings
        by_steps = self.trainer.steps / settings.steps if settings.steps else 0.0
        by_time = self.elapsed_s / (60 * settings.max_minutes) if settings.max_minutes else 0.0
        return min(1.0, max(by_steps, by_time))

    @property
    def is_over(self) -> bool:
        return self.stop or self.progress >= 1


class Every:
    """Fires once in each period of the run's time, so that a resumed run keeps the rhythm."""

    def __init__(self, period_s: float, clock: Clock) -> None:
        self.period_s, self.clock = period_s, clock
        self._done = self._periods()

    def is_due(self) -> bool:
        done, self._done = self._done, self._periods()
        return self._done > done

    def _periods(self) -> int:
        return int(self.clock.elapsed_s // self.period_s)


@contextmanager
def at_once(clock: Clock) -> Iterator[None]:
    """Stop signals raise `Stopped` here, where nothing would be lost, as does one that came just
    before; several processes stop as ever.
    """
    clock.stops_at_once = processes() == 1
    try:
        if clock.stops_at_once and clock.stop_signal:
            raise Stopped(clock.stop_signal)
        yield
    finally:
        clock.stops_at_once = False


@contextmanager
def stopped_by_signals(clock: Clock) -> Iterator[None]:
    """SIGTERM and SIGINT (Ctrl-C) ask the clock to stop; a second SIGINT, or one `at_once`, raises
    `Stopped`.
    """

    def request(number: int, _frame: Any) -> None:
        is_second = clock.stop_signal and number == signal.SIGINT
        clock.stop_signal = number
        if is_second or clock.stops_at_once:
            raise Stopped(number)

    previous = {number: signal.signal(number, request) for number in _STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
