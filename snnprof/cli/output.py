"""Where results go: the checks that must pass before a long run, the choice of a format, and the writing."""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from snnprof import run_file
from snnprof.errors import SnnprofError, printable, unknown
from snnprof.render.table import Document

SUFFIXES = {".json": "json", ".csv": "csv", ".md": "markdown", ".tex": "latex", ".html": "html", ".txt": "table"}
FORMATS = ("table", "json", "csv", "markdown", "latex", "html")
STDOUT = Path("-")
_PLAIN = str.maketrans({"–": "-", "−": "-", "µ": "u", "±": "+-", "×": "x", "…": "~", "·": "*", "≈": "~", "≥": ">="})


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
    """The format asked for, else the one the output's suffix stands for, else a table.

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
        return name or "table"
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
            raise SnnprofError(f"--siunitx is for LaTeX, not for {form}", hint="add --format latex")
        if raw_csv and form != "csv":
            raise SnnprofError(f"--raw-csv is for CSV, not for {form}", hint="add --format csv")
        return cls(form, target, siunitx, force, raw_csv)

    def emit(self, document: Document) -> None:
        """Renders a document and writes it."""
        if self.path is None and sys.stdout is None:
            raise SnnprofError("cannot write to stdout: it is closed")
        on_screen = self.form == "table" and self.path is None
        text = _to_screen(document) if on_screen else self._rendered(document)
        write(text, self.path, self.force)

    def _rendered(self, document: Document) -> str:
        module = importlib.import_module(f"snnprof.render.{'terminal' if self.form == 'table' else self.form}")
        asked = {"siunitx": self.siunitx, "raw": self.raw_csv}
        return str(module.render(document, **{name: True for name, wanted in asked.items() if wanted}))


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


def _to_screen(document: Document) -> str:
    from rich.console import Console

    from snnprof.render import terminal

    console = Console()
    colour = console.is_terminal and console.color_system is not None and not console.no_color
    return terminal.render(document, console.width if sys.stdout.isatty() else None, colour)


def _print(text: str) -> None:
    encoding = sys.stdout.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = text.translate(_PLAIN).encode(encoding, errors="replace").decode(encoding)
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        # Without this the interpreter tries again, and complains, when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # whose reader has seen enough
            raise SnnprofError(f"cannot write to stdout: {error.strerror}") from error
