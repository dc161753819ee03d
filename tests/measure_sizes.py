"""Sizes of files, over a folder of speech: fixed width, `.dvq` with and without entropy coding, and
`.dac`.

    python tests/measure_sizes.py ../shared/speech/val

`.dac` is what descript-audio-codec 1.0 writes for the same codes: `numpy.save` of a pickled
dictionary with the codes as uint16 and its metadata (its `DACFile.save`). Bytes per second of
audio, summed over all files of the folder.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
from pathlib import Path

import numpy as np

from codec import Codec
from codec.training.validation import audio_files, read_held_out


def dac_bytes(codes: np.ndarray, samples: int, rate: int) -> int:
    metadata = {
        "input_db": np.zeros(1, np.float32),
        "original_length": samples,
        "sample_rate": rate,
        "chunk_length": codes.shape[-1],
        "channels": 1,
        "padding": False,
        "dac_version": "1.0.0",
    }
    file = io.BytesIO()
    np.save(file, {"codes": codes.astype(np.uint16), "metadata": metadata}, allow_pickle=True)  # type: ignore[arg-type]
    return len(file.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default=None)
    arguments = parser.parse_args()
    codec = Codec.load(arguments.model) if arguments.model else Codec.load()
    rate = codec.config.sample_rate_hz
    clips = read_held_out(audio_files(arguments.folder), rate)
    seconds = sum(len(clip.wave) for clip in clips) / rate
    print(f"{codec.name}, {len(clips)} files, {seconds:.0f} s; bytes per second of audio")
    print("| stages | codes at fixed width | .dvq fixed | .dvq | saved by range coding | .dac |")
    print("|---|---|---|---|---|---|")
    for stages in range(1, len(codec.config.stages) + 1):
        packed = fixed = ranged = dac = 0.0
        for clip in clips:
            encoded = codec.encode(clip.wave, sample_rate_hz=rate, stages=stages)
            packed += encoded.codes.shape[-1] * encoded.header.bits_per_frame / 8
            fixed += len(dataclasses.replace(encoded, tables=None).to_bytes())
            ranged += len(encoded.to_bytes())
            dac += dac_bytes(encoded.codes, len(clip.wave), rate)
        row = [f"{size / seconds:.1f}" for size in (packed, fixed, ranged)]
        print(
            f"| {stages} | {' | '.join(row)} | {100 * (1 - ranged / fixed):.1f} % | "
            f"{dac / seconds:.1f} |"
        )


if __name__ == "__main__":
    main()
