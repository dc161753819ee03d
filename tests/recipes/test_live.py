"""The networks of `recipes.live`, Opus through them, and both ends in one process."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import soundfile
from synthesis import synthesize_speech

from codec import ConfigError, OutputError
from recipes.live import both_ends
from recipes.live.network import LossyNetwork
from recipes.live.opus import Opus


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.2, 0.3])
def test_so_much_is_lost_in_bursts(loss):
    lost = LossyNetwork(loss=loss).lost(50_000, 0.02)
    assert lost.mean() == pytest.approx(loss, abs=0.02)
    if loss:
        bursts = np.diff(np.flatnonzero(np.diff(np.pad(lost, 1).astype(int))))[::2]
        assert bursts.mean() == pytest.approx(5, rel=0.15)  # 100 ms
    np.testing.assert_array_equal(LossyNetwork(loss=loss).lost(50_000, 0.02), lost)


def test_packets_overtake_each_other_and_come_twice():
    coming = LossyNetwork(loss=0.1, jitter_seconds=0.08, doubled=0.05).arrivals(5000, 0.02)
    times, numbers = zip(*coming, strict=True)
    assert list(times) == sorted(times)
    assert len(numbers) - len(set(numbers)) == pytest.approx(0.05 * 4500, rel=0.2)
    assert np.mean(np.diff(numbers) < 0) > 0.2
    delays = np.array([at - (number + 1) * 0.02 for at, number in coming])
    assert (delays.min() >= -1e-9, delays.max() <= 0.08) == (True, True)


def test_opus_is_in_time_and_hides_losses():
    wave = synthesize_speech(3.0, seed=1)
    try:
        coder = Opus(kbps=12, packet_ms=60, loss=0.1)
    except ConfigError as error:
        pytest.skip(str(error))
    packets = coder.encode(wave)
    heard = coder.decode(packets, np.zeros(len(packets), bool), len(wave))
    assert heard.shape == wave.shape
    shifts = [np.dot(np.roll(heard, shift), wave) for shift in range(-40, 41)]
    assert abs(int(np.argmax(shifts)) - 40) <= 3
    lost = np.arange(len(packets)) % 7 == 3
    assert (
        Opus(kbps=12, packet_ms=60, loss=0.1).decode(packets, lost, len(wave)).shape == wave.shape
    )


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_a_call_from_file_to_file_is_whole(loss, tmp_path, capsys):
    source, target = tmp_path / "speech.wav", tmp_path / "heard.wav"
    wave = synthesize_speech(2.51, seed=3)
    soundfile.write(source, wave, 16_000)
    call = both_ends.Call(source=str(source), target=str(target), loss=loss)
    both_ends.main(call)
    heard, rate = soundfile.read(target, dtype="float32")
    assert rate == 16_000
    late = len(heard) - len(wave)
    assert 0 <= late < 0.2 * 16_000  # of a packet, and the frames around it
    told = ast.literal_eval(capsys.readouterr().out)
    assert (told["lost"] > 0) is (loss > 0)
    with pytest.raises(OutputError, match="exists already"):
        both_ends.main(call)
