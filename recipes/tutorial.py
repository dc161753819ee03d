"""What the codec does, a chapter at a time, on the recordings in `samples/`: to be run, and read.

    python -m recipes.tutorial

Encode, look at codes, cut, damage and recover, train a tiny model for a minute, evaluate it. All
files lie in a temporary folder. Needs the extra `train`.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import (
    BitstreamError,
    Codec,
    cut,
    evaluate,
    evaluation_text,
    find_sources,
    model_candidates,
    read_info,
    verify,
)
from codec.model_lookup import MODEL_FILE
from codec.training.objective.discriminators import DiscriminatorConfig
from codec.training.settings import TrainingConfig

from .run_script import run_script
from .runs.folder import train

SAMPLES = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How long to train."""

    steps: int = 300
    """Training ends after so many, or after a minute."""


def main(arguments: Arguments) -> None:
    codec = Codec.load()
    speech = sorted(SAMPLES.glob("*.flac"))[0]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        encode_and_decode(codec, speech, folder)
        look_at_codes(codec, speech)
        cut_without_the_model(codec, folder)
        damage_and_recover(codec, folder)
        model = train_a_tiny_model(folder, arguments.steps)
        evaluate_both(codec, Codec.load(model), folder)


def encode_and_decode(codec: Codec, speech: Path, folder: Path) -> None:
    """A bitrate bounds the codes: frames get as many stages as it allows on average, loud ones
    more. A file adds its framing.
    """
    print("\n1. Encode and decode")
    for kbps in (1.5, 3, 6):
        encoded = codec.encode(speech, bitrate_kbps=kbps)
        encoded.save(folder / f"{kbps:g}.dvq")
        audio = codec.decode(folder / f"{kbps:g}.dvq")
        seconds = audio.wave.shape[1] / audio.sample_rate_hz
        size = (folder / f"{kbps:g}.dvq").stat().st_size
        spent = 8 * size / seconds / 1000
        print(f"{kbps:g} kbps of codes: {size} bytes for {seconds:.1f} s, {spent:.2f} with framing")


def look_at_codes(codec: Codec, speech: Path) -> None:
    """Codes (channels, stages, frames); -1 where a frame has no more stages. They are the same
    from a batch, a file in pieces, a live encoder, and on either backend; they decode alone.
    """
    print("\n2. Codes")
    codes = codec.encode(speech, bitrate_kbps=3).codes
    depths = (codes[0] >= 0).sum(axis=0)
    print(f"codes {codes.shape} of {codes.dtype}; {depths.min()} to {depths.max()} stages a frame")
    print(f"the first stage of ten frames: {codes[0, 0, 20:30].tolist()}")
    together = codec.encode_batch([speech, speech], bitrate_kbps=3)
    print(f"the same in a batch: {all(np.array_equal(clip.codes, codes) for clip in together)}")
    latents, audio = codec.latents(codes), codec.decode_codes(codes)
    print(
        f"latents {latents.shape}, codebooks {codec.codebooks[0].shape}; audio {audio.wave.shape}"
    )


def cut_without_the_model(codec: Codec, folder: Path) -> None:
    """A residual quantizer's first stages are a coarser version of the same speech, so a server
    that has no model can lower a file's bitrate.
    """
    print("\n3. Cut")
    cut(folder / "6.dvq", folder / "cut.dvq", stages=4)
    for name in ("6.dvq", "cut.dvq"):
        info = read_info(folder / name)
        size = (folder / name).stat().st_size
        print(f"{name}: {len(info.header.stages)} stages, {size} bytes, {info.seconds:.1f} s")
    of_cut = codec.decode(folder / "cut.dvq").wave
    of_whole = codec.decode(folder / "6.dvq", stages=4).wave
    print(f"decoding 4 stages of either gives the same: {np.array_equal(of_cut, of_whole)}")


def damage_and_recover(codec: Codec, folder: Path) -> None:
    """Packets decode alone and have checksums: a bad byte costs a second or so, never noise."""
    print("\n4. Damage and recover")
    stream = bytearray((folder / "3.dvq").read_bytes())
    stream[len(stream) // 2] ^= 0xFF
    (folder / "damaged.dvq").write_bytes(stream)
    try:
        codec.decode(folder / "damaged.dvq")
    except BitstreamError as error:
        print(f"decoding refuses: {error}")
    print(f"verify finds {len(verify(folder / 'damaged.dvq'))} fault")
    done = codec.decode_file(folder / "damaged.dvq", folder / "recovered.wav", recover=True)
    start, seconds, _ = done.lost[0]
    print(f"recovered: silence from {start:.2f} s for {seconds:.2f} s, all else as it was")


def train_a_tiny_model(folder: Path, steps: int) -> Path:
    """Ten recordings to train on, two by others to measure on. A real run takes hours of speech,
    and the settings that `recipes.runs.folder.train` has by default.
    """
    print("\n5. Train")
    clips = sorted(SAMPLES.glob("*.flac"))
    for name, part in (("train", clips[:-2]), ("val", clips[-2:])):
        (folder / name).mkdir()
        for clip in part:
            shutil.copy(clip, folder / name)
    settings = TrainingConfig(
        steps=steps,
        max_minutes=1.0,
        batch_size=4,
        segment_seconds=0.4,
        learning_rate=3e-3,
        rate_warmup_steps=10,
        initialise_vectors=1000,
        discriminator=DiscriminatorConfig(
            periods=(2,), windows=(512,), period_width=2, spectral_width=2
        ),
    )
    run = train.Arguments(
        data=folder / "train",
        validation=folder / "val",
        out=folder / "run",
        preset="tiny",
        cpu=True,
        settings=settings,
        stage_counts=(1, 4),
        log_every_steps=max(1, steps // 5),
        workers=1,
        data_workers=0,
    )
    train.main(run)
    return folder / "run" / MODEL_FILE


def evaluate_both(codec: Codec, tiny: Codec, folder: Path) -> None:
    """Any two codecs on any speech, with intervals over clips; `diveq-codec eval` and `report` do
    it from the command line.
    """
    print("\n6. Evaluate")
    candidates = [*model_candidates(codec, bitrates_kbps=[3]), *model_candidates(tiny)[-1:]]
    metrics = ["si_sdr", "mel_distance"]
    found = evaluate(find_sources(folder / "val"), candidates, data="val", metrics=metrics)
    print(evaluation_text(found))


if __name__ == "__main__":
    run_script(main, Arguments)
