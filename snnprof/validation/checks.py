"""Each case on the profiles that it is held against: what they say, the error, and whether it lies as it must."""

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
_UNTOLD = "nothing is known of how these prices lie to this machine's"


@dataclass(frozen=True)
class Span:
    """A figure, or what it lies between: picojoules per inference, or watts.

    Attributes:
        value: None where only the ends are known.
    """

    low: float
    value: float | None
    high: float

    def __truediv__(self, by: float) -> Span:
        return Span(self.low / by, None if self.value is None else self.value / by, self.high / by)


@dataclass(frozen=True)
class Check:
    """One profile held against one case.

    Attributes:
        relation: whose prices they are; `derived`: worked out from this very case; `same prices`: the case is a
            simulation with them.
        errs, why: how the estimate must lie to the measurement, and for what reason.
        estimate: from silent to all firing where the activity is not published; from the lowest to the highest price
            where the profile has a range. None where the profile has no price for what ran.
        ratio: estimate / measured.
        evidence: how well the prices are known.
        parts: picojoules of the estimate by what was done; none of a range.
        unpriced: work that the estimate lacks, since the profile has no price for it.
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
        """Whether it says anything of the prices: those derived from a case agree with it by construction."""
        return self.relation not in ("derived", "same prices") and self.estimate is not None

    @property
    def ratio(self) -> Span | None:
        return self.estimate / self.case.measured.value if self.estimate else None

    @property
    def error(self) -> float | None:
        """Estimate / measured − 1; None where the estimate is a range."""
        value = self.ratio.value if self.ratio else None
        return None if value is None else value - 1

    @property
    def error_range(self) -> tuple[float, float] | None:
        """The error at both ends."""
        return (self.ratio.low - 1, self.ratio.high - 1) if self.ratio else None

    @property
    def inside(self) -> bool | None:
        """Whether the measurement lies within the range; None where there is none."""
        if not self.ratio or self.ratio.low == self.ratio.high:
            return None
        return self.ratio.low <= 1 <= self.ratio.high

    @property
    def holds(self) -> bool | None:
        """Whether the estimate errs as it must; None where nothing is known of that."""
        if self.ratio is None or self.errs == "either" or self.relation == "derived":
            return None
        if self.errs == "equal":
            return self.error is not None and abs(self.error) < _EQUAL
        return self.ratio.low <= 1 if self.errs == "low" else self.ratio.high >= 1


def checks(chosen: Iterable[Case] | None = None, hardware: Sequence[HardwareProfile] = ()) -> list[Check]:
    """Cases on the profiles that they name, or on those of `hardware`; all cases by default."""
    held = list(cases().values() if chosen is None else chosen)
    if hardware:
        return [check(case, _demand(case, each.id), each) for case in held for each in hardware]
    profiles = {id: load_hardware(id) for id in {demand.profile for case in held for demand in case.checks}}
    return [check(case, demand, profiles[demand.profile]) for case in held for demand in case.checks]


def _demand(case: Case, id: str) -> Demand:
    """What the case demands of a profile; of one that it does not name, nothing."""
    named = {demand.profile: demand for demand in case.checks}
    return named.get(id) or Demand(profile=id, relation="other", errs="either", why=_UNTOLD)


def check(case: Case, demand: Demand, hardware: HardwareProfile) -> Check:
    """One profile on one case."""
    relation: Relation = demand.relation
    if case.id in hardware.derived_from:
        relation = "derived"
    elif case.prices_of == hardware.id:
        relation = "same prices"
    checked = Check(case, hardware, relation, demand.errs, demand.why, None, hardware.evidence)
    return _with_power(checked) if case.measured.energy is None else _with_energy(checked)


def _with_power(check: Check) -> Check:
    """The profile's power at rest."""
    static = check.hardware.static
    return replace(check, estimate=Span(*[static.power_w] * 3)) if static else check


def _with_energy(check: Check) -> Check:
    """From the least to the most that can have happened, at the lowest and at the highest prices.

    Static power belongs to a total alone, which is a case with a latency: other energies are those above rest.
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
    """Where no sizes are published, neuron updates have no count, either."""
    yield from (what for what, _ in report.unpriced)
    if not case.layers and not report.hardware.covers("neuron_update"):
        yield "neuron update"


def _priced(case: Case, activity: Activity, hardware: HardwareProfile) -> EnergyReport:
    return price(activity, hardware, latency_s=case.latency_s, traffic=traffic_of(case))


def _at(hardware: HardwareProfile, end: Literal["low", "high"]) -> HardwareProfile:
    """The profile with each price at an end of its published range."""
    moved = {
        name: price.model_copy(update={"value": getattr(price, end)})
        for name, price in hardware.energy
        if price and getattr(price, end) is not None
    }
    return hardware.model_copy(update={"energy": hardware.energy.model_copy(update=moved)})


@dataclass(frozen=True)
class Tally:
    """What many checks amount to.

    Attributes:
        estimates: that there are; checks: those of them that check a profile.
        directed: checks that must err to one side; holding: those that do.
        own: checks on silicon with prices of the machine itself that give one figure, no range; close: those within a
            factor of 2.
    """

    estimates: int
    checks: int
    directed: int
    holding: int
    own: int
    close: int


def tally(checks: Sequence[Check]) -> Tally:
    counting = [each for each in checks if each.counts]
    directed = [each for each in counting if each.errs != "either"]
    own = [each for each in counting if each.relation == "own" and each.case.evidence == "measured"]
    errors = [each.error for each in own if each.error is not None]
    return Tally(
        sum(each.estimate is not None for each in checks), len(counting), len(directed),
        sum(bool(each.holds) for each in directed), len(errors), sum(0.5 <= 1 + error <= 2 for error in errors),
    )  # fmt: skip
