"""What the scripts docs/make_*.py do with the files that they make: write them, or see whether they are current."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def write_or_check(made: Mapping[Path, str], script: str) -> int:
    """Writes each text to its file; with `--check` on the command line, names the files that are not current.

    Returns:
        The exit status: 1 if one is not current.
    """
    if "--check" not in sys.argv[1:]:
        for path, text in made.items():
            path.write_text(text, encoding="utf-8", newline="\n")
        return 0
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        print(f"{path.relative_to(ROOT)} is not current: run python docs/{script}", file=sys.stderr)
    return bool(stale)
