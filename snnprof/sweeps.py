"""Runs that differ in their settings: curves over one setting, the Pareto front, and energy at equal accuracy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from snnprof.activity import Activity, Run
from snnprof.charts.tradeoff import Point, data_name, lower_bounds, unbeaten
from snnprof.comparison import Comparison, Entry, Estimate, Side, compared, side_of
from snnprof.errors import SnnprofError, unknown
from snnprof.shown import Shown
from snnprof.statistics import Interval

TITLES = {"timesteps": "time steps T", "threshold": "firing threshold", "input_rate": "input rate"}
DEFAULT_VALUE = "default"
"""Stands for a setting that a run does not name: the run file does not say the model's default value."""
_BETWEEN = re.compile(r"\s+(?=[^\W\d]\w*=)")
"""Matches the space between two arguments of a model; a value may contain spaces, as in `[1, 2]`."""
_REPLICATES = "seed"
"""Runs that differ only in this setting are repetitions: the curve shows their mean and standard deviation."""


@dataclass(frozen=True)
class Stop:
    """The figures at one value of the setting; mean and standard deviation if several runs have that value.

    Attributes:
        value: the value, as text.
        side: the figures.
    """

    value: str
    side: Side

    @property
    def accuracy(self) -> Estimate:
        """Share (0 to 1) of correct predictions."""
        return self.side.accuracy

    @property
    def energies(self) -> Mapping[str, Estimate]:
        """Price list → picojoules per inference."""
        return self.side.energies


@dataclass(frozen=True)
class Curve:
    """One family: a network on one data set with the same other settings, at rising values of the swept setting.

    Attributes:
        model: the name of the network; `name` adds the other settings.
        data: the name of the data set.
        stops: the figures at each value.
        family: setting → value, for the settings that tell families apart.
    """

    model: str
    data: str
    stops: tuple[Stop, ...]
    family: Mapping[str, str]

    @property
    def name(self) -> str:
        """The network and the other settings, such as `SAFormer, threshold = 0.5`."""
        return ", ".join([self.model, *(in_words(key, value) for key, value in self.family.items())])

    def points(self, hardware: str) -> list[Point]:
        """Selects the stops that have an accuracy and an energy on one price list.

        Args:
            hardware: id of the price list.

        Returns:
            Points of energy and accuracy, each named after its value.
        """
        return [
            Point(stop.value, self.data, hardware, stop.energies[hardware], stop.accuracy)
            for stop in self.stops
            if stop.accuracy.value is not None and stop.energies.get(hardware, Estimate()).value is not None
        ]


@dataclass(frozen=True)
class Match:
    """The energies of two families at one accuracy, on one price list.

    Attributes:
        hardware: id of the price list.
        accuracy: share (0 to 1) that one of them was measured at and that both reach.
        names: names of both families.
        energies: picojoules per inference of both, interpolated linearly between two measured points of each family's
            own Pareto front. The intervals are interpolated likewise, so they leave out how uncertain the accuracies
            are.
    """

    hardware: str
    accuracy: float
    names: tuple[str, str]
    energies: tuple[Interval, Interval]

    @property
    def ratio(self) -> float | None:
        """Energy of the second family over that of the first; None if the first is 0."""
        first, second = (energy.value for energy in self.energies)
        return second / first if first else None


@dataclass(frozen=True, repr=False)
class Sweep(Shown):
    """Curves over one setting.

    Attributes:
        setting: `timesteps`, `threshold`, `threshold.LAYERS`, `input_rate`, `seed`, `checkpoint`, `dtype`, or a name
            given with `--set`.
        values: all values that occur; numbers in rising order.
        numeric: all values are numbers.
        hardware: ids of the price lists.
        curves: one for each family; the first is the one that others are compared with.
        data: names of the data sets.
        lower_bounds: ids of the price lists on which the energy of a run excludes some work.
    """

    setting: str
    values: tuple[str, ...]
    numeric: bool
    hardware: tuple[str, ...]
    curves: tuple[Curve, ...]
    data: tuple[str, ...]
    lower_bounds: frozenset[str] = frozenset()

    @property
    def title(self) -> str:
        """The setting in words, for axes and headings."""
        return TITLES.get(self.setting, self.setting)

    @property
    def families(self) -> tuple[str, ...]:
        """The other settings in which the runs differ."""
        return tuple(dict.fromkeys(key for curve in self.curves for key in curve.family))

    @cached_property
    def fronts(self) -> Mapping[str, frozenset[tuple[int, str]]]:
        """Price list → stops on the Pareto front, each as (number of the curve, value).

        No other stop on the same data is at least as good in both accuracy and energy, and better in one of them. A
        data set with a single stop has no front.
        """
        return {id: frozenset(stop for data in self.data for stop in self._front(id, data)) for id in self.hardware}

    def _front(self, hardware: str, data: str) -> Iterator[tuple[int, str]]:
        """Yields the stops of one data set that no other stop beats; none if there is a single stop."""
        found = {
            id(point): (number, point)
            for number, curve in enumerate(self.curves)
            for point in curve.points(hardware)
            if curve.data == data
        }
        if len(found) > 1:
            for best in unbeaten(point for _, point in found.values()):
                yield found[id(best)][0], best.name

    @cached_property
    def matched(self) -> tuple[Match, ...]:
        """Energies at equal accuracy: the first family against each other one on its data, on each price list.

        There is a match at each accuracy at which one of the two families was measured and that both reach.
        """
        return tuple(
            match for other in self._others() for id in self.hardware for match in _matches(self.curves[0], other, id)
        )

    @cached_property
    def unmatched(self) -> tuple[str, ...]:
        """A sentence for each pair of families that have no accuracy in common."""
        return tuple(
            f"{_reach(self.curves[0], id)} and {_reach(other, id)} have no accuracy in common: there is no energy at "
            "equal accuracy, and none is extrapolated."
            for other in self._others()
            for id in self.hardware[:1]
            if self.curves[0].points(id) and other.points(id) and not _matches(self.curves[0], other, id)
        )

    def _others(self) -> list[Curve]:
        return [curve for curve in self.curves[1:] if curve.data == self.curves[0].data]

    def matched_with(self, other: Sweep) -> tuple[Match, ...]:
        """Compares the first families of two sweeps at equal accuracy, on the price lists that both have.

        The sweeps may be over different settings and use different conventions, such as an SNN over T and an ANN over
        bits.

        Args:
            other: the other sweep.

        Returns:
            The matches, by price list and rising accuracy.

        Raises:
            SnnprofError: the two ran on different data.
        """
        mine, theirs = self.curves[0], other.curves[0]
        if _data_of(mine) != _data_of(theirs):
            raise SnnprofError(
                f"{mine.name} ran on {mine.data} and {theirs.name} on {theirs.data}: their accuracies do not compare"
                if mine.data != theirs.data
                else f"{mine.name} and {theirs.name} ran on different samples: their accuracies do not compare"
            )
        shared = [id for id in self.hardware if id in other.hardware]
        return tuple(match for id in shared for match in _matches(mine, theirs, id))

    @cached_property
    def comparison(self) -> Comparison:
        """All stops side by side, with the first as the baseline."""
        return compared([stop.side.entry for curve in self.curves for stop in curve.stops])


def sweep_of(entries: Sequence[Entry], over: str | None = None) -> Sweep:
    """Groups runs by network, data and other settings, and orders each family by one setting.

    The setting is `over`, or else the only one in which the runs of each network differ.

    Raises:
        SnnprofError: a published row is among the entries, no setting or several differ, or no run has the setting.
    """
    settings = _all_settings([_activity(entry).run for entry in entries])
    names = [(_activity(entry).run.model.label or entry.name, data_name(entry)) for entry in entries]
    setting = _checked(over, settings) if over else differing(settings, names)
    families = {name: _families(setting, settings, names, name) for name in dict.fromkeys(names)}
    groups: dict[tuple[tuple[str, str], tuple[str, ...]], dict[str, list[Entry]]] = {}
    for entry, known, name in zip(entries, settings, names, strict=True):
        family = tuple(known.get(key, DEFAULT_VALUE) for key in families[name])
        of_family = groups.setdefault((name, family), {})
        of_family.setdefault(known.get(setting, DEFAULT_VALUE), []).append(entry)
    values = _ordered(list(dict.fromkeys(value for group in groups.values() for value in group)))
    curves = []
    for (name, family), group in groups.items():
        curve = Curve(*name, (), dict(zip(families[name], family, strict=True)))
        stops = tuple(_stop(f"{curve.name}, {in_words(setting, v)}", v, group[v]) for v in values if v in group)
        curves.append(Curve(*name, stops, curve.family))
    hardware = tuple(report.hardware.id for report in entries[0].reports)
    data = tuple(dict.fromkeys(data for _, data in names))
    return Sweep(setting, values, all(map(is_number, values)), hardware, tuple(curves), data, lower_bounds(entries))


def is_sweep(entries: Sequence[Entry]) -> bool:
    """Whether the entries are several runs that differ in one setting."""
    try:
        return len(sweep_of(entries).values) > 1
    except SnnprofError:
        return False


def in_words(setting: str, value: str) -> str:
    """Writes a setting and its value as part of a name.

    >>> in_words("timesteps", "4"), in_words("threshold", "0.5"), in_words("checkpoint", "a.pt")
    ('T = 4', 'threshold = 0.5', 'a.pt')
    """
    if setting == "checkpoint":
        return value
    return f"{'T' if setting == 'timesteps' else setting.replace('_', ' ')} = {value}"


def is_number(text: str) -> bool:
    """Whether the text of a value is a finite number."""
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


# -- settings of a run -----------------------------------------------------------------------------------------


def differing(settings: Sequence[Mapping[str, str]], groups: Sequence[object]) -> str:
    """Finds the one setting in which the runs of a group differ.

    Checkpoints and seeds may change along with another setting. Of settings that have equal values in all runs, such as
    `--set T=4` and four time steps, the first counts.

    Raises:
        SnnprofError: the runs differ in no setting, or in several.
    """
    found: dict[str, list[Mapping[str, str]]] = {}
    for group in dict.fromkeys(groups):
        mine = [known for known, of in zip(settings, groups, strict=True) if of == group]
        for key in dict.fromkeys(key for known in mine for key in known):
            if len({known.get(key) for known in mine}) > 1:
                found.setdefault(key, []).extend(mine)
    leading = [key for key in found if key not in ("checkpoint", _REPLICATES)] or [*found][:1]
    columns = {key: tuple(known.get(key) for known in settings) for key in leading}
    leading = [*{column: key for key, column in reversed(columns.items())}.values()][::-1]
    if not leading:
        raise SnnprofError(
            "the runs do not differ in a setting",
            hint="--kind sweep draws runs of one network made with different --timesteps or --set KEY=VALUE",
        )
    if len(leading) > 1:
        raise SnnprofError(f"the runs differ in {', '.join(leading)}", hint=f"choose one: --over {leading[0]}")
    return leading[0]


def _families(
    setting: str, settings: Sequence[Mapping[str, str]], names: Sequence[object], name: object
) -> tuple[str, ...]:
    """Finds the other settings that tell curves apart: their values come back at several values of the swept setting.

    A setting that changes along with the swept one tells no curves apart. Neither does one whose values never come
    back, such as checkpoints that were trained from several seeds for each value: those runs are repetitions.
    """
    mine = [known for known, of in zip(settings, names, strict=True) if of == name]
    found = []
    for key in dict.fromkeys(key for known in mine for key in known if key not in (setting, _REPLICATES)):
        pairs = {(known.get(setting), known.get(key)) for known in mine}
        along = len({value for value, _ in pairs}) == len(pairs)
        recurs = len({value for _, value in pairs}) < len(pairs)
        if recurs and not along:
            found.append(key)
    return tuple(found)


def _all_settings(runs: Sequence[Run]) -> list[dict[str, str]]:
    """Returns what users chose for each run, by name.

    Checkpoints with one name but different contents get two names.
    """
    named: dict[str | None, set[str | None]] = {}
    for run in runs:
        named.setdefault(run.model.checkpoint, set()).add(run.model.sha256)
    return [_settings(run, tell_apart=len(named[run.model.checkpoint]) > 1) for run in runs]


def _settings(run: Run, tell_apart: bool) -> dict[str, str]:
    """Returns the settings of a run by name; `tell_apart` adds the beginning of its hash to a checkpoint's name."""
    checkpoint = run.model.checkpoint
    if checkpoint and tell_apart:
        checkpoint = f"{checkpoint} {(run.model.sha256 or '')[:6]}"
    chosen = {
        "timesteps": run.timesteps, "dtype": run.dtype, "checkpoint": checkpoint, "seed": run.seed,
        "input_rate": run.conditions.get("--input-rate"),
    }  # fmt: skip
    known = {key: str(value) for key, value in chosen.items() if value not in (None, "")}
    known |= _thresholds(run)
    return {**known, **_given(run, known)}


def _thresholds(run: Run) -> dict[str, str]:
    """Reads `--threshold 0.5` and `--threshold block.0=0.5`."""
    pairs = (text.rpartition("=") for text in run.conditions.get("--threshold", "").split())
    return {f"threshold.{layers}" if layers else "threshold": value for layers, _, value in pairs}


def _given(run: Run, facts: Mapping[str, str]) -> dict[str, str]:
    """Returns the arguments of the model that `--set` gave.

    An argument with the name of another setting, such as `seed`, is called `set.seed`; time steps are the same setting
    either way.
    """
    pairs = (part.partition("=") for part in _BETWEEN.split(run.conditions.get("--set", "")))
    given = {key: value for key, equals, value in pairs if equals}
    if "timesteps" in facts:
        given.pop("timesteps", None)
    return {f"set.{key}" if key in facts else key: value for key, value in given.items()}


def _activity(entry: Entry) -> Activity:
    if entry.activity is None:
        raise SnnprofError(
            f"--kind sweep needs runs, not {entry.name}", hint="draw published rows with --kind tradeoff"
        )
    return entry.activity


def _checked(over: str, settings: Sequence[Mapping[str, str]]) -> str:
    names = dict.fromkeys(key for known in settings for key in known)
    if over not in names and over.removeprefix("set.") in names:
        return over.removeprefix("set.")
    if over not in names:
        raise unknown("setting", over, [*names])
    return over


def _ordered(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(values, key=lambda value: (0, float(value)) if is_number(value) else (1, 0.0)))


def _stop(name: str, value: str, entries: Sequence[Entry]) -> Stop:
    return Stop(value, side_of(Entry(name, tuple(run for entry in entries for run in entry.runs))))


# -- energy at equal accuracy ----------------------------------------------------------------------------------


def _data_of(curve: Curve) -> object:
    """Returns what tells data sets apart: their content, which does not depend on the name; else the name."""
    activity = curve.stops[0].side.entry.activity
    return (activity and activity.run.data.fingerprint) or curve.data


def _matches(first: Curve, second: Curve, hardware: str) -> list[Match]:
    """Returns the energies of two families at each accuracy of either front that both reach."""
    fronts = [unbeaten(curve.points(hardware)) for curve in (first, second)]
    levels = sorted({point.place[1] for front in fronts for point in front})
    found = []
    for accuracy in levels:
        mine, theirs = (energy_at(front, accuracy) for front in fronts)
        if mine and theirs:
            found.append(Match(hardware, accuracy, (first.name, second.name), (mine, theirs)))
    return found


def energy_at(front: Sequence[Point], accuracy: float) -> Interval | None:
    """The energy of a family at an accuracy, interpolated linearly between two measured points.

    E = E₁ + w (E₂ − E₁) with w = (a − a₁) / (a₂ − a₁), for the neighbours 1 and 2 of accuracy a.

    Args:
        front: the family's Pareto front, rising in both energy and accuracy.
        accuracy: a share (0 to 1).

    Returns:
        Picojoules per inference; None below the first point and above the last, where nothing was measured.
    """
    for point in front:
        if point.place[1] == accuracy:
            return _interval(point)
    for lower, upper in pairwise(front):
        if lower.place[1] < accuracy < upper.place[1]:
            weight = (accuracy - lower.place[1]) / (upper.place[1] - lower.place[1])
            return _between(_interval(lower), _interval(upper), weight)
    return None


def _interval(point: Point) -> Interval:
    return point.energy.interval or Interval(point.place[0])


def _between(a: Interval, b: Interval, weight: float) -> Interval:
    def mean(x: float | None, y: float | None) -> float | None:
        return None if x is None or y is None else (1 - weight) * x + weight * y

    return Interval((1 - weight) * a.value + weight * b.value, mean(a.low, b.low), mean(a.high, b.high))


def _reach(curve: Curve, hardware: str) -> str:
    accuracies = [point.place[1] for point in unbeaten(curve.points(hardware))]
    low, high = (f"{100 * bound:.2f}" for bound in (min(accuracies), max(accuracies)))
    return f"{curve.name} ({low} %)" if low == high else f"{curve.name} ({low}–{high} %)"
