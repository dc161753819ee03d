"""What several verbs ask of a `.dvq` file."""

from __future__ import annotations


def is_whole(path: str, fingerprint: bytes, *, stages: int | None = None) -> bool:
    """Whether a file is a stream without faults, of this model, and of so many stages where that is
    given.
    """
    from codec import BitstreamError, read_info

    try:
        info = read_info(path)
    except BitstreamError:
        return False
    header = info.header
    return (
        not info.holes
        and header.fingerprint == fingerprint
        and stages in (None, len(header.stages))
    )
