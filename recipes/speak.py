"""Make a speech file to try the codec on: with espeak-ng where it is installed, else a synthetic babble.

python recipes/speak.py speech.wav
"""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

TEXT = "The north wind and the sun were disputing which of them was the stronger."


def main(target: Path) -> None:
    if target.exists():
        sys.exit(f"{target} exists already")
    speaker = shutil.which("espeak-ng")
    if speaker:
        subprocess.run([speaker, "-w", str(target), TEXT], check=True)
    else:
        import soundfile

        synthesis = runpy.run_path(str(Path(__file__).parents[1] / "tests" / "synthesis.py"))
        soundfile.write(str(target), synthesis["synthesize_speech"](5.0), 16_000)
    print(f"wrote {target}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python recipes/speak.py TARGET.wav")
    main(Path(sys.argv[1]))
