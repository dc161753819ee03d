"""The presets: functions that return a model's configuration."""

from __future__ import annotations

import dataclasses

from .config import ModelConfig, StageConfig
from .filterbank.filterbank_layout import FilterbankLayout
from .stage_kinds import StageKind
from .transform.transform_layout import TransformLayout

# About equally wide on the mel scale at 16 kHz, from 4 coefficients (100 Hz) to 41 (1 kHz).
_SPEECH_BANDS = (4, 4, 5, 5, 7, 7, 8, 9, 10, 12, 13, 15, 17, 19, 22, 25, 28, 32, 37, 41)


def speech_16khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """The default: 16 kHz, 50 frames/s, 14 stages of 10 bits, 0.5 to 7 kbps."""
    return ModelConfig(
        sample_rate_hz=16_000,
        latent_channels=256,
        stages=(StageConfig(kind=kind),) * 14,
        least_stages=0,
        transform=TransformLayout(
            bands=_SPEECH_BANDS,
            width=340,
            encoder_blocks=4,
            decoder_blocks=6,
            noise_channels=16,
            conceals=True,
        ),
    )


def speech_16khz_25hz(*, kind: StageKind = "diveq") -> ModelConfig:
    """`speech_16khz` at half its frame rate, and half as deep again: 28 stages, each of two frames
    of the transform; the upper bands have an excitation and noise.
    """
    model = speech_16khz(kind=kind)
    assert model.transform is not None
    return dataclasses.replace(
        model,
        latent_channels=2 * model.latent_channels,
        stages=2 * model.stages,
        transform=dataclasses.replace(
            model.transform,
            encoder_blocks=6,
            decoder_blocks=9,
            frames_per_latent=2,
            excitation_bands=5,
            noise_bands=5,
        ),
    )


def speech_16khz_live(*, kind: StageKind = "diveq") -> ModelConfig:
    """`speech_16khz` for calls: 80 ms behind, of which two frames are look-ahead and two the
    overlap of the MDCT.
    """
    model = speech_16khz(kind=kind)
    assert model.transform is not None
    layout = dataclasses.replace(
        model.transform,
        encoder_look_ahead=(1, 0, 0, 0),
        decoder_look_ahead=(1, 0, 0, 0, 0, 0),
        level_look_ahead=0,
    )
    return dataclasses.replace(model, transform=layout)


def speech_24khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """LibriTTS's own rate: 24 kHz, 75 frames/s, 10 stages of 10 bits, 0.75 to 7.5 kbps."""
    return dataclasses.replace(
        speech_16khz(kind=kind), sample_rate_hz=24_000, stages=(StageConfig(kind=kind),) * 10
    )


def dac_16khz(*, kind: StageKind = "diveq") -> ModelConfig:
    """The layout of the Descript Audio Codec at 16 kHz, full size, for comparison."""
    return ModelConfig(
        sample_rate_hz=16_000,
        latent_channels=1024,
        stages=(StageConfig(kind=kind),) * 12,
        filterbank=FilterbankLayout(
            frontend_kernel=7,
            frontend_stride=1,
            strides=(2, 4, 5, 8),
            encoder_width=64,
            decoder_width=1536,
        ),
    )


def tiny(*, kind: StageKind = "diveq") -> ModelConfig:
    """For tests: 16 kHz, 50 frames/s, 4 stages of 6 bits, some 50,000 parameters."""
    return ModelConfig(
        sample_rate_hz=16_000,
        latent_channels=32,
        stages=(StageConfig(kind=kind, bits=6, dim=4),) * 4,
        filterbank=FilterbankLayout(
            frontend_kernel=32,
            frontend_stride=8,
            strides=(2, 4, 5),
            encoder_width=8,
            decoder_width=64,
            dilations=(1, 3),
            residual_kernel=3,
        ),
    )


PRESETS = {
    "speech_16khz": speech_16khz,
    "speech_16khz_25hz": speech_16khz_25hz,
    "speech_16khz_live": speech_16khz_live,
    "speech_24khz": speech_24khz,
    "dac_16khz": dac_16khz,
    "tiny": tiny,
}
