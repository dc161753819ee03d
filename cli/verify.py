"""`diveq-codec verify`: whether a `.dvq` file is whole."""

from __future__ import annotations

import json as json_format
from dataclasses import dataclass

from .console import show, show_data
from .each import for_each
from .files import open_source
from .messages import display_name
from .options import Debug, Json, Paths


@dataclass(frozen=True, kw_only=True, slots=True)
class Verify:
    """Check .dvq files, without their model.

    Says ok, or names every fault and exits with 1. A folder stands for all .dvq files below it.
    """

    paths: Paths
    """.dvq files, folders of them, or - for standard input."""
    json: Json = False
    debug: Debug = False

    def run(self) -> int:
        """Check all files."""
        return for_each(self.paths, self._verify, debug=self.debug)

    def _verify(self, path: str) -> bool:
        faults = _faults(path)
        name = display_name(path)
        if self.json:
            show_data(json_format.dumps({"file": name, "ok": not faults, "faults": faults}))
        elif not faults:
            show(f"{name}: ok")
        for fault in () if self.json else faults:
            show(f"{name}: {fault}")
        return not faults


def _faults(path: str) -> list[str]:
    """All faults, in the order of the stream; a header that cannot be read is one too."""
    from codec import BitstreamError, verify

    with open_source(path) as file:
        try:
            return [loss.reason for loss in verify(file)]
        except BitstreamError as error:
            return [str(error)]
