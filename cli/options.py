"""Arguments that several verbs share."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Optional, Protocol

from tyro.conf import Positional, arg
from tyro.constructors import PrimitiveConstructorSpec

from .console import note
from .messages import UsageError

if TYPE_CHECKING:
    from codec import Codec, StreamReader


def _checked(words: list[str]) -> tuple[str, ...]:
    if "" in words:  # which as a path would be the current folder
        raise UsageError("an argument is empty: is a variable of the shell not set?")
    return tuple(words)


# To check a value for `int | None` or `tuple[str, ...]`, tyro imports typeguard, which takes as
# long as all else of --help; hence `Optional`, and constructors that say how to check.
_path_names = PrimitiveConstructorSpec(
    nargs="*",
    metavar="PATH...",
    instance_from_str=_checked,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=list,
)
_text = PrimitiveConstructorSpec(
    nargs=1,
    metavar="TEXT",
    instance_from_str=lambda words: _checked(words)[0],
    is_instance=lambda value: isinstance(value, str),
    str_from_instance=lambda value: [value],
)


def number(kind: Callable[[str], Any], expected: str) -> PrimitiveConstructorSpec[Any]:
    """An option's positive number; `expected` names the option and says what it takes."""

    def parse(words: list[str]) -> Any:
        try:
            value = kind(words[0])
        except ValueError:
            value = 0
        if not 0 < value < float("inf"):
            raise UsageError(f"{expected}, not {words[0]!r}")
        return value

    return PrimitiveConstructorSpec(
        nargs=1,
        metavar="N",
        instance_from_str=parse,
        is_instance=lambda value: isinstance(value, int | float),
        str_from_instance=lambda value: [str(value)],
    )


def count(option: str) -> PrimitiveConstructorSpec[Any]:
    """A whole number from 1 on."""
    return number(int, f"{option} is a whole number, 1 or more")


def default(text: str) -> Any:
    """What help says of a default."""
    return f"(default: {text})"


def group(options: type) -> Any:
    """Options that stand in a class of their own, without its name before theirs.

    Their heading is given, as tyro would take as long to look for it as for all else.
    """
    return arg(name="", help=options.__doc__)


Flag = Annotated[bool, arg(help_behavior_hint="")]
Debug = Annotated[bool, arg(help="Show the traceback of an error.", help_behavior_hint="")]
Force = Annotated[bool, arg(help="Replace existing files.", help_behavior_hint="")]
Json = Annotated[bool, arg(help="One JSON object per line, for programs.", help_behavior_hint="")]
Paths = Annotated[tuple, _path_names, Positional, arg(metavar="PATH...", help_behavior_hint="")]
Named = Annotated[str, _text, Positional]
Text = Annotated[Optional[str], _text, arg(help_behavior_hint="")]  # noqa: UP045
Stages = Annotated[
    Optional[int],  # noqa: UP045
    count("--stages"),
    arg(metavar="N", help_behavior_hint=default("all")),
]
Bitrate = Annotated[
    Optional[float],  # noqa: UP045
    number(float, "--bitrate is a positive number of kbps, such as 3"),
    arg(metavar="KBPS", help_behavior_hint=default("the model's maximum")),
]
Threads = Annotated[
    Optional[int],  # noqa: UP045
    count("--threads"),
    arg(metavar="N", help_behavior_hint=default("all")),
]
Jobs = Annotated[int, count("--jobs"), arg(metavar="N", help_behavior_hint=default("1"))]
Model = Annotated[Text, arg(metavar="NAME|PATH")]
Device = Annotated[str, arg(metavar="auto|cpu|cuda", help_behavior_hint=default("auto"))]


class Verb(Protocol):
    """A parsed command."""

    @property
    def debug(self) -> bool: ...

    def run(self) -> int:
        """Do it; returns the exit code, or raises."""
        ...


def check_one_of(*, stages: int | None, bitrate: float | None) -> None:
    """Raise a `UsageError` where both are given."""
    if stages is not None and bitrate is not None:
        raise UsageError("--stages and --bitrate are not allowed together: give one")


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The model, and what it runs on."""

    model: Model = None
    """A model file, a run's folder, or the name of a model that was shipped or lies in a folder of
    $DIVEQ_MODELS. (default: speech_16khz, in calls speech_16khz_live; to decode, the one that
    encoded)"""
    device: Device = "auto"
    """What to compute on; auto takes a GPU where there is one."""
    backend: Annotated[str, arg(metavar="auto|torch|onnx", help_behavior_hint=default("auto"))] = (
        "auto"
    )
    """auto computes with PyTorch where it is installed, else with onnxruntime, which starts
    quickest.
    """
    threads: Threads = None
    """Processor threads to compute with, over all jobs."""

    def load(self) -> Codec:
        """The model that is named, or the default one."""
        from codec import DEFAULT_MODEL, Codec

        return Codec.load(self.model or DEFAULT_MODEL, device=self.device, backend=self.backend)

    def load_for_calls(self) -> Codec:
        """The model that is named, or that for calls; computed by onnxruntime where nothing else is
        said: it starts quickest.
        """
        from codec import LIVE_MODEL, Codec

        is_free = self.backend == "auto" and self.device in ("auto", "cpu")
        backend = "onnx" if is_free else self.backend
        return Codec.load(self.model or LIVE_MODEL, device=self.device, backend=backend)

    def load_for(self, stream: StreamReader) -> Codec:
        """The model that a stream was coded with."""
        from codec import Codec

        return Codec.load_for(stream, device=self.device, backend=self.backend)

    def share_threads(self, jobs: int) -> None:
        """Give each of `jobs` its part of the threads. Torch reads the variable when it loads, so
        before that.
        """
        from codec import THREADS_VARIABLE, allowed_threads

        if self.threads is None and jobs == 1:
            return
        os.environ[THREADS_VARIABLE] = str(max(1, (self.threads or allowed_threads()) // jobs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """Many files."""

    out_dir: Annotated[
        Text, arg(metavar="DIR", help_behavior_hint=default("beside the source"))
    ] = None
    """Write here; a folder's tree is kept."""
    skip_existing: Flag = False
    """Go on with what was interrupted: files that are there, whole and of this model, are done,
    whatever their bitrate; with --force others are made anew. Several processes may share one
    tree."""
    force: Force = False
    jobs: Jobs = 1
    """Files to work on at the same time, with one model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manners:
    """What is said."""

    quiet: Flag = False
    """No progress bar and no summary."""
    debug: Debug = False


def note_most_kbps(codec: Codec, wanted: float | None) -> None:
    """Say that a model has no more bits than it has."""
    bits = sum(stage.bits for stage in codec.config.stages)
    most = bits * codec.config.frame_rate_hz / 1000
    if wanted is not None and wanted > most * (1 + 1e-9):
        note(
            f"--bitrate {wanted:g} is above the maximum of {codec.name}: {most:g} kbps per channel "
            f"are used"
        )
