"""How a recipe ends that is stopped before it begins."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("ending", ["time.sleep(60)", "raise ValueError('broken')"])
def test_ctrl_c_in_an_import_is_one_line_and_other_errors_are_told(tmp_path: Path, ending: str):
    (tmp_path / "tyro.py").write_text(f"import time\nprint('here', flush=True)\n{ending}\n")
    with subprocess.Popen(
        [sys.executable, "-m", "recipes.first_page"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        if "sleep" in ending:
            process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    if "sleep" in ending:
        assert (errors, process.returncode) == ("interrupted\n", -signal.SIGINT)
    else:
        assert errors.startswith("Traceback")
        assert errors.endswith("ValueError: broken\n")
