"""The papers behind the bundled profiles, as BibTeX: `hardware_profiles/sources.bib`."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources

from snnprof.hardware import Source

_ENTRY = re.compile(r"^@\w+\{([^,\s]+),.*?^\}$", re.M | re.S)
_ENOUGH = 12  # letters and digits of a title that tell it from others


@cache
def entries() -> dict[str, str]:
    """Returns the BibTeX entries by key, which is the id of a source."""
    text = resources.files("snnprof.hardware_profiles").joinpath("sources.bib").read_text(encoding="utf-8")
    return {match.group(1): match.group() for match in _ENTRY.finditer(text)}


def field(entry: str, name: str) -> str | None:
    """Returns the text of a field without the braces around it; None if the entry has no such field."""
    match = re.search(rf"^\s*{name}\s*=\s*\{{(.*)\}},?$", entry, re.M)
    return match.group(1) if match else None


def entry_of(source: Source) -> str | None:
    """Returns the entry of a source; None if it has none.

    A source of another profile may have the same id and mean another paper, so DOI and title must agree too.
    """
    entry = entries().get(source.id)
    if entry is None or field(entry, "doi") != source.doi:
        return None
    begin = _letters(field(entry, "title") or "")[:_ENOUGH]
    return entry if source.citation is None or begin in _letters(source.citation) else None


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())
