"""Rows of a report, joined by operation, layer, block or role in the network."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from snnprof import catalogue, conventions
from snnprof.activity import Activity, OpRecord
from snnprof.pricing import EnergyReport, Row, Term
from snnprof.shown import By as By

ROOT = "(root)"
_NUMBERED = re.compile(r"(.*?\.)?\d+(?=\.|$)")


@dataclass(frozen=True)
class Group:
    """Rows of a report that one row of a table represents; figures are of the whole run.

    Attributes:
        name: the layer of an operation, a layer, a block or a role.
        block: the block of the rows; `""` if they belong to several.
        role: the role of the rows; `""` if they have several, or if the catalogue knows none.
        rows: the rows, priced on the first hardware that has them.
        exact_sops: SOPs by `exact`, whatever convention the report uses; None if no spikes drive any row.
        events: the same with each spike counted once, whatever its value.
        energies: hardware id → picojoules; None if none of the work has a price.
        terms: hardware id → kind of work → picojoules.
        unpriced: hardware id → work without a price → how often it was done.
    """

    name: str
    block: str
    role: str
    rows: tuple[Row, ...]
    exact_sops: float | None
    events: float | None
    energies: Mapping[str, float | None]
    terms: Mapping[str, Mapping[Term, float | None]]
    unpriced: Mapping[str, Mapping[str, float]]

    @property
    def formula_sops(self) -> float | None:
        """Input rate × dense MACs, as papers print it; None if no spikes drive any row."""
        return added(row.formula_sops for row in self.rows)

    @property
    def deviation(self) -> float | None:
        """formula_sops / exact_sops − 1; None if either is unknown or exact_sops is 0."""
        formula = self.formula_sops
        return None if formula is None or not self.exact_sops else formula / self.exact_sops - 1

    @property
    def dense_macs(self) -> float:
        """MACs of a dense machine."""
        return sum(row.dense_macs for row in self.rows)

    @property
    def sops(self) -> float:
        """SOPs by the report's convention."""
        return sum(row.sops for row in self.rows)

    @property
    def acs(self) -> float:
        """ACs by the report's convention."""
        return sum(row.acs for row in self.rows)

    @property
    def macs(self) -> float:
        """MACs by the report's convention."""
        return sum(row.macs for row in self.rows)

    @property
    def op(self) -> str:
        """The operations of the rows, such as `linear` or `matmul 0, matmul 1`."""
        repeated = {row.op for row in self.rows if row.op == "matmul" or row.index}
        names = (f"{row.op} {row.index}" if row.op in repeated else row.op for row in self.rows)
        return ", ".join(dict.fromkeys(names))

    @property
    def label(self) -> str:
        """The kinds of data that the rows read, such as `binary, real`."""
        return ", ".join(dict.fromkeys(row.label for row in self.rows if row.label))

    @property
    def rate(self) -> float | None:
        """The input rate of a single row; None for several."""
        return self.rows[0].rate if len(self.rows) == 1 else None

    @property
    def fed_by(self) -> tuple[str, ...]:
        """The neuron layers (or `input`) that feed the rows."""
        return tuple(dict.fromkeys(name for row in self.rows for name in row.fed_by))


def grouped(reports: list[EnergyReport], by: By, wanted: Callable[[Row], bool] = lambda row: True) -> list[Group]:
    """Joins the wanted rows of reports, in order of first appearance.

    The reports are of the same activity and convention, one for each hardware.
    """
    activity = reports[0].activity
    key_of = functools.cache(functools.partial(_key, activity, by))  # every report has the same rows
    keys = [_keys(report, key_of, wanted) for report in reports]
    order = dict.fromkeys(key for table in keys for key in table)
    ops = {op.key: op for op in activity.ops}
    return [_group(activity, ops, key, by, reports, [table.get(key, []) for table in keys]) for key in order]


def block_of(activity: Activity, layer: str) -> str:
    """Returns the block of a layer.

    It is what the catalogue says, else the layer's path up to the first number, else its first name.
    """
    known = catalogue.block(activity.run.model.name, layer)
    if known is not None:
        return known
    numbered = _NUMBERED.match(layer)
    return numbered.group() if numbered else layer.split(".")[0] or ROOT


def role_of(activity: Activity, layer: str, index: int | None) -> str | None:
    """Returns the role of a layer or contraction; None if the catalogue knows none."""
    model = activity.run.model
    return catalogue.role(model.name, layer, index, model.preset)


def is_contraction(row: Row) -> bool:
    """Whether a row is a contraction."""
    return row.category == "contraction"


def energy_of(rows: Iterable[Row]) -> float | None:
    """Adds the picojoules of some rows; None, not 0, if there is work and none of it has a price."""
    every = list(rows)
    energy = added(row.energy_pj for row in every)
    return None if energy == 0 and any(row.unpriced for row in every) else energy


def unpriced_of(rows: Iterable[Row]) -> dict[str, float]:
    """Adds up the work of some rows that has no price, by name."""
    counts: dict[str, float] = {}
    for row in rows:
        for what, count in row.unpriced.items():
            counts[what] = counts.get(what, 0.0) + count
    return counts


def added(values: Iterable[float | None]) -> float | None:
    """Adds the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return sum(known) if known else None


_Key = tuple[object, ...]
OpKey = tuple[str, str, int]


def _keys(report: EnergyReport, key_of: Callable[..., _Key], wanted: Callable[[Row], bool]) -> dict[_Key, list[Row]]:
    table: dict[_Key, list[Row]] = {}
    for row in filter(wanted, report.rows):
        table.setdefault(key_of(row.category, row.layer, row.op, row.index), []).append(row)
    return table


def _key(activity: Activity, by: By, category: str, layer: str, op: str, index: int | None) -> _Key:
    if by == "op":
        return (category, layer, op, index)
    if by == "layer":
        return (layer or ROOT,)
    if category == "static":
        return ("static",)
    if by == "block":
        return (block_of(activity, layer),)
    return (role_of(activity, layer, index) or f"other {category}",)


def _group(
    activity: Activity, ops: Mapping[OpKey, OpRecord], key: _Key, by: By, reports: list[EnergyReport],
    rows: list[list[Row]],
) -> Group:  # fmt: skip
    shown = next(filter(None, rows))
    blocks = {block_of(activity, row.layer) for row in shown if row.category != "static"}
    roles = {role_of(activity, row.layer, row.index) or "" for row in shown}
    ids = [report.hardware.id for report in reports]
    return Group(
        name=(shown[0].layer or ROOT) if by in ("op", "layer") else str(key[0]),
        block=blocks.pop() if len(blocks) == 1 else "",
        role=roles.pop() if len(roles) == 1 else "",
        rows=tuple(shown),
        exact_sops=_exact(ops, shown, conventions.exact_sops),
        events=_exact(ops, shown, conventions.spike_events),
        energies={id: energy_of(part) for id, part in zip(ids, rows, strict=True)},
        terms={id: _terms(part) for id, part in zip(ids, rows, strict=True)},
        unpriced={id: unpriced_of(part) for id, part in zip(ids, rows, strict=True)},
    )


def _terms(rows: list[Row]) -> dict[Term, float | None]:
    names = dict.fromkeys(name for row in rows for name in row.terms)
    return {name: added(row.terms.get(name) for row in rows) for name in names}


def _exact(ops: Mapping[OpKey, OpRecord], rows: list[Row], count: Callable[[OpRecord], float]) -> float | None:
    """Adds up a count over the rows that spikes drive; None if there are none, since real data has no SOPs."""
    driven = (ops.get((row.layer, row.op, row.index or 0)) for row in rows if row.formula_sops is not None)
    return added(count(op) for op in driven if op)
