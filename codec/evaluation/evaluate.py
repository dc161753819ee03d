"""The evaluation: every candidate decodes every original, and all are scored alike."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from types import MappingProxyType

import numpy as np

from ..errors import AudioError, ConfigError
from ..metrics import METRICS, Metric, score, select_metrics
from ..streams.live import checked_rate
from .candidates import Candidate, Decoded
from .recordings import Recordings
from .result import Clip, Evaluation, PlugIn, Reference
from .score_processes import score_workers
from .scoring import Comparison, Pair, compare
from .signal import Original, Signal
from .summary import summarise
from .tally import Tally

__all__ = ["NO_METRICS", "OnReference", "evaluate"]

OnReference = Callable[[str, Mapping[str, Clip]], object]
_Named = tuple[str, Signal | str]
NO_METRICS: Mapping[str, Metric] = MappingProxyType({})
# What is coded before it is scored. Coding is timed, so nothing runs beside it; and the more clips
# are then scored, the more evenly the processes are loaded.
_BATCH_CLIPS = 16
_BATCH_SECONDS = 600


def evaluate(
    originals: Iterable[Original],
    candidates: Sequence[Candidate],
    *,
    data: str,
    metrics: Iterable[str] | None = None,
    extra_metrics: Mapping[str, Metric] = NO_METRICS,
    sample_rate_hz: int | None = None,
    workers: Executor | int = 1,
    recordings: Recordings | None = None,
    on_reference: OnReference | None = None,
) -> Evaluation:
    """Evaluate codecs on a set of originals.

    Args:
        originals: What to code. One that cannot be read, or that a codec fails on, does not stop
            the others.
        candidates: The codecs, each with a name of its own.
        data: What the set of originals is called.
        metrics: Keys of `METRICS`; by default `DEFAULT_METRICS` without `absent_metrics`.
        extra_metrics: Metrics of the user, by name; with workers, of functions that can be pickled.
        sample_rate_hz: To which originals are resampled first; by default each keeps its own.
        workers: That score: an executor, or how many processes to start (1: none). Coding, which is
            timed, always runs in this process, and alone.
        recordings: Keeps originals and decoded audio as files.
        on_reference: Is called after each original, with its name, and its clip of every candidate
            by the candidate's name.

    Raises:
        ConfigError: A metric is unknown or not installed, two candidates have one name, or no audio
            has that rate.

    Example:
        >>> import pathlib, tempfile, soundfile
        >>> from codec import DecodedFolder, find_sources
        >>> scratch = tempfile.TemporaryDirectory()
        >>> folder = pathlib.Path(scratch.name)
        >>> wave = 0.1 * np.random.default_rng(0).standard_normal(16000)
        >>> for name, sound in (("original", wave), ("decoded", np.append(np.zeros(50), wave))):
        ...     soundfile.write(folder / f"{name}.flac", sound, 16000)
        >>> found = evaluate(
        ...     find_sources(folder / "original.flac"),
        ...     [DecodedFolder(folder / "decoded.flac")],
        ...     data="example",
        ...     metrics=["si_sdr"],
        ... )
        >>> found.systems[0].clips[0].delay_samples, found.systems[0].means["si_sdr"].mean
        (50, 100.0)
        >>> scratch.cleanup()
    """
    named = select_metrics(metrics)
    used = select_metrics(named, extra_metrics)
    if sample_rate_hz is not None:
        checked_rate(sample_rate_hz)
    _check(tuple(named), candidates)
    run = _Run(candidates, tuple(named), extra_metrics, sample_rate_hz, recordings)
    with _executor(workers, import_main=bool(extra_metrics)) as executor:
        for name, clips in run.measure(originals, executor):
            if on_reference is not None:
                on_reference(name, clips)
    return Evaluation(
        data=data,
        metrics=tuple(used),
        references=tuple(run.references),
        systems=tuple(tally.system(used) for tally in run.tallies),
        plug_ins={name: _described(metric) for name, metric in extra_metrics.items()},
        original_means=summarise(
            run.references, [name for name, metric in used.items() if metric.judges_originals]
        ),
    )


def _described(metric: Metric) -> PlugIn:
    return PlugIn(
        title=metric.title,
        unit=metric.unit,
        higher_is_better=metric.higher_is_better,
        best=metric.best,
    )


def _check(metrics: Sequence[str], candidates: Sequence[Candidate]) -> None:
    """Detect early what would end a long evaluation: two candidates of one name, or a package that
    is not installed.
    """
    names = [candidate.name for candidate in candidates]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ConfigError(
            f"each system needs a name of its own, but several are called {', '.join(twice)}"
        )
    score(np.zeros(1), np.zeros(1), sample_rate_hz=16_000, names=metrics)


@contextlib.contextmanager
def _executor(workers: Executor | int, *, import_main: bool) -> Iterator[Executor | None]:
    """Give the executor of the caller, processes of our own, or None for this process alone; an
    exception cancels work that has not begun.
    """
    if isinstance(workers, Executor):
        yield workers
    elif workers == 1:
        yield None
    else:
        with score_workers(workers, import_main=import_main) as executor:
            yield executor


class _Run:
    """An evaluation in progress."""

    def __init__(
        self,
        candidates: Sequence[Candidate],
        metrics: Sequence[str],
        extra_metrics: Mapping[str, Metric],
        sample_rate_hz: int | None,
        recordings: Recordings | None,
    ) -> None:
        self.references: list[Reference] = []
        self.tallies = [Tally(candidate) for candidate in candidates]
        self._metrics = metrics
        self._extra_metrics = dict(extra_metrics)
        self._judging = [name for name in metrics if METRICS[name].judges_originals]
        self._extra_judging = {
            name: metric for name, metric in extra_metrics.items() if metric.judges_originals
        }
        self._sample_rate_hz = sample_rate_hz
        self._recordings = recordings

    def measure(
        self, originals: Iterable[Original], executor: Executor | None
    ) -> Iterator[tuple[str, dict[str, Clip]]]:
        """The clips of each original by the system's name."""
        read = (self._read(original) for original in originals)
        for batch in _batches(read, _BATCH_CLIPS if executor else 1):
            coded = [(name, signal, self._code(name, signal)) for name, signal in batch]
            pairs = [
                pair
                for _, signal, outcomes in coded
                for pair in (self._original(signal), *self._pairs(signal, outcomes))
            ]
            comparisons = iter((executor.map if executor else map)(_compare, pairs))
            for name, signal, outcomes in coded:
                self._add_reference(name, signal, next(comparisons))
                yield (
                    name,
                    {
                        tally.candidate.name: self._add_clip(
                            name, signal, tally, decoded, next(comparisons)
                        )
                        for tally, decoded in zip(self.tallies, outcomes, strict=True)
                    },
                )

    def _read(self, original: Original) -> _Named:
        """The name of an original, and its audio, or why there is none."""
        try:
            signal = original.read()
            if not signal.wave.size:
                raise AudioError(f"{original.name} holds no samples")
            return original.name, signal.at(self._sample_rate_hz or signal.sample_rate_hz)
        except AudioError as error:
            return original.name, str(error)

    def _code(self, name: str, signal: Signal | str) -> list[Decoded | str]:
        """Decode the original by each candidate, or say why that failed."""
        if isinstance(signal, str):
            return [signal] * len(self.tallies)
        return [tally.decode(name, signal) for tally in self.tallies]

    def _original(self, signal: Signal | str) -> Pair | None:
        """The original beside itself, where metrics judge it."""
        if isinstance(signal, str) or not (self._judging or self._extra_judging):
            return None
        return Pair(
            reference=signal,
            decoded=signal,
            metrics=self._judging,
            extra_metrics=self._extra_judging,
            align=False,
        )

    def _pairs(
        self, signal: Signal | str, outcomes: Sequence[Decoded | str]
    ) -> Iterator[Pair | None]:
        for tally, decoded in zip(self.tallies, outcomes, strict=True):
            yield self._pair(signal, decoded, tally)

    def _pair(self, signal: Signal | str, decoded: Decoded | str, tally: Tally) -> Pair | None:
        if isinstance(signal, str) or isinstance(decoded, str):
            return None
        return Pair(
            reference=signal,
            decoded=decoded.signal,
            metrics=self._metrics,
            extra_metrics=self._extra_metrics,
            align=tally.candidate.align,
            keep_wave=self._recordings is not None,
        )

    def _add_reference(self, name: str, signal: Signal | str, judged: Comparison | None) -> None:
        if isinstance(signal, str):
            self.references.append(Reference(name=name, seconds=0.0))
            return
        audio = self._recordings.keep_original(name, signal) if self._recordings else None
        scores = judged.scores if judged else {}
        self.references.append(
            Reference(name=name, seconds=signal.seconds, audio=audio, scores=scores)
        )

    def _add_clip(
        self,
        name: str,
        signal: Signal | str,
        tally: Tally,
        decoded: Decoded | str,
        comparison: Comparison | None,
    ) -> Clip:
        if isinstance(signal, str) or isinstance(decoded, str) or comparison is None:
            return tally.add(Clip(name=name, failure=str(decoded)))
        audio = None
        if self._recordings and comparison.wave is not None:
            wave = Signal(wave=comparison.wave, sample_rate_hz=signal.sample_rate_hz)
            audio = self._recordings.keep_decoded(tally.candidate.name, name, wave)
        return tally.add(
            Clip(
                name=name,
                bits=decoded.bits,
                delay_samples=comparison.delay_samples,
                scores=comparison.scores,
                audio=audio,
                failure=comparison.failure,
            )
        )


def _batches(read: Iterable[_Named], most: int) -> Iterator[list[_Named]]:
    batch: list[_Named] = []
    seconds = 0.0
    for named in read:
        batch.append(named)
        seconds += 0.0 if isinstance(named[1], str) else named[1].seconds
        if len(batch) == most or seconds > _BATCH_SECONDS:
            yield batch
            batch, seconds = [], 0.0
    if batch:
        yield batch


def _compare(pair: Pair | None) -> Comparison | None:
    return None if pair is None else compare(pair)
