"""The tables of `RESULTS.md`, each made of the runs of a question; figures are mean ± standard deviation over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ...markdown import table
from .baselines import COMMITMENT
from .measures import DAMAGES, ERROR_RATES
from .methods import METHODS, TITLES

Result = dict[str, Any]
Results = dict[str, list[Result]]  # by question

markdown = partial(table, are_numbers=True)


def spread_of(values: Sequence[float | None], digits: int = 2) -> str:
    """Mean ± standard deviation over seeds; runs whose figure is not finite have failed."""
    found = [value for value in values if value is not None]
    if not found:
        return "failed" if values else "not run"
    text = f"{statistics.fmean(found):.{digits}f}"
    if len(found) > 1:
        text += f" ± {statistics.stdev(found):.{digits}f}"
    return text if len(found) == len(values) else f"{text} ({len(values) - len(found)} failed)"


def chosen(results: Sequence[Result], **fields: Any) -> list[Result]:
    """The runs with these settings."""
    return [result for result in results if all(result["run"][name] == value for name, value in fields.items())]


def values(results: Sequence[Result], name: str) -> list[float | None]:
    """One figure of each run."""
    return [result[name] for result in results]


def methods_of(results: Sequence[Result]) -> list[str]:
    """Those that were run, in the order of the study."""
    return [method for method in METHODS if chosen(results, method=method)]


def _mean(items: Sequence[float | None]) -> float | None:
    found = [item for item in items if item is not None]
    return statistics.fmean(found) if found else None


def grid(results: Sequence[Result], field: str, label: Callable[[Any], str], figure: str = "snr_db") -> str:
    """Methods against the values of one setting."""
    columns = sorted({result["run"][field] for result in results}, key=lambda value: (str(type(value)), value))
    rows = [
        [TITLES[method], *(spread_of(values(chosen(results, method=method, **{field: v}), figure)) for v in columns)]
        for method in methods_of(results)
    ]
    return markdown(["SNR, dB", *map(label, columns)], rows)


def codebook(results: Results) -> str:
    runs = results["codebook"]
    head = ["one codebook of 8 bits, SNR in dB", "speech", "toy"]
    start = ["start (k-means, nothing trained)"]
    start += [spread_of(values(chosen(runs, source=source), "start_snr_db")) for source in ("speech", "toy")]
    rows = [
        [TITLES[m], *(spread_of(values(chosen(runs, method=m, source=s), "snr_db")) for s in ("speech", "toy"))]
        for m in methods_of(runs)
    ]
    return markdown(head, [start, *rows])


def chain(runs: Sequence[Result]) -> str:
    """Methods in a chain of stages: quality, what each stage leaves, use, time."""
    stages = runs[0]["run"]["stages"]
    shown = [number for number in (1, 2, 4, 8) if number <= stages]
    head = ["method", "SNR, dB", *(f"left after {n}, %" for n in shown), "used, %", "perplexity", "ms per step"]
    rows = [["start (k-means, nothing trained)", spread_of(values(runs, "start_snr_db")), *[""] * (len(head) - 2)]]
    for title, mine in variants(runs):
        left = [spread_of([100 * run["energy_left"][n - 1] for run in mine], 1) for n in shown]
        rows.append(
            [
                title,
                spread_of(values(mine, "snr_db")),
                *left,
                spread_of([100 * statistics.fmean(run["used"]) for run in mine], 0),
                spread_of([_mean(run["perplexity"]) for run in mine], 0),
                spread_of([run["history"]["step_ms"] for run in mine], 1),
            ]
        )
    return markdown(head, rows)


def variants(runs: Sequence[Result]) -> list[tuple[str, list[Result]]]:
    """Runs by method and weight of the commitment loss, which is said where it is not the usual one."""
    groups = []
    for method in methods_of(runs):
        for weight in sorted({run["run"]["commitment"] for run in chosen(runs, method=method)}, reverse=True):
            title = TITLES[method] + ("" if weight == COMMITMENT else f", weight {weight:g}")
            groups.append((title, chosen(runs, method=method, commitment=weight)))
    return groups


def codewords(results: Results) -> str:
    runs = results["codewords"]
    rows = [["start (latents drawn at random)", spread_of(values(runs, "start_snr_db"))]]
    rows += [[TITLES[m], spread_of(values(chosen(runs, method=m), "snr_db"))] for m in methods_of(runs)]
    return markdown(["one codebook of 8 bits, only it is trained", "SNR, dB"], rows)


def positions(results: Results) -> str:
    """Equal bits: a longer DiVeQ codebook, or more positions on one SF curve."""
    one = chosen(results["codebook"], source="speech")
    curves = {
        "SF-DiVeQ, last phase on the codewords": chosen(one, method="sf_diveq"),
        "SF-DiVeQ, last phase on 8 positions": chosen(results["positions"], final_position_bits=3),
        "SF-DiVeQ, positions drawn to the end": chosen(results["positions"], final_position_bits=None),
    }
    rows = []
    for name, runs in curves.items():
        at = [spread_of([run["positions"][bits]["snr_db"] for run in runs]) for bits in range(4)]
        rows.append([f"{name}: 256 codewords", *at, spread_of(values(runs, "continuous_snr_db"))])
        cut = [spread_of([run["positions"][bits]["cut_snr_db"] for run in runs]) for bits in range(4)]
        rows.append([f"{name}: received so, positions cut off", *cut, ""])
    longer = [chosen(one, method="diveq"), *(chosen(results["bits"], bits=bits) for bits in (9, 10, 11))]
    rows.append(["DiVeQ, a codebook trained for each", *(spread_of(values(runs, "snr_db")) for runs in longer), ""])
    return markdown(["SNR, dB, at bits", "8", "9", "10", "11", "continuous (not transmittable)"], rows)


def chain_positions(results: Results) -> str:
    """Embedded positions in a chain of four stages."""
    runs = [run for run in results["residual"] if "positions" in run]
    rows = []
    for method in methods_of(runs):
        mine = chosen(runs, method=method)
        cells = [spread_of([run["positions"][bits]["snr_db"] for run in mine]) for bits in range(4)]
        rows.append([TITLES[method], *cells, spread_of(values(mine, "continuous_snr_db"))])
    head = ["SNR, dB; positions per SF segment", "1", "2", "4", "8", "continuous (not transmittable)"]
    return markdown(head, rows)


def noise(results: Results) -> str:
    return grid(results["noise"], "noise_variance", lambda variance: f"σ² {variance:.0e}")


def starts(results: Results) -> str:
    return grid(results["starts"], "start", str)


def rates(results: Results) -> str:
    usual_batch = [run for run in results["rates"] if run["run"]["batch"] == 256]
    return grid(usual_batch, "learning_rate", lambda rate: f"rate {rate:g}")


def batches(results: Results) -> str:
    return grid(chosen(results["rates"], learning_rate=1e-3), "batch", lambda size: f"batch {size}")


def use(results: Results) -> str:
    """Codewords in use at the end, where there is no replacement."""
    runs = results["rates"]
    columns = sorted({(run["run"]["learning_rate"], run["run"]["batch"]) for run in runs})
    head = ["used, % of 1024", *(f"rate {rate:g}, batch {batch}" for rate, batch in columns)]
    rows = []
    for method in methods_of(runs):
        cells = [chosen(runs, method=method, learning_rate=rate, batch=batch) for rate, batch in columns]
        rows.append([TITLES[method], *(spread_of([100 * run["used"][0] for run in cell], 0) for cell in cells)])
    return markdown(head, rows)


ORDERS = {
    ("sf_diveq", "curve"): "SF-DiVeQ, order of the curve",
    ("diveq", "tour"): "DiVeQ, tour order (as model files have it)",
    ("diveq", "random"): "DiVeQ, random order",
}


def _orders(results: Results) -> list[tuple[str, list[Result]]]:
    rows = []
    for (method, order), title in ORDERS.items():
        found = [run["orders"][order] for run in chosen(results["residual"], method=method) if "orders" in run]
        rows.append((title, found))
    return rows


def damage_curve(found: Sequence[Result], kind: str, rate: float) -> list[float | None]:
    """SNR of each run under one damage."""
    return [row["snr_db"] for order in found for row in order["damage"] if (row["damage"], row["rate"]) == (kind, rate)]


def damage(results: Results) -> str:
    rows = []
    for kind in DAMAGES:
        for title, found in _orders(results):
            cells = [spread_of(damage_curve(found, kind, rate)) for rate in ERROR_RATES]
            rows.append([f"{kind.replace('_', ' ')}: {title}", *cells])
    return markdown(["SNR, dB; error rate", *(f"{rate:g}" for rate in ERROR_RATES)], rows)


def coded(results: Results) -> str:
    rows = []
    for title, found in _orders(results):
        static, contexts = ([order["coded"][name] for order in found] for name in ("static", "contexts"))
        saved = [100 * (1 - c / 8) for c in contexts]
        rows.append([title, spread_of(static), spread_of(contexts), spread_of(saved, 1)])
    return markdown(["bits per index of 8 bits", "static tables", "with contexts", "saved, %"], rows)
