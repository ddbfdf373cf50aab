"""Tables of printed figures in CSV or YAML, as figures to audit.

A column's name may end in its unit (`energy_mJ`, `SOPs (G)`), or each cell may (`4.50 mJ`, `11.09 G`). A figure
without a unit is an error, except for counts in full.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from snnprof import literature
from snnprof.audit import layer_tables, readings
from snnprof.audit.figures import Counted, Figures
from snnprof.audit.layer_tables import Layer
from snnprof.audit.printed import COUNTS, ENERGIES, Quantity, Range, quantity, without_operations
from snnprof.audit.published import by_formula, family
from snnprof.audit.readings import Sheet, Term
from snnprof.errors import SnnprofError, unknown
from snnprof.yaml_file import YamlProblem, read_yaml, text_of

LARGEST_T = 100_000
MOST_ROWS = 2000
MOST_OPERATIONS = 1e16
"""No network needs more for one inference: a larger count in a column of G was written in full."""
FULL = 1000
"""A count without a unit is an error below this number, and a count in full from it on."""
SUFFIXES = (".csv", ".tsv", ".yaml", ".yml")
TEMPLATE = "snnprof audit --template"
_NAMES = {
    "model": "model; name; network; method; architecture", "kind": "kind; type",
    "timesteps": "t; timesteps; timestep; time steps; steps", "energy": "energy; power", "sops": "sops; sop; ops; acs",
    "flops": "flops; flop", "macs": "macs; mac", "layer": "layer; layer name", "role": "role",
    "first_layer_macs": "; ".join(
        f"{layer} {what}".strip() for layer in ("first layer", "first", "first conv", "first convolution", "stem",
                                                "encoder", "conv1") for what in ("macs", "flops", "")),
    "head_macs": "head macs; head flops; head; classifier macs; classifier flops",
    "rate": "rate; input rate; firing rate; input firing rate; fr", "output_rate": "output rate; output firing rate",
    "stated": "stated; stated formula; formula",
}  # fmt: skip
"""Fields, and the headings that people give them, in small letters."""
_FIELDS = {frozenset(alias.split()): field for field, aliases in _NAMES.items() for alias in aliases.split("; ")}
_NO_WORDS = frozenset(
    "of the a per inference image sample printed consumption cost total estimated synaptic no".split()
)
"""Words of a heading without a meaning for the audit."""
RATES = {"": 1.0, "%": 0.01}
_UNITS = {
    "energy": ENERGIES, "rate": RATES, "output_rate": RATES,
    **dict.fromkeys(("sops", "flops", "macs", "first_layer_macs", "head_macs"), COUNTS),
}  # fmt: skip
_ROLES = {
    "stem": layer_tables.FIRST, "encoder": layer_tables.FIRST, "classifier": layer_tables.HEAD,
    **dict.fromkeys(("q", "k", "v", "query", "key", "value"), layer_tables.QKV),
    **dict.fromkeys(("attn", "ssa", "sdsa"), layer_tables.ATTENTION), "ffn": layer_tables.MLP, "fc": "linear",
    "proj": "projection",
}  # fmt: skip
"""Other names of roles."""
_NO_FIGURE = {"", "-", "–", "—", "n/a", "na", "none", "null", "~", "/"}
"""Cells in which the source prints nothing."""
_ANN = {"ann", "cnn", "dnn"}
_SNN = {"snn"}


@dataclass(frozen=True)
class Cell:
    """One figure of a table.

    Attributes:
        text: as it is written.
        unit: the unit in the column's name; None where it has none.
    """

    text: str
    unit: str | None = None


Cells = Mapping[str, Cell]


@dataclass(frozen=True)
class AuditTable:
    """The rows of a table that can be audited.

    Attributes:
        figures: one for each row, and one for each layer with an energy of its own.
        left_out: errors that say why a row cannot be audited.
        unused: names of columns that no reading needs.
    """

    figures: tuple[Figures, ...]
    left_out: tuple[SnnprofError, ...] = ()
    unused: tuple[str, ...] = ()


# -- files -----------------------------------------------------------------------------------------------------


def read_table(path: Path) -> AuditTable:
    """Read a table of printed figures.

    Raises:
        SnnprofError: the file cannot be read, a cell is no number or lacks its unit, or no row can be audited.
    """
    rows, unused = _rows_of_yaml(path) if path.suffix.lower() in (".yaml", ".yml") else _rows_of_csv(path)
    if not rows:
        raise SnnprofError(f"{path} has no rows", hint=f"'{TEMPLATE}' prints a table to start from")
    if len(rows) > MOST_ROWS:
        raise SnnprofError(f"{path} has {len(rows)} rows; at most {MOST_ROWS} are read")
    networks = [each for place, row in _by_network(rows) for each in _networks(row, f"{path}, {place}")]
    good = tuple(each for each in networks if isinstance(each, Figures))
    bad = tuple(each for each in networks if isinstance(each, SnnprofError))
    if not good:
        unknown_columns = f"; columns that are not known: {', '.join(unused)}" if unused else ""
        raise SnnprofError(str(bad[0]), hint=f"{bad[0].hint}{unknown_columns}")
    return AuditTable(good, bad, unused)


@dataclass(frozen=True)
class _Network:
    """The cells of one network, and those of its layers."""

    cells: Cells
    layers: tuple[Cells, ...]


def _rows_of_yaml(path: Path) -> tuple[list[tuple[str, _Network]], tuple[str, ...]]:
    try:
        document = read_yaml(path, as_written=True)
    except YamlProblem as problem:
        line = "" if problem.line is None else f", line {problem.line}"
        raise SnnprofError(
            f"{path}{line}: {problem.text}", hint=f"'{TEMPLATE}' prints a table to start from"
        ) from problem
    alone = any(_column(key)[0] for key in document.data)
    given = document.data.get("rows", [document.data] if alone else None)
    if not isinstance(given, list) or not all(isinstance(row, dict) for row in given):
        raise SnnprofError(f"{path} has no list of rows under 'rows:'", hint=f"see '{TEMPLATE}'")
    unused: dict[str, None] = {}
    found = []
    for position, row in enumerate(given):
        place = f"row {position + 1}"
        layers = row.get("layers") or []
        if not isinstance(layers, list) or not all(isinstance(layer, dict) for layer in layers):
            raise SnnprofError(f"{path}, {place}: 'layers' must be a list of layers, each with layer, macs and rate")
        cells = _cells({key: value for key, value in row.items() if key != "layers"}, f"{path}, {place}", unused)
        inner = tuple(_cells(layer, f"{path}, {place}, layer {at + 1}", unused) for at, layer in enumerate(layers))
        found.append((place, _Network(cells, inner)))
    return found, tuple(unused)


def _rows_of_csv(path: Path) -> tuple[list[tuple[str, _Network]], tuple[str, ...]]:
    lines = [(number, line) for number, line in enumerate(_text(path).splitlines(), 1)
             if line.strip() and not line.lstrip().startswith("#")]  # fmt: skip
    if not lines:
        raise SnnprofError(f"{path} is empty", hint=f"'{TEMPLATE} --format csv' prints a table to start from")
    delimiter = max(",;\t", key=lines[0][1].count)
    try:
        header, *records = csv.reader((line for _, line in lines), delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise SnnprofError(f"{path} is not CSV: {error}") from error
    if len(set(names := [name.strip().casefold() for name in header])) < len(names):
        raise SnnprofError(f"{path}: a column appears twice in {', '.join(header)[:200]}")
    unused: dict[str, None] = {}
    found = []
    for (number, _), record in zip(lines[1:], records, strict=False):
        place = f"line {number}"
        if len(record) > len(header):
            raise SnnprofError(
                f"{path}, {place}: {len(record)} cells under {len(header)} columns",
                hint="numbers need a decimal point and no separator of thousands; texts with commas need quotes",
            )
        cells = _cells(dict(zip(header, record, strict=False)), f"{path}, {place}", unused)
        found.append((place, _Network(cells, ())))
    return found, tuple(unused)


def _text(path: Path) -> str:
    try:
        return text_of(path)
    except YamlProblem as problem:
        raise SnnprofError(f"{path} {problem}") from problem


def _cells(row: Mapping[str, Any], place: str, unused: dict[str, None]) -> dict[str, Cell]:
    """The filled cells of known columns.

    Args:
        row: what is written, by the column's name.
        place: file and row, for messages.
        unused: receives the names of unknown columns.

    Raises:
        SnnprofError: a cell holds a list, or two columns have the same meaning.
    """
    found: dict[str, Cell] = {}
    for name, value in row.items():
        if isinstance(value, (list, dict)):
            raise SnnprofError(f"{place}: {name!r} must be one figure, not a list")
        column, unit = _column(str(name))
        if column is None:
            unused[str(name)] = None
        elif str(value).strip().lower() not in _NO_FIGURE and value is not None:
            if column in found:
                raise SnnprofError(f"{place}: two columns give the {column.replace('_', ' ')}")
            found[column] = Cell(str(value).strip(), unit)
    return found


def _column(name: str) -> tuple[str | None, str | None]:
    """The field and the unit in a column's name: `Energy (mJ)`, `FLOPs of the first layer [G]`, `GSOPs`."""
    words = [word for word in re.split(r"[\s_()\[\]/,]+", name.strip()) if word and word.lower() not in _NO_WORDS]
    if not words or _field(words):
        return _field(words), None
    prefixed = re.fullmatch(r"([kMGT])(\w+)", words[-1])  # GSOPs; MACs alone are no mega-ACs
    for stem, unit in ((words[:-1], words[-1]), ([*words[:-1], prefixed[2]], prefixed[1]) if prefixed else ([], "")):
        field = _field(stem)
        if field and without_operations(unit) in _UNITS.get(field, ()):
            return field, without_operations(unit)
    return None, None


def _field(words: Sequence[str]) -> str | None:
    return _FIELDS.get(frozenset(word.lower() for word in words))


def _by_network(rows: Sequence[tuple[str, _Network]]) -> list[tuple[str, _Network]]:
    """Rows joined by network: a CSV line of a layer belongs to the network in it, or else to that of the line above."""
    found: dict[str, tuple[str, dict[str, Cell], list[Cells]]] = {}
    name = ""
    for place, network in rows:
        cells = network.cells
        name = cells["model"].text if "model" in cells else (name if "layer" in cells else place)
        if "layer" in cells:
            first = found.setdefault(name, (place, {"model": Cell(name)}, []))
            first[2].append(cells)
        elif name in found and not found[name][1].keys() - {"model"}:
            found[name] = (place, dict(cells), found[name][2])
        else:
            key = name if name not in found else f"{name}, {place}"
            shown = {"model": Cell(key), **{k: v for k, v in cells.items() if k != "model"}}
            found[key] = (place, shown, list(network.layers))
    return [(place, _Network(cells, tuple(layers))) for place, cells, layers in found.values()]


# -- one network ---------------------------------------------------------------------------------------------------


def _networks(network: _Network, place: str) -> Iterable[Figures | SnnprofError]:
    """Read one network.

    Yields:
        The figures of the network and of each layer with an energy of its own, or the error why there are none.

    Raises:
        SnnprofError: a cell is no number.
    """
    cells = network.cells
    name = cells["model"].text
    steps = _steps(cells, place) or next((t for layer in network.layers if (t := _steps(layer, place))), None)
    layers = tuple(
        _layer(layer, f"{place}, layer {layer['layer'].text if 'layer' in layer else at + 1}")
        for at, layer in enumerate(network.layers)
    )
    if layers and steps is None:
        raise SnnprofError(f"{place}: {name} has layers, but no T", hint="add a column T, the number of time steps")
    formula = by_formula(_stated(cells))
    for layer, own in zip(layers, network.layers, strict=True):
        if "energy" in own and steps:
            yield Figures(
                name=f"{name}, {layer.layer}", printed=_energy(own, place), timesteps=steps,
                counted=(Counted(Sheet(layer_tables.terms([layer], steps), steps)),), **formula,
            )  # fmt: skip
    if "energy" not in cells:
        if not any("energy" in layer for layer in network.layers):
            yield SnnprofError(f"{place}: {name} has no energy to audit", hint="add a column such as energy_mJ")
        return
    energy = _energy(cells, place)
    terms = layer_tables.terms(layers, steps) if layers and steps else tuple(_terms(cells, steps, place))
    if not any(term.axis not in ("first", "head") for term in terms):
        yield SnnprofError(
            f"{place}: {name} has no operations beside its energy",
            hint="add sops_G (networks with spikes), flops_G (without), or layers with macs and rates",
        )
        return
    yield Figures(
        name=name, printed=energy, counted=(Counted(Sheet(terms, steps)),), layers=layers, timesteps=steps,
        family=family(name), **formula,
    )  # fmt: skip


def _energy(cells: Cells, place: str) -> Quantity:
    energy = _quantity(cells["energy"], "energy", place)
    if not energy.value:
        raise SnnprofError(f"{place}: an energy of 0 cannot be audited")
    return energy


def _terms(cells: Cells, steps: int | None, place: str) -> Iterable[Term]:
    """The terms of one row without layers."""
    counts = {
        field: _quantity(cells[field], field, place).range
        for field, units in _UNITS.items()
        if field in cells and units is COUNTS
    }
    kind = cells["kind"].text.lower() if "kind" in cells else ""
    if kind and kind not in _ANN | _SNN:
        raise SnnprofError(f"{place}: kind must be snn or ann, not {kind!r}")
    if kind in _ANN and "sops" in counts:
        counts["flops"] = counts.pop("sops")
    if "sops" in counts:
        yield readings.spiking(counts["sops"])
    elif "rate" in cells and "flops" in counts and kind not in _ANN:
        yield readings.spiking(_driven(counts["flops"], cells, steps, place))
    elif "flops" in counts:
        yield readings.dense(counts["flops"])
    if "macs" in counts:
        yield readings.printed_macs(counts["macs"])
    if "first_layer_macs" in counts:
        yield readings.first_layer(counts["first_layer_macs"], steps)
    if "head_macs" in counts:
        yield readings.head(counts["head_macs"], steps)


def _driven(flops: Range, cells: Cells, steps: int | None, place: str) -> Range:
    """FLOPs × firing rate × T, the SOPs of a network with one mean rate."""
    if steps is None:
        raise SnnprofError(f"{place}: a firing rate needs T beside it", hint="add a column T, the number of time steps")
    return flops.product(_quantity(cells["rate"], "rate", place).range).times(steps)


def _layer(cells: Cells, place: str) -> Layer:
    if "macs" not in cells and "flops" in cells:
        cells = {**cells, "macs": cells["flops"]}
    if "macs" not in cells:
        raise SnnprofError(f"{place}: a layer needs macs, of one time step", hint=f"see '{TEMPLATE}'")
    macs = _quantity(cells["macs"], "macs", place)
    values: dict[str, Any] = {"layer": cells["layer"].text if "layer" in cells else "layer"}
    if "role" in cells:
        role = cells["role"].text.lower()
        values["role"] = _ROLES.get(role, role)
    values |= {
        name: _quantity(cells[name], name, place).in_unit(1.0) for name in ("rate", "output_rate") if name in cells
    }
    try:
        return Layer.model_validate({**values, "macs_m": macs.in_unit(COUNTS["M"])})
    except ValidationError as error:
        message = str(error.errors()[0]["msg"]).removeprefix("Value error, ")
        raise SnnprofError(f"{place}: {message}", hint=f"see '{TEMPLATE}'") from error


def _quantity(cell: Cell, field: str, place: str) -> Quantity:
    """The number and the unit of a cell.

    Raises:
        SnnprofError: the cell holds no number, has no unit, or is larger than any network's count.
    """
    what = field.replace("_", " ")
    units = _UNITS[field]
    try:
        found = quantity(cell.text, units, cell.unit if field == "energy" else cell.unit or "")
    except ValueError as error:
        raise SnnprofError(f"{place}: {what}: {error}", hint=f"see '{TEMPLATE}'") from error
    if units is COUNTS and found.size == 1 and 0 < found.value < FULL:
        raise SnnprofError(
            f"{place}: {what} {cell.text!r} needs a unit", hint=f"name the column {field}_G (1e9) or {field}_M (1e6)"
        )
    if units is COUNTS and found.size > 1 and found.value > MOST_OPERATIONS:
        raise SnnprofError(
            f"{place}: {what} {found.text!r} would be {found.value:.3g} operations",
            hint=f"leave the unit out of the column's name if it is a count in full: {field}",
        )
    return found


def _steps(cells: Cells, place: str) -> int | None:
    if "timesteps" not in cells:
        return None
    text = cells["timesteps"].text
    if not re.fullmatch(r"[0-9]{1,6}(\.0)?", text) or not 1 <= float(text) <= LARGEST_T:
        raise SnnprofError(f"{place}: T must be a whole number from 1 to {LARGEST_T}, not {text[:40]!r}")
    return int(float(text))


def _stated(cells: Cells) -> literature.Formula | None:
    if "stated" not in cells:
        return None
    known = literature.formulas()
    if cells["stated"].text not in known:
        raise unknown("formula", cells["stated"].text, known)
    return known[cells["stated"].text]
