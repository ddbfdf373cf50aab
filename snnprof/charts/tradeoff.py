"""Accuracy against energy for runs and published rows, with the Pareto front of each group that can be compared."""

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
        name: name of the run or published row; in a sweep, the value of the setting.
        data: name of the data set that the network ran on.
        hardware: id of the price list (hardware profile); `published` where a paper printed the energy.
        energy: pJ per inference.
        accuracy: fraction from 0 to 1.
        mark: short label where published rows on the same data have different T, such as `T = 1`; else "".
        formula: the energy formula that the source of a published row states; "" where it states none, and for runs.
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
        """The formula of a published row, else the price list. Only points with equal values are comparable."""
        return self.formula or self.hardware

    @property
    def published(self) -> bool:
        """Whether a paper printed the energy."""
        return self.hardware == PRINTED

    @property
    def place(self) -> tuple[float, float]:
        """Coordinates in the figure: energy (pJ per inference) and accuracy (fraction); 0 for an unknown value."""
        return self.energy.value or 0.0, self.accuracy.value or 0.0


@dataclass(frozen=True)
class Tradeoff:
    """The data of the figure of accuracy against energy.

    Attributes:
        points: one for each entry and price list with both an accuracy and an energy.
        data: names of the data sets, in order of appearance. Points on different data sets are not comparable.
        fronts: Pareto fronts by (data set, `Point.priced_by`), for groups of at least two points; each from the lowest
            energy to the highest.
        left_out: the entries without a point, each with the reason.
        lower_bounds: ids of the price lists on which the total of some run leaves out work without a price.
    """

    points: tuple[Point, ...]
    data: tuple[str, ...]
    fronts: Mapping[tuple[str, str], tuple[Point, ...]]
    left_out: tuple[SnnprofError, ...]
    lower_bounds: frozenset[str] = frozenset()


def tradeoff_of(entries: Sequence[Entry]) -> Tradeoff:
    """Makes a point of each entry on each price list, and finds the Pareto fronts.

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
    """Ids of the price lists on which the total of some run leaves out work without a price."""
    return frozenset(report.hardware.id for entry in entries for report in entry.reports if report.lower_bound)


def unbeaten(points: Iterable[Point]) -> tuple[Point, ...]:
    """The Pareto front, from the lowest energy to the highest.

    A point is on the front if no other point is at least as good in energy and accuracy and better in one of them.
    Confidence intervals are not considered: two points whose intervals overlap may trade places on other data.
    """
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.place[0], -point.place[1])):
        if not front or point.place[1] > front[-1].place[1]:
            front.append(point)
    return tuple(front)


def data_names(entries: Sequence[Entry]) -> list[str]:
    """The name of the data set of each entry, so that equal names mean equal data.

    Different spellings of one data set get one name. Data with the same name but other content (another fingerprint)
    get different names, and so does one data set in several image sizes.
    """
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
    """Adds the image size to the names of data sets that published rows use in several sizes."""
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
    """The name of the data set that an entry ran on, without its folder."""
    if entry.published:
        scope = "" if entry.published.scope == "network" else f", {entry.published.scope} only"
        return f"{entry.published.dataset or 'unknown data'}{scope}"
    return data_source(entry.activity.run.data.source if entry.activity else "") or "unknown data"


def _names(entries: Sequence[Entry], data: Sequence[str], marks: Sequence[str]) -> list[str]:
    """The shortest name of each entry that is unique together with its data and its mark.

    For a published row: its title, else its title and paper, else the entry's full name. Its symbol in the figure says
    already that it is published.
    """
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
    """`T = …` for each entry whose data set has published rows and several values of T; "" for all others."""
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
