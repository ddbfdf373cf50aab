"""The places of a page that show an energy, and the energy of each on every price list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snnprof import repricing
from snnprof.grouping import Group
from snnprof.pricing import EnergyReport
from snnprof.render.facts import WORK
from snnprof.render.summary import factor_text
from snnprof.render.web.values import Number, Priced, Prices
from snnprof.repricing import Amount
from snnprof.summary import Summary, Total
from snnprof.units import brief_count, brief_energy, percent_text


class Places:
    """Makes the places of a page and numbers them in order.

    Attributes:
        reports: the reports of the summary, which the page shows first, then the run on every other price list.
    """

    def __init__(self, summary: Summary) -> None:
        chosen = len(summary.reports)
        self.reports = repricing.on_every_list(summary.reports)
        self._totals = [*summary.totals, *map(repricing.total, self.reports[chosen:])]
        self._amounts: list[list[Amount]] = []

    def of(self, group: Group) -> Priced:
        """A new place for a group that was made of `reports`."""
        amounts = [repricing.amount(group, report) for report in self.reports]
        self._amounts.append(amounts)
        first, whole = amounts[0], self._totals[0].energy_pj
        share = first.pj / whole if first.pj is not None and whole else None
        pj = _rounded(first.pj)
        bound = bool(first.missing)
        return Priced(len(self._amounts) - 1, Number(energy_text(pj, bound), pj), share, _works(first.missing))

    def prices(self) -> tuple[Prices, ...]:
        """The energies of all places so far, for each price list."""
        return tuple(map(self._prices, range(len(self.reports))))

    def _prices(self, position: int) -> Prices:
        report, total = self.reports[position], self._totals[position]
        column = [amounts[position] for amounts in self._amounts]
        kinds = list(dict.fromkeys(["", *(_works(each.missing) for each in column)]))
        return Prices(
            id=report.hardware.id,
            title=report.hardware.title,
            total=Number(total_text(total), _rounded(total.energy_pj)),
            interval=interval_text(total),
            against=against_ann(total),
            evidence=report.grade or "",
            unpriced=", ".join(_unpriced(report)),
            pj=tuple(_rounded(each.pj) for each in column),
            missing=tuple(kinds.index(_works(each.missing)) for each in column),
            kinds=tuple(kinds),
        )


def energy_text(pj: float | None, lower_bound: bool) -> str:
    """An energy such as `≥ 3.26 µJ`; an unknown one has no bound."""
    return f"{'≥ ' if lower_bound and pj is not None else ''}{brief_energy(pj)}"


def total_text(total: Total) -> str:
    """The energy of a run on a price list."""
    return energy_text(_rounded(total.energy_pj), total.lower_bound)


def interval_text(total: Total) -> str:
    """Half the 95 % interval of the energy, such as `± 0.9 %`; "" if there is none."""
    relative = total.interval.relative if total.interval else None
    return "" if relative is None else f"± {percent_text(relative)}"


def against_ann(total: Total) -> str:
    """The comparison with the ANN twin, such as `6.7× below its ANN twin`."""
    if total.factor is None:
        return "no ANN price on this list" if total.hardware.energy.mac is None else "ANN twin unknown"
    if total.sign == "equal":
        return "equal to its ANN twin"
    return f"{factor_text(total.factor)} {total.sign} its ANN twin"


def _unpriced(report: EnergyReport) -> Iterable[str]:
    """Yields the work that has no price, each with its count."""
    for what, count in report.unpriced:
        each = report.per_inference(count) if report.samples else count
        yield f"{brief_count(each)} {WORK.get(what, what)}"


def _works(kinds: Sequence[str]) -> str:
    return ", ".join(WORK.get(kind, kind) for kind in kinds)


def _rounded(pj: float | None) -> float | None:
    """Rounds to seven digits, to keep the page small; the texts show three."""
    return None if pj is None else float(f"{pj:.7g}")
