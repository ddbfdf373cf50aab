"""Finds the file of a hardware profile by its id. The loader reads the file."""

from __future__ import annotations

import os
import re
from importlib import resources
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from snnprof import plugins
from snnprof.errors import SnnprofError, unknown
from snnprof.yaml_file import Document, YamlProblem, read_yaml

ENTRY_POINTS = "snnprof.hardware_profiles"


def locate(name: str) -> Path:
    """Returns the file of a profile, by its id or path; a path need not exist.

    Raises:
        SnnprofError: there is no such id, or two files have it.
    """
    if name in built_in():
        if namesake := users_namesake(name):
            raise SnnprofError(
                f"two hardware profiles have the id {name!r}: a built-in one and {namesake}",
                hint="give yours another id, and its file that name",
            )
        return built_in()[name]
    if name.endswith((".yaml", ".yml")) or "/" in name or os.sep in name:
        return Path(name)
    if name in users_own():
        return users_own()[name]
    entries = plug_ins()
    if name not in entries:
        raise unknown("hardware profile", name, [*files(), *entries], see="snnprof hardware list")
    return _from_entry_point(entries[name])


def files() -> dict[str, Path]:
    """Returns built-in profiles and those of the user by id; of two with the same id, the built-in one."""
    return {**users_own(), **built_in()}


def built_in() -> dict[str, Path]:
    """Returns the files of the built-in profiles by id."""
    folder = Path(str(resources.files("snnprof.hardware_profiles")))
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def users_own() -> dict[str, Path]:
    """Returns the files in the user's folder by id."""
    return users_files()[0]


def users_files() -> tuple[dict[str, Path], list[SnnprofError]]:
    """Returns the files in the user's folder, and what is wrong with the folder; a missing folder is not wrong."""
    folder = _users_folder()
    if folder is None:
        return {}, []
    try:
        files = sorted(path for path in folder.iterdir() if path.name.endswith(".yaml"))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not folder.is_symlink():
            return {}, []
        reason = (error.strerror or "unknown error").lower()
        hint = "make it a folder that you can read, or name another one in SNNPROF_HARDWARE"
        return {}, [SnnprofError(f"your hardware profiles in {folder}, which cannot be read: {reason}", hint)]
    return {path.stem: path for path in files}, []


def _users_folder() -> Path | None:
    """Returns the user's folder; None for a user without a home folder."""
    given, config = os.environ.get("SNNPROF_HARDWARE"), os.environ.get("XDG_CONFIG_HOME")
    if given:
        return Path(given)
    try:
        return (Path(config) if config else Path.home() / ".config") / "snnprof" / "hardware"
    except RuntimeError:
        return None


def users_namesake(id: str) -> Path | None:
    """Returns the user's file with the id of a built-in profile; None if there is none that can be read as YAML."""
    path = users_own().get(id)
    return path if path and not isinstance(content(path), YamlProblem) else None


def content(path: Path) -> Document | YamlProblem:
    """Returns the content of a YAML file, or what is wrong with it."""
    try:
        return read_yaml(path)
    except YamlProblem as problem:
        return problem


def plug_ins() -> dict[str, EntryPoint]:
    """Returns the entry points through which installed packages offer profiles, by id."""
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


def _from_entry_point(entry: EntryPoint) -> Path:
    """Returns the file that an entry point names: it is a path, a text, or a function that returns one of them."""
    try:
        target = entry.load()
        return Path(target() if callable(target) else target)
    except plugins.BROKEN as error:
        raise plugins.failed(f"hardware profile {entry.name!r}", entry, error) from error


def stub_reason(path: Path) -> str | None:
    """Returns why a file has no prices; None for a real profile.

    Most files need no parsing to tell: a stub has a line that begins with `stub:`.
    """
    try:
        if not re.search(rb"^stub:", path.read_bytes(), re.MULTILINE):
            return None
        return str(read_yaml(path).data.get("stub"))
    except (OSError, SnnprofError):
        return None
