"""Accuracy against energy of runs and published rows, and which of them no other one beats."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from snnprof.comparison import PRINTED, Entry, Estimate, Side, side_of
from snnprof.errors import SnnprofError
from snnprof.settings import data_key, data_source, setting_of


@dataclass(frozen=True)
class Point:
    """One network on one price list.

    Attributes:
        data: what it ran on.
        hardware: the price list; `published` where a paper printed the energy.
        energy: picojoules per inference.
        accuracy: a share.
        mark: what sets it apart from other points on its data, such as `T = 1`.
        formula: the formula that a published row's source states.
    """

    name: str
    data: str
    hardware: str
    energy: Estimate
    accuracy: Estimate
    mark: str = ""
    formula: str = ""

    @property
    def priced_by(self) -> str:
        """What gave it its energy: only points with the same one compare."""
        return self.formula or self.hardware

    @property
    def published(self) -> bool:
        return self.hardware == PRINTED

    @property
    def place(self) -> tuple[float, float]:
        return self.energy.value or 0.0, self.accuracy.value or 0.0


@dataclass(frozen=True)
class Tradeoff:
    """Points of accuracy and energy.

    Attributes:
        data: the data sets, in order of appearance; points on different ones do not compare.
        fronts: for each data set and price list, or formula of published rows, with more than one point, the points
            that no other one beats in both accuracy and energy, from the cheapest on.
        left_out: what has no point, and why.
        lower_bounds: the price lists on which something is missing from a total.
    """

    points: tuple[Point, ...]
    data: tuple[str, ...]
    fronts: Mapping[tuple[str, str], tuple[Point, ...]]
    left_out: tuple[SnnprofError, ...]
    lower_bounds: frozenset[str] = frozenset()


def tradeoff_of(entries: Sequence[Entry]) -> Tradeoff:
    """Each entry on each price list.

    Raises:
        SnnprofError: nothing has both an accuracy and an energy.
    """
    sides = [side_of(entry) for entry in entries]
    data = data_names(entries)
    marks = _marks(entries, data)
    names = _names(entries, data, marks)
    points = tuple(
        point for side, *texts in zip(sides, names, data, marks, strict=True) for point in _points(side, *texts)
    )
    if not points:
        raise SnnprofError(
            "there is nothing to plot: no run has both an accuracy and an energy",
            hint="profile labelled data, on hardware that prices the work",
        )
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.data, point.priced_by), []).append(point)
    fronts = {key: front for key, group in groups.items() if len(group) > 1 and (front := unbeaten(group))}
    order = tuple(dict.fromkeys(point.data for point in points))
    return Tradeoff(points, order, fronts, tuple(_left_out(sides)), lower_bounds(entries))


def lower_bounds(entries: Sequence[Entry]) -> frozenset[str]:
    """The price lists on which something is missing from a run's total."""
    return frozenset(report.hardware.id for entry in entries for report in entry.reports if report.lower_bound)


def unbeaten(points: Iterable[Point]) -> tuple[Point, ...]:
    """The Pareto front: the points than which no other one is at least as good in both, and better in one.

    Intervals are not considered: two points whose intervals overlap may trade places on other data.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.place[0], -point.place[1])):
        if not front or point.place[1] > front[-1].place[1]:
            front.append(point)
    return tuple(front)


def data_names(entries: Sequence[Entry]) -> list[str]:
    """What each entry ran on: one name for the same data however it is spelled, two for different data of one name, or
    for one data set in several image sizes where published rows are among the entries."""
    spelled = _with_sizes(entries, [data_name(entry) for entry in entries])
    first: dict[str, str] = {}
    prints: dict[str, list[str]] = {}
    for entry, name in zip(entries, spelled, strict=True):
        first.setdefault(data_key(name), name)
        fingerprint = entry.activity.run.data.fingerprint if entry.activity else None
        if fingerprint and fingerprint not in prints.setdefault(data_key(name), []):
            prints[data_key(name)].append(fingerprint)
    return [
        _told_apart(entry, first[data_key(name)], prints.get(data_key(name), []))
        for entry, name in zip(entries, spelled, strict=True)
    ]


def _with_sizes(entries: Sequence[Entry], names: Sequence[str]) -> list[str]:
    """Data sets with the image size, where published rows show one data set in several."""
    sizes: dict[str, set[int]] = {}
    mine = [setting_of(entry.published).size for entry in entries]
    for name, size in zip(names, mine, strict=True):
        sizes.setdefault(data_key(name), set()).update({size} - {None})  # type: ignore[arg-type]
    return [
        f"{name}, {size}×{size}" if size and len(sizes[data_key(name)]) > 1 else name
        for name, size in zip(names, mine, strict=True)
    ]


def _told_apart(entry: Entry, name: str, fingerprints: Sequence[str]) -> str:
    mine = entry.activity.run.data.fingerprint if entry.activity else None
    return f"{name} {mine[:6]}" if mine and len(fingerprints) > 1 else name


def data_name(entry: Entry) -> str:
    """The data set that an entry ran on, without its folder."""
    if entry.published:
        scope = "" if entry.published.scope == "network" else f", {entry.published.scope} only"
        return f"{entry.published.dataset or 'unknown data'}{scope}"
    return data_source(entry.activity.run.data.source if entry.activity else "") or "unknown data"


def _names(entries: Sequence[Entry], data: Sequence[str], marks: Sequence[str]) -> list[str]:
    """A published row by its title alone, since it is drawn as one, where that, its data and its mark tell it from all
    others; with its paper, where that does."""
    short = [_title(entry) for entry in entries]
    papers = [f"{name} [{entry.published.paper}]" if entry.published else name
              for name, entry in zip(short, entries, strict=True)]  # fmt: skip
    full = [entry.name for entry in entries]
    chosen = full
    for names in (papers, short):
        keys = list(zip(names, data, marks, strict=True))
        chosen = [key[0] if keys.count(key) == 1 else other for key, other in zip(keys, chosen, strict=True)]
    return chosen


def _marks(entries: Sequence[Entry], data: Sequence[str]) -> list[str]:
    """T of each entry, where published rows are among those on its data and these ran for different T."""
    steps = [setting_of(entry.published or entry.activity).timesteps for entry in entries]
    seen: dict[str, set[int]] = {}
    for on, t in zip(data, steps, strict=True):
        seen.setdefault(data_key(on), set()).update({t} - {None})  # type: ignore[arg-type]
    printed = {data_key(on) for entry, on in zip(entries, data, strict=True) if entry.published}
    return [
        f"T\N{NO-BREAK SPACE}=\N{NO-BREAK SPACE}{t}"
        if t and data_key(on) in printed and len(seen[data_key(on)]) > 1
        else ""
        for on, t in zip(data, steps, strict=True)
    ]


def _title(entry: Entry) -> str:
    row = entry.published
    return row.title if row and entry.name.startswith(f"{row.title} (published)") else entry.name


def _points(side: Side, name: str, data: str, mark: str) -> Iterable[Point]:
    if side.accuracy.value is None:
        return []
    energies = ((id, energy) for id, energy in side.energies.items() if energy.value is not None)
    formula = (side.entry.published.formula or "") if side.entry.published else ""
    return [Point(name, data, id, energy, side.accuracy, mark, formula) for id, energy in energies]


def _left_out(sides: Iterable[Side]) -> Iterable[SnnprofError]:
    for side in sides:
        if side.accuracy.value is None:
            yield SnnprofError(f"{side.name} has no accuracy", hint="profile labelled data")
            continue
        for id, energy in side.energies.items():
            if energy.value is None:
                place = "in its paper" if id == PRINTED else f"on {id}"
                yield SnnprofError(f"{side.name} has no energy {place}")
