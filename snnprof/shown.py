"""Values that show themselves: printed, in a notebook, as a document, as a figure, as a data frame.

Reports and comparisons are arithmetic: in the import order they come below the code that renders, so they must not
import it, not even within a function. Their users still want `print(report)`. So these values inherit `Shown`, and
`Shown` calls a renderer that it knows only by its methods. The package itself, which is above all its modules, supplies
the renderer: `snnprof/__init__.py` calls `render_with` with a function that loads it on first use.
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
    """The functions that `Shown` calls; `snnprof.render.values` has them."""

    def text(self, value: Shown) -> str:
        """Returns what `print` shows."""

    def in_a_line(self, value: Shown) -> str:
        """Returns what `repr` shows."""

    def in_a_notebook(self, value: Shown) -> str:
        """Returns one table as HTML, without scripts or styles."""

    def page(self, value: Shown, by: By) -> str:
        """Does the work of `Shown.to_html`."""

    def markdown_text(self, value: Shown, by: By) -> str:
        """Does the work of `Shown.to_markdown`."""

    def latex_tables(
        self, value: Shown, by: By, columns: Sequence[str], caption: str, label: str, siunitx: bool
    ) -> str:
        """Does the work of `Shown.to_latex`."""

    def plot(self, value: Shown, kind: Plot | None, by: By | None) -> Figure:
        """Does the work of `Shown.plot`."""

    def dataframe(self, value: Shown, per: Per | None) -> pd.DataFrame:
        """Does the work of `Shown.to_dataframe`."""


_load: Callable[[], Renderer] | None = None


def render_with(load: Callable[[], Renderer]) -> None:
    """Sets the renderer of all values; `load` is called when the first value is shown."""
    global _load
    _load = load


def _renderer() -> Renderer:
    assert _load is not None, "snnprof/__init__.py names it"
    return _load()


class Shown:
    """A value that can be shown. All that it returns is safe to show, whatever names the network gave its layers."""

    def __str__(self) -> str:
        return _renderer().text(self).rstrip("\n")

    def __repr__(self) -> str:
        return _renderer().in_a_line(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: one table, without scripts or styles."""
        return _renderer().in_a_notebook(self)

    def to_html(self, by: By = "op") -> str:
        """Makes a page that works offline, as `snnprof report --format html` writes it.

        Args:
            by: what one row of the table represents: `op`, `layer`, `block` or `role`.

        Returns:
            The page as HTML.
        """
        return _renderer().page(self, by)

    def to_markdown(self, by: By = "op") -> str:
        """Makes tables and notes for a README or a comment on a pull request.

        Args:
            by: what one row of the table represents: `op`, `layer`, `block` or `role`.

        Returns:
            The tables as Markdown.
        """
        return _renderer().markdown_text(self, by)

    def to_latex(
        self, by: By = "op", *, columns: Sequence[str] = (), caption: str = "", label: str = "", siunitx: bool = False
    ) -> str:
        """Makes tables for a paper; they need the packages array and booktabs.

        Args:
            by: what one row of the table represents: `op`, `layer`, `block` or `role`.
            columns: columns of the first table, in order, by their names in the CSV (`energy` for all price lists);
                empty: the columns that fit the line.
            caption: prints only the first table, as a float with this caption.
            label: prints only the first table, as a float with this label.
            siunitx: aligns numbers at their decimal points; needs the package siunitx.

        Returns:
            The tables as LaTeX.

        Raises:
            SnnprofError: there is no such column.
        """
        return _renderer().latex_tables(self, by, columns, caption, label, siunitx)

    def plot(self, kind: Plot | None = None, by: By | None = None) -> Figure:
        """Draws a matplotlib figure at a paper's size; save it with `figure.savefig("energy.pdf")`.

        Args:
            kind: `energy`; `rates`, `timesteps` or `attention` of one run; `tradeoff`, `sweep` or `conventions` of
                several; None: the kind that suits the value.
            by: `energy` and `rates` only: what one bar represents: `op`, `layer`, `block` or `role`; None: `role`.

        Returns:
            The figure.

        Raises:
            SnnprofError: the run holds nothing of this kind, or there are several runs and the figure shows one.
        """
        return _renderer().plot(self, kind, by)

    def to_dataframe(self, per: Per | None = None) -> pd.DataFrame:
        """Returns the rows of the CSV under the same names; energies are in picojoules, and missing if unpriced.

        Args:
            per: `inference`, or `run` for the whole run; None: `inference` if the number of samples is known, else
                `run`. `frame.attrs["per"]` and the column `per` say which it is.

        Returns:
            A data frame with one row for each line.

        Raises:
            SnnprofError: `per` is `inference`, and the number of samples is unknown; or `per` is `run`, and the
                value is a comparison or a sweep, whose figures are per inference.
        """
        return _renderer().dataframe(self, per)
