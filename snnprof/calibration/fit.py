"""Fits prices to mean powers: non-negative least squares, with intervals.

While a run repeats f times a second, the machine draws

    P = static + f · (SOPs · price per SOP + neuron updates · price per update + …),

so each stretch of a log is one linear equation, and an idle stretch one for `static` alone. Stretches are weighted by
their length, since a mean over a longer time scatters less. With three or four unknown prices, there are so few choices
of prices held at 0 that all are tried: the best one without a negative price is the non-negative least-squares fit.

Intervals are Student's t from the residuals (95 %). If the deviations of whole runs are more than twice as large as the
scatter of stretches within a run, the linear model itself is wrong, and repeating stretches would not help. Then the
deviations of the runs are the residuals, with as many degrees of freedom as there are runs (idle counts as one) minus
the number of prices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from snnprof.calibration.log import LoggedStretch
from snnprof.calibration.work import TERMS, Work
from snnprof.errors import SnnprofError
from snnprof.statistics import t_quantile

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

DEFAULT_TERMS = ("static", "sop", "neuron_update")
CONFIDENCE = 0.95
NOTHING = 1e-9
"""Columns with a smaller relative difference are proportional."""
NEAR = 30.0
"""Condition number from which columns count as nearly proportional (D. A. Belsley, E. Kuh, R. E. Welsch, 1980)."""
MISS = 4.0
"""Mean square of the runs' deviations over that of the stretches' scatter from which the linear model is wrong."""


@dataclass(frozen=True)
class Fitted:
    """One price, in watts (static) or joules.

    Attributes:
        term: what it is the price of: a key of `TERMS`.
        value: the price.
        low, high: its 95 % interval; a price cannot be below 0.
        is_zero: without its bound the fit would be negative, so the price is 0.
    """

    term: str
    value: float
    low: float
    high: float
    is_zero: bool


@dataclass(frozen=True)
class RunResidual:
    """How well the fit meets a run: mean powers over its stretches, in watts.

    Attributes:
        run: name of the run; "" for idle.
        stretches: number of its stretches.
        seconds: their length.
        inferences: number of inferences in them.
        measured_w: mean power of the log.
        fitted_w: mean power by the prices.
        dynamic_w: fitted power above static.
    """

    run: str
    stretches: int
    seconds: float
    inferences: float
    measured_w: float
    fitted_w: float
    dynamic_w: float

    @property
    def residual_w(self) -> float:
        """Measured minus fitted power, in watts."""
        return self.measured_w - self.fitted_w

    @property
    def relative(self) -> float | None:
        """The residual as a share of the fitted power above static; None if that power is not above 0."""
        return self.residual_w / self.dynamic_w if self.dynamic_w > 0 else None


@dataclass(frozen=True)
class Fit:
    """Prices, their residuals, and how well they can be distinguished.

    Attributes:
        terms: the prices.
        runs: the residual of each run.
        freedom: degrees of freedom of the intervals.
        by_runs: the intervals follow from the deviations of runs, not from the scatter of stretches.
        miss: mean square of the runs' deviations over that of the scatter; None if there are too few runs.
        condition: condition number of the equations, with columns scaled to length 1.
        near: terms that are nearly proportional over these runs.
    """

    terms: tuple[Fitted, ...]
    runs: tuple[RunResidual, ...]
    freedom: int
    by_runs: bool
    miss: float | None
    condition: float
    near: tuple[str, ...]

    def price(self, term: str) -> Fitted | None:
        """Returns the price of a term; None if the fit does not include it."""
        return next((fitted for fitted in self.terms if fitted.term == term), None)


def fitted(stretches: Sequence[LoggedStretch], work: Mapping[str, Work], terms: Sequence[str] = DEFAULT_TERMS) -> Fit:
    """Returns the prices that explain the powers best.

    Idle stretches separate static power from the other prices. `work` holds the work of each run by the name in the
    log; `terms` are keys of `TERMS`.

    Raises:
        SnnprofError: there are too few stretches, or some prices cannot be distinguished.
    """
    import numpy as np

    if len(stretches) <= len(terms):
        raise SnnprofError(
            f"{len(stretches)} stretches are too few for {len(terms)} prices and their intervals",
            hint=f"log at least {len(terms) + 1}: each run several times, and the idle machine",
        )
    equations = np.array([[_factor(stretch, work, term) for term in terms] for stretch in stretches])
    watts = np.array([stretch.watts for stretch in stretches])
    weights = np.array([stretch.seconds for stretch in stretches]) / np.mean([s.seconds for s in stretches])
    root = np.sqrt(weights)
    a, b = equations * root[:, None], watts * root
    lengths = np.linalg.norm(a, axis=0)
    condition, near = _conditioning(a, lengths, terms)
    a = a / lengths
    free, values = np.linalg.lstsq(a, b, rcond=None)[0], _non_negative(a, b)
    groups = np.array([sorted({s.run for s in stretches}).index(s.run) for s in stretches])
    square, freedom, by_runs, miss = _scatter(b - a @ free, root, groups, len(terms))
    errors = np.sqrt(square * np.diag(np.linalg.inv(a.T @ a)))
    arms = t_quantile((1 + CONFIDENCE) / 2, freedom) * errors
    prices = tuple(
        Fitted(
            term, float(value / length), float(max(0.0, value - arm) / length),
            float(max(value, (f if value == 0 else value) + arm, 0.0) / length), bool(value == 0),
        )
        for term, value, f, arm, length in zip(terms, values, free, arms, lengths, strict=True)
    )  # fmt: skip
    runs = _residuals(stretches, equations @ (values / lengths), _static(prices))
    return Fit(prices, runs, freedom, by_runs, miss, condition, near)


def _factor(stretch: LoggedStretch, work: Mapping[str, Work], term: str) -> float:
    """Returns the factor that turns a price into watts."""
    if term == "static":
        return 1.0
    return stretch.inferences / stretch.seconds * TERMS[term].count(work[stretch.run]) if stretch.run else 0.0


def _conditioning(a: Array, lengths: Array, terms: Sequence[str]) -> tuple[float, tuple[str, ...]]:
    """Returns the condition number, and the terms that are nearly proportional.

    Raises:
        SnnprofError: some prices cannot be distinguished.
    """
    import numpy as np

    absent = [TERMS[term].work for term, length in zip(terms, lengths, strict=True) if not length]
    if absent:
        raise SnnprofError(f"no run of the log has any {_and(absent)}", hint="leave its price out with --fit")
    _, sizes, directions = np.linalg.svd(a / lengths)
    weak = [TERMS[t].title for t, share in zip(terms, np.abs(directions[-1]), strict=True) if share > 0.1]
    if sizes[-1] <= NOTHING * sizes[0]:
        raise SnnprofError(
            f"the log cannot tell these prices apart: {_and(weak)}; their work is in the same proportion in all of it",
            hint="log another run, whose proportion differs, or the idle machine; or fit fewer prices with --fit",
        )
    condition = float(sizes[0] / sizes[-1])
    return condition, tuple(weak) if condition > NEAR else ()


def _and(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _non_negative(a: Array, b: Array) -> Array:
    """Returns the least-squares solution without a negative entry: the best of all that hold some entries at 0."""
    import numpy as np

    count = a.shape[1]
    best, least = np.zeros(count), float(b @ b)
    for size in range(1, count + 1):
        for kept in map(list, combinations(range(count), size)):
            found = np.linalg.lstsq(a[:, kept], b, rcond=None)[0]
            left = float(np.sum((b - a[:, kept] @ found) ** 2))
            if (found > 0).all() and left < least:
                best, least = np.zeros(count), left
                best[kept] = found
    return best


def _scatter(residuals: Array, root: Array, groups: Any, unknowns: int) -> tuple[float, int, bool, float | None]:
    """Returns the mean square of the residuals, its degrees of freedom, whether it is that of runs, and `Fit.miss`.

    Residuals are weighted, `root` holds the square roots of the weights, `groups` the number of each stretch's run.
    """
    import numpy as np

    weights = np.bincount(groups, root**2)
    means = np.bincount(groups, residuals * root) / weights
    between, total = float(np.sum(weights * means**2)), float(residuals @ residuals)
    within = float(np.sum((residuals - means[groups] * root) ** 2))
    more_runs, more_stretches = len(weights) - unknowns, len(residuals) - len(weights)
    miss = None
    if more_runs > 0 and more_stretches > 0:
        scatter = within / more_stretches
        miss = between / more_runs / scatter if scatter else (math.inf if between else 0.0)
    if miss is not None and miss > MISS:
        return between / more_runs, more_runs, True, miss
    freedom = len(residuals) - unknowns
    return total / freedom, freedom, False, miss


def _static(prices: Sequence[Fitted]) -> float:
    return next((price.value for price in prices if price.term == "static"), 0.0)


def _residuals(stretches: Sequence[LoggedStretch], model: Array, static: float) -> tuple[RunResidual, ...]:
    found = []
    for run in dict.fromkeys(stretch.run for stretch in stretches):
        of_run = [(s, float(watts)) for s, watts in zip(stretches, model, strict=True) if s.run == run]
        seconds = sum(s.seconds for s, _ in of_run)
        fit = sum(s.seconds * watts for s, watts in of_run) / seconds
        measured = sum(s.seconds * s.watts for s, _ in of_run) / seconds
        inferences = sum(s.inferences for s, _ in of_run)
        found.append(RunResidual(run, len(of_run), seconds, inferences, measured, fit, fit - static))
    return tuple(found)
