"""Models in a folder or on the Hugging Face hub: the model file, its configuration, and a card that
the hub renders.
"""

from __future__ import annotations

import json
import re
import tempfile
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

from .checkpoint import SUFFIX, Checkpoint
from .errors import CheckpointError, ConfigError, OutputError
from .files.output import atomic_output
from .model_lookup import MODEL_FILE, find_model, is_model_name, model_name

__all__ = ["find_pretrained", "pretrained_name", "push_model", "save_model"]

CONFIG_FILE, CARD_FILE = "config.json", "README.md"
_HUB_ID = re.compile(r"(?!.*(--|\.\.))\b[\w.-]+\b/\b[\w.-]+\b")


def find_pretrained(name: str | PathLike[str], *, revision: str | None = None) -> Path:
    """The model file of a shipped model's name, a file, a folder as `save_model` writes it, or a
    hub id.

    A name comes before a file or folder that is called so, and the hub is asked last, never for a
    path of a model file.
    """
    if is_model_name(name):
        return find_model(name)
    if Path(name).is_dir():
        file = Path(name) / MODEL_FILE
        if not file.is_file():
            raise CheckpointError(
                f"the folder {name} holds no {MODEL_FILE}; save_pretrained writes one"
            )
        return file
    if _is_hub_id(name):
        return _download(str(name), revision)
    return find_model(name)


def pretrained_name(name: str | PathLike[str]) -> str:
    """Return the display name of a model: its id on the hub, or that of its folder or file."""
    if is_model_name(name) or _is_hub_id(name):
        return str(name)
    path = Path(name)
    return path.resolve().name if path.is_dir() else model_name(path)


def _is_hub_id(name: str | PathLike[str]) -> bool:
    """Whether a name is of the hub's form, and neither here nor a path of a model file."""
    text = str(name)
    return not (Path(name).exists() or text.endswith(SUFFIX) or not _HUB_ID.fullmatch(text))


def _download(repository: str, revision: str | None) -> Path:
    _require_hub(f"no folder {repository} here, and to fetch it from the hub")
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(repository, MODEL_FILE, revision=revision))
    except (OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"no folder {repository} here, and the hub gives no {MODEL_FILE}: {reason}"
        ) from error


def save_model(
    checkpoint: Checkpoint, folder: str | PathLike[str], *, name: str | None = None
) -> None:
    """Write the model file, `config.json` and a model card; a card that is there already is
    kept.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder / MODEL_FILE, overwrite=True)
    described = {"model_type": "diveq_codec", "fingerprint": checkpoint.fingerprint().hex()}
    with atomic_output(folder / CONFIG_FILE, overwrite=True) as file:
        file.write((json.dumps(described | checkpoint.config.to_dict(), indent=2) + "\n").encode())
    if not (folder / CARD_FILE).exists():
        with atomic_output(folder / CARD_FILE) as file:
            file.write(model_card(checkpoint, name or folder.resolve().name).encode())


def push_model(checkpoint: Checkpoint, repository: str, *, private: bool | None) -> str:
    """Upload what `save_model` writes, in one commit; returns the commit's URL.

    A repository that is not there is made; a card that is there is kept. Who may push, and where
    the hub is, are huggingface_hub's settings (`hf auth login`, HF_ENDPOINT).
    """
    _require_hub("to push a model")
    from huggingface_hub import HfApi

    api = HfApi()
    with tempfile.TemporaryDirectory() as folder:
        save_model(checkpoint, folder, name=repository)
        try:
            api.create_repo(repository, private=private, exist_ok=True)
            kept = [CARD_FILE] if api.file_exists(repository, CARD_FILE) else None
            commit = api.upload_folder(repo_id=repository, folder_path=folder, ignore_patterns=kept)
        except Exception as error:  # its own, or its HTTP client's, which have no class in common
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise OutputError(f"the hub does not take {repository}: {reason}") from error
    return str(commit.commit_url)


def _require_hub(purpose: str) -> None:
    if find_spec("huggingface_hub") is None:
        raise ConfigError(f"{purpose} needs huggingface_hub: pip install 'diveq-codec[hub]'")


def model_card(checkpoint: Checkpoint, name: str) -> str:
    """Markdown with the front matter that the hub reads."""
    config = checkpoint.config
    bits = [stage.bits for stage in config.stages]
    least, most = (kbps * config.frame_rate_hz / 1000 for kbps in (bits[0], sum(bits)))
    kinds = " and ".join(
        sorted({"SF-DiVeQ" if stage.is_space_filling else "DiVeQ" for stage in config.stages})
    )
    return _CARD.format(
        name=name,
        rate=config.sample_rate_hz,
        frames=float(config.frame_rate_hz),
        stages=len(bits),
        kinds=kinds,
        least=float(least),
        most=float(most),
        fingerprint=checkpoint.fingerprint().hex(),
        scores=_scores(checkpoint.facts.get("validation")),
    )


_CARD = """---
library_name: diveq-codec
pipeline_tag: audio-to-audio
tags: [audio, speech, neural-codec, audio-tokenizer, vector-quantization, diveq]
---

# {name}

A neural speech codec for {rate} Hz audio: {frames:g} frames a second, {stages} residual stages
of {kinds} (arXiv 2509.26469), {least:g} to {most:g} kbps. The `.dvq` files that it codes carry its
fingerprint `{fingerprint}`.

```python
from codec import Codec  # pip install 'diveq-codec[hub]'

codec = Codec.from_pretrained("{name}")  # this repository's id, or a folder
encoded = codec.encode("speech.wav")
audio = codec.decode_codes(encoded.codes)
```
{scores}"""


def _scores(validation: Any) -> str:
    """The scores that the training recipe left among the facts, if so."""
    if not isinstance(validation, list) or not all(isinstance(row, dict) for row in validation):
        return ""
    columns = {
        "stages": "stages",
        "kbps": "kbps",
        "pesq_wb": "PESQ-WB",
        "estoi": "ESTOI",
        "si_sdr": "SI-SDR, dB",
    }
    rows = [[_cell(row.get(key)) for key in columns] for row in validation]
    table = [list(columns.values()), ["---"] * len(columns), *rows]
    lines = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return f"\nOn the clips that it was validated on in training:\n\n{lines}\n"


def _cell(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
