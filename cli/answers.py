"""`diveq-codec answers` sums up what the listeners of a blind page answered."""

from __future__ import annotations

import dataclasses
import json as json_format
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .console import note, show
from .options import Debug, Json, Paths

if TYPE_CHECKING:
    from codec import ListeningResult


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """Sum up what the listeners of a blind page said.

    Means of ratings, or shares of right ABX answers, with 95 % intervals over listeners. Who rates
    the hidden reference below 90 in more than 15 % of the trials is left out and named.

    $ diveq-codec report results/evaluation.json listen.html --blind
    $ diveq-codec answers mushra-Ann-7.json mushra-Bo-9.json      what listen.html has saved
    """

    paths: Paths
    """The JSON files that listeners saved."""
    json: Json = False
    debug: Debug = False

    def run(self) -> int:
        """Sum up all files."""
        from codec import listening_result

        result = listening_result(self.paths)
        if self.json:
            show(json_format.dumps(dataclasses.asdict(result)))
            return 0
        for line in _lines(result):
            show(line)
        for words in result.left_out:
            note(f"left out {words}")
        return 0


def _lines(result: ListeningResult) -> list[str]:
    width = max((len(heard.system) for heard in result.systems), default=0)
    count = len(result.listeners)
    lines = [f"{result.test}, {count} listener{'s' * (count != 1)}: {', '.join(result.listeners)}"]
    for heard in result.systems:
        scale = 100 if heard.by_guessing is not None else 1
        words = f"{heard.system:<{width}}  {scale * heard.mean:5.1f}"
        if heard.low is not None and heard.high is not None:
            words += f" [{scale * heard.low:.1f}, {scale * heard.high:.1f}]"
        unit = "ratings"
        if heard.by_guessing is not None:
            unit = f"trials, % right; by guessing p = {heard.by_guessing:.3f}"
        lines.append(f"{words}  {heard.answers} {unit}")
    return lines
