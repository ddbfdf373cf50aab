"""Runs that were made without `--output`: in a cache folder, under a short name that other commands find."""

from __future__ import annotations

import os
import re
from pathlib import Path

from snnprof.errors import SnnprofError


def folder() -> Path:
    """Returns the folder of these runs: `$XDG_CACHE_HOME/snnprof/runs`, by default `~/.cache/snnprof/runs`.

    Raises:
        SnnprofError: this user has no home folder.
    """
    named = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    except RuntimeError as error:
        raise SnnprofError("there is no home folder to keep the run in", hint="name a file with --output") from error
    return cache / "snnprof" / "runs"


def place(model: str) -> Path:
    """Returns the file for a run of a model, and creates its folder. The next run of the same model replaces it.

    Raises:
        SnnprofError: the folder cannot be created or written to.
    """
    where = folder()
    try:
        where.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SnnprofError(f"cannot make {where}: {error.strerror}", hint="name a file with --output") from error
    if not os.access(where, os.W_OK):
        raise SnnprofError(f"cannot write into {where}: permission denied", hint="name a file with --output")
    return where / file_name(model)


def file_name(model: str) -> str:
    """Returns a short file name for a run of a model.

    >>> file_name("saformer"), file_name("spikformer:4-384-cifar10"), file_name("nets/my net.py:build")
    ('saformer.json', 'spikformer-4-384-cifar10.json', 'my-net-build.json')
    """
    place, _, attribute = model.rpartition(":")
    stem = Path(place or attribute).name.removesuffix(".py")
    words = re.sub(r"[^\w.]+", "-", f"{stem}-{attribute}" if place else stem).strip("-.")
    return f"{words[:80] or 'run'}.json"


def found(path: Path) -> Path:
    """Returns the file for a name: a bare NAME.json that is not in the current folder may be in the cache."""
    if path.exists() or path.name != str(path) or path.suffix != ".json":
        return path
    try:
        cached = folder() / path
    except SnnprofError:
        return path
    return cached if cached.is_file() else path


def shown(path: Path) -> str:
    """Returns what a command calls a kept run: its bare name, unless a file in the current folder has that name."""
    return str(path) if Path(path.name).exists() else path.name
