"""The command line, `diveq-codec`. Installed as `codec.cli`; uses only what `codec.__all__` names.

One module per verb, of the same name; `plan` turns paths into tasks, `batch` works through them,
`console` has the manners. Torch is imported when audio is coded, never before.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, as `entry.main` says; a Ctrl-C while that is imported ends it as later."""
    try:
        from .entry import main as run
    except KeyboardInterrupt:
        print("diveq-codec: interrupted", file=sys.stderr)
        return 130
    return run(arguments)
