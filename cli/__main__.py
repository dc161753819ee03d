"""`python -m codec.cli` is `diveq-codec`."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
