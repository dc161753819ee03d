"""How fast streams are written and read, on one core: `python tests/bitstream/measure_speed.py`.

Ten minutes at 6 kbps (12 stages of 10 bits, 50 frames/s), codes and tables made up, framing and
checksums included.
"""

from __future__ import annotations

import io
import time

import numpy as np

from codec.bitstream import (
    EntropyTables,
    StageLayout,
    StageTable,
    StreamHeader,
    StreamReader,
    StreamWriter,
)

SECONDS, FRAME_RATE = 600, 50
STAGES = (StageLayout(10),) * 12
HEADER = StreamHeader(
    fingerprint=b"speed.",
    model_rate_hz=16_000,
    original_rate_hz=16_000,
    hop=320,
    channels=1,
    packet_frames=50,
    stages=STAGES,
)


def made_up_codes() -> np.ndarray:
    return np.minimum(
        np.random.default_rng(0).exponential(120, (1, 12, SECONDS * FRAME_RATE)), 1023
    ).astype(np.int32)


def made_up_tables(source: str) -> EntropyTables:
    """Tables for such codes, the first stage static and all others of one source."""
    decaying = np.maximum(1, 60_000 * np.exp(-np.arange(1024) / 120)).astype(np.int64)
    static = StageTable("none", 0, decaying[None])
    if source == "none":
        return EntropyTables((static,) * 12)
    rows = 16 + (source == "previous_frame")
    return EntropyTables(
        (static, *(StageTable(source, 4, np.tile(decaying, (rows, 1))) for _ in range(11)))
    )


def write(codes: np.ndarray, tables: EntropyTables | None) -> bytes:
    file = io.BytesIO()
    writer = StreamWriter(file, HEADER, tables)
    for start in range(0, codes.shape[2], 100):
        writer.write(codes[:, :, start : start + 100])
    writer.close(samples=codes.shape[2] * 320)
    return file.getvalue()


def best_seconds(work, repeats: int = 5) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def main() -> None:
    codes = made_up_codes()
    print("payload                 bytes   write x real time   read x real time")
    for source in (None, "none", "previous_stage", "previous_frame"):
        tables = made_up_tables(source) if source else None
        data = write(codes, tables)
        writing = best_seconds(lambda tables=tables: write(codes, tables))
        reading = best_seconds(
            lambda data=data, tables=tables: list(StreamReader(io.BytesIO(data)).packets(tables))
        )
        name = f"range, {source}" if source else "fixed width"
        print(f"{name:22} {len(data):7} {SECONDS / writing:19.0f} {SECONDS / reading:18.0f}")


if __name__ == "__main__":
    main()
