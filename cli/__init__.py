"""The command line, `diveq-codec`. Installed as `codec.cli`; uses only what `codec.__all__` names.

One module per verb, of the same name; `plan` turns paths into tasks, `batch` works through them,
`console` has the manners. Torch is imported when audio is coded, never before.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence

__all__ = ["main"]

_NEW_OBJECTS = 200_000  # before garbage is looked for, which a start makes none of


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as `entry.main` says; a Ctrl-C while that is imported ends it as later."""
    if arguments is None:
        gc.set_threshold(_NEW_OBJECTS)
    try:
        from .entry import main as run
    except KeyboardInterrupt:
        print("diveq-codec: interrupted", file=sys.stderr)
        return 130
    return run(arguments)
