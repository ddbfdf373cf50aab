"""Writes results: checks the output before a long run, chooses the format, and writes to stdout or files."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import typer

from snnprof import run_file
from snnprof.errors import SnnprofError, printable, unknown
from snnprof.render.ascii import in_ascii
from snnprof.render.table import Document

SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html", ".txt": "table"}
FORMATS = ("table", "json", "csv", "markdown", "latex", "html")
REPORT_FORMATS = ("summary", *FORMATS)
STDOUT = Path("-")
PIPE_WIDTH = 100  # columns of the first screen in a pipe, if COLUMNS does not say otherwise


def checked_output(path: Path | None, force: bool) -> Path | None:
    """Checks before a long run that a file can be written; returns its path, or None for stdout.

    Raises:
        SnnprofError: the file exists already, its folder is missing, or it cannot be written.
    """
    if path is None or path == STDOUT:
        return None
    if path.is_dir():
        raise SnnprofError(f"cannot write {path}: it is a folder")
    if path.is_file() and not force:
        raise SnnprofError(f"{path} exists", hint=_overwriting(path))
    must_be_writable(path)
    return path


def must_be_writable(path: Path) -> None:
    """Raises SnnprofError if the path cannot be written, or is a link to a missing file."""
    run_file.must_lead_somewhere(path)
    if not path.parent.is_dir():
        raise SnnprofError(f"cannot write {path}: the folder {path.parent} does not exist", hint="create it first")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SnnprofError(f"cannot write {path}: permission denied")


def _overwriting(path: Path) -> str:
    others = run_file.other_names(path)
    warning = f"; it has {others} more name{'s' * (others > 1)} (hard links), and {run_file.PARTS_LINKS}"
    return f"overwrite it with --force, or choose another --output{warning if others else ''}"


def chosen_format(name: str | None, output: Path | None, allowed: tuple[str, ...] = FORMATS) -> str:
    """The format that --format names, else that of the output's suffix, else the first of those allowed.

    Raises:
        SnnprofError: the format is unknown or contradicts the suffix.
    """
    if name is not None and name not in allowed:
        raise unknown("format", name, allowed)
    suffix = output.suffix.lower() if output else ""
    implied = SUFFIXES.get(suffix)
    if output is None or implied is None:
        if name is None and suffix:
            raise SnnprofError(f"cannot tell a format from {suffix!r}", hint=f"name it: --format {'|'.join(allowed)}")
        return name or allowed[0]
    if name == "summary" and implied == "table":
        return name
    if name is not None and name != implied:
        raise SnnprofError(f"--format {name} contradicts --output {output}", hint=f"{suffix} files hold {implied}")
    return implied


def chosen(what: str, name: str, allowed: tuple[str, ...]) -> str:
    """Returns `name` if it is one of `allowed`; `what` names its kind in the message.

    Raises:
        SnnprofError: it is not.
    """
    if name not in allowed:
        raise unknown(what, name, allowed)
    return name


def command_line(context: typer.Context) -> str:
    """The command that is running, for files that say how they were made."""
    return shlex.join(["snnprof", *context.obj])


@dataclass(frozen=True)
class Destination:
    """The format in which a document is rendered, and the file to which it is written.

    Attributes:
        form: the format.
        path: the file; None is stdout.
        siunitx: LaTeX: numbers are in siunitx columns.
        force: an existing file may be overwritten.
        raw_csv: CSV: texts that a spreadsheet would run as formulas are not changed.
        caption: LaTeX: caption of the float that holds the first table.
        label: LaTeX: label of that float.
        fit: LaTeX: columns are left out of a table that is wider than the line.
    """

    form: str
    path: Path | None = None
    siunitx: bool = False
    force: bool = False
    raw_csv: bool = False
    caption: str = ""
    label: str = ""
    fit: bool = True

    @classmethod
    def checked(
        cls,
        form: str | None,
        path: Path | None = None,
        force: bool = False,
        siunitx: bool = False,
        allowed: tuple[str, ...] = FORMATS,
        raw_csv: bool = False,
    ) -> Destination:
        """Checks --format, --output, --force, --siunitx and --raw-csv before a long run.

        Raises:
            SnnprofError: the file cannot be written, or the options contradict each other.
        """
        target = checked_output(path, force)
        form = chosen_format(form, target, allowed)
        if siunitx and form != "latex":
            raise only_for("--siunitx", "latex", form)
        if raw_csv and form != "csv":
            raise only_for("--raw-csv", "csv", form)
        return cls(form, target, siunitx, force, raw_csv)

    @classmethod
    def several(
        cls,
        form: str | None,
        paths: Sequence[Path],
        force: bool = False,
        siunitx: bool = False,
        allowed: tuple[str, ...] = REPORT_FORMATS,
        raw_csv: bool = False,
    ) -> list[Destination]:
        """One destination for each file, or stdout if there is none.

        --siunitx and --raw-csv apply to the files in the format that they are for.

        Raises:
            SnnprofError: as in `checked`; or a file is named twice.
        """
        for path in paths:
            if paths.count(path) > 1:
                raise SnnprofError(f"--output {path} is there twice")
        found = [cls.checked(form, path, force, allowed=allowed) for path in (paths or (None,))]
        forms = {each.form for each in found}
        for option, wanted, of in (("--siunitx", siunitx, "latex"), ("--raw-csv", raw_csv, "csv")):
            if wanted and of not in forms:
                raise only_for(option, of, ", ".join(sorted(forms)))
        return [replace(each, siunitx=siunitx and each.form == "latex", raw_csv=raw_csv and each.form == "csv")
                for each in found]  # fmt: skip

    def emit(self, document: Document) -> None:
        """Renders a document and writes it."""
        if self.form == "table" and self.path is None:
            at = Screen.found()
            text = importlib.import_module("snnprof.render.terminal").render(document, at.limit, at.colour)
            self.put(at.plain(text))
        else:
            self.put(self._rendered(document))

    def put(self, text: str) -> None:
        """Writes a rendered document.

        Raises:
            SnnprofError: stdout is closed, or the file cannot be written.
        """
        if self.path is None and sys.stdout is None:
            raise SnnprofError("cannot write to stdout: it is closed")
        write(text, self.path, self.force)

    def _rendered(self, document: Document) -> str:
        module = importlib.import_module(f"snnprof.render.{'terminal' if self.form == 'table' else self.form}")
        latex = {"siunitx": self.siunitx, "caption": self.caption, "label": self.label, "fit": self.fit}
        own: dict[str, dict[str, Any]] = {"latex": latex, "csv": {"raw": self.raw_csv}}
        return str(module.render(document, **own.get(self.form, {})))


def as_floats(
    destinations: Sequence[Destination], caption: str | None, label: str | None, columns: bool
) -> list[Destination]:
    """Adds --caption and --label, for LaTeX, to destinations; if columns were named, none is left out to fit.

    Raises:
        SnnprofError: none of the destinations is LaTeX.
    """
    forms = [each.form for each in destinations]
    if (caption or label) and "latex" not in forms:
        raise only_for("--caption" if caption else "--label", "latex", ", ".join(sorted(set(forms))))
    return [replace(each, caption=caption or "", label=label or "", fit=not columns) for each in destinations]


def only_for(option: str, form: str, found: str) -> SnnprofError:
    """The error for an option of one format with another format."""
    name = {"latex": "LaTeX", "csv": "CSV"}[form]
    return SnnprofError(f"{option} is for {name}, not for {found}", hint=f"add --format {form}")


@dataclass(frozen=True)
class Screen:
    """What stdout can show.

    Attributes:
        width: width in columns; in a pipe the value of COLUMNS, or 100.
        terminal: whether stdout is a terminal.
        colour: whether it shows colours.
        ascii: whether it shows ASCII only.
    """

    width: int
    terminal: bool
    colour: bool
    ascii: bool

    @classmethod
    def found(cls) -> Screen:
        """The present stdout."""
        from rich.console import Console

        console, terminal = Console(), bool(sys.stdout and sys.stdout.isatty())
        colour = console.is_terminal and console.color_system is not None and not console.no_color
        width = console.width if terminal or os.environ.get("COLUMNS", "").isdecimal() else PIPE_WIDTH
        return cls(width, terminal, colour, _speaks_ascii_alone())

    @property
    def limit(self) -> int | None:
        """The number of columns that a table must fit in; None in a pipe, where nothing is cut."""
        return self.width if self.terminal else None

    def plain(self, text: str) -> str:
        """The text, in ASCII if stdout shows nothing else."""
        return in_ascii(text) if self.ascii else text


def _speaks_ascii_alone() -> bool:
    """Whether stdout should get ASCII only: its encoding lacks our signs, or the terminal is dumb, or the locale is C.

    The locale is read from the environment, since Python itself treats the C locale as UTF-8.
    """
    try:
        "µ≥█".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return True
    every, letters, other = (os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    letters = letters.removesuffix("C.UTF-8")  # Python sets this value if LANG is C
    return os.environ.get("TERM") == "dumb" or (every or letters or other) in ("C", "POSIX")


def write(text: str, output: Path | None, force: bool = True) -> None:
    """Writes a text to a file; None is stdout."""
    if output is None:
        _print(text)
    else:
        write_file(text, output, force)


def write_file(content: str | bytes, output: Path, force: bool = True) -> None:
    """Writes a file; without `force`, fails if a file has appeared there since the name was checked."""
    run_file.Target(output, force).write(content)
    say(f"wrote {output}")


def say(text: str) -> None:
    """Prints one line to stderr."""
    print(printable(text), file=sys.stderr)


def warn(errors: Sequence[SnnprofError]) -> None:
    """Prints to stderr what is left out of a result and what to do about it."""
    for error in errors:
        say(f"warning: left out: {error}")
        if error.hint:
            say(f"hint: {error.hint}")


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = "".join(c if _can(c, encoding) else in_ascii(c) for c in text)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Otherwise the interpreter flushes stdout again at exit, and prints the error that this raises.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # the reader, such as `head`, has seen enough
            raise SnnprofError(f"cannot write to stdout: {error.strerror}") from error


def _can(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
