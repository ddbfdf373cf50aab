"""Compares each case with its profiles: the estimate, its error, and whether it deviates as it must."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from snnprof.activity import Activity
from snnprof.hardware import Evidence, HardwareProfile, load_hardware
from snnprof.pricing import EnergyReport, price
from snnprof.twins import all_firing, all_silent
from snnprof.validation.activities import activity_of, traffic_of
from snnprof.validation.cases import Case, Demand, Direction, Relation, cases

_EQUAL = 1e-4
_UNKNOWN_RELATION = "it is unknown how these prices compare with those of the measured machine"


@dataclass(frozen=True)
class Span:
    """A figure, or the range in which it lies: picojoules per inference, or watts.

    Attributes:
        low: lower end of the range.
        value: the figure; None if only the range is known.
        high: upper end of the range.
    """

    low: float
    value: float | None
    high: float

    def __truediv__(self, by: float) -> Span:
        return Span(self.low / by, None if self.value is None else self.value / by, self.high / by)


@dataclass(frozen=True)
class Check:
    """One profile compared with one case.

    Attributes:
        relation: whose prices they are. `derived`: they were derived from this very case. `same prices`: the case is a
            simulation with them.
        errs, why: how the estimate must deviate from the measurement, and the reason.
        estimate: a range from silent to all firing if the activity is not published, and from the lowest to the highest
            price if the profile has ranges; None if the profile has no price for the work.
        evidence: how well the prices are known.
        parts: what was done → picojoules of the estimate; empty for a range.
        unpriced: work that the estimate excludes, since the profile has no price for it.
    """

    case: Case
    hardware: HardwareProfile
    relation: Relation
    errs: Direction
    why: str
    estimate: Span | None
    evidence: Evidence
    parts: Mapping[str, float] = field(default_factory=dict)
    unpriced: tuple[str, ...] = ()

    @property
    def counts(self) -> bool:
        """Whether it tests the prices: those derived from a case agree with it by construction."""
        return self.relation not in ("derived", "same prices") and self.estimate is not None

    @property
    def ratio(self) -> Span | None:
        """Estimate / measurement; None without an estimate."""
        return self.estimate / self.case.measured.value if self.estimate else None

    @property
    def error(self) -> float | None:
        """Estimate / measurement − 1; None if the estimate is a range."""
        value = self.ratio.value if self.ratio else None
        return None if value is None else value - 1

    @property
    def error_range(self) -> tuple[float, float] | None:
        """The error at both ends of the estimate; None without an estimate."""
        return (self.ratio.low - 1, self.ratio.high - 1) if self.ratio else None

    @property
    def inside(self) -> bool | None:
        """Whether the measurement lies within the range; None if the estimate is no range."""
        if not self.ratio or self.ratio.low == self.ratio.high:
            return None
        return self.ratio.low <= 1 <= self.ratio.high

    @property
    def holds(self) -> bool | None:
        """Whether the estimate deviates as it must; None if there is no estimate, or nothing to hold it to."""
        if self.ratio is None or self.errs == "either" or self.relation == "derived":
            return None
        if self.errs == "equal":
            return self.error is not None and abs(self.error) < _EQUAL
        return self.ratio.low <= 1 if self.errs == "low" else self.ratio.high >= 1


def checks(chosen: Iterable[Case] | None = None, hardware: Sequence[HardwareProfile] = ()) -> list[Check]:
    """Compares cases (all by default) with the profiles that they name, or with those in `hardware`."""
    held = list(cases().values() if chosen is None else chosen)
    if hardware:
        return [check(case, _demand(case, each.id), each) for case in held for each in hardware]
    profiles = {id: load_hardware(id) for id in {demand.profile for case in held for demand in case.checks}}
    return [check(case, demand, profiles[demand.profile]) for case in held for demand in case.checks]


def _demand(case: Case, id: str) -> Demand:
    """Returns what the case demands of a profile; nothing of a profile that it does not name."""
    named = {demand.profile: demand for demand in case.checks}
    return named.get(id) or Demand(profile=id, relation="other", errs="either", why=_UNKNOWN_RELATION)


def check(case: Case, demand: Demand, hardware: HardwareProfile) -> Check:
    """Compares one case with one profile."""
    relation: Relation = demand.relation
    if case.id in hardware.derived_from:
        relation = "derived"
    elif case.prices_of == hardware.id:
        relation = "same prices"
    checked = Check(case, hardware, relation, demand.errs, demand.why, None, hardware.evidence)
    return _with_power(checked) if case.measured.energy is None else _with_energy(checked)


def _with_power(check: Check) -> Check:
    """Estimates the power at rest."""
    static = check.hardware.static
    return replace(check, estimate=Span(*[static.power_w] * 3)) if static else check


def _with_energy(check: Check) -> Check:
    """Estimates the energy from the least to the most activity, at the lowest and the highest prices.

    Static power belongs only to a total energy, that is, to a case with a latency: other energies are those above rest.
    """
    case, activity = check.case, activity_of(check.case)
    hardware = check.hardware if case.latency_s else check.hardware.model_copy(update={"static": None})
    if activity is None:
        return check
    least, most = (activity, activity) if case.activity else (all_silent(activity), all_firing(activity))
    middle = _priced(case, most, hardware)
    high = _priced(case, most, _at(hardware, "high")).energy_pj
    if middle.energy_pj is None or high is None:
        return check
    low = _priced(case, least, _at(hardware, "low")).energy_pj or 0.0
    known = case.activity is not None or low == high
    return replace(
        check,
        estimate=Span(low, middle.energy_pj if known else None, high),
        evidence=middle.grade or hardware.evidence,
        parts=middle.totals.parts if known else {},
        unpriced=tuple(_unpriced(case, middle)),
    )


def _unpriced(case: Case, report: EnergyReport) -> Iterator[str]:
    """Yields the work without a price. Without published sizes, neuron updates have no count either."""
    yield from (what for what, _ in report.unpriced)
    if not case.layers and not report.hardware.covers("neuron_update"):
        yield "neuron update"


def _priced(case: Case, activity: Activity, hardware: HardwareProfile) -> EnergyReport:
    return price(activity, hardware, latency_s=case.latency_s, traffic=traffic_of(case))


def _at(hardware: HardwareProfile, end: Literal["low", "high"]) -> HardwareProfile:
    """Returns the profile with each price at one end of its published range."""
    moved = {
        name: price.model_copy(update={"value": getattr(price, end)})
        for name, price in hardware.energy
        if price and getattr(price, end) is not None
    }
    return hardware.model_copy(update={"energy": hardware.energy.model_copy(update=moved)})


@dataclass(frozen=True)
class Tally:
    """What many checks add up to.

    Attributes:
        estimates: number of checks with an estimate.
        checks: those of them that test a profile.
        directed: checks whose estimate must deviate to one side.
        holding: those of them that do.
        own: checks on silicon with the machine's own prices, whose estimate is one figure.
        close: those of them within a factor of 2.
    """

    estimates: int
    checks: int
    directed: int
    holding: int
    own: int
    close: int


def tally(checks: Sequence[Check]) -> Tally:
    """Adds up checks."""
    counting = [each for each in checks if each.counts]
    directed = [each for each in counting if each.errs != "either"]
    own = [each for each in counting if each.relation == "own" and each.case.evidence == "measured"]
    errors = [each.error for each in own if each.error is not None]
    return Tally(
        sum(each.estimate is not None for each in checks), len(counting), len(directed),
        sum(bool(each.holds) for each in directed), len(errors), sum(0.5 <= 1 + error <= 2 for error in errors),
    )  # fmt: skip
