"""Writes docs/findings.md from snnprof/explanations.yaml.

python docs/make_findings.py           writes it
python docs/make_findings.py --check   fails if it is not current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from generated import write_or_check

from snnprof.explanations import Explanation, anchor, every

PAGE = Path(__file__).with_name("findings.md")
HEAD = """# Findings

Every warning in a report has a code. This page says what each code means, why it matters and what to do;
`snnprof explain C06` prints the same. Written by `python docs/make_findings.py` from `snnprof/explanations.yaml`."""
GROUPS = {
    "C": ("Findings of a run", "The run file keeps these, so every report of the run shows them."),
    "M": ("Layers on a chip", "These come with `--mapping`; see [mapping](mapping.md)."),
    "W": ("Cautions about energies", "These depend on the hardware and the convention, so each report works them out."),
}


def main() -> int:
    return write_or_check({PAGE: page()}, Path(__file__).name)


def page() -> str:
    return "\n".join([HEAD, *(line for letter in GROUPS for line in group(letter))]) + "\n"


def group(letter: str) -> Iterator[str]:
    title, about = GROUPS[letter]
    members = [each for code, each in every().items() if code.startswith(letter)]
    yield from ("", f"## {title}", "", about, "", "| code | |", "|---|---|")
    yield from (f"| [{each.code}](#{anchor(each.code)}) | {each.title} |" for each in members)
    for each in members:
        yield from section(each)


def section(explanation: Explanation) -> Iterator[str]:
    """The heading is the code alone, so that its anchor stays when the title changes."""
    yield from ("", f"### {explanation.code}", "", f"**{explanation.title}.**")
    for heading, text in explanation.parts:
        yield from ("", f"*{heading}:* {text}")


if __name__ == "__main__":
    sys.exit(main())
