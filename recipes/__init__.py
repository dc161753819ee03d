"""What is run from a checkout: trainings, measurements, corpora, calls."""

from __future__ import annotations

import sys
from typing import Any


def _say_interrupted(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """End by one line where Ctrl-C comes before `run_script` hears it: imports take seconds."""
    if issubclass(kind, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, trace)


if sys.argv[0] == "-m":  # python -m recipes.…, whose module is yet to be imported
    sys.excepthook = _say_interrupted
