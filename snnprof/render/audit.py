"""Audits as documents: one printed energy with its readings, or a table of several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from snnprof.audit import variants
from snnprof.audit.readings import DECISIONS, FEW, TACIT
from snnprof.render.table import Column, Document, Notes, Row, Table, Value
from snnprof.units import rate_text

if TYPE_CHECKING:
    from snnprof.audit import Audit, Group, Shared
    from snnprof.audit.printed import Range
    from snnprof.audit.readings import Choice, Reading

SCHEMA = "snnprof.audit/0"
MOST_GROUPS = 12
GIGA = 1e9


def audit_document(audits: Sequence[Audit], shared: Sequence[Shared] = (), command: str = "") -> Document:
    """Make a document of one audit in full, or of several side by side.

    Args:
        audits: at least one.
        shared: readings that give the energies of several rows.
        command: the command that makes the document again.
    """
    return _one(audits[0], command) if len(audits) == 1 else _several(audits, shared, command)


def _one(audit: Audit, command: str) -> Document:
    figures = audit.figures
    tables = [] if audit.plain_matching else [_nearest(audit)]
    if audit.groups:
        tables.append(_readings(audit))
    stated = figures.stated_reading
    if stated is not None:
        tables.append(_stated(audit, stated))
    if stated is not None and not audit.stated:
        tables.append(_variants(audit))
    if figures.layers and figures.stated is not None:
        tables.append(_layers(audit, figures.stated))
    facts = [
        ("printed", f"{figures.printed.text}, which is anything from {figures.printed.between}"),
        ("stated formula", figures.formula),
    ]
    notes = [Notes("What may have happened", audit.hints), Notes("Note", (figures.note,) if figures.note else ())]
    return Document(
        title=f"Audit of {figures.name}: {figures.printed.text}",
        tables=tuple(tables),
        facts=tuple((label, text) for label, text in facts if text),
        notes=tuple(part for part in notes if part.texts),
        data={"figures": [_record(audit)]},
        command=command,
        schema=SCHEMA,
    )


def _record(audit: Audit) -> dict[str, object]:
    """One audit as JSON holds it."""
    figures = audit.figures
    return {
        "name": figures.name, "printed": figures.printed.text, "energy_low_pj": figures.energy.low,
        "energy_high_pj": figures.energy.high, "stated_formula": figures.formula or None,
        "stated_gives_it": audit.stated, "readings": len(audit.plain), "readings_all": len(figures.readings),
        "matching": len(audit.plain_matching), "matching_all": len(audit.matching),
        "chance": audit.chance, "result": result(audit), "hints": list(audit.hints),
        "matches": [_choices(reading) for reading in (audit.plain_matching or audit.matching)[:100]],
    }  # fmt: skip


def _choices(reading: Reading) -> dict[str, object]:
    return {**{axis: choice.key for axis, choice in reading.choices.items()}, "unusual": reading.unusual}


# -- sentences -------------------------------------------------------------------------------------------------


def result(audit: Audit) -> str:
    """The conclusion of an audit in one or two sentences."""
    plain, every, energy = len(audit.plain_matching), len(audit.matching), audit.figures.printed.text
    if audit.stated:
        others = plain - 1
        also = f" {_number(others, 'other reading')} {_verb(others)} it, too{_told_apart(audit)}" if others > 0 else ""
        return f"The stated formula gives {energy}.{also}"
    said = "The stated formula does not give it. " if audit.stated is False else _untried(audit)
    if plain:
        return f"{said}{plain:,} of {len(audit.plain):,} readings {_verb(plain)} {energy}{_worth(audit)}"
    none = f"{said}None of {len(audit.plain):,} readings gives {energy}"
    if every:
        least = min(reading.unusual for reading in audit.matching)
        return (
            f"{none}. {every:,} of all {len(audit.figures.readings):,} {_verb(every)} it, each with {least} or more "
            "unusual choices at once: so many readings meet a figure by coincidence."
        )
    nearest = audit.nearest[0].off if audit.nearest else None
    return f"{none}{'' if nearest is None else f'; the nearest is {_off(nearest)}'}."


def _untried(audit: Audit) -> str:
    figures = audit.figures
    without_t = "it needs T" if figures.stated is not None and figures.stated_reading is None else ""
    why = figures.missing or without_t
    return f"The stated formula cannot be tried: {why}. " if why else ""


def _worth(audit: Audit) -> str:
    """How much the matching readings prove: the end of a sentence."""
    if len(audit.plain_matching) > 1:
        return _told_apart(audit)
    unusual = audit.plain_matching[0].unusual
    if unusual:
        return ", by one choice that no paper states: the only explanation among the readings, not a proof."
    return ": the only one, as far as the printed digits tell."


def _told_apart(audit: Audit) -> str:
    """In what the matching readings differ: the end of a sentence."""
    if len(audit.groups) > 1:
        return ", by different choices: this does not identify the convention."
    open_axes = [axis for axis, side in audit.groups[0].choices.items() if len(side) > 1]
    if "convention" in open_axes:
        return ", by different conventions: the printed digits cannot tell these apart."
    if open_axes:
        differ = " and ".join(DECISIONS[axis] for axis in open_axes)
        return f", which differ only in {differ}: the printed digits cannot tell these apart."
    return ", which differ only in what does not matter here."


def tried(audit: Audit) -> str:
    """How many readings were tried, and how likely one of them gives an arbitrary energy."""
    plain, every = len(audit.plain), len(audit.figures.readings)
    text = f"{plain:,} with at most {FEW} unusual choice ({every:,} in all)" if plain < every else f"{plain:,}"
    return f"{text}; by chance, {rate_text(audit.chance)} of the energies in their range would match one"


def _off(off: float) -> str:
    return f"{percent(off)} {'above' if off > 0 else 'below'}"


def percent(off: float) -> str:
    """A relative difference without its sign, with two digits where it is below 1 %.

    >>> percent(-0.159), percent(0.00067)
    ('15.9 %', '0.067 %')
    """
    return f"{100 * abs(off):.1f} %" if abs(off) >= 0.01 else f"{100 * abs(off):.2g} %"


def _number(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _verb(count: int) -> str:
    return "gives" if count == 1 else "give"


def reading_words(reading: Reading) -> str:
    """The choices of a reading in words, without those that almost everybody makes."""
    told = [choice.words for axis, choice in reading.choices.items() if (axis, choice.key) not in TACIT]
    return "; ".join(told)


def group_words(group: Group) -> str:
    """The choices of a group in words: alternatives joined by `or`, and at the end the axes that do not matter."""
    told = [
        " or ".join(choice.words for choice in side)
        for axis, side in group.choices.items() if not _tacit(axis, side)
    ]  # fmt: skip
    free = ", ".join(DECISIONS[axis] for axis in DECISIONS if axis in group.free)
    return "; ".join(filter(None, [*told, f"whatever {free}" if free else ""]))


def _tacit(axis: str, side: Sequence[Choice]) -> bool:
    return len(side) == 1 and (axis, side[0].key) in TACIT


# -- tables ----------------------------------------------------------------------------------------------------


def _energy_columns(unit: str) -> tuple[Column, ...]:
    """An energy and its range, in the unit that was printed."""
    return (
        Column("energy_pj", "Energy", "energy", unit=unit),
        Column("energy_low_pj", "From", "energy", drop=3, unit=unit),
        Column("energy_high_pj", "To", "energy", drop=3, unit=unit),
    )


def _reading_columns(unit: str) -> tuple[Column, ...]:
    return (
        Column("reading", "Reading"),
        *_energy_columns(unit),
        Column("off", "Off", "signed_percent", drop=1),
        Column("unusual", "Unusual choices", "integer", drop=1),
        Column("alike", "Readings", "integer", drop=2),
        Column("stated", "Stated", drop=1),
    )


def _readings(audit: Audit) -> Table:
    """The readings that give the energy."""
    shown = audit.groups[:MOST_GROUPS]
    rows = tuple(Row(_group_values(group, audit)) for group in shown)
    more = len(audit.groups) - len(shown)
    told = [f"{more} more groups of readings; --format json has the first 100 readings."] if more else []
    far = not audit.plain_matching
    title = "Readings that give it by several unusual choices at once" if far else "Readings that give it"
    notes = told if far else [*_conclusion(audit), *told]
    return Table("readings", title, _reading_columns(audit.figures.printed.unit), rows, tuple(notes))


def _group_values(group: Group, audit: Audit) -> dict[str, Value]:
    stated = audit.figures.stated_reading
    is_stated = stated is not None and any(reading.key == stated.key for reading in group.readings)
    return {
        "reading": group_words(group), **_energy(group.energy), "off": None, "unusual": group.unusual,
        "alike": len(group.readings), "stated": "yes" if is_stated else None,
    }  # fmt: skip


def _nearest(audit: Audit) -> Table:
    rows = tuple(
        Row({
            "reading": reading_words(near.reading), **_energy(near.reading.energy), "off": near.off,
            "unusual": near.reading.unusual, "alike": None, "stated": None,
        })
        for near in audit.nearest
    )  # fmt: skip
    columns, notes = _reading_columns(audit.figures.printed.unit), tuple(_conclusion(audit))
    return Table("nearest", "The nearest readings; none gives it", columns, rows, notes)


def _conclusion(audit: Audit) -> Iterable[str]:
    yield result(audit)
    yield f"Readings: {tried(audit)}."


def _energy(energy: Range) -> dict[str, Value]:
    return {"energy_pj": energy.middle, "energy_low_pj": energy.low, "energy_high_pj": energy.high}


def _stated(audit: Audit, reading: Reading) -> Table:
    """The stated formula term by term."""
    columns = (
        Column("term", "Term"),
        Column("operations_g", "Operations (G)", "decimal"),
        Column("price_pj", "Price (pJ)", "decimal"),
        *_energy_columns(audit.figures.printed.unit),
        Column("choice", "Read as", drop=2),
    )
    rows = [
        Row({
            "term": line.name, "operations_g": line.operations.middle / GIGA, "price_pj": line.price,
            **_energy(line.energy), "choice": line.words or None,
        })
        for line in audit.figures.sheet.lines(reading)
    ]  # fmt: skip
    rows.append(Row({"term": "by the stated formula", **_energy(reading.energy)}, section="sum"))
    rows.append(Row({"term": "as printed", **_energy(audit.figures.energy)}, section="sum"))
    return Table("stated", "The stated formula", columns, tuple(rows))


def _variants(audit: Audit) -> Table:
    """The stated formula with one other choice."""
    columns = (
        Column("choice", "Instead"),
        *_energy_columns(audit.figures.printed.unit),
        Column("off", "Off", "signed_percent", drop=1),
    )
    rows = tuple(
        Row({"choice": choice.words, **_energy(near.reading.energy), "off": near.off})
        for choice, near in variants(audit.figures)
    )
    return Table("variants", "The stated formula with one other choice", columns, rows)


def _layers(audit: Audit, keys: Mapping[str, str]) -> Table:
    from snnprof.render.papers import layer_rows

    return layer_rows(audit.figures.layers, audit.figures.timesteps or 1, keys)


def _several(audits: Sequence[Audit], shared: Sequence[Shared], command: str) -> Document:
    stated = any(audit.figures.stated_reading for audit in audits)
    columns = (
        Column("name", "Row"),
        Column("printed", "Printed", "decimal"),
        *([Column("stated_pj", "By the stated formula", "energy", drop=1, apart=True)] if stated else []),
        Column("matching", "Readings that give it", "integer"),
        Column("readings", "Of", "integer", drop=2),
        Column("chance", "By chance", "percent", drop=2),
        Column("best", "Most plausible, or nearest"),
        Column("unusual", "Unusual choices", "integer", drop=1),
        Column("off", "Off", "signed_percent", drop=1),
        Column("hints", machine_only=True),
        Column("result", machine_only=True),
    )
    tables = [Table("rows", "", columns, tuple(Row(_row_values(audit)) for audit in audits))]
    if shared:
        tables.append(_shared(shared))
    few = f"Readings with at most {FEW} unusual choice (one that no paper states)"
    chance = "how many of the energies in the range of these readings one of them would give"
    hints = tuple(f"{audit.figures.name}: {hint}" for audit in audits for hint in audit.hints)
    return Document(
        title=f"Audit of {len(audits)} printed energies: {_outcome(audits)}",
        tables=tuple(tables),
        facts=(("counted", few), ("by chance", chance)),
        notes=(Notes("What may have happened", hints),) if hints else (),
        data={"figures": [_record(audit) for audit in audits]},
        command=command,
        schema=SCHEMA,
    )


def _outcome(audits: Sequence[Audit]) -> str:
    """How many energies follow by choices that papers state, and how many only by a slip."""
    usual = sum(any(reading.unusual == 0 for reading in audit.matching) for audit in audits)
    slips = sum(bool(audit.plain_matching) for audit in audits) - usual
    follow = "follows from its" if usual == 1 else "follow from their"
    return f"{usual} {follow} counts" + (f", {slips} only by a choice that no paper states" if slips else "")


def _row_values(audit: Audit) -> dict[str, Value]:
    stated = audit.figures.stated_reading
    near = audit.nearest[0] if audit.nearest and not audit.groups else None
    return {
        "name": audit.figures.name, "printed": audit.figures.printed.text,
        "stated_pj": stated.energy.middle if stated else None, "matching": len(audit.plain_matching),
        "readings": len(audit.plain), "chance": audit.chance, "best": _best(audit),
        "unusual": audit.groups[0].unusual if audit.groups else None, "off": near.off if near else None,
        "hints": " | ".join(audit.hints) or None, "result": result(audit),
    }  # fmt: skip


def _best(audit: Audit) -> str | None:
    """The most plausible explanation, or the nearest reading."""
    if audit.plain_matching:
        return group_words(audit.groups[0])
    if audit.groups:
        least = audit.groups[0].unusual
        return f"far-fetched, by {least} unusual choices at once: {group_words(audit.groups[0])}"
    return f"none; nearest: {reading_words(audit.nearest[0].reading)}" if audit.nearest else None


def _shared(shared: Sequence[Shared]) -> Table:
    columns = (
        Column("reading", "Reading"),
        Column("rows", "Rows that it gives", "integer"),
        Column("of", "Of", "integer"),
        Column("unusual", "Unusual choices", "integer", drop=1),
        Column("names", machine_only=True),
    )
    rows = tuple(_shared_rows(shared))
    return Table("shared", "Readings that give several rows", columns, rows)


def _shared_rows(shared: Sequence[Shared]) -> Iterable[Row]:
    for each in shared:
        yield Row({
            "reading": reading_words(each.reading), "rows": len(each.rows), "of": each.of,
            "unusual": each.reading.unusual, "names": ", ".join(each.rows),
        })  # fmt: skip
