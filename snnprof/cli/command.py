"""What every command checks before it runs: no option is empty, and no output file is an input, too."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from typer.core import TyperCommand

from snnprof import kept
from snnprof.cli.output import SUFFIXES
from snnprof.errors import SnnprofError
from snnprof.maps import beside

_TEXTS = frozenset(("title", "caption", "label", "font"))
"""Parameters that name no file to read, and that may be empty."""


class Command(TyperCommand):
    """A command that looks at its options together before it does anything."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command.

        Raises:
            SnnprofError: an option is empty, or an output file is an input, too.
        """
        for option in self.params:
            texts = [each for each in _listed(ctx.params.get(option.name)) if isinstance(each, str)]
            may_be_empty = option.param_type_name == "argument" or option.name in _TEXTS
            if not may_be_empty and not all(map(str.strip, texts)):
                raise SnnprofError(f"{option.opts[0]} is empty", hint="give it a value, or leave it out")
        must_keep_inputs(ctx.params)
        return super().invoke(ctx)


def must_keep_inputs(given: Mapping[str, Any]) -> None:
    """Refuse to write over a file that the command reads, with or without --force.

    Args:
        given: the command's parameters by name.

    Raises:
        SnnprofError: an output file is read too, under whatever name, or it is one of the files of `--data FOLDER`.
    """
    # A run goes on in its file with --resume.
    existing = [out for out in _written(given) if os.path.isfile(out) and given.get("resume") != out]
    if not existing:
        return
    read = [value for name, value in given.items() if name not in {"out", *_TEXTS}]
    files = list(_files_named([name for value in read for name in _names_in(value)]))
    for out in existing:
        is_read = any(os.path.samefile(file, out) for file in files)
        if is_read or any(_is_data(name, out) for name in _names_in(given.get("data"))):
            raise SnnprofError(f"cannot write {out}: this command reads it", hint="choose another file with --output")


def _written(given: Mapping[str, Any]) -> list[Path]:
    files = _listed(given.get("out"))
    return files + [beside(file) for file in files if given.get("maps")]


def _listed(value: Any) -> list[Any]:
    """The values of a parameter that may be given several times."""
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def _names_in(value: Any) -> Iterator[str]:
    """Every part of `KEY=FILE,FILE`, `KIND:FOLDER` or `FILE:KEY` that can be a name; a name may hold these signs."""
    for text in _listed(value):
        if isinstance(text, str | Path):
            signs = [found.start() for found in re.finditer("[:=,]", str(text))]
            for start in (0, *(sign + 1 for sign in signs)):
                yield from (str(text)[start:end] for end in (*signs, len(str(text))) if end > start)


def _files_named(names: Iterable[str]) -> Iterator[str]:
    """The files that names stand for: paths, runs in the cache, Python modules and profiles of the user's."""
    from snnprof.hardware.lookup import users_own

    profiles = users_own()
    for name in names:
        module = name.replace(".", os.sep)
        places = [os.path.expanduser(name), f"{module}.py", os.path.join(module, "__init__.py")]
        if name.endswith(".json"):
            places.append(str(kept.found(Path(name))))
        places.append(str(profiles.get(name, "")))
        yield from filter(os.path.isfile, places)


def _is_data(folder: str, out: Path) -> bool:
    """Whether a file lies in a folder of data and is not a report or a run file that somebody keeps there."""
    place = os.path.expanduser(folder)
    return (
        out.suffix.lower() not in SUFFIXES and os.path.isdir(place) and Path(place).resolve() in out.resolve().parents
    )
