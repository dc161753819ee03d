"""The loop around the steps: budget, saving, stopping, going on, and giving up."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from equality import assert_equal_states

from codec.errors import ConfigError
from codec.files.stop import Stopped
from codec.training import clock as clock_module
from codec.training import run as run_module
from codec.training.logs import METRICS, read_metrics
from codec.training.run import TrainingError, train
from codec.training.state import STATE, load_state, open_run
from codec.training.trainer import Trainer

from .small_run import batches, small_trainer

NEVER = 1e9
TIMES = ("elapsed_s", "audio_s_per_s")


def no_validation(*_: Any) -> dict[str, Any]:
    return {}


def run(trainer: Trainer, folder: Path, data=batches, **options: Any) -> int:
    """Go on with the folder's run, or begin it, and log every step."""
    start = open_run(trainer, folder)
    defaults = {"validate": no_validation, "log_every_steps": 1, "save_every_minutes": NEVER}
    options = defaults | {"validate_every_minutes": NEVER} | options
    return train(trainer, data, folder, elapsed_s=start.elapsed_s, origin=start.origin, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of an unbroken run of DiVeQ stages; not to be written to."""
    folder = tmp_path_factory.mktemp("finished")
    assert run(small_trainer(folder), folder) == 0
    return folder


def steps_of(folder: Path, event: str) -> list[int]:
    return [record["step"] for record in read_metrics(folder / METRICS) if record["event"] == event]


def failing_from(step: int, action) -> Any:
    def data(number: int) -> torch.Tensor:
        if number == step:
            action()
        return batches(number)

    return data


def send(*signals: signal.Signals) -> Any:
    def action() -> None:
        for number in signals:
            signal.raise_signal(number)

    return action


def crash() -> None:
    raise OSError("the machine is gone")


# --- budgets


def test_a_run_of_steps_is_logged_validated_and_saved(tmp_path):
    trainer = small_trainer(tmp_path)
    validated = []

    def validate(model, _log, step: int) -> dict[str, Any]:
        validated.append((model, step))
        return {"2_stages": {"pesq_wb": 1.25, "estoi": None}}

    assert (
        run(
            trainer, tmp_path, validate=validate, log_every_steps=5, data_facts={"folder": "speech"}
        )
        == 0
    )
    assert validated == [(trainer.averaged, 12)]
    assert [(record["step"], record["event"]) for record in read_metrics(tmp_path / METRICS)] == [
        (4, "initialise"),
        (5, "train"),
        (10, "train"),
        (12, "train"),
        (12, "validation"),
    ]
    last, validation = read_metrics(tmp_path / METRICS)[-2:]
    assert validation["2_stages"] == {"pesq_wb": 1.25, "estoi": None}
    assert {
        "mel",
        "total",
        "adversarial",
        "gradient_norm",
        "learning_rate",
        "audio_s_per_s",
        "elapsed_s",
    } <= set(last)
    assert {len(last[name]) for name in ("used", "perplexity", "error", "scale")} == {2}
    state = load_state(tmp_path)
    assert_equal_states(state["trainer"], trainer.state_dict())
    assert (state["data"], state["origin"]) == ({"folder": "speech"}, None)
    assert state["elapsed_s"] > 0


def test_figures_are_means_over_the_steps_since_the_last_line(finished, tmp_path):
    run(small_trainer(tmp_path), tmp_path, log_every_steps=4)
    single, means = (
        {r["step"]: r["mel"] for r in read_metrics(folder / METRICS) if r["event"] == "train"}
        for folder in (finished, tmp_path)
    )
    assert means[4] == pytest.approx(sum(single[step] for step in (1, 2, 3, 4)) / 4, rel=1e-5)
    assert means[8] == pytest.approx(
        sum(single[step] for step in (7, 8)) / 2, rel=1e-5
    )  # adversarial from 7 on
    assert means[12] == pytest.approx(sum(single[step] for step in (9, 10, 11, 12)) / 4, rel=1e-5)


def test_a_run_of_minutes_saves_and_validates_by_its_clock(tmp_path, monkeypatch):
    """A step takes 6 s and a validation 12 s: the budget counts both, the speed only the steps."""
    trainer = small_trainer(tmp_path, steps=None, max_minutes=1.0)
    pauses, saved, validated = [], [], []
    monkeypatch.setattr(clock_module, "monotonic", lambda: 1000 + 6 * trainer.steps + sum(pauses))
    monkeypatch.setattr(
        run_module, "save_state", lambda folder, state: saved.append(state["trainer"]["steps"])
    )

    def validate(_model, _log, step: int) -> dict[str, Any]:
        validated.append(step)
        pauses.append(12)
        return {}

    assert (
        run(
            trainer,
            tmp_path,
            validate=validate,
            save_every_minutes=0.25,
            validate_every_minutes=0.5,
        )
        == 0
    )
    # Seconds after each step: 6 12 18 24 30, validation to 42, 48 54 60.
    assert (saved, validated) == ([3, 5, 6, 8], [5, 8])
    records = [record for record in read_metrics(tmp_path / METRICS) if record["event"] == "train"]
    assert [record["elapsed_s"] for record in records] == [6, 12, 18, 24, 30, 48, 54, 60]
    assert [record["audio_s_per_s"] for record in records] == pytest.approx([2 * 0.16 / 6] * 8)
    assert steps_of(tmp_path, "initialise") == [4]  # from 0.25 of the minute on


def test_a_resumed_run_of_minutes_keeps_its_time_and_its_rhythm(tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(clock_module, "monotonic", lambda: now[0])

    def data(step: int) -> torch.Tensor:
        now[0] += 6
        if step in stops:
            signal.raise_signal(signal.SIGTERM)
        return batches(step)

    validated: list[int] = []
    changes = {"steps": None, "max_minutes": 1.5, "quantize_from": 0.0}
    for stops in ([5], []):
        stopped_by = run(
            small_trainer(tmp_path, **changes),
            tmp_path,
            data,
            validate_every_minutes=0.5,
            validate=lambda _model, _log, step: validated.append(step) or {},
        )
        now[0] += 3600  # the machine was away
        assert stopped_by == (signal.SIGTERM if stops else 0)
    # The start of the codebooks reads 4 batches: 30 s after the first step.
    assert steps_of(tmp_path, "train") == list(range(1, 12))
    assert validated == [1, 11]  # at 30 and 90 s; the stop came at 60, and is not kept waiting


@pytest.mark.parametrize(
    "name", ["log_every_steps", "save_every_minutes", "validate_every_minutes"]
)
def test_intervals_are_positive(tmp_path, name):
    with pytest.raises(ConfigError, match=f"{name} is positive, not 0"):
        run(small_trainer(tmp_path), tmp_path, **{name: 0})


# --- stopping and going on


def test_a_stop_ends_a_validation_at_once(tmp_path):
    """Nothing is lost: the state was saved before. At the end of a run, the stop is not forgotten
    either.
    """

    def validate(_model, _log, _step: int) -> dict[str, Any]:
        signal.raise_signal(signal.SIGTERM)
        raise AssertionError("the signal has no effect")

    trainer = small_trainer(tmp_path, steps=1, quantize_from=0.0, adversarial_from=1.0)
    with pytest.raises(Stopped, match=str(int(signal.SIGTERM))):
        run(trainer, tmp_path, validate=validate)
    assert load_state(tmp_path)["trainer"]["steps"] == 1


def test_a_stop_in_the_last_step_is_no_end(tmp_path):
    trainer = small_trainer(tmp_path, steps=2, quantize_from=0.0, adversarial_from=1.0)
    step, validated = trainer.step, []

    def last_step(*arguments: Any) -> Any:
        if trainer.steps == 1:
            signal.raise_signal(signal.SIGTERM)
        return step(*arguments)

    trainer.step = last_step  # pyright: ignore[reportAttributeAccessIssue]
    assert run(trainer, tmp_path, validate=lambda *_: validated.append(1) or {}) == signal.SIGTERM
    assert load_state(tmp_path)["trainer"]["steps"] == 2
    assert validated == []


def test_a_stop_while_the_state_is_saved_spares_the_validation(tmp_path, monkeypatch):
    def save(*arguments: Any) -> None:
        signal.raise_signal(signal.SIGTERM)
        save_state(*arguments)

    save_state = run_module.save_state
    monkeypatch.setattr(run_module, "save_state", save)
    trainer = small_trainer(tmp_path, steps=1, quantize_from=0.0, adversarial_from=1.0)
    validated: list[int] = []
    assert run(trainer, tmp_path, validate=lambda *_: validated.append(1) or {}) == signal.SIGTERM
    assert validated == []


def test_a_stop_ends_the_start_of_codebooks_at_once(tmp_path):
    trainer = small_trainer(tmp_path, steps=2, quantize_from=0.0, adversarial_from=1.0)
    trainer.start = lambda _batches: signal.raise_signal(signal.SIGTERM) or [0.0]  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(Stopped):
        run(trainer, tmp_path)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize("kind", ["diveq", "sf_diveq"])
def test_a_run_stopped_and_killed_ends_as_an_unbroken_one(kind, finished, tmp_path):
    """SIGTERM saves; a crash goes back to that, and what it wrote since is forgotten."""
    unbroken, broken = finished, tmp_path / "broken"
    if kind != "diveq":
        unbroken = tmp_path / "unbroken"
        assert run(small_trainer(unbroken, kind), unbroken) == 0
    assert (
        run(small_trainer(broken, kind), broken, failing_from(2, send(signal.SIGTERM)))
        == signal.SIGTERM
    )
    assert load_state(broken)["trainer"]["steps"] == 3  # the step in which the signal came is done
    with pytest.raises(OSError, match="the machine is gone"):
        run(small_trainer(broken, kind), broken, failing_from(8, crash))
    assert steps_of(broken, "train") == [1, 2, 3, 4, 5, 6, 7, 8]
    torch.manual_seed(12345)  # whatever else draws random numbers
    assert run(small_trainer(broken, kind), broken) == 0

    assert_equal_states(load_state(broken)["trainer"], load_state(unbroken)["trainer"])
    one, other = (
        [
            {k: v for k, v in record.items() if k not in TIMES}
            for record in read_metrics(folder / METRICS)
        ]
        for folder in (unbroken, broken)
    )
    assert one == other
    assert [
        event["elapsed_s"] for event in read_metrics(broken / METRICS) if "elapsed_s" in event
    ] == sorted(
        event["elapsed_s"] for event in read_metrics(broken / METRICS) if "elapsed_s" in event
    )


def test_a_cut_off_line_of_the_log_is_dropped(tmp_path):
    assert (
        run(small_trainer(tmp_path), tmp_path, failing_from(2, send(signal.SIGTERM)))
        == signal.SIGTERM
    )
    with (tmp_path / METRICS).open("a") as file:
        file.write('{"step": 3, "event": "tr')
    assert run(small_trainer(tmp_path), tmp_path) == 0
    assert steps_of(tmp_path, "train") == list(range(1, 13))
    for line in (tmp_path / METRICS).read_text().splitlines():
        json.loads(line)


def test_ctrl_c_stops_and_a_second_one_interrupts(tmp_path):
    once, twice = tmp_path / "once", tmp_path / "twice"
    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    assert run(small_trainer(once), once, failing_from(1, send(signal.SIGINT))) == signal.SIGINT
    assert load_state(once)["trainer"]["steps"] == 2
    with pytest.raises(KeyboardInterrupt):
        run(small_trainer(twice), twice, failing_from(1, send(signal.SIGINT, signal.SIGINT)))
    assert not (twice / STATE).exists()
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_finished_run_is_left_as_it_is(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert run(small_trainer(tmp_path), tmp_path) == 0
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == files


def test_more_steps_continue_a_finished_run(finished, tmp_path):
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    assert run(small_trainer(tmp_path, steps=14), tmp_path) == 0
    assert steps_of(tmp_path, "train") == list(range(1, 15))


# --- giving up


def broken_from(first: int, last: float = float("inf")) -> Any:
    def data(step: int) -> torch.Tensor:
        return batches(step) * float("nan") if first <= step < last else batches(step)

    return data


@pytest.mark.parametrize("looked_at", ["log_every_steps", "save_every_minutes"])
def test_broken_steps_that_persist_end_the_run_and_keep_the_state(tmp_path, monkeypatch, looked_at):
    assert (
        run(small_trainer(tmp_path, steps=400), tmp_path, failing_from(2, send(signal.SIGTERM)))
        == signal.SIGTERM
    )
    saved = (tmp_path / STATE).read_bytes()
    trainer = small_trainer(tmp_path, steps=400)
    weights = {
        name: value.clone() for name, value in load_state(tmp_path)["trainer"]["model"].items()
    }
    monkeypatch.setattr(run_module, "_MOST_SKIPPED", 10)
    monkeypatch.setattr(clock_module, "monotonic", lambda: 6.0 * trainer.steps)
    intervals = {"log_every_steps": 10_000, "save_every_minutes": NEVER} | {looked_at: 1}
    with pytest.raises(
        TrainingError,
        match=r"1\d steps in a row gave a gradient that is not finite .* learning_rate",
    ):
        run(trainer, tmp_path, broken_from(3), **intervals)
    assert (tmp_path / STATE).read_bytes() == saved
    assert_equal_states(dict(trainer.model.state_dict()), weights)


def test_a_few_broken_steps_are_counted_and_survived(tmp_path):
    trainer = small_trainer(tmp_path)
    assert run(trainer, tmp_path, broken_from(8, 10)) == 0
    records = {
        record["step"]: record
        for record in read_metrics(tmp_path / METRICS)
        if record["event"] == "train"
    }
    assert [records[step]["mel"] is None for step in (8, 9, 10, 11)] == [False, True, True, False]
    assert [records[step]["skipped_steps"] for step in (8, 9, 10, 12)] == [0, 1, 2, 2]
    assert all(value.isfinite().all() for value in trainer.averaged.state_dict().values())


def test_codebooks_do_not_start_from_broken_latents(tmp_path):
    with pytest.raises(TrainingError, match="the latents at step 3 are not finite"):
        run(small_trainer(tmp_path), tmp_path, broken_from(3))
    assert not (tmp_path / STATE).exists()
