"""Makes a hardware profile of a fit: prices with evidence `measured`, and the log and runs from which they come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snnprof._version import __version__
from snnprof.calibration.fit import Fit, Fitted
from snnprof.calibration.log import PowerLog
from snnprof.hardware import SCHEMA
from snnprof.units import PICOJOULES

COVERED = ("neuron_update", "spike_out", "hop")
"""Events whose energy the measured power contains, so that other prices cover them if they have none of their own."""


@dataclass(frozen=True)
class Chip:
    """Facts of the machine that a log does not contain.

    Attributes:
        id: id of the profile, and the name of its file.
        title: name for readers.
        node_nm: technology node in nanometres.
        vdd_v: supply voltage in volts; None if unknown.
    """

    id: str
    title: str
    node_nm: float
    vdd_v: float | None = None


def profile_data(fit: Fit, log: PowerLog, runs: Sequence[tuple[str, str]], chip: Chip) -> dict[str, Any]:
    """Returns the profile as plain values; `runs` are the name and the SHA-256 of each run file."""
    prices = {term: price for term in ("sop", "mac", "neuron_update", "spike_out") if (price := fit.price(term))}
    static = fit.price("static")
    data: dict[str, Any] = {
        "schema": SCHEMA, "id": chip.id, "title": chip.title, "kind": "system", "scope": "per_term",
        "evidence": "measured", "technology": {"node_nm": chip.node_nm, "vdd_v": chip.vdd_v},
        "precision": {"weight": "unstated", "activation": "unstated", "accumulator": "unstated"},
        "energy": {term: _price(price) for term, price in prices.items()},
    }  # fmt: skip
    if static and not static.is_zero:
        note = f"95 % interval {static.low:.6g} to {static.high:.6g} W"
        data["static"] = {"power_w": _digits(static.value), "per": "chip", "source": "log", "note": note}
    data["supersedes"] = [name for name in COVERED if name not in prices]
    data["includes"] = ["arithmetic", "weight_read", "potential_rw", "neuron_update", "routing"]
    data["includes"] += ["static"] if "static" in data else []
    data["excludes"] = ["host"]
    data["sources"] = [_source(log, runs)]
    data["note"] = _note(fit)
    data["x-calibration"] = _made_from(fit, log, runs)
    return data


def profile_text(data: dict[str, Any]) -> str:
    """Returns the profile as YAML."""
    import yaml

    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return f"# Fitted by snnprof {__version__}: snnprof hardware calibrate. Energies in picojoules.\n{text}"


def _price(price: Fitted) -> dict[str, Any]:
    value, low, high = (_digits(each * PICOJOULES["J"]) for each in (price.value, price.low, price.high))
    found: dict[str, Any] = {"value": value, "low": min(low, value), "high": max(high, value), "source": "log"}
    if price.is_zero:
        found["note"] = "0, since its 95 % interval includes 0; high is the end of that interval"
    return found


def _digits(value: float) -> float:
    return float(f"{value:.6g}")


def _source(log: PowerLog, runs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    names = ", ".join(name for name, _ in runs)
    rails = ", ".join(log.rails)
    return {
        "id": "log", "citation": f"Power log {log.path.name} (rails {rails}) of the runs {names}",
        "sha256": log.sha256, "access": "read",
    }  # fmt: skip


def _note(fit: Fit) -> str:
    of = "the runs' misses" if fit.by_runs else "the stretches' residuals"
    return (
        "Fitted to measured powers by non-negative least squares. Everything on the rails is in these prices: "
        "memory, routing and addressing with the SOPs and updates that cause them. low and high are 95 % intervals "
        f"from {of} ({fit.freedom} degrees of freedom); they hold for networks like those that were measured."
    )


def _made_from(fit: Fit, log: PowerLog, runs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Returns what a reader needs to repeat the fit; no price depends on it."""
    residuals = {each.run: each for each in fit.runs}
    return {
        "log": log.path.name,
        "rails": list(log.rails),
        "stretches": len(log.stretches),
        "runs": [
            {"name": name, "sha256": digest, "residual_w": _digits(residuals[name].residual_w)} for name, digest in runs
        ],
        "degrees_of_freedom": fit.freedom,
    }
