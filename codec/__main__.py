"""`python -m codec` is `diveq-codec`."""

from __future__ import annotations

import sys
from importlib import import_module

if __name__ == "__main__":
    sys.exit(import_module("codec.cli").main())
