"""Arguments that several verbs share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Optional, Protocol

from tyro.conf import Positional, arg, create_mutex_group
from tyro.constructors import PrimitiveConstructorSpec

from .errors import UsageError

if TYPE_CHECKING:
    from codec import Codec, StreamReader

_NO_DEFAULT = ""  # nothing is said of a default where there is none

Flag = Annotated[bool, arg(help_behavior_hint=_NO_DEFAULT)]
Debug = Annotated[bool, arg(help="Show the traceback of an error.", help_behavior_hint=_NO_DEFAULT)]
Force = Annotated[bool, arg(help="Replace existing files.", help_behavior_hint=_NO_DEFAULT)]
Json = Annotated[bool, arg(help="One JSON object per line, for programs.", help_behavior_hint=_NO_DEFAULT)]

# To check a value for `int | None` or `tuple[str, ...]`, tyro imports typeguard, which takes as long as all else of
# --help; hence `Optional`, and a constructor that says how to check.
_path_names = PrimitiveConstructorSpec(
    nargs="*",
    metavar="PATH...",
    instance_from_str=tuple,
    is_instance=lambda value: isinstance(value, tuple),
    str_from_instance=list,
)
Paths = Annotated[tuple, _path_names, Positional, arg(metavar="PATH...", help_behavior_hint=_NO_DEFAULT)]
Count = Annotated[Optional[int], arg(metavar="N", help_behavior_hint=_NO_DEFAULT)]  # noqa: UP045
Text = Annotated[Optional[str], arg(help_behavior_hint=_NO_DEFAULT)]  # noqa: UP045
_one_of_both = create_mutex_group(required=False, title="size and quality")
Stages = Annotated[Count, _one_of_both]
Bitrate = Annotated[Optional[float], _one_of_both, arg(metavar="KBPS", help_behavior_hint=_NO_DEFAULT)]  # noqa: UP045


class Verb(Protocol):
    """A parsed command."""

    @property
    def debug(self) -> bool: ...

    def run(self) -> int:
        """Do it; returns the exit code, or raises."""
        ...


def check_positive(**values: float | None) -> None:
    """Raise a `UsageError` for a value that is given and not positive."""
    for name, value in values.items():
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"--{name} is a positive number, not {value:g}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Engine:
    """The model, and what it runs on."""

    model: Annotated[Text, arg(metavar="NAME|PATH")] = None
    """A shipped model's name, or a model file. By default the default one; to decode, the one that encoded."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda", help_behavior_hint=_NO_DEFAULT)] = "auto"
    """auto takes a GPU where there is one."""
    backend: Annotated[str, arg(metavar="auto|torch|onnx", help_behavior_hint=_NO_DEFAULT)] = "auto"
    """auto computes with PyTorch where it is installed, else with onnxruntime, which starts quickest."""
    threads: Count = None
    """Processor threads to compute with, over all jobs. By default all of them."""

    def __post_init__(self) -> None:
        check_positive(threads=self.threads)

    def load(self) -> Codec:
        """The model that is named, or the default one."""
        from codec import DEFAULT_MODEL, Codec

        return Codec.load(self.model or DEFAULT_MODEL, device=self.device, backend=self.backend)

    def load_for(self, stream: StreamReader) -> Codec:
        """The shipped model that a stream was coded with."""
        from codec import Codec

        return Codec.load_for(stream, device=self.device, backend=self.backend)

    def share_threads(self, jobs: int) -> None:
        """Give each of `jobs` its part of the threads. Torch reads the variable when it loads, so before that."""
        from codec import THREADS_VARIABLE, allowed_threads

        if self.threads is None and jobs == 1:
            return
        os.environ[THREADS_VARIABLE] = str(max(1, (self.threads or allowed_threads()) // jobs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Many:
    """Many files."""

    out_dir: Annotated[Text, arg(metavar="DIR")] = None
    """Write here; a folder's tree is kept."""
    jobs: Annotated[int, arg(metavar="N", help_behavior_hint=_NO_DEFAULT)] = 1
    """Files to work on at the same time, with one model."""
    force: Force = False
    quiet: Flag = False
    """No progress bar and no summary."""

    def __post_init__(self) -> None:
        check_positive(jobs=self.jobs)
