"""`diveq-codec report`: an evaluation as a page to look at, or as a blind listening test."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from .console import note
from .files import open_target
from .messages import UsageError
from .options import Debug, Flag, Force, Named
from .plan import PIPE, Task, check


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """Make a page of an evaluation, or a blind listening test.

    $ diveq-codec report results/evaluation.json report.html    of diveq-codec eval … --out results
    $ diveq-codec report results/evaluation.json listen.html --blind

    The page has curves, tables and clips to listen to. It is one file, which opens from disk and
    fetches nothing. The blind test offers ABX and MUSHRA-style trials of the same clips, hides
    which system is heard, and saves the answers to a JSON file.
    """

    source: Annotated[Named, arg(metavar="EVALUATION.json")]
    """What `diveq-codec eval --out DIR` wrote: DIR/evaluation.json; without its audio, there is
    nothing to hear.
    """
    target: Annotated[Named, arg(metavar="PAGE.html")]
    """The page to write, or - for standard output."""
    blind: Flag = False
    """A blind listening test instead of the report."""
    clips: Annotated[int, arg(metavar="N", help_behavior_hint="(default: 8)")] = 8
    """Clips to listen to, chosen evenly from the worst to the best; fewer where the page would
    exceed 20 MB.
    """
    audio: Annotated[
        Literal["embedded", "linked"], arg(help_behavior_hint="(default: embedded)")
    ] = "embedded"
    """linked leaves the audio in the evaluation's files: a small page, but only beside them."""
    force: Force = False
    debug: Debug = False

    def __post_init__(self) -> None:
        if self.clips < 0:
            raise UsageError(f"--clips is a number of clips, 0 or more, not {self.clips}")
        if self.blind and not self.clips:
            raise UsageError("a blind test needs at least one clip; choose --clips 1 or more")
        if self.audio == "linked" and self.blind:
            raise UsageError(
                "a blind test has its audio embedded: the names of files would tell the systems"
            )
        if self.audio == "linked" and self.target == PIPE:
            raise UsageError("--audio linked needs the page's name: links start from its folder")

    def run(self) -> int:
        """Write the page."""
        check(Task(self.source, self.target), force=self.force)
        page = self._page().encode("utf-8", "backslashreplace")  # names of files may be no text
        with open_target(self.target, overwrite=self.force) as target:
            target.write(page)
        if self.target != PIPE:
            note(f"wrote {self.target}, {len(page) / 1e6:.1f} MB; open it in a browser")
        return 0

    def _page(self) -> str:
        from codec import listening_page, report_page

        if self.blind:
            return listening_page(self.source, clips=self.clips)
        links_from = Path(self.target).parent if self.audio == "linked" else None
        return report_page(self.source, clips=self.clips, links_from=links_from)
