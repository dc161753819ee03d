"""Fetch LibriTTS: official archives, checked, unpacked to ROOT/LibriTTS. What is there already is
left as it is.

    python -m recipes.runs.libritts.download corpora --subsets train-clean-100 dev-clean test-clean

Stopped at any moment, the same command goes on. LibriTTS: Zen et al., "LibriTTS: A Corpus Derived
from LibriSpeech for Text-to-Speech", 2019; https://www.openslr.org/60/; CC BY 4.0.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from ...run_script import run_script
from ...stderr_progress import progress_on_stderr
from .transfer import DownloadError, fetch, file_sha256
from .unpack import unpack

Subset = Literal[
    "dev-clean",
    "dev-other",
    "test-clean",
    "test-other",
    "train-clean-100",
    "train-clean-360",
    "train-other-500",
]

CORPUS = "LibriTTS"
# others: https://us.openslr.org/…, https://openslr.elda.org/…
OFFICIAL = "https://www.openslr.org/resources/60"

# SHA-256 of the official archives, as pytorch/audio has them in src/torchaudio/datasets/libritts.py
# (commit 8d3cd237894664e0af59039d6a70211f9580989e); openslr.org itself publishes MD5 sums only.
OFFICIAL_SHA256: dict[str, str] = {
    "dev-clean": "da0864e1bd26debed35da8a869dd5c04dfc27682921936de7cff9c8a254dbe1a",
    "dev-other": "d413eda26f3a152ac7c9cf3658ef85504dfb1b625296e5fa83727f5186cca79c",
    "test-clean": "234ea5b25859102a87024a4b9b86641f5b5aaaf1197335c95090cde04fe9a4f5",
    "test-other": "33a5342094f3bba7ccc2e0500b9e72d558f72eb99328ac8debe1d9080402f10d",
    "train-clean-100": "c5608bf1ef74bb621935382b8399c5cdd51cd3ee47cec51f00f885a64c6c7f6b",
    "train-clean-360": "ce7cff44dcac46009d18379f37ef36551123a1dc4e5c8e4eb73ae57260de4886",
    "train-other-500": "e35f7e34deeb2e2bdfe4403d88c8fdd5fbf64865cae41f027a185a6965f0a5df",
}


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What to fetch, from where, to where."""

    root: Annotated[Path, tyro.conf.Positional]
    """Folder for the archives; the corpus goes to LibriTTS below it."""
    subsets: tuple[Subset, ...] = ("train-clean-100", "train-clean-360", "dev-clean", "test-clean")
    """38 GB of archives by default, and somewhat more unpacked."""
    mirror: str = OFFICIAL
    """Address below which the archives lie."""
    checksums: Path | None = None
    """Lines of `sha256sum`, for a mirror with archives of its own."""
    delete_archives: bool = False
    """Delete each archive once it is unpacked."""


def main(arguments: Arguments) -> None:
    arguments.root.mkdir(parents=True, exist_ok=True)
    sums = read_checksums(arguments.checksums) if arguments.checksums else OFFICIAL_SHA256
    for subset in arguments.subsets:
        folder = arguments.root / CORPUS / subset
        if folder.is_dir():
            print(f"{folder} is there already", file=sys.stderr)
            continue
        archive = _fetched(arguments.root, subset, arguments.mirror, sums)
        _unpack_subset(archive, arguments.root, subset)
        if arguments.delete_archives:
            archive.unlink()


def read_checksums(path: Path) -> dict[str, str]:
    """Subset → SHA-256, from lines "sum  subset.tar.gz"."""
    sums: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DownloadError(f"cannot read the checksums {path}: {error}") from error
    for line in filter(None, lines):
        digest, _, name = line.partition(" ")
        if len(digest) != 64 or not name.endswith(".tar.gz"):
            raise DownloadError(f"{path}: {line!r} is not a line of sha256sum for a .tar.gz")
        sums[name.lstrip(" *").removesuffix(".tar.gz")] = digest.lower()
    return sums


def _fetched(root: Path, subset: str, mirror: str, sums: Mapping[str, str]) -> Path:
    if subset not in sums:
        raise DownloadError(f"there is no checksum for {subset}; known: {', '.join(sums)}")
    archive = root / f"{subset}.tar.gz"
    if archive.exists():
        found = file_sha256(archive)
        if found != sums[subset]:
            raise DownloadError(
                f"{archive} has SHA-256 {found}, expected {sums[subset]}; delete it to fetch it "
                f"anew"
            )
        return archive
    url = f"{mirror.rstrip('/')}/{archive.name}"
    with progress_on_stderr(f"fetching {url}", unit="bytes") as report:
        fetch(url, archive, sha256=sums[subset], report=report)
    return archive


def _unpack_subset(archive: Path, root: Path, subset: str) -> None:
    """Unpack beside, then rename: a folder of the corpus is whole, or is not there."""
    staging = root / f".{subset}.unpacking"
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with progress_on_stderr(f"unpacking {archive}", unit="bytes") as report:
            unpack(archive, staging, report)
        found = staging / CORPUS / subset
        if not found.is_dir():
            raise DownloadError(
                f"{archive} has no folder {CORPUS}/{subset}; it is not that part of LibriTTS"
            )
        (root / CORPUS).mkdir(exist_ok=True)
        for path in (staging / CORPUS).iterdir():
            if path.is_file():  # licence, speakers, books: the same in all archives
                path.replace(root / CORPUS / path.name)
        found.rename(root / CORPUS / subset)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


if __name__ == "__main__":
    run_script(main, Arguments)
