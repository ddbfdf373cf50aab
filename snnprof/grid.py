"""What a sweep varies: settings with several values, the grid of their combinations, and the run of each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from snnprof.errors import SnnprofError, unknown
from snnprof.options import MAX_SEED, MAX_TIMESTEPS, ProfileOptions, file_and_key

NAMES = ("timesteps", "threshold", "threshold.LAYERS", "input_rate", "checkpoint", "seed", "set.KEY")
_FLAGS = {"timesteps": "--timesteps", "threshold": "--threshold", "input_rate": "--input-rate",
          "checkpoint": "--checkpoint", "seed": "--seed", "set": "--set"}  # fmt: skip
_COMMAS = re.compile(r",(?![^\[({]*[\])}])")
"""Matches commas between values, but not those within the brackets of one value, as in `[1, 2]`."""
_LONGEST_NAME = 150


@dataclass(frozen=True)
class Axis:
    """One setting and the values that it takes.

    Attributes:
        name: one of `NAMES`, in which LAYERS is a pattern of layers and KEY an argument of the model.
        values: the values, as texts.
    """

    name: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class GridPoint:
    """One combination of values, as pairs (setting, value) in the order of the axes."""

    values: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The combination in messages: `timesteps=4, threshold=0.5`."""
        return ", ".join(f"{name}={value}" for name, value in self.values)

    @property
    def words(self) -> list[str]:
        """The arguments of `snnprof profile` for it: `--timesteps 4 --threshold block.0=0.5`."""
        return [word for name, value in self.values for word in _words(name, value)]

    def options(self, given: ProfileOptions) -> ProfileOptions:
        """Returns the options of this run.

        Raises:
            SnnprofError: the setting has no such value, or the given options already set it for all runs.
        """
        for name, value in self.values:
            given = _with(given, name, value)
        return given


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        point: its combination of values.
        options: what runs; `output` is its file.
    """

    point: GridPoint
    options: ProfileOptions

    @property
    def path(self) -> Path:
        """The run file."""
        assert self.options.output is not None
        return self.options.output


def axes(given: Sequence[str] | Mapping[str, Sequence[object]]) -> list[Axis]:
    """Returns the axes of a sweep, from texts `NAME=V1,V2`, or from a mapping of names to values.

    >>> axes(["timesteps=1,2"])
    [Axis(name='timesteps', values=('1', '2'))]

    Raises:
        SnnprofError: there is no axis, one has no value or the same value twice, or there is no such setting.
    """
    pairs = given.items() if isinstance(given, Mapping) else map(_parsed, given)
    found = [Axis(name, _texts(name, values)) for name, values in pairs]
    if not found:
        raise SnnprofError("a sweep needs a setting and its values", hint="for example --over timesteps=1,2,4,8")
    for place, axis in enumerate(found):
        _must_be_an_axis(axis)
        if axis.name in [other.name for other in found[:place]]:
            raise SnnprofError(f"two sweeps over {axis.name}", hint="name all its values in one")
    return found


def grid(found: Sequence[Axis]) -> list[GridPoint]:
    """Returns all combinations; the last axis changes fastest."""
    return [
        GridPoint(tuple(zip([axis.name for axis in found], values, strict=True)))
        for values in product(*(axis.values for axis in found))
    ]


def file_names(points: Sequence[GridPoint]) -> list[str]:
    """Returns a readable name for the run file of each point, different from all others.

    >>> file_names([GridPoint((("timesteps", "4"), ("checkpoint", "nets/a.pt")))])
    ['timesteps-4_checkpoint-a.json']
    """
    stems = [_stem(point) for point in points]
    taken: dict[str, int] = {}
    names = []
    for stem in stems:
        number = taken[stem.lower()] = taken.get(stem.lower(), 0) + 1
        names.append(f"{stem}.json" if number == 1 else f"{stem}_{number}.json")
    return names


def _stem(point: GridPoint) -> str:
    pairs = [(name, Path(value).stem if name == "checkpoint" else value) for name, value in point.values]
    return "_".join(f"{_plain(name)}-{_plain(value)}" for name, value in pairs)[:_LONGEST_NAME]


def _plain(text: str) -> str:
    """Keeps only letters, digits, points, underscores and dashes."""
    return re.sub(r"[^\w.-]+", "-", text).strip("-.")


def _parsed(text: str) -> tuple[str, list[str]]:
    name, equals, values = text.partition("=")
    if not equals:
        raise SnnprofError(f"--over needs SETTING=VALUE,VALUE,..., not {text!r}", hint="for example timesteps=1,2,4,8")
    return name.strip(), [value.strip() for value in _COMMAS.split(values)]


def _texts(name: str, values: object) -> tuple[str, ...]:
    """Writes the values from Python as their option takes them: `0.5`, `[1, 2]`.

    Raises:
        SnnprofError: it is one value, not several. A text is refused too, since it would be read letter by letter.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise SnnprofError(f"--over {name} needs a list of values, not {values!r}", hint=f"for example [{values!r}]")
    return tuple(map(str, values))


def _must_be_an_axis(axis: Axis) -> None:
    kind, _, rest = axis.name.partition(".")
    if kind not in _FLAGS or (rest and kind not in ("threshold", "set")) or (kind == "set" and not rest.isidentifier()):
        raise unknown("setting to sweep over", axis.name, NAMES)
    if not axis.values:
        raise SnnprofError(f"--over {axis.name} has no values")
    if not all(axis.values):
        raise SnnprofError(f"--over {axis.name}: a value is empty", hint="separate the values with one comma each")
    if len(set(axis.values)) < len(axis.values):
        raise SnnprofError(f"--over {axis.name}: a value is there twice")


def _words(name: str, value: str) -> list[str]:
    kind, _, rest = name.partition(".")
    return [_FLAGS[kind], f"{rest}={value}" if rest else value]


def _with(options: ProfileOptions, name: str, value: str) -> ProfileOptions:
    """Returns the options with one setting changed.

    Raises:
        SnnprofError: the setting has no such value, or the options already set it.
    """
    kind, _, rest = name.partition(".")
    if kind == "threshold":
        number = _number(name, value, 0, float("inf"))
        if any(layers == rest for layers, _ in options.thresholds):
            raise _twice(name, "--threshold")
        thresholds = sorted([*options.thresholds, (rest, number)], key=lambda each: bool(each[0]))  # for all first
        return replace(options, thresholds=tuple(thresholds))
    if kind == "set":
        if rest in dict(options.settings):
            raise _twice(name, f"--set {rest}=")
        return replace(options, settings=(*options.settings, (rest, value)))
    if getattr(options, kind) is not None and kind != "seed":
        raise _twice(name, _FLAGS[kind])
    if kind == "checkpoint":
        if not file_and_key(value)[0].is_file():
            raise SnnprofError(f"--over checkpoint: there is no file {file_and_key(value)[0]}")
        return replace(options, checkpoint=Path(value))
    if kind == "timesteps":
        return replace(options, timesteps=_whole(name, value, 1, MAX_TIMESTEPS))
    if kind == "seed":
        return replace(options, seed=_whole(name, value, -MAX_SEED, MAX_SEED))
    return replace(options, input_rate=_number(name, value, 0, 1))


def _twice(name: str, flag: str) -> SnnprofError:
    return SnnprofError(f"{flag} and --over {name} contradict each other", hint="leave one of them out")


def _whole(name: str, text: str, low: int, high: int) -> int:
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise SnnprofError(f"--over {name} needs whole numbers from {low:,} to {high:,}, not {text!r}")
    return value


def _number(name: str, text: str, above: float, most: float) -> float:
    """Reads a finite number above one bound and up to another."""
    try:
        value = float(text)
    except ValueError:
        value = above
    if not (above < value <= most and value < float("inf")):
        bounds = f"above {above:g}" + (f" and at most {most:g}" if most < float("inf") else "")
        raise SnnprofError(f"--over {name} needs numbers {bounds}, not {text!r}")
    return value
