"""How fast one core makes crops, from each place: python tests/recipes/measure_batches.py FOLDER"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from codec.training.data.crop_plan import CropConfig
from codec.training.data.manifest import build_manifest
from recipes.runs.folder.step_crops import Place, Share, open_batches

BATCH_SIZE, SECONDS, STEPS = 64, 0.64, 20
PLACES: tuple[Place, ...] = ("device", "memory", "files")


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    manifest, _ = build_manifest(folder)
    share = Share(batch_size=BATCH_SIZE, processes=1, index=0)
    for rate_hz in (16_000, 24_000):
        config = CropConfig(sample_rate_hz=rate_hz, segment_samples=round(SECONDS * rate_hz))
        for place in PLACES:
            with tempfile.TemporaryDirectory() as cache:
                options = {"cache_folder": Path(cache), "device": torch.device("cpu"), "workers": 0}
                batches = open_batches(manifest, config, share, place=place, **options)
                batches(0)
                start = time.process_time()
                for step in range(1, STEPS + 1):
                    batches(step)
                speed = STEPS * BATCH_SIZE * SECONDS / (time.process_time() - start)
                print(f"{rate_hz} Hz, {place}: {speed:.0f} seconds of audio per second")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
