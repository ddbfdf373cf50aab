"""Accuracy against energy of runs and published rows, and which of them no other one beats."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from snnprof.comparison import PRINTED, Entry, Estimate, Side, side_of
from snnprof.errors import SnnprofError


@dataclass(frozen=True)
class Point:
    """One network on one price list.

    Attributes:
        data: what it ran on.
        hardware: the price list; `published` where a paper printed the energy.
        energy: picojoules per inference.
        accuracy: a share.
    """

    name: str
    data: str
    hardware: str
    energy: Estimate
    accuracy: Estimate

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
        fronts: for each data set and price list with more than one point, the points that no other one beats in both
            accuracy and energy, from the cheapest on.
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
    names = _names(entries, data)
    points = tuple(point for side, *marks in zip(sides, names, data, strict=True) for point in _points(side, *marks))
    if not points:
        raise SnnprofError(
            "there is nothing to plot: no run has both an accuracy and an energy",
            hint="profile labelled data, on hardware that prices the work",
        )
    groups: dict[tuple[str, str], list[Point]] = {}
    for point in points:
        groups.setdefault((point.data, point.hardware), []).append(point)
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
    """What each entry ran on: one name for the same data however it is spelled, two for different data of one name."""
    spelled = [data_name(entry) for entry in entries]
    first: dict[str, str] = {}
    prints: dict[str, list[str]] = {}
    for entry, name in zip(entries, spelled, strict=True):
        first.setdefault(_key(name), name)
        fingerprint = entry.activity.run.data.fingerprint if entry.activity else None
        if fingerprint and fingerprint not in prints.setdefault(_key(name), []):
            prints[_key(name)].append(fingerprint)
    return [
        _told_apart(entry, first[_key(name)], prints.get(_key(name), []))
        for entry, name in zip(entries, spelled, strict=True)
    ]


def _told_apart(entry: Entry, name: str, fingerprints: Sequence[str]) -> str:
    mine = entry.activity.run.data.fingerprint if entry.activity else None
    return f"{name} {mine[:6]}" if mine and len(fingerprints) > 1 else name


def data_name(entry: Entry) -> str:
    """The data set that an entry ran on, without its folder."""
    if entry.published:
        scope = "" if entry.published.scope == "network" else f", {entry.published.scope} only"
        return f"{entry.published.dataset or 'unknown data'}{scope}"
    source = entry.activity.run.data.source if entry.activity else ""
    known, colon, _ = source.partition(":")
    return (known if colon and re.fullmatch(r"[a-z][a-z0-9-]+", known) else source) or "unknown data"


def _key(name: str) -> str:
    """`CIFAR-10`, `cifar10` → `cifar10`."""
    return re.sub(r"[\W_]+", "", name.lower()) or name


def _names(entries: Sequence[Entry], data: Sequence[str]) -> list[str]:
    """A published row by its title alone, since it is drawn as one, where that and its data tell it from all others."""
    short = [_title(entry) for entry in entries]
    pairs = list(zip(short, data, strict=True))
    return [
        name if pairs.count((name, on)) == 1 else entry.name for entry, (name, on) in zip(entries, pairs, strict=True)
    ]


def _title(entry: Entry) -> str:
    row = entry.published
    return row.title if row and entry.name.startswith(f"{row.title} (published)") else entry.name


def _points(side: Side, name: str, data: str) -> Iterable[Point]:
    if side.accuracy.value is None:
        return []
    energies = ((id, energy) for id, energy in side.energies.items() if energy.value is not None)
    return [Point(name, data, id, energy, side.accuracy) for id, energy in energies]


def _left_out(sides: Iterable[Side]) -> Iterable[SnnprofError]:
    for side in sides:
        if side.accuracy.value is None:
            yield SnnprofError(f"{side.name} has no accuracy", hint="profile labelled data")
            continue
        for id, energy in side.energies.items():
            if energy.value is None:
                place = "in its paper" if id == PRINTED else f"on {id}"
                yield SnnprofError(f"{side.name} has no energy {place}")
