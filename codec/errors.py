"""The errors that users meet. Each message says what was found, what was expected, what to do."""


class DiveqCodecError(Exception):
    """Anything this package reports about its input; the command line prints it as one line."""


class ConfigError(DiveqCodecError):
    """A configuration that cannot be built."""


class CheckpointError(DiveqCodecError):
    """A model file that is missing, damaged, or not the one asked for."""


class BitstreamError(DiveqCodecError):
    """A `.dvq` stream that is damaged, truncated, or not for this reader or model."""


class AudioError(DiveqCodecError):
    """Audio that cannot be read, written or coded."""


class ManifestError(DiveqCodecError):
    """A manifest of training audio that cannot be read or made."""


class OutputError(DiveqCodecError):
    """A file that cannot be written, such as one that exists already."""
