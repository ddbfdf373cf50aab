"""Writes docs/validation.md from the measured cases and the hardware profiles.

python docs/make_validation.py           writes it
python docs/make_validation.py --check   fails if it is not current
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from generated import write_or_check

from snnprof.render import markdown
from snnprof.render.markdown import escaped
from snnprof.render.validation import RELATIONS, case_facts, parts_text, tally_text, validation
from snnprof.validation import Case, Check, cases, checks, tally

PAGE = Path(__file__).with_name("validation.md")
HEAD = """# Validation: estimates held against measurements

<!-- Made from snnprof/validation/cases.yaml and the hardware profiles by docs/make_validation.py. -->

An energy that snnprof prints is a count times a price. This page holds such energies against what others measured on
chips, as far as they published what ran. `snnprof hardware validate` prints it, `--format json` and `csv` give the
numbers, `--output validation.pdf` draws the figure, and `--hardware mine.yaml` holds a profile of your own against
every case. From Python, `snnprof.validation.checks()` returns the same.

{tally}

![Estimated against measured energy](gallery/validation.png)

How to read it:

- **Few papers print their spikes.** Where a case lacks them, the estimate is a range: from no neuron that fires to all
  that fire at each step. A range that holds the measurement says only that nothing contradicts the price. Below, a
  table turns it around: what one event would have to cost if all the energy went there.
- **No price is checked by what it was made from.** A profile names the cases that its prices were worked out from
  (`derived_from`), and these never count as a check of it. A simulation never counts as a check of the prices that it
  used: it checks that snnprof counts and adds up as the simulator does.
- **Each estimate has a side to err to.** A price of an addition alone must give less than a chip draws. An estimate on
  the wrong side means that a count, a price or our reading of the source is wrong.
- **Other hardware** is there to show how far off it is to price one chip with figures of another: 0.9 pJ an addition is
  11 to 29 times too little for Speck, and thousands of times too little for a processor that runs a small network.
- The figure shows energies; powers are in the second table.
"""
SIDES = {
    "low": "must be low", "high": "must be high", "equal": "must be equal", "either": "may err to either side",
}  # fmt: skip


def main() -> int:
    return write_or_check({PAGE: page()}, Path(__file__).name)


def page() -> str:
    found = checks()
    document = validation([*cases().values()], found)
    tables = markdown.render(replace(document, facts=(), notes=())).partition("\n\n")[2]
    sections = (line for case in cases().values() for line in section(case, found))
    return "\n".join([HEAD.format(tally=tally_text(tally(found))), tables, "## The cases", *sections]) + "\n"


def section(case: Case, found: list[Check]) -> Iterator[str]:
    yield from ("", f"### {case.id}", "", f"{escaped(case.title)}.", "")
    yield from (f"- **{label}**: {escaped(text)}" for label, text in case_facts(case))
    for each in (check for check in found if check.case is case):
        yield f"- *{each.hardware.id}* ({RELATIONS[each.relation]}) {SIDES[each.errs]}: {escaped(each.why)}."
        if parts := parts_text(each):
            yield f"  {parts}."


if __name__ == "__main__":
    sys.exit(main())
