"""Values that show themselves: printed, in a notebook, as a document, as a figure, as a data frame.

Reports and comparisons are arithmetic: they stand below the code that renders and must not import it, not even within
a function. Their users, though, want `print(report)`. So these values inherit `Shown`, and `Shown` asks a renderer
that it knows by what it can do alone. The package itself, which stands above all its modules, says who that is:
`snnprof/__init__.py` calls `render_with` with a function that loads the renderer on first use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

By = Literal["op", "layer", "block", "role"]
Per = Literal["inference", "run"]
Plot = Literal["energy", "rates", "timesteps", "attention", "tradeoff", "sweep", "conventions"]


class Renderer(Protocol):
    """What is asked of `snnprof.render.values`."""

    def text(self, value: Shown) -> str: ...
    def in_a_line(self, value: Shown) -> str: ...
    def in_a_notebook(self, value: Shown) -> str: ...
    def page(self, value: Shown, by: By) -> str: ...
    def markdown_text(self, value: Shown, by: By) -> str: ...
    def latex_tables(
        self, value: Shown, by: By, columns: Sequence[str], caption: str, label: str, siunitx: bool
    ) -> str: ...  # fmt: skip
    def plot(self, value: Shown, kind: Plot | None, by: By | None) -> Figure: ...
    def dataframe(self, value: Shown, per: Per | None) -> pd.DataFrame: ...


_load: Callable[[], Renderer] | None = None


def render_with(load: Callable[[], Renderer]) -> None:
    """Names the renderer of all values; it is loaded when one is shown."""
    global _load
    _load = load


def _renderer() -> Renderer:
    assert _load is not None, "snnprof/__init__.py names it"
    return _load()


class Shown:
    """A value that can be looked at. What it returns is safe to show, whatever names the network gave its layers."""

    def __str__(self) -> str:
        return _renderer().text(self).rstrip("\n")

    def __repr__(self) -> str:
        return _renderer().in_a_line(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: one table, without scripts or styles."""
        return _renderer().in_a_notebook(self)

    def to_html(self, by: By = "op") -> str:
        """A page of its own, offline, as `snnprof report --format html` writes it.

        Args:
            by: what one row of the table stands for.
        """
        return _renderer().page(self, by)

    def to_markdown(self, by: By = "op") -> str:
        """Tables and notes for a README or a comment on a pull request.

        Args:
            by: what one row of the table stands for.
        """
        return _renderer().markdown_text(self, by)

    def to_latex(
        self, by: By = "op", *, columns: Sequence[str] = (), caption: str = "", label: str = "", siunitx: bool = False
    ) -> str:
        """Tables for a paper; they need the packages array and booktabs.

        Args:
            by: what one row of the table stands for.
            columns: what to print of the first table, in order, by names as in CSV (`energy` for all price lists);
                empty: the columns that fit the line.
            caption: print the first table alone, as a float with this caption.
            label: the same, with this label.
            siunitx: align numbers at their points; needs the package siunitx.

        Raises:
            SnnprofError: there is no such column.
        """
        return _renderer().latex_tables(self, by, columns, caption, label, siunitx)

    def plot(self, kind: Plot | None = None, by: By | None = None) -> Figure:
        """A matplotlib figure at a paper's size: `figure.savefig("energy.pdf")`.

        Args:
            kind: `energy`; `rates`, `timesteps`, `attention` of one run; `tradeoff`, `sweep`, `conventions` of
                several; None for what suits.
            by: energy and rates only: what one bar stands for; None for a role.

        Raises:
            SnnprofError: the run holds nothing of the kind, or there are several runs where one is drawn.
        """
        return _renderer().plot(self, kind, by)

    def to_dataframe(self, per: Per | None = None) -> pd.DataFrame:
        """The rows of the CSV, under the same names; energies in picojoules, missing where unpriced.

        Args:
            per: `inference`, or `run` for the whole run; null, as in CSV: `inference` where the number of samples is
                known. `frame.attrs["per"]` and the column `per` say which it is.

        Raises:
            SnnprofError: figures per inference of a run whose samples are not known.
        """
        return _renderer().dataframe(self, per)
