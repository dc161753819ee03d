"""Sound files and pipes, read and written a block at a time, and resampled on the way.

A block is a float32 array (channels, samples), nominally in [-1, 1]. Nothing here holds a whole
file in memory.
"""

from .audio_reader import AUDIO_SUFFIXES, MAX_CHANNELS, WRITABLE_SUFFIXES, AudioReader, open_audio
from .audio_writer import AudioWriter
from .resampling import resample_blocks, resampled_length
from .walk import walk_audio

__all__ = [
    "AUDIO_SUFFIXES",
    "MAX_CHANNELS",
    "WRITABLE_SUFFIXES",
    "AudioReader",
    "AudioWriter",
    "open_audio",
    "resample_blocks",
    "resampled_length",
    "walk_audio",
]
