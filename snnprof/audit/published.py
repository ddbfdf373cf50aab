"""Published rows as figures to audit."""

from __future__ import annotations

import re
from typing import Any

from snnprof import literature
from snnprof.audit.figures import Counted, Figures
from snnprof.audit.printed import Quantity
from snnprof.errors import SnnprofError
from snnprof.literature import MJ, Formula, Published


def from_published(row: Published) -> Figures:
    """The figures of a published row.

    Raises:
        SnnprofError: the row prints no energy, or no counts beside it.
    """
    if row.energy_mj is None or row.energy is None:
        raise SnnprofError(f"paper:{row.id} prints no energy", hint="see 'snnprof papers list'")
    if not row.sheet.terms:
        raise SnnprofError(
            f"paper:{row.id} prints no operations beside its energy: no reading can be tried",
            hint="rows that can be audited: 'snnprof papers list --verdict follows', or --verdict differs",
        )
    return Figures(
        name=f"paper:{row.id}",
        printed=Quantity(row.energy_mj, "mJ", MJ),
        counted=(Counted(row.sheet),),
        layers=row.layer_table,
        timesteps=row.timesteps,
        note=row.note or "",
        family=family(row.title),
        **by_formula(row.stated),
    )


def by_formula(formula: Formula | None) -> dict[str, Any]:
    """The fields of `Figures` that say which formula the source states."""
    if formula is None:
        return {}
    return {"stated": formula.reading, "formula": formula.words, "missing": formula.missing}


def siblings(row: Published) -> list[Figures]:
    """All published rows that can be audited, those of the same paper first."""
    others = [each for each in literature.rows().values() if each.energy and each.sheet.terms]
    return [from_published(each) for each in sorted(others, key=lambda each: each.paper != row.paper)]


def family(title: str) -> str:
    """A model's name without the numbers at its end: `SEW-ResNet-34` → `sew-resnet`."""
    return re.sub(r"[-\s\d./]*$", "", title.partition("(")[0].strip()).casefold()
