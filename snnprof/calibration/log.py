"""A power log: a CSV file with one line for each sample of a rail's power, and what ran at that moment.

Columns: `time` (seconds), `rail`, `watts`, `stretch`, `run`, `inferences`. A stretch is a period in which one run
repeated, or in which the machine was idle. `run` (the name of the run file; empty for idle) and `inferences` (how many
there were in the whole stretch) are the same on all lines of a stretch. Lines without a stretch lie between stretches
and do not count. A line holds until the next line of its rail and stretch; the last line of a stretch holds for the
median of these times.
"""

from __future__ import annotations

import csv
import hashlib
import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from snnprof.errors import SnnprofError, unknown

COLUMNS = ("time", "rail", "watts", "stretch", "run", "inferences")
TEMPLATE = """\
time,rail,watts,stretch,run,inferences
0.00,core,0.0651,idle-1,,
0.01,core,0.0649,idle-1,,
0.02,core,0.0700,,,
0.03,core,0.0911,a-1,a.json,40
0.04,core,0.0909,a-1,a.json,40
0.05,core,0.0912,a-1,a.json,40
"""
HINT = "'snnprof hardware calibrate --template' prints an example"


@dataclass(frozen=True)
class LoggedStretch:
    """A stretch, with all rails together.

    Attributes:
        name: its name in the log.
        run: name of the run; "" for idle.
        seconds: its length.
        watts: mean power, added up over the rails.
        inferences: number of inferences in it; 0 for idle.
    """

    name: str
    run: str
    seconds: float
    watts: float
    inferences: float


@dataclass(frozen=True)
class PowerLog:
    """The content of a log.

    Attributes:
        path: the file.
        sha256: hash of the file.
        rails: the rails that are added up.
        stretches: the stretches, in the order of the file.
        left_out: number of lines that belong to no stretch.
        gap: (stretch, ratio): the largest ratio of the longest time between two lines of a rail to the median time, and
            the stretch that has it.
    """

    path: Path
    sha256: str
    rails: tuple[str, ...]
    stretches: tuple[LoggedStretch, ...]
    left_out: int
    gap: tuple[str, float]


@dataclass(frozen=True)
class _Line:
    number: int
    time: float
    rail: str
    watts: float
    stretch: str
    run: str
    inferences: float


def read_log(path: Path, rails: Sequence[str] = ()) -> PowerLog:
    """Reads a power log and adds up the given rails; all rails if none is given.

    Raises:
        SnnprofError: the file is missing, there is no such rail, or a line does not follow the format.
    """
    try:
        raw = path.read_bytes()
        lines = list(_lines(raw.decode("utf-8-sig"), path))
    except OSError as error:
        raise SnnprofError(f"cannot read power log {path}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise SnnprofError(f"{path} is not a power log: not CSV in UTF-8", HINT) from error
    chosen = _chosen(path, {line.rail for line in lines}, rails)
    stretches: dict[str, list[_Line]] = {}
    for line in lines:
        if line.stretch and line.rail in chosen:
            stretches.setdefault(line.stretch, []).append(line)
    if not stretches:
        raise SnnprofError(f"{path}: no line belongs to a stretch", HINT)
    found = [_joined(path, name, each, chosen) for name, each in stretches.items()]
    left_out = sum(not line.stretch for line in lines)
    gap = max(((stretch.name, gap) for stretch, gap in found), key=lambda each: each[1])
    digest = hashlib.sha256(raw).hexdigest()
    return PowerLog(path, digest, chosen, tuple(stretch for stretch, _ in found), left_out, gap)


def _lines(text: str, path: Path) -> Iterator[_Line]:
    reader = csv.DictReader(text.splitlines(), strict=True)
    names = [name.strip() for name in reader.fieldnames or []]
    missing = [name for name in COLUMNS if name not in names]
    if missing:
        raise SnnprofError(f"{path} is not a power log: it has no column {' and no column '.join(missing)}", HINT)
    reader.fieldnames = names
    for row in reader:
        number = reader.line_num
        cells = {name: (row[name] or "").strip() for name in COLUMNS}
        if not cells["rail"]:
            raise SnnprofError(f"{path}:{number}: the line names no rail", HINT)
        inferences = _number(cells, "inferences", path, number) if cells["inferences"] else 0.0
        if bool(cells["run"]) != (inferences > 0) and cells["stretch"]:
            what = "a run needs a number of inferences above 0" if cells["run"] else "inferences need a run"
            raise SnnprofError(f"{path}:{number}: {what}", HINT)
        yield _Line(
            number, _number(cells, "time", path, number), cells["rail"], _number(cells, "watts", path, number),
            cells["stretch"], cells["run"], inferences,
        )  # fmt: skip


def _number(cells: dict[str, str], name: str, path: Path, number: int) -> float:
    try:
        value = float(cells[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SnnprofError(f"{path}:{number}: {name} is {cells[name][:40]!r}, not a number", HINT)
    return value


def _chosen(path: Path, known: set[str], rails: Sequence[str]) -> tuple[str, ...]:
    for name in rails:
        if name not in known:
            raise unknown("rail", name, sorted(known), owner=str(path))
    return tuple(dict.fromkeys(rails)) or tuple(sorted(known))


def _joined(path: Path, name: str, lines: Sequence[_Line], rails: Sequence[str]) -> tuple[LoggedStretch, float]:
    """Returns one stretch, and its longest time between two lines over the median."""
    first = lines[0]
    for line in lines:
        if (line.run, line.inferences) != (first.run, first.inferences):
            raise SnnprofError(
                f"{path}:{line.number}: stretch {name!r} began with run {first.run!r} and {first.inferences:g} "
                f"inferences, and this line says {line.run!r} and {line.inferences:g}", HINT,
            )  # fmt: skip
    means = [_mean_power(path, name, rail, [line for line in lines if line.rail == rail]) for rail in rails]
    seconds, watts = max(seconds for seconds, _, _ in means), sum(watts for _, watts, _ in means)
    return LoggedStretch(name, first.run, seconds, watts, first.inferences), max(gap for _, _, gap in means)


def _mean_power(path: Path, name: str, rail: str, lines: Sequence[_Line]) -> tuple[float, float, float]:
    """Returns seconds, mean watts and the longest gap (over the median) of a rail in a stretch."""
    if len(lines) < 2:
        raise SnnprofError(f"{path}: stretch {name!r} has {len(lines)} lines of rail {rail!r}, not 2 or more", HINT)
    for before, after in pairwise(lines):
        if after.time <= before.time:
            raise SnnprofError(f"{path}:{after.number}: the time of rail {rail!r} does not go on", HINT)
    steps = [after.time - before.time for before, after in pairwise(lines)]
    usual = statistics.median(steps)
    held = [*steps, usual]
    joules = math.fsum(line.watts * step for line, step in zip(lines, held, strict=True))
    return math.fsum(held), joules / math.fsum(held), max(steps) / usual
