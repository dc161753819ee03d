"""Rates on the command lines of recipes: lists with commas, the same everywhere, and bad ones
refused.
"""

from __future__ import annotations

from typing import Any

import pytest
import tyro

from recipes.measure import pictures
from recipes.measure.compare import __main__ as compare
from recipes.measure.conditions import __main__ as conditions
from recipes.runs.folder import model_file, train
from recipes.runs.libritts import score_run
from recipes.studies.quantizers import whole_codec

# Each command line, without the option for rates.
COMPARE = (compare.Arguments, "--data speech --out runs/x")
CONDITIONS = (conditions.Arguments, "--data speech --out runs/x")
PICTURES = (pictures.Arguments, "--data speech --clip one --out x.png")
EXPORT = (model_file.Arguments, "--run runs/x --validation val --model x.safetensors")
TRAIN = (train.Arguments, "--data train --validation val --out runs/x")
EVALUATE = (score_run.Arguments, "--run runs/x")
WHOLE_CODEC = (whole_codec.Arguments, "residual --data train --validation val --out runs/x")


def parsed(recipe: tuple[type, str], *words: str) -> Any:
    arguments, others = recipe
    return tyro.cli(arguments, args=[*others.split(), *words])


@pytest.mark.parametrize("recipe", [COMPARE, CONDITIONS, PICTURES])
def test_bitrates_are_numbers_with_commas(recipe):
    assert parsed(recipe, "--bitrates", "3,1.5, 6,3").bitrates == (3.0, 1.5, 6.0)  # each once
    assert parsed(recipe).bitrates == (() if recipe is COMPARE else (1.5, 3.0, 6.0))


@pytest.mark.parametrize(
    ("recipe", "option"),
    [
        (COMPARE, "stages"),
        (EXPORT, "stage_counts"),
        (TRAIN, "stage_counts"),
        (EVALUATE, "stage_counts"),
        (WHOLE_CODEC, "stage_counts"),
    ],
)
def test_stages_are_whole_numbers_with_commas(recipe, option):
    counts = getattr(parsed(recipe, f"--{option.replace('_', '-')}", "4,1, 12,4"), option)
    assert counts == (4, 1, 12)
    assert all(type(count) is int for count in counts)


@pytest.mark.parametrize(
    ("option", "text", "rule"),
    [
        *(
            ("bitrates", text, "such as 1.5,3,6")
            for text in ("", "1;3", "3,", "3,0", "3,-1", "3,inf", "nan", "six")
        ),
        *(
            ("stages", text, "such as 3,6,12")
            for text in ("", "1;4", "4,", "0,4", "-1", "1.5", "²")
        ),
    ],
)
def test_other_lists_are_refused(option, text, rule, capsys):
    with pytest.raises(SystemExit) as stopped:
        parsed(COMPARE, f"--{option}={text}")
    assert stopped.value.code == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert (
        f"positive {'whole ' * (option == 'stages')}numbers with commas between them, {rule}, not "
        f"{text!r}" in said
    )


def test_stages_with_spaces_between_them_are_refused(capsys):
    with pytest.raises(SystemExit):
        parsed(TRAIN, "--stage-counts", "3", "6", "12")
    assert "Unrecognized" in capsys.readouterr().err


def test_help_shows_lists_as_they_are_given(capsys):
    with pytest.raises(SystemExit):
        parsed(CONDITIONS, "--help")
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--bitrates KBPS,KBPS,..." in said
    assert "(default: 1.5,3,6)" in said
