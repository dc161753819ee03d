"""The part of a report that shows one metric at a time: chart, best and worst clips."""

from __future__ import annotations

from ..evaluation.result import Evaluation
from .chart import NARROW, WIDE, chart, swatch
from .curves import Curve, curves_of
from .figures import overall_metrics
from .markup import Markup, tag
from .tables import extremes_table

__all__ = ["metric_panels"]

MEANINGS = {
    "pesq_wb": "Predicts a listening test from an ear's view of the two signals (ITU-T P.862.2), "
    "1.04 to 4.64.",
    "pesq_nb": "PESQ up to 4 kHz, as over a telephone (ITU-T P.862), 1.02 to 4.55.",
    "stoi": "How much of the speech's envelope is kept, a measure of intelligibility, up to 1.",
    "estoi": "STOI made stricter for noises that come and go, up to 1.",
    "visqol": "Predicts a listening test from similarity of spectrograms, 1 to 5.",
    "distillmos": "A network that predicts listeners' ratings of the coded speech alone, 1 to 5.",
    "dnsmos_p808": "A network that predicts listeners' ratings (ITU-T P.808) of the coded speech "
    "alone, 1 to 5.",
    "dnsmos_ovrl": "A network that predicts ratings of speech and background together (ITU-T "
    "P.835), 1 to 5.",
    "plcmos": "A network that predicts ratings of speech of which packets were lost, 1 to 5.",
    "si_sdr": "The level of the original over that of the error, at the best gain; waveforms must "
    "agree, not sounds.",
    "mel_distance": "The mean difference of mel spectra on a logarithmic scale.",
    "stft_distance": "The difference of spectra at several resolutions.",
    "log_spectral_distance": "The root-mean-square difference of spectra in dB.",
    "carrier_repetition": "How alike noisy sounds are to themselves 40 ms later: noise 0.08, one "
    "frozen pattern 0.9.",
}
"""What each metric says, for those who have not met it."""


def metric_panels(evaluation: Evaluation, anchors: dict[int, str]) -> Markup:
    """A tab and a panel for each metric that is of no band; without scripts the panels stand one
    below the other.
    """
    numbered = list(enumerate(overall_metrics(evaluation)))
    tabs = (_tab(evaluation, number, metric) for number, metric in numbered)
    panels = (_panel(evaluation, number, metric, anchors) for number, metric in numbered)
    bar = tag("div", *tabs, role="tablist", aria_label="Metric", class_="tabs", hidden=True)
    return tag("div", bar, *panels, class_="tabbed")


def _tab(evaluation: Evaluation, number: int, metric: str) -> Markup:
    title = evaluation.metric(metric).title
    attributes = {
        "role": "tab",
        "id": f"tab-{number}",
        "aria-controls": f"panel-{number}",
        "type": "button",
    }
    return tag("button", title, **attributes, aria_selected="true" if number == 0 else "false")


def _panel(evaluation: Evaluation, number: int, metric: str, anchors: dict[int, str]) -> Markup:
    facts = evaluation.metric(metric)
    unit = f"In {facts.unit}; " if facts.unit else ""
    words = f"{unit}{evaluation.direction(metric)}."
    meaning = MEANINGS.get(metric, "")
    return tag(
        "div",
        tag("h3", facts.title),
        tag("p", f"{meaning} {words[0].upper()}{words[1:]}".strip()),
        _chart(evaluation, metric),
        extremes_table(evaluation, metric, anchors),
        role="tabpanel",
        id=f"panel-{number}",
        aria_labelledby=f"tab-{number}",
    )


def _chart(evaluation: Evaluation, metric: str) -> Markup:
    curves = curves_of(evaluation, metric)
    if not curves:
        return tag(
            "p", "No chart: no system has both a bitrate and a mean of this metric.", class_="note"
        )
    drawn = {point.system for curve in curves for point in curve.points}
    others = [
        system.name for number, system in enumerate(evaluation.systems) if number not in drawn
    ]
    missing = f" Not drawn, for want of a bitrate or a mean: {', '.join(others)}." if others else ""
    items = (tag("li", swatch(curve.style), " ", curve.family) for curve in curves)
    return tag(
        "figure",
        chart(evaluation, metric, WIDE),
        chart(evaluation, metric, NARROW),
        tag("ul", *items, class_="legend"),
        tag(
            "figcaption",
            f"Means over the bitrate; the bars are 95 % intervals over "
            f"clips.{_alone(curves)}{missing}",
        ),
        class_="curves",
    )


def _alone(curves: tuple[Curve, ...]) -> str:
    """Return a hint where there is nothing to compare with."""
    if len(curves) > 1:
        return ""
    return " There is no other codec here to compare with: give eval decoded folders of one, too."
