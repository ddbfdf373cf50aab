"""Where results go: the checks that must pass before a long run, the choice of a format, and the writing."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from snnprof import run_file
from snnprof.errors import SnnprofError, printable, unknown
from snnprof.render.ascii import in_ascii
from snnprof.render.table import Document

SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html", ".txt": "table"}
FORMATS = ("table", "json", "csv", "markdown", "latex", "html")
REPORT_FORMATS = ("summary", *FORMATS)
STDOUT = Path("-")
PIPE_WIDTH = 100


def checked_output(path: Path | None, force: bool) -> Path | None:
    """The path to write to; null for stdout. Fails now rather than after the work.

    Raises:
        SnnprofError: it exists already, its folder is missing, or it cannot be written.
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
    """Raises SnnprofError where writing to the path would fail, or leave a link without its file."""
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
    """The format asked for, else the one the output's suffix stands for, else the first of those allowed.

    Raises:
        SnnprofError: unknown, or at odds with the suffix.
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
    """`name`, if it is one of `allowed`.

    Raises:
        SnnprofError: it is not.
    """
    if name not in allowed:
        raise unknown(what, name, allowed)
    return name


def command_line(context: typer.Context) -> str:
    """The command that is running, for artefacts that say how they were made."""
    return shlex.join(["snnprof", *context.obj])


@dataclass(frozen=True)
class Destination:
    """How a document is rendered and where it goes; null is stdout."""

    form: str
    path: Path | None = None
    siunitx: bool = False
    force: bool = False
    raw_csv: bool = False

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
        """What --format, --output, --force, --siunitx and --raw-csv ask for. Fails now rather than after the work.

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
        """One for each file, stdout where none is named; options of one format are for the files that have it.

        Raises:
            SnnprofError: as `checked`, or a file is named twice.
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
        """Writes what was rendered."""
        if self.path is None and sys.stdout is None:
            raise SnnprofError("cannot write to stdout: it is closed")
        write(text, self.path, self.force)

    def _rendered(self, document: Document) -> str:
        module = importlib.import_module(f"snnprof.render.{'terminal' if self.form == 'table' else self.form}")
        asked = {"siunitx": self.siunitx, "raw": self.raw_csv}
        return str(module.render(document, **{name: True for name, wanted in asked.items() if wanted}))


def only_for(option: str, form: str, found: str) -> SnnprofError:
    """The error for an option that one format alone knows."""
    name = {"latex": "LaTeX", "csv": "CSV"}[form]
    return SnnprofError(f"{option} is for {name}, not for {found}", hint=f"add --format {form}")


@dataclass(frozen=True)
class Screen:
    """What stdout shows.

    Attributes:
        width: in columns; what COLUMNS says, or 100, where it is no terminal.
        terminal: whether it is one.
    """

    width: int
    terminal: bool
    colour: bool
    ascii: bool

    @classmethod
    def found(cls) -> Screen:
        from rich.console import Console

        console, terminal = Console(), bool(sys.stdout and sys.stdout.isatty())
        colour = console.is_terminal and console.color_system is not None and not console.no_color
        width = console.width if terminal or os.environ.get("COLUMNS", "").isdecimal() else PIPE_WIDTH
        return cls(width, terminal, colour, _speaks_ascii_alone())

    @property
    def limit(self) -> int | None:
        """Columns that a table must fit in; null in a pipe, where nothing is cut."""
        return self.width if self.terminal else None

    def plain(self, text: str) -> str:
        return in_ascii(text) if self.ascii else text


def _speaks_ascii_alone() -> bool:
    """A dumb terminal, an encoding without the signs, or the C locale, which Python itself takes for UTF-8."""
    locale = next(filter(None, map(os.environ.get, ("LC_ALL", "LANG"))), "")
    try:
        "µ≥█".encode(getattr(sys.stdout, "encoding", None) or "utf-8")
    except UnicodeEncodeError:
        return True
    return os.environ.get("TERM") == "dumb" or (locale in ("C", "POSIX") and not _character_set())


def _character_set() -> str:
    """What LC_CTYPE says beside a LANG of C; Python sets it to C.UTF-8 itself where nobody else has."""
    return "" if os.environ.get("LC_CTYPE", "") in ("", "C", "POSIX", "C.UTF-8") else os.environ["LC_CTYPE"]


def write(text: str, output: Path | None, force: bool = True) -> None:
    if output is None:
        _print(text)
    else:
        write_file(text, output, force)


def write_file(content: str | bytes, output: Path, force: bool = True) -> None:
    """Writes a file; without `force` only where none has appeared since its name was checked."""
    run_file.Target(output, force).write(content)
    say(f"wrote {output}")


def say(text: str) -> None:
    """One line for the person at the terminal."""
    print(printable(text), file=sys.stderr)


def warn(errors: Sequence[SnnprofError]) -> None:
    """What is left out of a result, and what to do about it; the result stands."""
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
        # Without this the interpreter tries again, and complains, when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            raise SnnprofError(f"cannot write to stdout: {error.strerror}") from error


def _can(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
