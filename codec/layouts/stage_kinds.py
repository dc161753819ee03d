"""Lists the kinds of quantizer stages, a line each; their modules are in `codec.quantizers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StageKind = Literal["diveq", "diveq_detach", "sf_diveq", "sf_diveq_detach"]


@dataclass(frozen=True, slots=True)
class StageTraits:
    """The properties of a kind that training, file format and both backends need.

    Attributes:
        module: Of `codec.quantizers`; its function `quantize` is the estimator of training.
        is_space_filling: Codes name points on the segments between codewords, not codewords alone.
        is_detached: Training adds no noise to the direction of the error.
    """

    module: str
    is_space_filling: bool = False
    is_detached: bool = False


STAGE_KINDS: dict[StageKind, StageTraits] = {
    "diveq": StageTraits("diveq"),
    "diveq_detach": StageTraits("diveq", is_detached=True),
    "sf_diveq": StageTraits("sf_diveq", is_space_filling=True),
    "sf_diveq_detach": StageTraits("sf_diveq", is_space_filling=True, is_detached=True),
}
