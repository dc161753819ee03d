"""The torch module: shapes and names of the ecosystem, gradients, fine-tuning."""

from __future__ import annotations

import copy

import pytest
import torch
from synthesis import synthesize_speech

from codec import AudioError, Codec, ConfigError
from codec.torch_module import DiveqCodecModel


@pytest.fixture
def module(tiny_model) -> DiveqCodecModel:
    return DiveqCodecModel.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def waves() -> torch.Tensor:
    return torch.stack(
        [torch.from_numpy(synthesize_speech(1.0, seed=seed)).float() for seed in range(2)]
    )[:, None]


def test_names_and_shapes(module, waves):
    assert (module.sampling_rate, module.hop_length, module.num_quantizers) == (16_000, 320, 4)
    assert module.codebook_size == module.config.stages[0].codewords
    codes = module.encode(waves, num_quantizers=3).audio_codes
    assert (codes.shape, codes.dtype) == ((2, 3, 50), torch.int64)
    torch.testing.assert_close(module.encode(waves[:, 0], num_quantizers=3).audio_codes, codes)
    assert module.decode(codes).audio_values.shape == waves.shape
    assert module.latents(codes).shape == (2, module.config.latent_channels, 50)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_floats_of_any_width_are_audio(module, waves, kind):
    waves = waves.to(kind)
    codes = module.encode(waves).audio_codes
    assert torch.equal(codes, module.encode(waves.float()).audio_codes)
    torch.testing.assert_close(module(waves).audio_codes, codes)


@pytest.mark.parametrize("model", ["tiny_model", "tiny_sf_model"])
@pytest.mark.parametrize("count", [1, 4])
def test_forward_is_decode_of_encode(request, model, waves, count):
    module = DiveqCodecModel.from_pretrained(request.getfixturevalue(model))
    through = module(waves, num_quantizers=count)
    codes = module.encode(waves, num_quantizers=count).audio_codes
    torch.testing.assert_close(through.audio_codes, codes)
    torch.testing.assert_close(
        through.audio_values, module.decode(codes).audio_values, rtol=0, atol=1e-5
    )
    torch.testing.assert_close(through.audio_values, module.eval()(waves, count).audio_values)


def test_the_decoder_is_that_of_the_codec(module, tiny_model, waves):
    codes = module.encode(waves[:1]).audio_codes
    codes[:, 2:, ::4] = -1
    expected = Codec.load(tiny_model, device="cpu").decode_codes(codes[0]).wave
    torch.testing.assert_close(
        module.decode(codes).audio_values[0], torch.from_numpy(expected), rtol=0, atol=1e-5
    )


def test_gradients_reach_everything_that_is_trainable(module, waves):
    waves = waves.clone().requires_grad_(True)
    module(waves).audio_values.square().sum().backward()
    assert waves.grad is not None
    assert waves.grad.abs().sum() > 0
    without = {name for name, weight in module.named_parameters() if weight.grad is None}
    assert without == {f"model.quantizer.stages.{stage}.projection" for stage in range(4)}
    module.zero_grad()
    module.decode(module.encode(waves).audio_codes).audio_values.square().sum().backward()
    stage = next(iter(module.model.quantizer))
    assert stage.codebook.grad.abs().sum() > 0


def test_a_fine_tuned_module_is_saved_and_loaded_as_any_model(module, tiny_model, waves, tmp_path):
    start = copy.deepcopy(module.state_dict())
    optimiser = torch.optim.AdamW(
        [weight for weight in module.parameters() if weight.requires_grad], lr=1e-3
    )
    losses = []
    for _ in range(8):
        loss = (module(waves).audio_values - waves).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    module.save_pretrained(tmp_path / "tuned")
    tuned = Codec.from_pretrained(tmp_path / "tuned", device="cpu", backend="onnx")
    assert (
        tuned.facts["fine_tuned_from"]["model"]
        == Codec.load(tiny_model, device="cpu").fingerprint.hex()
    )
    expected = module.encode(waves).audio_codes
    for wave, codes in zip(waves, expected, strict=True):
        assert torch.equal(
            torch.from_numpy(tuned.encode(wave, sample_rate_hz=16_000).codes[0]).long(), codes
        )
    module.load_state_dict(start)
    assert not torch.equal(module.encode(waves).audio_codes, expected)


def test_a_clip_of_no_samples(module):
    codes = module.encode(torch.zeros(2, 640), torch.tensor([[1] * 640, [0] * 640])).audio_codes
    assert (codes[0] >= 0).all()
    assert (codes[1] == -1).all()


def test_what_does_not_fit_is_refused(module, waves):
    with pytest.raises(
        AudioError,
        match=r"\(batch, 1, samples\) or \(batch, samples\), not torch.float32 \(2, 2, 9\)",
    ):
        module.encode(torch.zeros(2, 2, 9))
    with pytest.raises(AudioError, match=r"not torch\.int16"):
        module(torch.zeros(1, 9, dtype=torch.int16))
    with pytest.raises(AudioError, match="padding_mask is"):
        module.encode(torch.zeros(1, 3), torch.tensor([[0, 1, 1]]))
    with pytest.raises(ConfigError, match="1 to 4 codebooks, not 5"):
        module.encode(waves, num_quantizers=5)
    with pytest.raises(ConfigError, match="1 to 4 codebooks, not 0"):
        module(waves, num_quantizers=0)
