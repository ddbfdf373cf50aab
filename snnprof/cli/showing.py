"""Shows reports: chooses rows and columns, and writes the first screen or a document to each destination."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snnprof.cli import options, output
from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.grouping import By
    from snnprof.pricing import EnergyReport
    from snnprof.render.selection import Selection
    from snnprof.render.summary import View


def form_of(form: str | None, verbose: bool, quiet: bool) -> str | None:
    """The format that --format, --verbose and --quiet name together; None for the default.

    Raises:
        SnnprofError: they contradict each other.
    """
    if verbose and quiet:
        raise SnnprofError("--verbose and --quiet contradict each other")
    if verbose and form not in (None, "table"):
        raise SnnprofError(f"--verbose is --format table, not {form}")
    return "table" if verbose else form


@dataclass(frozen=True)
class Showing:
    """The rows and columns that --by, --sort, --top and --columns choose.

    Attributes:
        view: the choice for the first screen.
        by: what a row of a document stands for; None is an operation.
        selection: the choice of rows and columns for documents.

    Raises:
        SnnprofError: there is no such grouping or column.
    """

    view: View
    by: By | None
    selection: Selection

    @classmethod
    def checked(
        cls,
        destinations: Sequence[output.Destination],
        by: str | None = None,
        sort: str | None = None,
        top: int | None = None,
        columns: str | None = None,
        quiet: bool = False,
    ) -> Showing:
        """Checks the options against the formats of the destinations."""
        from snnprof.render.selection import Selection
        from snnprof.render.summary import View
        from snnprof.summary import SHOWN, Choice

        grouping = options.grouping(by) if by else None
        names = options.names(columns)
        forms = {each.form for each in destinations}
        choice = Choice(grouping, sort or "energy", top, names or SHOWN) if "summary" in forms else Choice()
        selection = Selection(sort, top, names) if forms - {"summary"} else Selection()
        return cls(View(quiet=quiet, choice=choice), grouping, selection)

    def show(
        self,
        reports: Sequence[EnergyReport],
        destination: output.Destination,
        command: str,
        file: str = "",
        seconds: float | None = None,
    ) -> None:
        """Renders a report and writes it.

        Args:
            reports: the reports of one run, one per price list.
            destination: the format and the file.
            command: the command that is running.
            file: the run file as the user can name it in the next command; "" if there is none.
            seconds: duration of the run in seconds; None if it did not run now.
        """
        if destination.form == "summary":
            from snnprof.render import summary

            at = (
                output.Screen.found() if destination.path is None else output.Screen(summary.WIDTH, False, False, False)
            )
            view = replace(self.view, file=file, seconds=seconds, ascii=at.ascii)
            destination.put(summary.text(reports, at.width, view, at.colour))
            return
        from snnprof.render.tables import report_document

        figures = destination.form == "html"
        document = report_document(reports, by=self.by or "op", command=command, figures=figures)
        destination.emit(self.selection.of(document))

    def show_notes(self, reports: Sequence[EnergyReport], destinations: Sequence[output.Destination]) -> None:
        """Writes all notes on a run and its prices as text.

        Raises:
            SnnprofError: a destination has another format.
        """
        from snnprof.render import facts, notes
        from snnprof.render.table import Document

        texts = notes.topics(notes.remarks(reports), [report.hardware.id for report in reports])
        document = Document(facts.title(reports[0].activity), (), notes=texts)
        for destination in destinations:
            if destination.form not in ("summary", "table"):
                raise SnnprofError(
                    f"--notes prints text, not {destination.form}", hint="every format has the notes too"
                )
            replace(destination, form="table").emit(document)
