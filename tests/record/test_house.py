"""The table of modules in docs/recorder.md is true: each imports only from modules that stand above it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_modules_import_from_modules_above_them_in_the_table() -> None:
    page = (ROOT / "docs/recorder.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`\w+\.py`.*?) \|", page, re.M)
    level = {name: number for number, row in enumerate(rows) for name in re.findall(r"`(\w+)\.py`", row)}
    assert len(level) > 15
    level["recorder"] = len(rows)
    for name, own in level.items():
        source = (ROOT / f"snnprof/record/{name}.py").read_text(encoding="utf-8")
        imported = set(re.findall(r"from snnprof\.record\.(\w+) import", source))
        assert not {other for other in imported & level.keys() if level[other] >= own}, name
