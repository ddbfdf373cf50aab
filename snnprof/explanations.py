"""The meaning of each finding, column and term: the texts behind `snnprof explain` and docs/findings.md."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snnprof.errors import unknown
from snnprof.yaml_file import read_yaml

TEXTS = Path(__file__).with_suffix(".yaml")
_CODE = re.compile(r"[CMW]\d\d")
_ENERGY = re.compile(r"\([pnµmkM]?J\)\s*$")
"""Matches the end of the heading of a column of energies, which may be the name of a price list."""
_SPREAD = "spread"
_SIGNS = {"≥": "lower_bound", "±": _SPREAD, "–": "unknown"}


@dataclass(frozen=True)
class Explanation:
    """The explanation of one finding.

    Attributes:
        code: the code of the finding, such as `C01`.
        title: the finding in a few words.
        means, matters, do: what happened, why it matters for the figures, and what to do about it.
    """

    code: str
    title: str
    means: str
    matters: str
    do: str

    @property
    def name(self) -> str:
        """The name by which a reader asks for it."""
        return self.code

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The three texts with their headings."""
        return ("What it means", self.means), ("Why it matters", self.matters), ("What to do", self.do)


@dataclass(frozen=True)
class Term:
    """The explanation of one column of the tables, or of one term in the reports.

    Attributes:
        name: name of the column, such as `dense_macs`.
        title: what it is, in a few words.
        means, computed, read: what it is, how it is computed, and how to read it; the last two may be empty.
        also: further names for it.
    """

    name: str
    title: str
    means: str
    computed: str = ""
    read: str = ""
    also: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The texts that are not empty, with their headings."""
        every = ("What it is", self.means), ("How it is computed", self.computed), ("How to read it", self.read)
        return tuple((heading, text) for heading, text in every if text)


@functools.cache
def every() -> dict[str, Explanation]:
    """Returns the explanations of all findings by code, in the order of the codes."""
    texts = _texts()
    return {code: Explanation(code, **texts[code]) for code in sorted(texts) if _CODE.fullmatch(code)}


@functools.cache
def terms() -> dict[str, Term]:
    """Returns the explanations of columns and terms by name, in the order of the file."""
    return {
        name: Term(name, **{**texts, "also": tuple(texts.get("also", ()))})
        for name, texts in _texts().items()
        if not _CODE.fullmatch(name)
    }


def find(name: str) -> Explanation | Term:
    """Finds the explanation of a finding by its code, or of a column or term by its name; letter case does not matter.

    Raises:
        SnnprofError: nothing has this name.
    """
    found = every().get(name.upper()) or term(name)
    if found is None and re.fullmatch(r"[CMWcmw]\d+", name):
        raise unknown("finding code", name.upper(), every(), see="snnprof explain")
    if found is None:
        raise unknown("finding code, column or term", name, [*every(), *terms()], see="snnprof explain")
    return found


def term(name: str) -> Term | None:
    """Finds the explanation of a column or term by its name in CSV, its heading, or the sign that stands for it.

    >>> term("energy_pj_rolls_77fj").name, term("Dense MACs").name, term("sops_spread").name, term("SOPs (M)").name
    ('energy_pj', 'dense_macs', 'spread', 'sops')
    >>> term("Energy ×").name, term("≥").name, term("≥ cmos45-fp32 (µJ)").name
    ('energy_ratio', 'lower_bound', 'energy_pj')
    """
    whole, without_unit = _as_name(name), _as_name(re.sub(r"\([^()]*\)$", "", name.strip()))
    found = _named(whole) or _named(without_unit)
    return _named("energy_pj") if found is None and _ENERGY.search(name) else found


def _as_name(text: str) -> str:
    """What a reader typed, in the form of the names in the file."""
    text = _SIGNS.get(text.strip(), text)
    return re.sub(r"\W+", "_", re.sub(r"×\s*$", "ratio", text).lower()).strip("_")


@functools.cache
def _names() -> dict[str, Term]:
    """All terms by each of their names."""
    return {alias: each for each in terms().values() for alias in each.also} | terms()


def _named(wanted: str) -> Term | None:
    names = _names()
    if wanted in names:
        return names[wanted]
    if wanted.endswith(f"_{_SPREAD}"):
        return names[_SPREAD]
    beginnings = (each for each in names if each.endswith("_pj") or each in ("pareto", "unlike"))
    return names.get(max((each for each in beginnings if wanted.startswith(f"{each}_")), key=len, default=""))


def anchor(code: str) -> str:
    """Returns the fragment of a link to a code's section, in docs/findings.md and in pages that repeat it.

    >>> anchor("C01")
    'c01'
    """
    return code.lower()


@functools.cache
def _texts() -> dict[str, dict[str, Any]]:
    """Returns the content of the file, without the line breaks around its texts."""
    entries = read_yaml(TEXTS).data
    return {
        name: {key: text.strip() if isinstance(text, str) else text for key, text in entry.items()}
        for name, entry in entries.items()
    }
