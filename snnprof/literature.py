"""Published rows: what papers print about networks, and whether each energy follows from the counts beside it.

`literature.yaml` holds the rows; nothing about them is stored that can be worked out. No torch, no numpy.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator

from snnprof.audit import layer_tables, readings
from snnprof.audit.layer_tables import Layer
from snnprof.audit.printed import Printed, Range
from snnprof.audit.readings import Reading, Sheet, Term
from snnprof.errors import SnnprofError, unknown
from snnprof.yaml_file import YamlProblem, read_yaml

SEE = "snnprof papers list"
MJ, GIGA = 1e9, 1e9
"""Picojoules, and operations."""
FOLLOWS, DIFFERS, UNCHECKED = "follows", "does not follow", "cannot be checked"
VERDICTS = (FOLLOWS, DIFFERS, UNCHECKED)
Status = Literal["paper", "third party", "unverified"]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Source(_Facts):
    """A paper, or the file of a repository.

    Attributes:
        access: whether its own text was read, or another work that quotes it.
    """

    cite: str
    year: int
    access: Literal["original", "secondary"]


class Formula(_Facts):
    """The formula that a source states.

    Attributes:
        reading: its choices, by axis (`snnprof.audit.readings.AXES`); null where the printed counts cannot be put into it.
        missing: what it needs and nobody printed.
    """

    words: str
    reading: dict[str, str] | None = None
    missing: str = ""
    note: str | None = None


class Arithmetic(_Facts):
    """Constants that a source states beside a row: its energy is sops_g · sop_pj + macs_g · mac_pj, in mJ."""

    sop_pj: float | None = None
    mac_pj: float | None = None
    macs_g: Printed | None = None


class Published(_Facts):
    """A row of a paper's table.

    Attributes:
        id: SOURCE/MODEL@RESOLUTION/T…, as in `paper:ID`; `aliases` name the same row.
        kind: with spikes or without.
        preset: the bundled model that it is about, MODEL:PRESET.
        scope: the whole `network`, or the `attention` products alone.
        parameters_m: millions of parameters.
        accuracy: percent.
        sops_g: synaptic operations per inference, in 1e9; null for networks without spikes.
        flops_g: FLOPs of a network without spikes, in 1e9.
        macs_g: printed MACs over all time steps, in 1e9.
        first_layer_macs_g, head_macs_g: of one time step, in 1e9.
        energy_mj: millijoules per inference.
        layers: the table of layers that belongs to the row.
        by_hand_mj: what the stated formula gives, where the figures it takes are not in the file.
        attention_rate, output_rate: firing rates of the attention weights and of the neurons after them.
        formula: the formula that the source states.
        arithmetic: constants instead of a formula, in files of other packages.
        status: how the figures were obtained: read in the paper, in another source, or remembered and unverified.
    """

    id: str
    title: str
    aliases: list[str] = Field(default_factory=list)
    kind: Literal["snn", "ann"] = "snn"
    preset: str | None = None
    dataset: str | None = None
    resolution: int | None = None
    timesteps: int | None = None
    scope: Literal["network", "attention"] = "network"
    parameters_m: Printed | None = None
    accuracy: Printed | None = None
    sops_g: Printed | None = None
    flops_g: Printed | None = None
    macs_g: Printed | None = None
    first_layer_macs_g: Printed | None = None
    head_macs_g: Printed | None = None
    energy_mj: Printed | None = None
    layers: str | None = None
    by_hand_mj: Printed | None = None
    attention_rate: float | None = None
    output_rate: float | None = None
    formula: str | None = None
    arithmetic: Arithmetic | None = None
    note: str | None = None
    source: str
    year: int | None = None
    status: Status = "unverified"
    _stated: Formula | None = PrivateAttr(default=None)
    _layers: tuple[Layer, ...] = PrivateAttr(default=())

    @model_validator(mode="before")
    @classmethod
    def _verdicts_are_worked_out(cls, values: Any) -> Any:
        """Files of other packages may still say `follows`."""
        return {key: value for key, value in values.items() if key != "follows"} if isinstance(values, dict) else values

    @property
    def paper(self) -> str:
        """The short name of its source, with which its id begins."""
        return self.id.partition("/")[0]

    @property
    def stated(self) -> Formula | None:
        """The formula of its source."""
        return self._stated

    @property
    def layer_table(self) -> tuple[Layer, ...]:
        return self._layers

    @property
    def setting(self) -> str:
        """What it was printed for, e.g. `ImageNet-1k, 224×224, T = 4`."""
        size = f"{self.resolution}×{self.resolution}" if self.resolution else ""
        steps = f"T = {self.timesteps}" if self.timesteps else ""
        return ", ".join(filter(None, [self.dataset, size, steps]))

    @cached_property
    def sheet(self) -> Sheet:
        """Its printed counts; without terms where none are printed."""
        if self._layers and self.timesteps:
            return Sheet(layer_tables.terms(self._layers, self.timesteps), self.timesteps)
        counted = tuple(self._terms())
        return Sheet(counted if any(term.name != "first layer" for term in counted) else (), self.timesteps)

    def _terms(self) -> Iterable[Term]:
        macs = self.arithmetic.macs_g if self.arithmetic else self.macs_g
        if self.sops_g is not None:
            yield readings.spiking(self.sops_g.range.times(GIGA))
        if self.flops_g is not None:
            yield readings.dense(self.flops_g.range.times(GIGA))
        if macs is not None:
            yield readings.printed_macs(macs.range.times(GIGA))
        if self.first_layer_macs_g is not None:
            yield readings.first_layer(self.first_layer_macs_g.range.times(GIGA), self.timesteps)
        if self.head_macs_g is not None and self.sops_g is not None:
            yield readings.head(self.head_macs_g.range.times(GIGA), self.timesteps)

    @property
    def energy(self) -> Range | None:
        """The printed energy, in picojoules."""
        return None if self.energy_mj is None else self.energy_mj.range.times(MJ)

    @cached_property
    def check(self) -> Check:
        """Whether the printed energy follows from the printed counts by the stated formula."""
        if self.energy is None:
            return Check(UNCHECKED, "no energy is printed")
        if self.by_hand_mj is not None:
            given = self.by_hand_mj.range.times(MJ)
            return Check(
                _verdict(given, self.energy),
                "the formula, worked out by hand from figures that this package lacks,",
                given,
            )
        if not self.sheet.terms:
            return Check(UNCHECKED, "no operations are printed beside the energy")
        if self.arithmetic is not None:
            return self._check_by_constants(self.arithmetic, self.energy)
        if self._stated is None or self._stated.reading is None:
            return Check(UNCHECKED, (self._stated and self._stated.missing) or "no formula is stated")
        reading = self.sheet.reading(self._stated.reading)
        if reading is None:
            return Check(UNCHECKED, "the formula needs T, which is not printed")
        return Check(_verdict(reading.energy, self.energy), "", reading.energy, reading)

    def _check_by_constants(self, terms: Arithmetic, printed: Range) -> Check:
        given = readings.total(
            count.range.times(GIGA * price)
            for count, price in ((self.sops_g, terms.sop_pj), (terms.macs_g, terms.mac_pj))
            if count is not None and price is not None
        )
        return Check(_verdict(given, printed), "the arithmetic beside the row", given)

    @property
    def verdict(self) -> str:
        return self.check.verdict

    @property
    def follows(self) -> bool | None:
        """Whether its energy follows from its counts; null where that cannot be checked."""
        return {FOLLOWS: True, DIFFERS: False}.get(self.verdict)

    @property
    def excess(self) -> float | None:
        """The printed energy over what its formula gives, minus 1; null where that cannot be worked out."""
        given = self.recomputed_mj
        return self.energy_mj / given - 1 if given and self.energy_mj is not None else None

    @property
    def recomputed_mj(self) -> float | None:
        """The energy by the stated formula from the printed counts; null where it cannot be worked out."""
        return None if self.check.energy is None else self.check.energy.middle / MJ


@dataclass(frozen=True)
class Check:
    """A printed energy against what its formula gives.

    Attributes:
        why: why it cannot be checked, or what was checked where it is no reading.
        energy: by the formula, in picojoules, from counts as exact as they are printed.
        reading: the stated formula on this row's counts.
    """

    verdict: str
    why: str = ""
    energy: Range | None = None
    reading: Reading | None = None


def _verdict(given: Range, printed: Range) -> str:
    return FOLLOWS if given.meets(printed) else DIFFERS


class _Table(_Facts):
    """Rows that share their source, setting and formula; a row may set what its table does."""

    source: str
    dataset: str
    resolution: int | None = None
    formula: str
    rows: list[dict[str, Any]]


class Literature(_Facts):
    """The file of published rows."""

    schema_: Literal["snnprof.literature/0"] = Field(alias="schema")
    sources: dict[str, Source]
    formulas: dict[str, Formula]
    layers: dict[str, list[Layer]]
    tables: list[_Table]

    @cached_property
    def rows(self) -> dict[str, Published]:
        found = [self._row(table, row) for table in self.tables for row in table.rows]
        return {row.id: row for row in found}

    def _row(self, table: _Table, values: Mapping[str, Any]) -> Published:
        source = self.sources[table.source]
        shared = {
            "source": source.cite, "year": source.year, "dataset": table.dataset, "resolution": table.resolution,
            "formula": table.formula, "status": "paper" if source.access == "original" else "third party",
        }  # fmt: skip
        row = Published.model_validate({**shared, **values})
        row._stated = self.formulas[table.formula]
        row._layers = tuple(self.layers[row.layers]) if row.layers else ()
        return row


def literature() -> Literature:
    """The bundled rows with their sources and formulas."""
    return load(Path(str(files("snnprof"))) / "literature.yaml")


@cache
def load(path: Path) -> Literature:
    """Reads a file of published rows.

    Raises:
        SnnprofError: it is missing or does not follow the schema.
    """
    try:
        document = read_yaml(path, as_written=True)
        return Literature.model_validate(document.data)
    except YamlProblem as problem:
        raise SnnprofError(f"file of published rows {path}: {problem.text}") from problem
    except ValidationError as error:
        raise SnnprofError(f"file of published rows {path}: {error.errors()[0]['msg']}") from error


def formulas() -> dict[str, Formula]:
    """The formulas that papers state, by name."""
    return literature().formulas


def rows() -> dict[str, Published]:
    """The bundled rows by id."""
    return literature().rows


def row_of(name: str, known: Mapping[str, Published]) -> Published:
    """A row by its id, an alias, or an unambiguous beginning of either, or of the model's name in it.

    Case and punctuation do not matter: `ssabin/w-shift@cifar10/t4` is `ssabin/w/ shift@CIFAR-10/T4`.

    Raises:
        SnnprofError: there is no such row, or there are several.
    """
    if name in known:
        return known[name]
    names = [(each, row) for row in known.values() for each in (row.id, *row.aliases)]
    found = _matching(name, names)
    if len({row.id for row in found.values()}) == 1:
        return next(iter(found.values()))
    if found:
        shown = ", ".join(list(found)[:6]) + (", …" if len(found) > 6 else "")
        raise SnnprofError(f"unknown published row {name!r}: {len(found)} rows begin so", hint=f"name one of {shown}")
    raise unknown("published row", name, [each for each, _ in names], SEE)


def _matching(name: str, names: Sequence[tuple[str, Published]]) -> dict[str, Published]:
    """The names that a text stands for, one a row: exactly, else as a beginning that ends before / or @, else where a
    word does, else anywhere.

    A beginning of the model's name, behind the source, will do.
    """
    wanted = _words(name)
    tails = [(_words(part), each, row) for each, row in names for part in (each, each.partition("/")[2]) if part]
    ways = (
        [(each, row) for words, each, row in tails if words == wanted],
        [(each, row) for _, each, row in tails if wanted in _beginnings(each)],
        [(each, row) for words, each, row in tails if words.startswith(f"{wanted}-")],
        [(each, row) for words, each, row in tails if words.startswith(wanted)],
    )
    first = next((way for way in ways if way), []) if wanted else []
    by_row = {row.id: (each, row) for each, row in reversed(first)}
    return dict(reversed(by_row.values()))


def _beginnings(id: str) -> set[str]:
    """What stands before each / and @, with and without the source."""
    parts = (id, id.partition("/")[2])
    return {_words(part[:at]) for part in parts for at, sign in enumerate(part) if sign in "/@"} - {""}


def _words(name: str) -> str:
    """`w/ shift@CIFAR-10` → `w-shift-cifar10`: letters and digits in lower case, CIFAR with its number in one word."""
    lower = re.sub(r"cifar-?(\d+)", r"cifar\1", name.lower())
    return re.sub(r"[^0-9a-z]+", "-", lower).strip("-")


def chosen(
    every: Iterable[Published],
    dataset: str | None = None,
    model: str | None = None,
    year: int | None = None,
    source: str | None = None,
    verdict: str | None = None,
) -> list[Published]:
    """The rows whose facts hold these texts, whatever their case.

    Args:
        dataset: punctuation does not matter; `cifar10` is not CIFAR-100.
        source: part of the short name or the citation of a source.
        verdict: one of `VERDICTS`.
    """
    return [
        row for row in every
        if _names_data(row.dataset or "", dataset)
        and _holds(f"{row.title} {row.id.partition('/')[2].partition('@')[0]}", model)
        and (year is None or row.year == year)
        and _holds(f"{row.paper} {row.source}", source)
        and verdict in (None, row.verdict)
    ]  # fmt: skip


def _holds(text: str, part: str | None) -> bool:
    return not part or part.casefold() in text.casefold()


def _names_data(name: str, part: str | None) -> bool:
    if not part:
        return True
    wanted, found = (re.sub(r"[^0-9a-z]", "", text.lower()) for text in (part, name))
    return (
        bool(wanted) and re.search(re.escape(wanted) + (r"(?!\d)" if wanted[-1:].isdigit() else ""), found) is not None
    )
