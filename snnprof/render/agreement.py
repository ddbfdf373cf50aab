"""The document of a claim under all conventions and price lists: how often it holds, and the matrix of ratios."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from snnprof.agreement import REPEATS, Agreement, Cell, Pair, short_times, times_text
from snnprof.render import facts
from snnprof.render.table import UNKNOWN, Column, Document, Notes, Row, Table, Value
from snnprof.units import count_text

SCHEMA = "snnprof.agreement/0"
LOWER_BOUND, UNDECIDED = "†", "?"


def agreement_document(agreement: Agreement, command: str = "", published: tuple[str, ...] = ()) -> Document:
    """The table of shares, a matrix for each pair, and the claims; CSV and JSON get every cell.

    Args:
        agreement: the comparison under all conventions and price lists.
        command: the command that makes the document again.
        published: names of published rows, which have no counts and are therefore left out.
    """
    matrices = (_matrix(agreement, pair, number) for number, pair in enumerate(agreement.pairs, 1))
    return Document(
        title=f"{len(agreement.readings)} conventions on {_lists(len(agreement.hardware))}, "
        f"baseline: {agreement.baseline}",
        tables=(_shares(agreement), *matrices),
        notes=tuple(notes for notes in _notes(agreement, published) if notes.texts),
        data=_data(agreement),
        command=command,
        schema=SCHEMA,
        machine=_cells(agreement),
    )


def _lists(number: int) -> str:
    return f"{number} price list{'s' * (number != 1)}"


def _shares(agreement: Agreement) -> Table:
    columns = (
        Column("name", "Model"),
        Column("combinations", "Combinations", "integer", drop=1),
        Column("less", "Less", "integer"),
        Column("more", "More", "integer"),
        Column("undecided", "Undecided", "integer"),
        Column("not_priced", "Not priced", "integer", drop=2),
        Column("smallest", "Energy ×, from"),
        Column("largest", "to"),
    )
    rows = tuple(Row(_share_values(pair)) for pair in agreement.pairs)
    note = (
        "Less, more: the whole 95 % interval of the ratio is below or above 1. Price lists that give one ratio under a "
        "convention are one combination."
    )
    return Table("shares", f"Energy relative to {agreement.baseline}", columns, rows, (note,))


def _share_values(pair: Pair) -> dict[str, Value]:
    low, high = map(times_text, pair.range) if pair.range else (None, None)
    return {
        "name": pair.name, "combinations": len(pair.evidence), "less": len(pair.with_verdict("less")),
        "more": len(pair.with_verdict("more")), "undecided": len(pair.with_verdict("undecided")),
        "not_priced": len(pair.not_priced), "smallest": low, "largest": high,
    }  # fmt: skip


def _matrix(agreement: Agreement, pair: Pair, number: int) -> Table:
    """The matrix of conventions by price lists; the columns are headed by numbers to save width."""
    lists = agreement.telling
    columns = [
        Column("convention", "Convention"),
        *(Column(f"list_{i}", str(i), drop=i - 1) for i in range(1, len(lists) + 1)),
    ]
    found = {(cell.reading, cell.hardware): cell for cell in pair.cells}
    rows = []
    for reading in agreement.readings:
        cells = {f"list_{i}": found[reading.label, id] for i, id in enumerate(lists, 1)}
        less = frozenset(key for key, cell in cells.items() if cell.verdict == "less")
        texts: dict[str, Value] = {key: _cell_text(cell) for key, cell in cells.items()}
        rows.append(Row({"convention": reading.label, **texts}, best=less))
    title = f"{pair.name}: energy × that of {pair.baseline}"
    return Table(f"matrix_{number}", title, tuple(columns), tuple(rows), tuple(_legend(agreement, pair)))


def _cell_text(cell: Cell) -> str:
    if cell.ratio is None:
        return UNKNOWN
    marks = (UNDECIDED if cell.verdict == "undecided" else "") + (LOWER_BOUND if cell.unpriced else "")
    text = f"{short_times(cell.ratio.value)}{marks}"
    return f"({text})" if cell.repeats else text


def _legend(agreement: Agreement, pair: Pair) -> Iterator[str]:
    lists = ", ".join(f"{i} {id}" for i, id in enumerate(agreement.telling, 1))
    yield f"{pair.name} by {pair.baseline}. Price lists: {lists}."
    yield (
        f"Marked cells are evidently less. {UNDECIDED} undecided; {LOWER_BOUND} both are lower bounds; {UNKNOWN} not "
        "priced; in brackets: the ratio that a list before it gives."
    )


def _notes(agreement: Agreement, published: tuple[str, ...]) -> Iterator[Notes]:
    yield Notes("What may be claimed", tuple(f"{pair.sentence} {pair.accuracy}" for pair in agreement.pairs))
    yield Notes("What the matrix leaves out", (
        *_excluded(agreement), *_uncounted(agreement), *_not_priced(agreement), *_repeating(agreement),
        *_bounds(agreement), *_published(published),
    ))  # fmt: skip
    others = (f"{each.label}: {', '.join(each.others)}" for each in agreement.readings if each.others)
    yield Notes("Conventions that count these runs alike", tuple(others))


def _excluded(agreement: Agreement) -> Iterator[str]:
    for side, name, macs in agreement.excluded:
        yield f"{side}: {name} is excluded from all counts, {count_text(macs)} dense MACs per inference."


def _uncounted(agreement: Agreement) -> Iterator[str]:
    for label, macs in agreement.uncounted:
        sides = ", ".join(f"{count_text(count)} dense MACs of {side}" for side, count in macs.items())
        yield f"{label} has no count of {sides}: its ratios compare the rest."


def _not_priced(agreement: Agreement) -> Iterator[str]:
    """Says why cells are empty, and on which price lists."""
    reasons: dict[str, dict[str, int]] = {}
    for pair in agreement.pairs:
        for cell in pair.not_priced:
            lists = reasons.setdefault(cell.missing, {})
            lists[cell.hardware] = lists.get(cell.hardware, 0) + 1
    for reason, found in reasons.items():
        text = f"{reason[:1].upper()}{reason[1:]}: {sum(found.values())} cells"
        yield f"{text} on all lists." if len(found) == len(agreement.hardware) else f"{text} on {', '.join(found)}."


def _repeating(agreement: Agreement) -> Iterator[str]:
    lists = agreement.not_telling.get(REPEATS)
    if lists:
        yield f"{REPEATS[:1].upper()}{REPEATS[1:]}: {', '.join(lists)}."


def _bounds(agreement: Agreement) -> Iterator[str]:
    cells = [cell for pair in agreement.pairs for cell in pair.evidence]
    bound = [cell for cell in cells if cell.unpriced]
    if bound:
        works = dict.fromkeys(facts.WORK.get(what, what) for cell in bound for what in cell.unpriced)
        yield f"{len(bound)} of {len(cells)} ratios are of lower bounds, without a price for {', '.join(works)}."


def _published(names: tuple[str, ...]) -> Iterator[str]:
    if names:
        yield f"Published rows have one convention and one price list, their papers': {', '.join(names)}."


def _data(agreement: Agreement) -> Mapping[str, Any]:
    return {
        "baseline": agreement.baseline,
        "excluded": [{"name": side, "layer": name, "dense_macs": macs} for side, name, macs in agreement.excluded],
        "price_lists": list(agreement.hardware),
        "conventions": [
            {"label": each.label, "rule": each.convention.rule, "source": each.convention.source,
             "options": each.convention.options, "counts_alike": list(each.others)}
            for each in agreement.readings
        ],
        "claims": [
            {**_share_values(pair), "smallest": pair.range and pair.range[0], "largest": pair.range and pair.range[1],
             "sentence": pair.sentence, "accuracy": pair.accuracy}
            for pair in agreement.pairs
        ],
    }  # fmt: skip


def _cells(agreement: Agreement) -> Table:
    """The table for machines: one row for each cell."""
    columns = (
        Column("name"), Column("baseline"), Column("convention"), Column("hardware"),
        Column("energy_ratio", kind="ratio"), Column("energy_ratio_low", kind="ratio"),
        Column("energy_ratio_high", kind="ratio"), Column("verdict"), Column("repeats"), Column("lower_bound"),
        Column("unpriced"), Column("missing"),
    )  # fmt: skip
    rows = tuple(Row(_cell_values(pair, cell)) for pair in agreement.pairs for cell in pair.cells)
    return Table("cells", "", columns, rows)


def _cell_values(pair: Pair, cell: Cell) -> dict[str, Value]:
    ratio = cell.ratio
    return {
        "name": pair.name, "baseline": pair.baseline, "convention": cell.reading, "hardware": cell.hardware,
        "energy_ratio": ratio.value if ratio else None, "energy_ratio_low": ratio.low if ratio else None,
        "energy_ratio_high": ratio.high if ratio else None, "verdict": cell.verdict, "repeats": cell.repeats,
        "lower_bound": bool(cell.unpriced) if ratio else None, "unpriced": ", ".join(cell.unpriced) or None,
        "missing": cell.missing or None,
    }  # fmt: skip
