"""The document of a sweep: one row per value of the setting, the Pareto front, and energies at equal accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from snnprof.comparison import Estimate
from snnprof.render import facts, notes
from snnprof.render.comparison import bounds_text
from snnprof.render.table import Column, Document, Notes, Row, Table, Value
from snnprof.report_rows import slug
from snnprof.sweeps import Curve, Match, Stop, Sweep, is_number
from snnprof.units import energy_text

SCHEMA = "snnprof.sweep/0"
FRONT_NOTE = (
    "Pareto front: no other row is at least as good in both accuracy and energy, and better in one. Intervals are not "
    "considered; rows whose intervals overlap may trade places on other data."
)
MATCH_NOTE = (
    "Each row is an accuracy that one of the two was measured at. The other's energy lies on a straight line between "
    "two measured points of its Pareto front; nothing is extrapolated, and the intervals leave out how uncertain the "
    "accuracies are."
)


def sweep_document(sweep: Sweep, command: str = "") -> Document:
    """The table of a sweep, and the comparison of its curves at equal accuracy.

    Args:
        sweep: the sweep.
        command: the command that makes the document again.
    """
    tables = [_stops(sweep)]
    if sweep.matched:
        tables.append(_matched(sweep))
    runs = sum(len(stop.side.entry.runs) for curve in sweep.curves for stop in curve.stops)
    return Document(
        title=f"Sweep over {sweep.title}: {runs} runs of {' and '.join(dict.fromkeys(c.model for c in sweep.curves))}",
        tables=tuple(tables),
        notes=_notes(sweep),
        data={"setting": sweep.setting, "families": list(sweep.families), "unmatched": list(sweep.unmatched)},
        command=command,
        schema=SCHEMA,
    )


def matched_text(sweep: Sweep, match: Match) -> str:
    """One comparison at equal accuracy in words."""
    parts = (
        f"{short(sweep, name)}: {energy_text(e.value, 3)}" for name, e in zip(match.names, match.energies, strict=True)
    )
    ratio = "" if match.ratio is None else f" ({match.ratio:.2f} ×)"
    return f"at {100 * match.accuracy:.2f} % accuracy, {'; '.join(parts)}{ratio}"


def _stops(sweep: Sweep) -> Table:
    keys = energy_keys(sweep)
    several = len({(curve.model, curve.data) for curve in sweep.curves}) > 1
    columns = (
        *([Column("name", "Model"), Column("data", "Data", drop=1)] if several else []),
        *(_setting_column(sweep, key) for key in (*sweep.families, sweep.setting)),
        Column("accuracy", "Accuracy", "percent", interval="accuracy_spread"),
        Column("accuracy_low", kind="percent", machine_only=True),
        Column("accuracy_high", kind="percent", machine_only=True),
        Column("accuracy_interval", "95 % CI", drop=2),
        Column("sops", "SOPs", "count", interval="sops_spread", drop=1, apart=True),
        Column("macs", "MACs", "count", drop=4, apart=True),
        *(Column(keys[id], _heading(sweep, id), "energy", interval=f"{keys[id]}_spread", drop=3 if place else 0)
          for place, id in enumerate(sweep.hardware)),
        Column("pareto", "Pareto front", drop=1),
        *(Column(f"pareto_{slug(id)}", machine_only=True) for id in sweep.hardware),
        Column("samples", "Samples", "integer", drop=5),
        Column("per", machine_only=True),
    )  # fmt: skip
    rows = tuple(
        Row(_values(sweep, number, curve, stop), curve.name, best=_marks(sweep, number, stop))
        for number, curve in enumerate(sweep.curves)
        for stop in curve.stops
    )
    return Table("stops", "Per inference", columns, rows, tuple(_stop_notes(sweep)))


def energy_keys(sweep: Sweep) -> dict[str, str]:
    """The key of the energy column of each price list."""
    return {id: f"energy_pj_{slug(id)}" for id in sweep.hardware}


def _setting_column(sweep: Sweep, key: str) -> Column:
    values = [_setting(sweep, curve, stop, key) for curve in sweep.curves for stop in curve.stops]
    title = sweep.title if key == sweep.setting else key.replace("_", " ")
    return Column(_setting_key(key), title, "decimal" if all(map(is_number, values)) else "text")


def _setting_key(key: str) -> str:
    """The key of a setting's column: `threshold_block` for `threshold.block.*`; `set_` keeps it from other keys."""
    name = slug(key).strip("_").lower()
    return f"set_{name}" if name in _FIGURES or name.startswith(("energy_pj", "pareto")) else name


_FIGURES = frozenset(
    ("name", "data", "accuracy", "accuracy_low", "accuracy_high", "accuracy_interval", "accuracy_spread", "sops",
     "sops_spread", "macs", "samples", "per")
)  # fmt: skip


def _setting(sweep: Sweep, curve: Curve, stop: Stop, key: str) -> str:
    return stop.value if key == sweep.setting else curve.family.get(key, "")


def _values(sweep: Sweep, number: int, curve: Curve, stop: Stop) -> dict[str, Value]:
    keys, side = energy_keys(sweep), stop.side
    accuracy = side.accuracy.interval
    joined = len(side.entry.runs) > 1
    energies = {id: side.energies.get(id, Estimate()) for id in sweep.hardware}
    on_front = [id for id in sweep.hardware if (number, stop.value) in sweep.fronts[id]]
    settings = {key: _setting(sweep, curve, stop, key) for key in (*sweep.families, sweep.setting)}
    return {
        "name": curve.model, "data": curve.data,
        **{_setting_key(key): _number(text) for key, text in settings.items()},
        "accuracy": side.accuracy.value, "accuracy_spread": side.accuracy.half if joined else None,
        "accuracy_low": accuracy.low if accuracy else None, "accuracy_high": accuracy.high if accuracy else None,
        "accuracy_interval": None if joined else bounds_text(accuracy),
        "sops": side.sops.value, "sops_spread": side.sops.half, "macs": side.macs, "samples": side.samples,
        "per": "inference",
        **{keys[id]: energy.value for id, energy in energies.items()},
        **{f"{keys[id]}_spread": energy.half for id, energy in energies.items()},
        "pareto": _front_text(sweep, on_front),
        **{f"pareto_{slug(id)}": id in on_front for id in sweep.hardware},
    }  # fmt: skip


def _front_text(sweep: Sweep, on_front: list[str]) -> str | None:
    if not any(sweep.fronts.values()):
        return None
    if len(on_front) == len(sweep.hardware):
        return "yes"
    return f"on {', '.join(on_front)}" if on_front else ""


def _marks(sweep: Sweep, number: int, stop: Stop) -> frozenset[str]:
    return frozenset(key for id, key in energy_keys(sweep).items() if (number, stop.value) in sweep.fronts[id])


def _stop_notes(sweep: Sweep) -> Iterable[str]:
    stops = [stop for curve in sweep.curves for stop in curve.stops]
    if any(stop.side.sops.half is not None for stop in stops):
        yield f"±: {'; '.join(dict.fromkeys(stop.side.spread for stop in stops))}."
    if any(sweep.fronts.values()):
        yield FRONT_NOTE
    elif all(stop.accuracy.value is None for stop in stops):
        runs = [stop.side.entry.activity for stop in stops]
        reasons = dict.fromkeys(facts.why_no_accuracy(run) for run in runs if run)
        yield f"There is no Pareto front, because there is no accuracy: {'; '.join(reasons)}."
    bounds = [id for id in sweep.hardware if id in sweep.lower_bounds]
    if bounds:
        have = "has" if len(bounds) == 1 else "have"
        yield f"≥: a lower bound; {' and '.join(bounds)} {have} no price for some work."


def _heading(sweep: Sweep, id: str) -> str:
    return f"≥ {id}" if id in sweep.lower_bounds else id


def _matched(sweep: Sweep) -> Table:
    """The table of energies at equal accuracy; for a single pair of curves, the columns have their names."""
    pairs = list(dict.fromkeys(match.names for match in sweep.matched))
    several = len(pairs) > 1
    named = ("First", "Second") if several else tuple(short(sweep, name) for name in pairs[0])
    columns = (
        Column("accuracy", "Accuracy", "percent"),
        Column("hardware", "Hardware"),
        Column("first", "First", machine_only=not several),
        Column("second", "Second", machine_only=not several),
        Column("first_energy_pj", named[0], "energy", interval="first_spread", apart=True),
        Column("second_energy_pj", named[1], "energy", interval="second_spread", apart=True),
        Column("energy_ratio", "Second / first", "ratio"),
    )
    rows = tuple(Row(_match_values(sweep, match), f"{match.names} {match.hardware}") for match in sweep.matched)
    return Table("matched", "Energy at equal accuracy", columns, rows, (MATCH_NOTE,))


def short(sweep: Sweep, name: str) -> str:
    """The name of a curve, without the name of the network if all curves have the same."""
    models = {curve.model for curve in sweep.curves}
    return name.removeprefix(f"{models.pop()}, ") if len(models) == 1 else name


def _match_values(sweep: Sweep, match: Match) -> Mapping[str, Value]:
    mine, theirs = match.energies
    return {
        "accuracy": match.accuracy, "hardware": match.hardware, "first": short(sweep, match.names[0]),
        "second": short(sweep, match.names[1]),
        "first_energy_pj": mine.value, "first_spread": mine.half,
        "second_energy_pj": theirs.value, "second_spread": theirs.half, "energy_ratio": match.ratio,
    }  # fmt: skip


def _notes(sweep: Sweep) -> tuple[Notes, ...]:
    """The notes: the curves that cannot be compared, then the notes on all runs, each once."""
    stops = [stop for curve in sweep.curves for stop in curve.stops]
    named = [(short(sweep, stop.side.name), stop.side.entry.reports) for stop in stops]
    remarks = notes.together([notes.remarks(reports, name) for name, reports in named])
    own = notes.topics(remarks, sweep.hardware, [name for name, _ in named])
    apart = Notes("No energy at equal accuracy", sweep.unmatched)
    return (*([apart] if apart.texts else []), *own)


def _number(text: str) -> Value:
    if not is_number(text):
        return text
    value = float(text)
    return int(value) if value.is_integer() else value
