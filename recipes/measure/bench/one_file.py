"""Encodes or decodes one file and prints the cost: the process that `growth` starts for each point.

python -m recipes.measure.bench.one_file encode MODEL SOURCE TARGET STAGES BACKEND
"""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from dataclasses import dataclass

from codec import Codec
from codec.files.json_dataclass import from_plain

from ...memory import peak_memory_mb


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`elapsed_s` of wall clock without start and loading; the process's peak memory, and that
    before it began.
    """

    elapsed_s: float
    peak_mb: float
    ready_mb: float

    @classmethod
    def from_json(cls, text: str) -> Cost:
        """What the process printed."""
        return from_plain(cls, json.loads(text))


def main(verb: str, model: str, source: str, target: str, stages: str, backend: str) -> None:
    codec = Codec.load(model, device="cpu", backend=backend)
    ready_mb, started = peak_memory_mb(), time.perf_counter()
    if verb == "encode":
        codec.encode_file(source, target, stages=int(stages))
    else:
        codec.decode_file(source, target)
    cost = Cost(
        elapsed_s=time.perf_counter() - started, peak_mb=peak_memory_mb(), ready_mb=ready_mb
    )
    print(json.dumps(dataclasses.asdict(cost)))


if __name__ == "__main__":
    main(*sys.argv[1:])
