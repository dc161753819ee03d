"""Adds the known attacks and the golden streams to the corpus: `PYTHONPATH=tests:. python -m
fuzz.make_corpus`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from bitstream.examples import content, forged, header, read_raw, sealed, write
from golden import make_v1
from small_models import tiny_transform

from codec.bitstream.varint import encode_varint
from codec.layouts.presets import PRESETS

from .targets import HEADERS

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parent.parent / "golden"
MOST_FRAMES = 65_535
ONE_STAGE = make_v1.PLAIN[:1]


def bombs() -> dict[str, bytes]:
    """A few bytes that claim much."""
    mono = header(ONE_STAGE, packet_frames=MOST_FRAMES)
    wide = header(ONE_STAGE, packet_frames=4112, channels=255, original_rate_hz=768_000)
    empty_range, silence = content(1, b""), content(4, b"")
    lost = b"\0" + encode_varint(0) + bytes(4)
    far = [sealed(mono, silence, index, 0) for index in (60_000, 60_001, 120_000, 120_001)]
    return {
        "bomb_1ch": forged(mono, empty_range),
        "bomb_255ch": forged(wide, empty_range),
        "bomb_silence": forged(wide, *[silence] * 20),
        "bomb_recover": wide.to_bytes() + sealed(wide, lost, 1 << 16, 0),
        "bomb_far": mono.to_bytes() + b"".join(far),
        "long_head": mono.to_bytes() + b"\xf9\xff\x3f" * 300,
        "zeros": header(make_v1.PLAIN).to_bytes() + bytes(2000),
        "noise": header(make_v1.PLAIN).to_bytes() + np.random.default_rng(0).bytes(2000),
        "development": b"DVQ\x11" + bytes(30),
    }


def splice() -> bytes:
    """A packet of another stream with the same header and first packet."""
    codes = np.random.default_rng(1).integers(0, 1024, (1, 3, 60))
    other = codes.copy()
    other[:, :, 30:40] ^= 1
    one, two = (write(c, header(make_v1.PLAIN, packet_frames=10)) for c in (codes, other))
    packet = read_raw(one)[0][3]
    span = slice(packet.offset, packet.offset + packet.size_bytes)
    return one[: span.start] + two[span] + one[span.stop :]


def as_contents(data: bytes, head: int) -> bytes:
    """The packets of a stream as `targets.contents_of` takes them."""
    packets, _ = read_raw(data)
    bodies = [data[p.offset : p.offset + p.size_bytes - 4] for p in packets]
    return bytes([head]) + b"".join(bytes([len(b)]) + b for b in bodies if len(b) < 256)


def payloads() -> dict[str, bytes]:
    """Range payloads that are not canonical, as `fuzz_range_decoder` takes them: frames, depth,
    payload.
    """
    return {
        "zeros_behind": bytes([9, 2]) + bytes(12),
        "ones": bytes([9, 2]) + b"\xff" * 40,
        "false_ends": bytes([9, 2, 0, 0]) + np.random.default_rng(2).bytes(20),
    }


def configurations() -> dict[str, bytes]:
    """Configurations that ask for much, or are none."""
    plain = tiny_transform().to_dict()

    def changed(transform: dict | None = None, **fields: object) -> bytes:
        changed_layout = plain["transform"] | (transform or {})
        return json.dumps(plain | {"transform": changed_layout} | fields).encode()

    return {
        "sound": json.dumps(plain).encode(),
        "preset": json.dumps(next(iter(PRESETS.values()))().to_dict()).encode(),
        "hop_30000": changed({"bands": [15_000, 15_000]}),
        "hop_million": changed({"bands": [10**6]}),
        "width": changed({"width": 10**9}),
        "blocks": changed({"encoder_blocks": 10**7}),
        "kernel": changed({"kernel": 10**9 + 1}),
        "latent": changed(latent_channels=10**12),
        "stages": changed(stages=[{"bits": 16, "dim": 10**9}] * 127),
        "deep": b"[" * 3000 + b"]" * 3000,
        "digits": b'{"sample_rate_hz": 1' + b"0" * 3000 + b"}",
    }


def main() -> None:
    golden = {path.stem: path.read_bytes() for path in (GOLDEN / "v1").glob("*.dvq")}
    live = (GOLDEN / "live" / "packets.txt").read_text().splitlines()
    contents = {name: as_contents(data, 0) for name, data in golden.items()}
    pools = {
        "reader": golden | bombs() | {"splice": splice()},
        "packets": contents
        | {f"head_{n}": bytes([n]) + b"\x01\x04" * 5 for n in range(len(HEADERS))},
        "recovery": contents,
        "cut": contents,
        "header": {name: data[10:40] for name, data in golden.items()},
        "range_decoder": payloads(),
        "live_packet": {
            line.split(": ")[0]: bytes.fromhex(line.split(": ")[1])[:-1] for line in live
        },
        "model": configurations(),
    }
    for target, files in pools.items():
        (CORPUS / target).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            (CORPUS / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
