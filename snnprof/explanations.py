"""What each finding means, why it matters and what to do: the texts behind `snnprof explain` and docs/findings.md."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

from snnprof.errors import unknown
from snnprof.yaml_file import read_yaml

TEXTS = Path(__file__).with_suffix(".yaml")


@dataclass(frozen=True)
class Explanation:
    """One finding explained.

    Attributes:
        code: the finding's, such as `C01`.
        title: the finding in a few words.
        means, matters, do: what was seen, why it matters for the figures, and what to do about it.
    """

    code: str
    title: str
    means: str
    matters: str
    do: str

    @property
    def parts(self) -> tuple[tuple[str, str], ...]:
        """The three texts with their headings."""
        return ("What it means", self.means), ("Why it matters", self.matters), ("What to do", self.do)


@functools.cache
def every() -> dict[str, Explanation]:
    """All explanations by code, in the order of the codes."""
    texts = read_yaml(TEXTS).data
    return {
        code: Explanation(code, **{key: text.strip() for key, text in texts[code].items()}) for code in sorted(texts)
    }


def find(code: str) -> Explanation:
    """The explanation of a code, in capitals or not.

    Raises:
        SnnprofError: no finding has this code.
    """
    found = every().get(code.upper())
    if found is None:
        raise unknown("finding code", code.upper(), every(), see="snnprof explain")
    return found


def anchor(code: str) -> str:
    """The fragment that leads to a code's section: of docs/findings.md, and of a page that repeats it.

    >>> anchor("C01")
    'c01'
    """
    return code.lower()
