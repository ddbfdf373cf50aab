"""Writes docs/literature.md from snnprof/literature.yaml and docs/literature.in.md.

python docs/make_literature.py           writes it
python docs/make_literature.py --check   fails if it is not current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from generated import write_or_check

from snnprof import literature
from snnprof.audit import audit
from snnprof.audit.published import from_published, siblings
from snnprof.audit.readings import AXES, DECISIONS
from snnprof.literature import DIFFERS, FOLLOWS, UNCHECKED, Published
from snnprof.render.audit import group_words, result
from snnprof.render.markdown import escaped
from snnprof.render.papers import ACCESS, published_values, verdict_text

PAGE = Path(__file__).with_name("literature.md")
TEXT = Path(__file__).with_name("literature.in.md")
NETWORK = "Spikformer-8-512"
"""The network that most papers price again."""
RUNS_ALONE = ("head", "counted")
"""A choice that no table has."""
TABLE = (
    ("Row", "---"), ("Data", "---"), ("T", "---:"), ("Accuracy (%)", "---:"), ("SOPs", "---:"), ("FLOPs", "---:"),
    ("Printed", "---:"), ("By its formula", "---:"), ("Energy", "---"),
)  # fmt: skip


def main() -> int:
    return write_or_check({PAGE: page()}, Path(__file__).name)


def page() -> str:
    rows = list(literature.rows().values())
    filled = {
        "{rows}": str(len(rows)),
        "{sources}": str(len({row.paper for row in rows})),
        "{follows}": str(count(rows, FOLLOWS)),
        "{differs}": str(count(rows, DIFFERS)),
        "{unchecked}": str(count(rows, UNCHECKED)),
        "{formulas}": "\n".join(formulas(rows)),
        "{versions}": "\n".join(versions(rows)),
        "{differing}": "\n".join(explained(group) for group in alike([row for row in rows if row.verdict == DIFFERS])),
        "{tables}": "\n".join(line for source in by_source(rows) for line in table(source)),
        "{axes}": "\n".join(axes()),
    }
    text = TEXT.read_text(encoding="utf-8")
    for mark, content in filled.items():
        text = text.replace(mark, content)
    return text


def count(rows: list[Published], verdict: str) -> int:
    return sum(row.verdict == verdict for row in rows)


def formulas(rows: list[Published]) -> Iterator[str]:
    yield "| name | formula | rows |"
    yield "|---|---|---:|"
    for name, formula in literature.formulas().items():
        yield f"| `{name}` | {escaped(formula.words)} | {sum(row.formula == name for row in rows)} |"


def versions(rows: list[Published]) -> Iterator[str]:
    yield "| Spikformer-8-512, 224×224, T = 4 | SOPs (G) | energy (mJ) | formula | energy |"
    yield "|---|---:|---:|---|---|"
    for row in rows:
        if row.title == NETWORK and row.energy_mj is not None:
            sops = row.sops_g.text if row.sops_g is not None else "–"
            yield f"| {escaped(row.source)} | {sops} | {row.energy_mj.text} | `{row.formula}` | {row.verdict} |"


def explained(rows: list[Published]) -> str:
    """What the formula gives, what else may have happened, and what we noted about the rows."""
    first, note = rows[0], sentence(escaped(rows[0].note or "There is no note"))
    if len(rows) > 1:
        lines = [
            escaped(f"{row.title}, {row.setting}: {row.energy_mj.text} mJ printed, {given(row)} mJ by the formula")
            for row in rows if row.energy_mj is not None
        ]  # fmt: skip
        return "\n  - ".join([f"- **{len(rows)} rows** of {escaped(first.source)}. {note}", *lines])
    parts = [
        f"**{escaped(first.title)}** ({escaped(first.setting)}; {escaped(first.source)}).",
        sentence(escaped(verdict_text(first))), *map(escaped, other_readings(first)), note,
        f'`snnprof audit "paper:{first.id}"` tries all readings.' if first.sheet.terms else "",
    ]  # fmt: skip
    return f"- {' '.join(filter(None, parts))}"


def given(row: Published) -> str:
    return str(published_values(row)["recomputed_mj"])


def other_readings(row: Published) -> Iterator[str]:
    """What an audit finds beside the stated formula."""
    if not row.sheet.terms:
        return
    found = audit(from_published(row), siblings(row))
    if found.plain_matching:
        yield f"It is what this reading gives: {group_words(found.groups[0])}."
    elif found.hints:
        yield from found.hints
    else:
        yield result(found).removeprefix("The stated formula does not give it. ")


def alike(rows: list[Published]) -> Iterator[list[Published]]:
    """Rows with one note of one source stand together."""
    for _, group in groupby(rows, key=lambda row: (row.paper, row.note)):
        yield list(group)


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:].rstrip('.')}."


def by_source(rows: list[Published]) -> Iterator[list[Published]]:
    for _, group in groupby(sorted(rows, key=lambda row: row.paper), key=lambda row: row.paper):
        yield list(group)


def table(rows: list[Published]) -> Iterator[str]:
    first = rows[0]
    statuses = ", ".join(dict.fromkeys(ACCESS[row.status] for row in rows))
    yield from (f"### {escaped(first.paper)}", "", f"{escaped(first.source)}; {statuses}.", "")
    yield f"| {' | '.join(name for name, _ in TABLE)} |"
    yield f"|{'|'.join(rule for _, rule in TABLE)}|"
    yield from (f"| {' | '.join(cells(row))} |" for row in rows)
    yield ""
    noted = [row for row in rows if row.note and row.verdict != DIFFERS]
    for note in dict.fromkeys(row.note for row in noted):
        about = ", ".join(escaped(row.title) for row in noted if row.note == note)
        yield f"- {about}: {sentence(escaped(note or ''))}"
    if noted:
        yield ""


def cells(row: Published) -> list[str]:
    values = published_values(row)
    size = f", {row.resolution}" if row.resolution else ""
    shown = [
        values["accuracy_percent_printed"], values["sops_g_printed"], values["flops_g_printed"],
        values["energy_mj_printed"], values["recomputed_mj"],
    ]  # fmt: skip
    figures = ["–" if value is None else str(value) for value in shown]
    steps = str(row.timesteps) if row.timesteps else "–"
    return [escaped(row.title), escaped(f"{row.dataset}{size}"), steps, *figures, row.verdict]


def axes() -> Iterator[str]:
    for axis, choices in AXES.items():
        listed = (f"*{choice.words}*" if choice.unusual else choice.words for choice in choices
                  if (axis, choice.key) != RUNS_ALONE)  # fmt: skip
        yield f"| {DECISIONS[axis]} | {'; '.join(listed)} |"


if __name__ == "__main__":
    sys.exit(main())
