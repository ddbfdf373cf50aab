"""The document of a calibration: the prices, how well they fit each run, and what the log leaves open."""

from __future__ import annotations

from collections.abc import Sequence

from snnprof.calibration import TERMS, Fit, Fitted, PowerLog, RunResidual
from snnprof.render.table import Column, Document, Notes, Row, Table
from snnprof.units import PICOJOULES, count_text, energy_text, watts_text

_PRICES = (
    Column("term", "Price"),
    Column("text", "Value"),
    Column("interval", "95 % interval"),
    Column("value", "", "decimal", machine_only=True),
    Column("low", "", "decimal", machine_only=True),
    Column("high", "", "decimal", machine_only=True),
    Column("unit", "", machine_only=True),
)
_RUNS = (
    Column("run", "Run"),
    Column("stretches", "Stretches", "integer"),
    Column("seconds", "Seconds", "decimal"),
    Column("inferences", "Inferences", "integer"),
    Column("measured", "Measured"),
    Column("fitted", "Fitted"),
    Column("residual", "Residual"),
    Column("relative", "of dynamic", "signed_percent"),
    Column("measured_w", "", "decimal", machine_only=True),
    Column("fitted_w", "", "decimal", machine_only=True),
    Column("residual_w", "", "decimal", machine_only=True),
)


def calibration(fit: Fit, log: PowerLog, macs: Sequence[tuple[str, float]]) -> Document:
    """The document of a fit.

    Args:
        fit: the fitted prices.
        log: the power log.
        macs: names of the runs with MACs for which no price was fitted, each with its MACs per inference.
    """
    tables = (
        Table("prices", "Prices", _PRICES, tuple(map(_price, fit.terms))),
        Table("runs", "Mean power of each run", _RUNS, tuple(map(_run, fit.runs))),
    )
    notes = tuple(_notes(fit, log, macs))
    return Document(
        title=f"Prices fitted to {log.path.name}",
        tables=tables,
        facts=tuple(_facts(fit, log)),
        notes=(Notes("Read this first", notes),) if notes else (),
        data={"log": log.path.name, "sha256": log.sha256, "rails": list(log.rails),
              "degrees_of_freedom": fit.freedom, "intervals_from": "runs" if fit.by_runs else "stretches",
              "condition": fit.condition},
        schema="snnprof.calibration/0",
    )  # fmt: skip


def _price(price: Fitted) -> Row:
    watts = price.term == "static"
    value, low, high = (_text(each, watts) for each in (price.value, price.low, price.high))
    text = f"{value} (held at 0)" if price.is_zero else value
    return Row(
        {"term": TERMS[price.term].title, "text": text, "interval": f"{low} to {high}", "value": price.value,
         "low": price.low, "high": price.high, "unit": "W" if watts else "J"}
    )  # fmt: skip


def _text(value: float, watts: bool) -> str:
    return watts_text(value) if watts else energy_text(value * PICOJOULES["J"])


def _run(run: RunResidual) -> Row:
    return Row(
        {"run": run.run or "(idle)", "stretches": run.stretches, "seconds": float(f"{run.seconds:.4g}"),
         "inferences": run.inferences or None, "measured": watts_text(run.measured_w),
         "fitted": watts_text(run.fitted_w), "residual": watts_text(run.residual_w).replace("-", "−"),
         "relative": run.relative if run.run else None, "measured_w": run.measured_w, "fitted_w": run.fitted_w,
         "residual_w": run.residual_w}
    )  # fmt: skip


def _facts(fit: Fit, log: PowerLog) -> list[tuple[str, str]]:
    of = "how far the runs miss the line" if fit.by_runs else "the residuals of the stretches"
    return [
        ("log", f"{log.path.name}, SHA-256 {log.sha256}"),
        ("rails", f"{', '.join(log.rails)}: their powers are added up"),
        ("method", "non-negative least squares on the mean power of each stretch, weighted by its length"),
        ("intervals", f"Student's t from {of}, {fit.freedom} degree{'s' * (fit.freedom != 1)} of freedom"),
    ]


def _notes(fit: Fit, log: PowerLog, macs: Sequence[tuple[str, float]]) -> list[str]:
    said = []
    if fit.near:
        said.append(
            f"These prices are hard to tell apart: {', '.join(fit.near)}. Their work is in nearly the same proportion "
            f"in all runs (condition number {fit.condition:.0f}). Log a run whose proportion differs."
        )
    if fit.by_runs:
        said.append(
            "The runs miss the fitted line by more than their stretches scatter: the power is not linear in these "
            "counts. The intervals rest on the runs. More runs narrow them; more stretches do not."
        )
    if fit.miss is None:
        said.append(
            "Nothing tests whether the power is linear in these counts: there are no more runs (idle counts as one) "
            "than prices, or no stretch was repeated. Log more runs than prices, each several times."
        )
    said += [
        f"The price {TERMS[price.term].title} cannot be told from 0; the interval says how large it can be."
        for price in fit.terms
        if price.is_zero
    ]
    if macs:
        runs = ", ".join(f"{name} ({count_text(count)})" for name, count in macs)
        said.append(
            f"These runs have MACs, whose energy has no price here: {runs} per inference. If the measured chip "
            "computes them, fit them too: --fit static,sop,neuron_update,mac."
        )
    if log.left_out:
        said.append(f"{log.left_out:,} lines belong to no stretch and were left out.")
    stretch, ratio = log.gap
    if ratio > 10:
        said.append(f"Stretch {stretch} has a gap of {ratio:.0f} times the usual step: the power in it is a guess.")
    return said
