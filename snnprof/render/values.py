"""Renders the public results (reports, comparisons, sweeps) as text, documents, figures and data frames.

`snnprof.shown.Shown` calls these functions.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from snnprof import report_rows
from snnprof.agreement import Agreement
from snnprof.comparison import Comparison, Entry
from snnprof.errors import SnnprofError, unknown
from snnprof.pricing import EnergyReport, Reports
from snnprof.render import facts, html, latex, markdown, notebook, summary, terminal
from snnprof.render.agreement import agreement_document
from snnprof.render.cleaning import line
from snnprof.render.comparison import comparison_document
from snnprof.render.selection import with_columns
from snnprof.render.sweep import sweep_document
from snnprof.render.table import Document
from snnprof.render.tables import report_document
from snnprof.shown import By, Per, Plot, Shown
from snnprof.sweeps import Sweep
from snnprof.units import energy_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

_NO_TERMINAL = (100, 24)  # columns and lines to assume without a terminal
_FEW_ROWS = 30
_SCREEN_DPI = 100


def text(value: Shown) -> str:
    """The first screen of a report, as `snnprof report` prints it; the tables of other results."""
    width = shutil.get_terminal_size(_NO_TERMINAL).columns
    if isinstance(value, Comparison | Agreement | Sweep):
        return terminal.render(_document(value), width)
    return summary.text(_reports(value), width)


def in_a_line(value: Shown) -> str:
    """The result in one line, for `repr`."""
    return line(_summed_up(value))


def _summed_up(value: Shown) -> str:
    if isinstance(value, Agreement):
        names = ", ".join(pair.name for pair in value.pairs)
        return f"<Agreement on {names}; baseline: {value.baseline}>"
    if isinstance(value, Comparison):
        names = ", ".join(side.name for side in value.sides)
        return f"<Comparison of {names}; baseline: {value.baseline.name}>"
    if isinstance(value, Sweep):
        curves = "; ".join(f"{curve.name} at {', '.join(stop.value for stop in curve.stops)}" for curve in value.curves)
        return f"<Sweep over {value.setting}: {curves}>"
    reports = _reports(value)
    activity = reports[0].activity
    energies = ", ".join(_energy(report) for report in reports)
    return f"<{type(value).__name__} of {facts.title(activity)}: {energies}; {facts.per(activity)}>"


def _energy(report: EnergyReport) -> str:
    energy = report.per_inference(report.energy_pj) if report.samples else report.energy_pj
    bound = "≥ " if report.lower_bound and energy is not None else ""
    return f"{bound}{energy_text(energy, 3)} on {report.hardware.id}"


def in_a_notebook(value: Shown) -> str:
    """The result as HTML for a notebook: a report by operations, by blocks if they are many; others as two tables."""
    if isinstance(value, Comparison | Agreement | Sweep):
        return notebook.render(_document(value), tables=2)
    short = len(_reports(value)[0].activity.ops) <= _FEW_ROWS
    return notebook.render(_document(value, "op" if short else "block"))


def page(value: Shown, by: By) -> str:
    """The result as an HTML page."""
    return html.render(_document(value, by, figures=True))


def markdown_text(value: Shown, by: By) -> str:
    """The result as Markdown."""
    return markdown.render(_document(value, by))


def latex_tables(
    value: Shown, by: By, columns: Sequence[str], caption: str, label: str, siunitx: bool
) -> str:  # fmt: skip
    """The result's tables as LaTeX; if columns are named, none is left out to fit the line."""
    document = with_columns(_document(value, by), columns)
    return latex.render(document, siunitx, caption, label, fit=not columns)


def plot(value: Shown, kind: Plot | None, by: By | None) -> Figure:
    """The result as a matplotlib figure, which a notebook can show."""
    from snnprof.render import plots
    from snnprof.render.figures import encoded

    if by is not None:
        _must_be("by", by, get_args(By))
    if isinstance(value, Agreement):
        figure = plots.agreement(value)
    else:
        over = value.setting if isinstance(value, Sweep) and kind in (None, "sweep") else None
        figure = plots.drawn("sweep" if over else kind, _entries(value), by=by, over=over).figure
    width, height = figure.get_size_inches()
    size = {"width": round(_SCREEN_DPI * width), "height": round(_SCREEN_DPI * height)}
    # Notebooks show figures of pyplot only, and pyplot keeps every figure in memory. So this one brings its own repr.
    figure._repr_png_ = lambda: (encoded(figure, ".png"), size)  # type: ignore[attr-defined]
    return figure


def _entries(value: Shown) -> list[Entry]:
    if isinstance(value, Comparison):
        return [side.entry for side in value.sides]
    if isinstance(value, Sweep):
        return [stop.side.entry for curve in value.curves for stop in curve.stops]
    reports = _reports(value)
    return [Entry(facts.title(reports[0].activity), runs=(tuple(reports),))]


def dataframe(value: Shown, per: Per | None) -> pd.DataFrame:
    """The result as a data frame; `attrs["per"]` says whether its figures are per inference or over the run.

    Raises:
        SnnprofError: `per` is unknown, or is `run` for a sweep or comparison.
    """
    import pandas as pd

    _must_be("per", per, (*get_args(Per), None))
    if isinstance(value, Comparison | Agreement | Sweep):
        if per == "run":
            what = "sweep" if isinstance(value, Sweep) else "comparison"
            raise SnnprofError(f"the figures of a {what} are per inference", hint="call to_dataframe()")
        document = _document(value)
        table = document.machine or document.tables[0]
        frame = pd.DataFrame(table.records(), columns=table.keys())
    else:
        reports = _reports(value)
        per = per or report_rows.default_per(reports[0].activity)
        frame = pd.DataFrame(report_rows.rows(reports, per=per), columns=report_rows.columns(reports))
        frame = frame.astype({name: float for name in frame if name not in report_rows.TEXTS})
    frame.attrs["per"] = per or "inference"
    return frame


def _document(value: Shown, by: By = "op", figures: bool = False) -> Document:
    """The document of a result. A comparison has no details by `op`, since its sides have different operations."""
    _must_be("by", by, get_args(By))
    if isinstance(value, Agreement):
        return agreement_document(value)
    if isinstance(value, Comparison):
        return comparison_document(value, None if by == "op" else by, figures=figures)
    if isinstance(value, Sweep):
        return sweep_document(value)
    return report_document(_reports(value), by, figures=figures)


def _must_be(name: str, given: str | None, known: Sequence[str | None]) -> None:
    if given not in known:
        raise unknown(name, str(given), [each for each in known if each])


def _reports(value: Shown) -> list[EnergyReport]:
    if isinstance(value, EnergyReport):
        return [value]
    assert isinstance(value, Reports)
    return list(value)
