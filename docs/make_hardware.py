"""Writes docs/hardware.md and snnprof/hardware.schema.json from the profiles and their schema.

python docs/make_hardware.py           writes them
python docs/make_hardware.py --check   fails if they are not current
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from generated import ROOT, write_or_check

from snnprof.hardware import EVIDENCE, HardwareProfile, Price, Source, json_schema, load_hardware, names, stubs

TEXT = Path(__file__).with_name("hardware.in.md")
TABLE = ("id", "MAC pJ", "AC pJ", "SOP pJ", "neuron update pJ", "scope", "evidence")


def main() -> int:
    made = {
        ROOT / "docs" / "hardware.md": page(),
        ROOT / "snnprof" / "hardware.schema.json": json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n",
    }
    return write_or_check(made, Path(__file__).name)


def page() -> str:
    profiles = [load_hardware(id) for id in names() if id in built_in()]
    filled = {
        "{table}": "\n".join(table(profiles)),
        "{profiles}": "\n".join(line for profile in profiles for line in entry(profile)),
        "{stubs}": "\n".join(f"- **{id}**: {why}" for id, why in stubs().items() if id in built_in()),
        "{evidence}": " > ".join(f"`{grade}`" for grade in EVIDENCE),
    }
    text = TEXT.read_text(encoding="utf-8")
    for mark, content in filled.items():
        text = text.replace(mark, content)
    return text


def built_in() -> set[str]:
    return {path.stem for path in (ROOT / "hardware_profiles").glob("*.yaml")}


def table(profiles: list[HardwareProfile]) -> Iterator[str]:
    yield f"| {' | '.join(TABLE)} |"
    yield "|---|---:|---:|---:|---:|---|---|"
    for profile in profiles:
        energy = profile.energy
        prices = [value(price) for price in (energy.mac, energy.ac, energy.sop, energy.neuron_update)]
        yield f"| [`{profile.id}`](#{profile.id}) | {' | '.join(prices)} | {profile.scope} | {profile.evidence} |"


def entry(profile: HardwareProfile) -> Iterator[str]:
    yield f"### {profile.id}\n"
    yield f"{profile.title}.\n"
    yield f"- **prices** (pJ): {', '.join(priced(profile))}"
    yield from memory(profile)
    yield f"- **covers**: {', '.join(profile.includes)}; **not**: {', '.join(profile.excludes)}"
    yield from conditions(profile)
    if profile.unverified:
        yield f"- **not verified in a source**: {', '.join(f'`{path}`' for path in profile.unverified)}"
    if profile.note:
        yield f"- {profile.note.strip()}"
    yield from (f"- {source(each)}" for each in profile.sources)
    yield ""


def conditions(profile: HardwareProfile) -> Iterator[str]:
    technology, precision = profile.technology, profile.precision
    facts = [f"{technology.node_nm:g} nm"] if technology.node_nm else []
    facts += [f"{technology.vdd_v:g} V"] if technology.vdd_v else []
    facts += [f"{precision.weight} weights, {precision.activation} activations, {precision.accumulator} accumulator"]
    yield f"- **conditions**: {', '.join(facts)}"
    point = profile.operating_point
    if point:
        given = {key: number for key, number in point if number is not None}
        yield f"- **operating point**: {', '.join(f'{key} {number}' for key, number in given.items())}"
    if profile.messages_per_spike:
        yield f"- **messages per spike**, where no mapping gives them: {profile.messages_per_spike:g}"
    if profile.sparse_below is not None:
        yield f"- **sparse**: a linear layer with less than {100 * profile.sparse_below:g} % non-zero weights"
    if profile.derived_from:
        yield f"- **derived from** {', '.join(map(cited, profile.derived_from))}, which cannot check it"
    if profile.static:
        yield f"- **static**: {profile.static.power_w:g} W per {profile.static.per}"


def cited(case: str) -> str:
    return f"[`{case}`](validation.md#{case})"


def priced(profile: HardwareProfile) -> Iterator[str]:
    for name, price in profile.energy:
        if price:
            yield f"{name} {value(price)}{span(price)}" + (f" [{price.note}]" if price.note else "")


def memory(profile: HardwareProfile) -> Iterator[str]:
    """The prices of a memory, and what they depend on."""
    stored = profile.memory
    if not stored:
        return
    access = f"per access of {stored.access_bits} bits" if stored.access_bits > 1 else "per bit"
    prices = [f"{level.name} {value(level.read)} read, {value(level.write)} write" for level in stored.levels]
    if stored.coefficients:
        slope, intercept = stored.coefficients.slope_pj_per_bit, stored.coefficients.intercept_pj
        prices.append(f"{intercept:g} + {slope:g} · bits of the tensor")
    if prices:
        yield f"- **memory** (pJ {access}): {'; '.join(prices)}"
    single = {"byte": stored.per_byte, "bit of a weight": stored.weight_bit, "bit of a state": stored.state_bit}
    given = [f"{value(price)}{span(price)} per {what}" for what, price in single.items() if price]
    if given:
        yield f"- **memory** (pJ): {', '.join(given)}"


def span(price: Price) -> str:
    return f" ({price.low:g} to {price.high:g})" if price.low is not None and price.high is not None else ""


def value(price: Price | None) -> str:
    return "–" if price is None else f"{price.value:g}"


def source(each: Source) -> str:
    doi = f", [doi:{each.doi}](https://doi.org/{each.doi})" if each.doi else ""
    locator = f" ({each.locator})" if each.locator else ""
    note = f"; {each.note}" if each.note else ""
    return f"{each.citation}{doi}{locator}. Access: {each.access}{note}."


if __name__ == "__main__":
    sys.exit(main())
