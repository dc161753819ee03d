"""Evaluations as pages: a report to look at, and a blind listening test; each one file that opens
from disk.
"""

from __future__ import annotations

from .answers import ListeningResult, listening_result
from .listening_test import listening_page
from .summary_page import report_page

__all__ = ["ListeningResult", "listening_page", "listening_result", "report_page"]
