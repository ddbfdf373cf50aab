"""Published rows: what papers print about networks, and whether each energy follows from the counts beside it.

`literature.yaml` holds what is printed. Whether an energy follows is computed, never stored.
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
"""pJ per mJ, and operations per G."""
FOLLOWS, DIFFERS, UNCHECKED = "follows", "does not follow", "cannot be checked"
VERDICTS = (FOLLOWS, DIFFERS, UNCHECKED)
Status = Literal["paper", "third party", "unverified"]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Source(_Facts):
    """A paper, or a file of a repository.

    Attributes:
        cite: authors, title, venue and year.
        year: of publication.
        access: `original` where we read the source itself, `secondary` where we read a work that quotes it.
    """

    cite: str
    year: int
    access: Literal["original", "secondary"]


class Formula(_Facts):
    """The formula that a source states for its energies.

    Attributes:
        words: the formula in words.
        reading: its choices by axis (`snnprof.audit.readings.AXES`); None where it needs more than the printed counts.
        missing: what it needs and the source does not print.
        note: a remark; None where there is none.
    """

    words: str
    reading: dict[str, str] | None = None
    missing: str = ""
    note: str | None = None


class Arithmetic(_Facts):
    """Prices that a source states beside a row: energy in mJ = SOPs in 1e9 × sop_pj + macs_g × mac_pj.

    Attributes:
        sop_pj: pJ per SOP; None where SOPs have no price.
        mac_pj: pJ per MAC; None where MACs have no price.
        macs_g: MACs over all time steps, in 1e9; None where there are none.
    """

    sop_pj: float | None = None
    mac_pj: float | None = None
    macs_g: Printed | None = None


class Published(_Facts):
    """One row of a table in a paper. A figure is None where the source does not print it.

    Attributes:
        id: SOURCE/MODEL@RESOLUTION/T…, as in `paper:ID`.
        title: the model's name in the source.
        aliases: other ids of the row.
        kind: `snn` for a network with spikes, `ann` for one without.
        preset: the bundled model of this row, as MODEL:PRESET; None where none is bundled.
        dataset: the data set that it ran on.
        resolution: height and width of an input image, in pixels.
        timesteps: T.
        scope: `network` for figures of the whole network, `attention` for those of the attention products only.
        parameters_m: parameters, in 1e6.
        accuracy: as the source prints it, in percent.
        sops_g: SOPs per inference, in 1e9; None for networks without spikes.
        flops_g: FLOPs per inference of a network without spikes, in 1e9.
        macs_g: printed MACs over all time steps, in 1e9.
        first_layer_macs_g: MACs of the first layer in one time step, in 1e9.
        head_macs_g: MACs of the head in one time step, in 1e9.
        energy_mj: energy per inference, in mJ.
        layers: the name of the table of layers that belongs to the row.
        by_hand_mj: the energy by the stated formula, in mJ, worked out from figures that the file lacks.
        attention_rate: firing rate of the attention weights, as a fraction.
        output_rate: firing rate of the neurons after the attention, as a fraction.
        formula: the name of the formula that the source states.
        arithmetic: stated prices instead of a formula, in files of other packages.
        note: a remark on the row.
        source: the citation of the source.
        year: the year of the source.
        status: whether the figures were read in the `paper`, at a `third party`, or are `unverified`, from memory.
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
        """Ignore `follows`, which older files of other packages state."""
        return {key: value for key, value in values.items() if key != "follows"} if isinstance(values, dict) else values

    @property
    def paper(self) -> str:
        """The short name of the source, the first part of the id."""
        return self.id.partition("/")[0]

    @property
    def stated(self) -> Formula | None:
        """The formula that the source states; None in files of other packages."""
        return self._stated

    @property
    def layer_table(self) -> tuple[Layer, ...]:
        """The printed table of layers; empty where there is none."""
        return self._layers

    @property
    def setting(self) -> str:
        """Data set, image size and T, as `ImageNet-1k, 224×224, T = 4`."""
        size = f"{self.resolution}×{self.resolution}" if self.resolution else ""
        steps = f"T = {self.timesteps}" if self.timesteps else ""
        return ", ".join(filter(None, [self.dataset, size, steps]))

    @cached_property
    def sheet(self) -> Sheet:
        """The printed counts, those of the table of layers where there is one; no terms where none are printed."""
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
        """The energies that round to the printed one, in pJ; None where none is printed."""
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
        """Whether the energy follows: one of `VERDICTS`."""
        return self.check.verdict

    @property
    def follows(self) -> bool | None:
        """Whether the energy follows from the counts; None where that cannot be checked."""
        return {FOLLOWS: True, DIFFERS: False}.get(self.verdict)

    @property
    def excess(self) -> float | None:
        """The printed energy over that of the formula, minus 1, as a fraction; None where either is unknown."""
        given = self.recomputed_mj
        return self.energy_mj / given - 1 if given and self.energy_mj is not None else None

    @property
    def recomputed_mj(self) -> float | None:
        """The energy by the stated formula from the printed counts, in mJ; None where the counts do not suffice."""
        return None if self.check.energy is None else self.check.energy.middle / MJ


@dataclass(frozen=True)
class Check:
    """The comparison of a printed energy with the stated formula.

    Attributes:
        verdict: one of `VERDICTS`.
        why: why the energy cannot be checked, or what it was compared with where that is not the stated formula.
        energy: the energies by the formula from all counts that round to the printed ones, in pJ; None without a check.
        reading: the stated formula as a reading of this row's counts; None where other arithmetic was checked.
    """

    verdict: str
    why: str = ""
    energy: Range | None = None
    reading: Reading | None = None


def _verdict(given: Range, printed: Range) -> str:
    return FOLLOWS if given.meets(printed) else DIFFERS


class _Table(_Facts):
    """Rows with the same source, data set and formula. A row may state its own instead."""

    source: str
    dataset: str
    resolution: int | None = None
    formula: str
    rows: list[dict[str, Any]]


class Literature(_Facts):
    """A file of published rows.

    Attributes:
        schema_: name and version of the format.
        sources: by short name.
        formulas: by name.
        layers: tables of layers, by name.
        tables: the rows.
    """

    schema_: Literal["snnprof.literature/0"] = Field(alias="schema")
    sources: dict[str, Source]
    formulas: dict[str, Formula]
    layers: dict[str, list[Layer]]
    tables: list[_Table]

    @cached_property
    def rows(self) -> dict[str, Published]:
        """The rows of all tables, by id."""
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
    """The bundled file of published rows."""
    return load(Path(str(files("snnprof"))) / "literature.yaml")


@cache
def load(path: Path) -> Literature:
    """Read a file of published rows.

    Raises:
        SnnprofError: the file is missing or does not follow the schema.
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
    """Find a row by its id, by an alias, or by an unambiguous beginning of one of these or of the model's name.

    Case and punctuation do not matter: `ssabin/w-shift@cifar10/t4` is `ssabin/w/ shift@CIFAR-10/T4`.

    Args:
        name: what the user typed behind `paper:`.
        known: rows by id.

    Raises:
        SnnprofError: no row or several rows have this name.
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
    """The names that a text stands for, one for each row.

    A name that equals the text wins; then one that begins with it and goes on with / or @; then with a new word; then
    anyhow. The text may leave out the source and begin with the model's name.
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
    """The parts of an id before each / and @, with and without the source."""
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
    """Filter rows. None keeps all rows, and case does not matter.

    Args:
        every: the rows to choose from.
        dataset: part of the data set's name without punctuation; `cifar10` is not CIFAR-100.
        model: part of the model's name.
        year: of the source.
        source: part of the short name or of the citation of the source.
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
