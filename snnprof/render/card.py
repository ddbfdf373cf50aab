"""The reviewer's card of a run: everything that decides its figures, and the commands that check them, on one page."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from snnprof.activity import Activity
from snnprof.conventions import Convention
from snnprof.pricing import EnergyReport, split_gain
from snnprof.render import facts, latex, markdown
from snnprof.render.citation import COMPONENTS, charges
from snnprof.render.cleaning import line
from snnprof.render.notes import RANDOM_DATA
from snnprof.summary import Summary, summarise
from snnprof.units import count_text

WIDTH, LABEL = 100, 19
FEW = 6
"""At most this many layers with MACs are named."""
UNKNOWN = "not recorded"


@dataclass(frozen=True)
class File:
    """The run file of a card.

    Attributes:
        name: the file as the commands on the card name it.
        checksum: the checksum in the file; None if it has none.
        changed: whether the content was changed after the checksum was written.
        pricing: the flags that price the run as the card does.
    """

    name: str
    checksum: str | None = None
    changed: bool = False
    pricing: tuple[str, ...] = ()


Rows = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Section:
    """A part of the card: labels and texts; `code` where the texts are commands."""

    title: str
    rows: Rows
    code: bool = False


@dataclass(frozen=True)
class Card:
    """The reviewer's card of a run: its title and sections."""

    title: str
    sections: tuple[Section, ...]


def card(reports: Sequence[EnergyReport], file: File) -> Card:
    """The card of one run under one convention, on one or several price lists."""
    activity, known = reports[0].activity, dict(facts.facts(reports))
    return Card(
        title=line(f"Reviewer's card: {facts.title(activity)}"),
        sections=(
            Section("What ran", _cleaned(_ran(activity, known))),
            Section("How it was counted", _cleaned(_counted(reports, known))),
            Section(f"Figures {facts.per(activity)}", _cleaned(_figures(reports, known))),
            Section("Constants", _cleaned(_constants(reports))),
            Section("Not in the total", _cleaned(_left_out(reports))),
            Section("Identity", _cleaned(_identity(activity, file))),
            Section("Commands", _cleaned(_commands(activity, file)), code=True),
        ),
    )


def _cleaned(rows: Iterable[tuple[str, str]]) -> Rows:
    return tuple((line(label), line(text)) for label, text in rows if text)


def _ran(activity: Activity, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    run = activity.run
    yield "model", known["model"]
    yield "about the model", run.model.note or ""
    yield "data", known["data"]
    yield "about the data", "random numbers, not data" if run.data.kind == RANDOM_DATA else run.data.note or ""
    yield "accuracy", known.get("accuracy", f"unknown: {facts.why_no_accuracy(activity)}")
    yield "complete", "" if run.complete else "no: the run was interrupted, and holds the samples that ran"


def _counted(reports: Sequence[EnergyReport], known: dict[str, str]) -> Iterator[tuple[str, str]]:
    report, summary = reports[0], summarise(reports)
    yield "convention", known["counted by"]
    yield "its options", _options(report.convention)
    yield "excluded layers", known.get("excluded", "")
    yield "multiplies", _multiplies(summary)
    yield "self-check", known.get("self-check", "not done: no sample was counted a second time")
    yield "coverage", known["cross-check"]
    yield "operators", _operators(report.activity)


def _options(convention: Convention) -> str:
    return ", ".join(f"{name}={convention.options[name]}" for name in convention.choices)


def _multiplies(summary: Summary) -> str:
    """The number of MACs, and the layers that need them."""
    rows = summary.mac_rows
    if not rows:
        return "nothing: each operation is an accumulate"
    names = dict.fromkeys(row.layer or row.op for row in rows)
    more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    return f"{count_text(summary.macs)} MACs, in {', '.join(list(names)[:FEW])}{more}"


def _operators(activity: Activity) -> str:
    """The operators that ran and have no counting rule."""
    names = sorted({entry.op for entry in activity.uncounted})
    return f"not counted: {', '.join(names)}" if names else "all that ran have a counting rule"


def _figures(reports: Sequence[EnergyReport], known: dict[str, str]) -> Iterator[tuple[str, str]]:
    yield "operations", known["operations"]
    for report in reports:
        id = report.hardware.id
        yield id, known[f"energy, {id}"]
        yield "– ANN twin", known.get(f"ANN twin, {id}", "unknown: this list does not price it")
        yield "– quantised twin", _quantised(report)
    blocks = len(reports[0].activity.blocks)
    yield "intervals", f"± is the 95 % interval for new data, over {blocks} blocks of samples" if blocks > 1 else "none"
    yield "heavy tail", known.get("heavy tail", "")


def _quantised(report: EnergyReport) -> str:
    """The comparison with the ANN twin whose activations have as few bits as the spike trains."""
    twin = report.quantised_twin
    gain = split_gain(twin, report) if twin else None
    if twin is None or gain is None:
        return ""
    what = f"the ANN twin with {twin.bits}-bit activations, on {twin.hardware.id}"
    return f"{gain.total:.3g} × the energy of this SNN: {what}"


def _constants(reports: Sequence[EnergyReport]) -> Iterator[tuple[str, str]]:
    known = dict(facts.facts(reports))
    for report in reports:
        listed = ", ".join(f"{price} per {words}" for price, words in charges(report.hardware))
        memory = "with memory accesses" if report.hardware.memory else "without memory accesses"
        yield report.hardware.id, f"{listed}; {memory}; {known[f'prices, {report.hardware.id}']}"


def _left_out(reports: Sequence[EnergyReport]) -> Iterator[tuple[str, str]]:
    """Yields what the price lists and the convention leave out; work without a price is named at each energy."""
    lists: dict[str, list[str]] = {}
    for report in reports:
        excluded = [words for name, words in COMPONENTS.items() if name in report.hardware.excludes]
        lists.setdefault(", ".join(excluded), []).append(report.hardware.id)
    for words, ids in lists.items():
        yield ", ".join(ids), words
    left = (f"{count_text(count)} {facts.WORK.get(what, what)}" for what, count in summarise(reports).left_out)
    yield "by the convention", ", ".join(left)
    codes = sorted({finding.code for finding in facts.findings(reports)})
    yield "warnings", f"{', '.join(codes)} (snnprof explain CODE)" if codes else "none"


def _identity(activity: Activity, file: File) -> Iterator[tuple[str, str]]:
    run = activity.run
    weights = run.conditions.get("the weights", UNKNOWN)
    yield "weights", f"{weights}; file SHA-256 {run.model.sha256}" if run.model.sha256 else weights
    yield "code of the model", run.conditions.get("the code of the model", "of snnprof, or not recorded")
    digests = (("its beginning", run.data.fingerprint), ("all that ran", run.data.read))
    yield "data", "; ".join(f"{name} {value}" for name, value in digests if value) or UNKNOWN
    state = "CHANGED since snnprof wrote it" if file.changed else "unchanged since snnprof wrote it"
    yield (
        "run file",
        f"checksum of its content {file.checksum}; {state}" if file.checksum else f"{file.name} holds no checksum",
    )
    where = filter(None, (run.platform, run.device, run.dtype, run.created))
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    yield "made with", "; ".join(filter(None, (versions, *where)))


def _commands(activity: Activity, file: File) -> Iterator[tuple[str, str]]:
    argv = activity.run.argv
    yield "repeat", shlex.join(["snnprof", *argv]) if argv else "# the run file holds no command: Python made it"
    yield "verify", shlex.join(["snnprof", "verify", file.name]) if argv else ""
    yield "price", shlex.join(["snnprof", "report", file.name, *file.pricing])


# -- formats -----------------------------------------------------------------------------------------------


def as_text(card: Card) -> str:
    """The card as text in two columns, wrapped at 100 characters; commands are not wrapped."""
    parts = [card.title]
    for section in card.sections:
        parts.append(f"\n{section.title}")
        for label, text in section.rows:
            lines = [text] if section.code else textwrap.wrap(text, WIDTH - LABEL - 4, break_long_words=False)
            first, *rest = lines or [""]
            if len(label) > LABEL:
                parts.append(f"  {label}")
            parts.append(f"  {label if len(label) <= LABEL else '':<{LABEL}}  {first}")
            parts += [f"{'':<{LABEL + 4}}{each}" for each in rest]
    return "\n".join(parts) + "\n"


def as_markdown(card: Card) -> str:
    """The card as Markdown: a heading, and a table for each section."""
    parts = [f"## {markdown.escaped(card.title)}"]
    for section in card.sections:
        text = _code if section.code else markdown.escaped
        rows = [f"| {markdown.escaped(label)} | {text(value)} |" for label, value in section.rows]
        parts.append("\n".join([f"| {markdown.escaped(section.title)} | |", "|---|---|", *rows]))
    return "\n\n".join(parts) + "\n"


def _code(text: str) -> str:
    """A command as Markdown code, between more back-ticks than it contains; bars are escaped, since they end a cell."""
    ticks = "`" * (1 + max(map(len, "".join(c if c == "`" else " " for c in text).split()), default=0))
    pad = " " if "`" in text else ""
    return f"{ticks}{pad}{text}{pad}{ticks}".replace("|", r"\|")


def as_latex(card: Card) -> str:
    """The card as a LaTeX document of one page. A longer card is scaled down; one of two pages or more is not."""
    parts = [rf"{{\large\bfseries\raggedright\sloppy {latex.breakable(card.title)}\par}}"]
    for section in card.sections:
        parts.append(rf"\medskip\textbf{{{latex.escaped(section.title)}}}\par\smallskip")
        for label, text in section.rows:
            shown = rf"\texttt{{{latex.breakable(text)}}}" if section.code else latex.breakable(text)
            parts.append(rf"\row{{{latex.breakable(label)}}}{{{shown}}}")
    return _PAGE.replace("BODY", "\n".join(parts))


_PAGE = r"""\documentclass[a4paper]{article}
\usepackage[utf8]{inputenc}
\usepackage[margin=16mm]{geometry}
\usepackage{graphicx,textcomp}
\pagestyle{empty}\setlength{\parindent}{0pt}\setlength{\parskip}{0pt}\setlength{\fboxsep}{0pt}
\newcommand{\row}[2]{\parbox[t]{0.21\linewidth}{\raggedright #1\strut}\hfill
  \parbox[t]{0.78\linewidth}{\raggedright\sloppy #2\strut}\par\vspace{1pt}}
\newsavebox{\card}
\begin{document}
\newcommand{\body}{%
BODY
}
\sbox{\card}{\begin{minipage}{\textwidth}\footnotesize\body\end{minipage}}
\ifdim\dimexpr\ht\card+\dp\card\relax>2\textheight  % too small to read on one page
  \footnotesize\body
\else\ifdim\dimexpr\ht\card+\dp\card\relax>\textheight
  \centering\resizebox*{!}{0.99\textheight}{\usebox{\card}}
\else
  \usebox{\card}
\fi\fi
\end{document}
"""

FORMATS: dict[str, Callable[[Card], str]] = {"table": as_text, "markdown": as_markdown, "latex": as_latex}
