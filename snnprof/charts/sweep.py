"""Runs that differ in one setting: accuracy and energy against it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from snnprof.activity import Activity, Run
from snnprof.charts.tradeoff import data_name, lower_bounds
from snnprof.comparison import Entry, Estimate, side_of
from snnprof.errors import SnnprofError, unknown

TITLES = {"timesteps": "time steps T", "threshold": "firing threshold"}
_FOLLOWING = ("checkpoint", "seed")
"""Settings that may change along with the one that is swept: each value of it may have weights of its own."""


@dataclass(frozen=True)
class Stop:
    """The figures at one value of the setting; mean and standard deviation where several runs have it.

    Attributes:
        accuracy: a share.
        energies: picojoules per inference by price list.
    """

    value: str
    accuracy: Estimate
    energies: Mapping[str, Estimate]


@dataclass(frozen=True)
class Curve:
    """One network on one data set, in rising order of the setting."""

    name: str
    data: str
    stops: tuple[Stop, ...]


@dataclass(frozen=True)
class Sweep:
    """Curves over one setting.

    Attributes:
        setting: `timesteps`, `seed`, `checkpoint`, `dtype`, or a name given with `--set`.
        values: all that occur, numbers in rising order.
        numeric: all of them are numbers.
        data: the data sets.
        lower_bounds: the price lists on which something is missing from a total.
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
        return TITLES.get(self.setting, self.setting)


def sweep_of(entries: Sequence[Entry], over: str | None = None) -> Sweep:
    """Groups runs by network and data, and orders each group by the setting in which its runs differ.

    Args:
        over: the setting; found where the runs of each group differ in one alone.

    Raises:
        SnnprofError: a published row among them, no setting or several that differ, or runs that do not know it.
    """
    settings = [_settings(_activity(entry)) for entry in entries]
    names = [(_activity(entry).run.model.label or entry.name, data_name(entry)) for entry in entries]
    setting = _checked(over, settings) if over else differing(settings, names)
    groups: dict[tuple[str, str], dict[str, list[Entry]]] = {}
    for entry, known, name in zip(entries, settings, names, strict=True):
        groups.setdefault(name, {}).setdefault(_value(entry, known, setting), []).append(entry)
    values = _ordered(list(dict.fromkeys(value for group in groups.values() for value in group)))
    curves = tuple(
        Curve(name, data, tuple(_stop(value, group[value]) for value in values if value in group))
        for (name, data), group in groups.items()
    )
    hardware = tuple(report.hardware.id for report in entries[0].reports)
    data = tuple(dict.fromkeys(data for _, data in groups))
    return Sweep(setting, values, all(map(_is_number, values)), hardware, curves, data, lower_bounds(entries))


def is_sweep(entries: Sequence[Entry]) -> bool:
    """Whether these are several runs that differ in one setting."""
    try:
        return len(sweep_of(entries).values) > 1
    except SnnprofError:
        return False


def differing(settings: Sequence[Mapping[str, str]], groups: Sequence[object]) -> str:
    """The one setting in which the runs of a group differ.

    Raises:
        SnnprofError: there is none, or there are several.
    """
    found: dict[str, None] = {}
    for group in dict.fromkeys(groups):
        mine = [known for known, of in zip(settings, groups, strict=True) if of == group]
        keys = dict.fromkeys(key for known in mine for key in known)
        found |= {key: None for key in keys if len({known.get(key) for known in mine}) > 1}
    leading = [key for key in found if key not in _FOLLOWING] or [*found][:1]
    if not leading:
        raise SnnprofError(
            "the runs do not differ in a setting",
            hint="--kind sweep draws runs of one network made with different --timesteps or --set KEY=VALUE",
        )
    if len(leading) > 1:
        raise SnnprofError(f"the runs differ in {', '.join(leading)}", hint=f"choose one: --over {leading[0]}")
    return leading[0]


def _settings(activity: Activity) -> dict[str, str]:
    """What a user may have chosen, by name."""
    run = activity.run
    chosen = {"timesteps": run.timesteps, "dtype": run.dtype, "checkpoint": run.model.checkpoint, "seed": run.seed}
    known = {key: str(value) for key, value in chosen.items() if value not in (None, "")}
    return {**known, **_given(run)}


def _given(run: Run) -> dict[str, str]:
    """The arguments of the model given with --set; time steps are a fact of their own."""
    pairs = (part.partition("=") for part in run.conditions.get("--set", "").split())
    return {key: value for key, equals, value in pairs if equals and key != "timesteps"}


def _activity(entry: Entry) -> Activity:
    if entry.activity is None:
        raise SnnprofError(
            f"--kind sweep needs runs, not {entry.name}", hint="draw published rows with --kind tradeoff"
        )
    return entry.activity


def _checked(over: str, settings: Sequence[Mapping[str, str]]) -> str:
    names = dict.fromkeys(key for known in settings for key in known)
    if over not in names:
        raise unknown("setting", over, [*names])
    return over


def _value(entry: Entry, known: Mapping[str, str], setting: str) -> str:
    """A setting that a run does not name has the model's default, whose value the run file does not say."""
    return known.get(setting, "default")


def _ordered(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(sorted(values, key=lambda value: (0, float(value)) if _is_number(value) else (1, 0.0)))


def _is_number(text: str) -> bool:
    try:
        return abs(float(text)) < float("inf")
    except ValueError:
        return False


def _stop(value: str, entries: Sequence[Entry]) -> Stop:
    side = side_of(Entry(entries[0].name, tuple(run for entry in entries for run in entry.runs)))
    return Stop(value, side.accuracy, side.energies)
