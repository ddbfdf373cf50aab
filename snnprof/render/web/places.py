"""The places of a page that show an energy, and what each of them costs on every price list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from snnprof import estimates, repricing
from snnprof.grouping import Group
from snnprof.pricing import EnergyReport
from snnprof.render.facts import WORK
from snnprof.render.web.values import Number, Priced, Prices
from snnprof.repricing import Amount
from snnprof.units import count_text, energy_text, percent_text

DIGITS = 3


class Places:
    """Hands out the places of a page in the order in which they appear.

    Args:
        reports: the same run, one report per price list; the page opens with the first.
        chosen: how many of them the reader's command named: those come with intervals.
    """

    def __init__(self, reports: Sequence[EnergyReport], chosen: int) -> None:
        self.reports = list(reports)
        self._chosen = chosen
        self._totals = [repricing.total(report) for report in self.reports]
        self._amounts: list[list[Amount]] = []

    def of(self, group: Group) -> Priced:
        """The place of a group that was made of these reports."""
        return self._place([repricing.amount(group, report) for report in self.reports])

    def of_total(self) -> Priced:
        return self._place(self._totals)

    def prices(self) -> tuple[Prices, ...]:
        """What all places handed out so far cost, list by list."""
        return tuple(map(self._prices, range(len(self.reports))))

    def _place(self, amounts: list[Amount]) -> Priced:
        self._amounts.append(amounts)
        first, whole = amounts[0], self._totals[0].pj
        share = first.pj / whole if first.pj is not None and whole else None
        return Priced(len(self._amounts) - 1, amount_number(first), share, _works(first.missing))

    def _prices(self, position: int) -> Prices:
        report, total = self.reports[position], self._totals[position]
        column = [amounts[position] for amounts in self._amounts]
        kinds = list(dict.fromkeys(["", *(_works(each.missing) for each in column)]))
        return Prices(
            id=report.hardware.id,
            title=report.hardware.title,
            total=amount_number(total),
            interval=interval_text(report) if position < self._chosen else "",
            against=against_ann(report),
            evidence=report.grade or "",
            unpriced=", ".join(unpriced(report)),
            pj=tuple(_rounded(each.pj) for each in column),
            missing=tuple(kinds.index(_works(each.missing)) for each in column),
            kinds=tuple(kinds),
        )


def amount_number(amount: Amount) -> Number:
    """E.g. `≥ 3.26 µJ`."""
    pj = _rounded(amount.pj)
    return Number(f"{'≥ ' if amount.lower_bound else ''}{energy_text(pj, DIGITS)}", pj)


def share_text(share: float | None) -> str:
    """In percent; what is too small to show is not nothing."""
    return "< 0.1 %" if share is not None and 0 < share < 5e-4 else percent_text(share)


def interval_text(report: EnergyReport) -> str:
    """Half the 95 % interval of the energy, e.g. `± 0.9 %`; empty where there are too few blocks."""
    interval = estimates.energy(report)
    return "" if interval is None or interval.half is None else f"± {percent_text(interval.relative)}"


def against_ann(report: EnergyReport) -> str:
    """E.g. `6.7× below its ANN twin`."""
    if report.ann_twin.operations is None:
        return "no ANN twin: time steps unknown"
    if report.ann_twin.energy_pj is None:
        return "no ANN price on this list"
    times = repricing.times_below_ann(report)
    if times is None:
        return "no ratio to its ANN twin"
    larger, side = (times, "below") if times >= 1 else (1 / times, "above")
    text = f"{larger:.1f}" if larger < 9.95 else f"{larger:.3g}" if larger < 1000 else f"{larger:,.0f}"
    return "about as much as its ANN twin" if text == "1.0" else f"{text}× {side} its ANN twin"


def unpriced(report: EnergyReport) -> Iterable[str]:
    """Work that is not in the total: how much of what, most frequent first."""
    for what, count in report.unpriced:
        each = report.per_inference(count) if report.samples else count
        yield f"{count_text(each, DIGITS)} {WORK.get(what, what)}"


def _works(kinds: Iterable[str]) -> str:
    return ", ".join(WORK.get(kind, kind) for kind in kinds)


def _rounded(pj: float | None) -> float | None:
    """Seven digits: the texts show three, and the page stays small."""
    return None if pj is None else float(f"{pj:.7g}")
