"""`diveq-codec eval`: how good decoded speech is."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

from tyro.conf import arg

from .console import note
from .eval_output import Failures, Outputs
from .messages import CommandError, UsageError, printable
from .options import (
    Debug,
    Device,
    Engine,
    Flag,
    Force,
    Jobs,
    Model,
    Paths,
    Text,
    Threads,
    count,
)
from .plan import PIPE, Task
from .progress import progress_bar, size_of

if TYPE_CHECKING:
    from codec import Candidate, Clip, Metric, Source


@dataclass(frozen=True, kw_only=True, slots=True)
class Eval:
    """Score decoded speech against its originals.

    $ diveq-codec eval original.wav decoded.wav
    $ diveq-codec eval originals/ decoded/                  more folders of decoded audio may follow
    $ diveq-codec eval --model speech_16khz --bitrates 1.5,3,6 originals/
    $ diveq-codec eval originals/ decoded/ --out results    results/evaluation.json, and the audio
    beside it

    Decoded files are found by the path of their original below the folder, whatever the suffix, and
    resampled to its rate; a constant delay of up to 0.5 s is found, removed and told. With --model,
    the originals are coded to whole .dvq files in memory, at each bitrate, and decoded again. Each
    channel is scored by itself, and a score is the mean over channels. What fails is told in a
    line, and never becomes a number; the exit code is then 1.

    PESQ and STOI need pip install 'diveq-codec[eval]'; DistillMOS and DNSMOS, which judge the
    originals, too,
    diveq-codec[listeners].
    """

    paths: Paths
    """ORIGINAL DECODED..., files or folders; with --model, ORIGINAL alone."""
    model: Model = None
    """Code the originals with this model: a name, a model file, or a run's folder."""
    stages: Annotated[Text, arg(metavar="N,N,...")] = None
    """With --model: numbers of stages, the same for every stretch of a file."""
    bitrates: Annotated[Text, arg(metavar="KBPS,KBPS,...")] = None
    """With --model: bitrates, as of encode --bitrate. By default, where there are no --stages,
    those of 1, 2, 4, 8, … and all stages."""
    metrics: Annotated[Text, arg(metavar="NAME,NAME,...")] = None
    """Some of pesq_wb, pesq_nb, stoi, estoi, distillmos, dnsmos_p808, dnsmos_ovrl, si_sdr,
    mel_distance, stft_distance, log_spectral_distance, carrier_repetition, and in bands 0_1, 1_2,
    2_4, 4_8 of kHz contrast_1_2, correlation_1_2, level_1_2 and so on, which are the default, and
    visqol and plcmos, which are measured only if named.
    """
    plug_in: Annotated[Text, arg(metavar="MODULE:NAME,...")] = None
    """Metrics of your own: functions of reference and estimate, float arrays (samples,), and
    sample_rate_hz.
    """
    rate: Annotated[
        Optional[int],  # noqa: UP045
        count("--rate"),
        arg(metavar="HZ", help_behavior_hint=""),
    ] = None
    """Resample the originals to this rate first."""
    no_align: Flag = False
    """Search for no delay."""
    out: Annotated[Text, arg(metavar="DIR")] = None
    """Write evaluation.json here, and the audio, 16-bit and in step, for `diveq-codec report`."""
    json: Annotated[Text, arg(metavar="FILE|-")] = None
    """Write the result as JSON; - prints it instead of the table."""
    csv: Annotated[Text, arg(metavar="FILE|-")] = None
    """Write one line per clip; - prints them instead of the table."""
    jobs: Jobs = 1
    """Processes that score. Coding is timed, and runs alone."""
    device: Device = "auto"
    """With --model: auto takes a GPU where there is one."""
    threads: Threads = None
    """With --model: processor threads to code with."""
    force: Force = False
    quiet: Flag = False
    """No progress bar."""
    debug: Debug = False

    def __post_init__(self) -> None:
        if self.model is None and len(self.paths) < 2:
            raise UsageError(
                "give an original and what was decoded of it, or --model and an original"
            )
        if self.model is not None and len(self.paths) != 1:
            raise UsageError(
                f"with --model there is one file or folder of originals, not {len(self.paths)}"
            )
        for name in ("stages", "bitrates"):
            if self.model is None and getattr(self, name) is not None:
                raise UsageError(f"--{name} are those of a --model")
        if self.out is not None and self.json is not None:
            raise UsageError(
                "--out writes the JSON file already, with the audio: give it or --json"
            )
        if self.json == self.csv == PIPE:
            raise UsageError("standard output takes --json or --csv, not both")
        _counts(self.stages)
        _bitrates(self.bitrates)
        if PIPE in self.paths:
            raise UsageError("originals and decoded audio are files or folders, not standard input")

    def run(self) -> int:
        """Score all clips."""
        from codec import Recordings, absent_metrics, evaluate

        outputs = Outputs(folder=self.out, json=self.json, csv=self.csv, force=self.force)
        outputs.check()
        extra_metrics = self._extra_metrics()
        sources = self._sources()
        candidates, strays = self._candidates(sources)
        tasks = [Task(str(source.path), PIPE) for source in sources]
        with progress_bar("eval", tasks, quiet=self.quiet) as progress:
            failures = Failures(strays)
            sizes = {
                source.name: size_of(task) for source, task in zip(sources, tasks, strict=True)
            }

            def on_reference(name: str, clips: Mapping[str, Clip]) -> None:
                failures.tell(name, clips)
                progress.advance(sizes[name])
                progress.file_done()

            evaluation = evaluate(
                sources,
                candidates,
                data=Path(self.paths[0]).resolve().name,
                metrics=None if self.metrics is None else _words(self.metrics),
                extra_metrics=extra_metrics,
                sample_rate_hz=self.rate,
                workers=self.jobs,
                recordings=None if self.out is None else Recordings(self.out, overwrite=self.force),
                on_reference=on_reference,
            )
        outputs.write(evaluation)
        if self.metrics is None and not self.quiet and (absent := absent_metrics()):
            note(f"left out {', '.join(absent)}: they need pip install 'diveq-codec[listeners]'")
        return 1 if failures.count else 0

    def _extra_metrics(self) -> dict[str, Metric]:
        from codec import load_metric

        if self.plug_in is None:
            return {}
        sys.path.insert(0, os.getcwd())  # as python -m does
        return dict(map(load_metric, _words(self.plug_in)))

    def _sources(self) -> list[Source]:
        from codec import find_sources

        for path in map(Path, self.paths):
            if not path.exists():
                raise CommandError(f"{path}: no such file or folder")
        if len({Path(path).is_dir() for path in self.paths}) > 1:
            raise UsageError("originals and decoded audio are all files, or all folders")
        return find_sources(self.paths[0])

    def _candidates(self, sources: Sequence[Source]) -> tuple[Sequence[Candidate], list[Path]]:
        """What is scored, and the decoded files that have no original."""
        from codec import DecodedFolder, model_candidates

        if self.model is not None:
            engine = Engine(model=self.model, device=self.device, threads=self.threads)
            engine.share_threads(1)
            counts, bitrates = _counts(self.stages), _bitrates(self.bitrates)
            return model_candidates(
                engine.load(), stage_counts=counts or None, bitrates_kbps=bitrates or None
            ), []
        decoded = self.paths[1:]
        short = [Path(path).resolve().name for path in decoded]
        names = short if len(set(short)) == len(short) else decoded
        folders = [
            DecodedFolder(path, name=printable(name), align=not self.no_align)
            for path, name in zip(decoded, names, strict=True)
        ]
        return folders, [stray for folder in folders for stray in folder.without_original(sources)]


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _counts(text: str | None) -> list[int]:
    words = _words(text or "")
    if text is not None and not (words and all(word.isdecimal() for word in words)):
        raise UsageError(
            f"--stages are numbers with commas between them, such as 1,4,12, not {text!r}"
        )
    return [int(word) for word in words]


def _bitrates(text: str | None) -> list[float]:
    words = _words(text or "")
    try:
        bitrates = [float(word) for word in words]
    except ValueError:
        bitrates = []
    if text is not None and not (bitrates and all(0 < kbps < math.inf for kbps in bitrates)):
        raise UsageError(
            f"--bitrates are positive numbers with commas between them, such as 1.5,3,6, not "
            f"{text!r}"
        )
    return bitrates
