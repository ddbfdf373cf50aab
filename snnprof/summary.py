"""The headline of a run as one plain value, for the first screen, the tiles of the page and `print(report)`.

Figures are per inference if the number of samples is known, else of the whole run. Shares are of the energy on the
first price list; if that list prices nothing, of the operations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from snnprof import estimates
from snnprof.activity import Activity, NeuronRecord
from snnprof.errors import SnnprofError, unknown
from snnprof.grouping import By, Group, added, block_of, energy_of, grouped, is_contraction
from snnprof.hardware import HardwareProfile
from snnprof.measured import HostEnergy, host_energies
from snnprof.pricing import EnergyReport, Row
from snnprof.statistics import Interval

BREAK_EVEN = (0.15, 1.72)
"""Published break-even points of an SNN against its ANN, in spikes per synapse and inference (finding W13)."""
COLUMNS = ("rate", "sops", "macs", "dense_macs", "energy", "share")
SHOWN = ("sops", "energy", "share")
FEW_PARTS, FEW_LAYERS = 5, 4

Sign = Literal["below", "above", "equal"]
Per = Callable[[float], float]


@dataclass(frozen=True)
class Choice:
    """What the table of parts shows.

    Attributes:
        by: what one row represents; None: roles if the catalogue knows them, else blocks.
        sort: one of `COLUMNS`, largest first; or `name`.
        top: number of rows before the others are joined; None: a few by default, all if `by` is given.
        columns: some of `COLUMNS`.

    Raises:
        SnnprofError: there is no such column, or `top` is below 1.
    """

    by: By | None = None
    sort: str = "energy"
    top: int | None = None
    columns: tuple[str, ...] = SHOWN

    def __post_init__(self) -> None:
        for name in self.columns:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS)
        if self.sort not in (*COLUMNS, "name"):
            raise unknown("column", self.sort, (*COLUMNS, "name"))
        if self.top is not None and self.top < 1:
            raise SnnprofError(f"--top needs a number of rows from 1, not {self.top}")


@dataclass(frozen=True)
class Total:
    """The energy on one price list, and that of the equivalent ANN (a single forward pass) on the same list.

    Attributes:
        hardware: the price list.
        energy_pj: picojoules; None if the list prices none of the work.
        interval: 95 % interval of the energy for new data; None if the number of samples is unknown.
        lower_bound: the energy excludes some work.
        ann_ratio: energy of the ANN / energy of this network; None if either is unknown.
    """

    hardware: HardwareProfile
    energy_pj: float | None
    interval: Interval | None
    lower_bound: bool
    ann_ratio: float | None

    @property
    def sign(self) -> Sign | None:
        """Whether the energy is `below` or `above` the ANN's, or `equal` within its interval (0.5 % without one)."""
        if self.ann_ratio is None:
            return None
        relative = self.interval.relative if self.interval else None
        if abs(self.ann_ratio - 1) <= max(relative or 0.0, 0.005):
            return "equal"
        return "below" if self.ann_ratio > 1 else "above"

    @property
    def factor(self) -> float | None:
        """How many times below or above the ANN, at least 1; None if unknown."""
        return None if self.ann_ratio is None else max(self.ann_ratio, 1 / self.ann_ratio)


@dataclass(frozen=True)
class Part:
    """Some of the work: a role, a block, a layer, or the rest of them.

    Attributes:
        name: the role, block or layer.
        op: the contraction, if the layer has several.
        rate: non-zero share of what it reads; None if several operations are joined.
        sops: None if no spikes drive it.
        share: share (0 to 1) of the energy, or of the operations if nothing has a price.
        joined: number of parts that it represents.
    """

    name: str
    op: str = ""
    rate: float | None = None
    sops: float | None = None
    macs: float | None = None
    dense_macs: float | None = None
    energy: float | None = None
    share: float | None = None
    joined: int = 1


@dataclass(frozen=True)
class Parts:
    """The largest parts, and the others as one (`rest`; None if there are no others)."""

    by: By
    shown: tuple[Part, ...]
    rest: Part | None


@dataclass(frozen=True)
class Rates:
    """Firing rates of the neuron layers, in spikes per neuron and step.

    Attributes:
        mean: over all neuron-steps.
        lowest, highest: a layer and its rate.
        silent: layers in which no neuron fired.
        blocks: the rates of each block's layers; one block without a name if most layers are blocks of their own.
    """

    mean: float
    lowest: tuple[str, float]
    highest: tuple[str, float]
    silent: tuple[str, ...]
    blocks: tuple[tuple[str, tuple[float, ...]], ...]


@dataclass(frozen=True)
class Summary:
    """The headline of a run.

    Attributes:
        reports: the same run and convention, one report for each price list.
        accuracy: share (0 to 1) of correct predictions; None without labels.
        density: SOPs / dense MACs.
        mac_rows: the contractions that multiply.
        totals: one for each price list.
        parts: where the energy goes.
        layers: the most expensive contractions.
        rates: None if the model has no neuron layer.
        unpriced: work for which the first price list has no price: (what, how often).
        left_out: work that the convention does not count: (what, elements or dense MACs).
        measured: energy that the machine used to simulate the network, by sensor.
    """

    reports: tuple[EnergyReport, ...]
    accuracy: Interval | None
    dense_macs: float
    sops: float
    sops_interval: Interval | None
    density: float | None
    macs: float
    mac_rows: tuple[Row, ...]
    totals: tuple[Total, ...]
    parts: Parts
    layers: Parts
    rates: Rates | None
    unpriced: tuple[tuple[str, float], ...]
    left_out: tuple[tuple[str, float], ...]
    measured: tuple[HostEnergy, ...] = ()

    @property
    def activity(self) -> Activity:
        """What ran."""
        return self.reports[0].activity

    @property
    def sign_turns(self) -> bool:
        """Whether the network is below its ANN on one price list and above it on another."""
        return {"below", "above"} <= {total.sign for total in self.totals}

    def with_sign(self, sign: Sign) -> list[str]:
        """Returns the ids of the price lists on which the comparison with the ANN has a sign."""
        return [total.hardware.id for total in self.totals if total.sign == sign]


def summarise(reports: Sequence[EnergyReport], choice: Choice | None = None) -> Summary:
    """Returns the headline of one run on one or several price lists. The first list decides which parts are large."""
    choice = choice or Choice()
    first = reports[0]
    activity, totals = first.activity, first.totals
    per = _per(activity)
    return Summary(
        reports=tuple(reports),
        accuracy=estimates.accuracy(activity),
        dense_macs=per(totals.dense_macs),
        sops=per(totals.sops),
        sops_interval=estimates.sops(first),
        density=totals.sops / totals.dense_macs if totals.dense_macs else None,
        macs=per(totals.macs),
        mac_rows=tuple(row for row in first.rows if is_contraction(row) and row.macs),
        totals=tuple(map(_total, reports)),
        parts=_parts(first, choice),
        layers=_top_layers(first),
        rates=_rates(activity),
        unpriced=tuple((what, per(count)) for what, count in first.unpriced),
        left_out=tuple((what, per(count)) for what, count in first.left_out),
        measured=host_energies(activity.measurement),
    )


def _per(activity: Activity) -> Per:
    samples = activity.samples
    return lambda value: value / samples if samples else value


def _total(report: EnergyReport) -> Total:
    energy, twin = energy_of([report.totals]), report.ann_twin.energy_pj
    return Total(
        hardware=report.hardware,
        energy_pj=None if energy is None else _per(report.activity)(energy),
        interval=estimates.energy(report),
        lower_bound=report.lower_bound,
        ann_ratio=twin / energy if twin and energy else None,
    )


def _parts(report: EnergyReport, choice: Choice) -> Parts:
    by = choice.by or _natural(report)
    few = None if choice.by else FEW_PARTS
    return _largest(report, by, grouped([report], by), choice.top or few, choice.sort)


def _natural(report: EnergyReport) -> By:
    """Returns `role` if the catalogue knows the role of every layer, else `block`."""
    roles = [group.role for group in grouped([report], "role", is_contraction)]
    return "role" if roles and all(roles) else "block"


def _top_layers(report: EnergyReport) -> Parts:
    return _largest(report, "op", grouped([report], "op", is_contraction), FEW_LAYERS)


def _largest(report: EnergyReport, by: By, groups: list[Group], top: int | None, sort: str = "energy") -> Parts:
    parts = _sorted([_part(report, group) for group in groups], sort)
    kept = len(parts) if top is None or len(parts) == top + 1 else top
    shown, others = parts[:kept], parts[kept:]
    return Parts(by, tuple(shown), _joined(others) if others else None)


def _sorted(parts: list[Part], column: str) -> list[Part]:
    """Sorts parts, largest first and unknown last; parts without a price follow by their operations."""
    if column == "name":
        return sorted(parts, key=lambda part: part.name)

    def size(part: Part) -> tuple[float, float]:
        value = getattr(part, column)
        return (-1.0 if value is None else value, (part.sops or 0.0) + (part.macs or 0.0))

    return sorted(parts, key=size, reverse=True)


def _part(report: EnergyReport, group: Group) -> Part:
    per = _per(report.activity)
    energy, whole = energy_of(group.rows), energy_of([report.totals])
    own, every = (energy, whole) if whole else (group.sops + group.macs, report.operations)
    contracts = any(map(is_contraction, group.rows))
    return Part(
        name=group.name,
        op=group.op if contracts else "",
        rate=group.rate if contracts else None,
        sops=per(group.sops) if group.formula_sops is not None else None,
        macs=per(group.macs) if contracts else None,
        dense_macs=per(group.dense_macs) if contracts else None,
        energy=None if energy is None else per(energy),
        share=own / every if own is not None and every else None,
    )


def _joined(parts: list[Part]) -> Part:
    """Adds up some parts; their rates do not add up."""

    def total(column: str) -> float | None:
        return added(getattr(part, column) for part in parts)

    return Part(
        "", sops=total("sops"), macs=total("macs"), dense_macs=total("dense_macs"), energy=total("energy"),
        share=total("share"), joined=len(parts),
    )  # fmt: skip


def _rates(activity: Activity) -> Rates | None:
    rates = [(neuron, neuron.rate) for neuron in activity.neurons]
    known = [(neuron, rate) for neuron, rate in rates if rate is not None]
    if not known:
        return None
    lowest, highest = (pick(known, key=lambda pair: pair[1]) for pick in (min, max))
    return Rates(
        mean=sum(neuron.spikes for neuron, _ in known) / sum(neuron.updates for neuron, _ in known),
        lowest=(lowest[0].layer, lowest[1]),
        highest=(highest[0].layer, highest[1]),
        silent=tuple(neuron.layer for neuron, rate in known if not rate),
        blocks=_by_block(activity, known),
    )


def _by_block(
    activity: Activity, rates: Sequence[tuple[NeuronRecord, float]]
) -> tuple[tuple[str, tuple[float, ...]], ...]:
    """Returns the rates block by block; as one block if there are more than half as many blocks as layers."""
    blocks: dict[str, list[float]] = {}
    for neuron, rate in rates:
        blocks.setdefault(block_of(activity, neuron.layer), []).append(rate)
    if 2 * len(blocks) > len(rates):
        return (("", tuple(rate for _, rate in rates)),)
    return tuple((name, tuple(each)) for name, each in blocks.items())
