"""What a reader must know: findings of runs and of price lists, the weightiest first, each sentence once.

Sentences that say the same of several layers, price lists or models become one sentence that names them; where they
differ in a number alone, it becomes a range.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from snnprof.activity import Finding
from snnprof.cautions import spread
from snnprof.pricing import EnergyReport
from snnprof.render.table import Notes

RANDOM_DATA = "random"
FIRST, MISSING, PRICES, COUNTED, DATA = TOPICS = (
    "Read this first", "Excluded from the energy", "What the prices and rates mean", "How layers were counted",
    "Data",
)  # fmt: skip
_TOPIC_OF = {
    "C01": FIRST, "C02": FIRST, "C04": FIRST, "C06": FIRST, "C09": FIRST, "C14": FIRST, "C16": FIRST, "C17": FIRST,
    "C19": FIRST, "C20": FIRST, "C21": FIRST, "C22": FIRST, "C23": FIRST, "C24": FIRST, "C25": FIRST, "C26": FIRST,
    "C31": FIRST, "C34": FIRST, "C35": FIRST, "W12": FIRST, "W17": FIRST, "W30": FIRST,
    "M01": FIRST, "M02": FIRST, "M03": FIRST, "M04": FIRST, "M07": FIRST,
    "C13": MISSING,
    "W01": MISSING, "W02": MISSING, "W10": MISSING, "W21": MISSING, "W22": MISSING,
    "W07": PRICES, "W08": PRICES, "W09": PRICES, "W13": PRICES, "W14": PRICES, "W15": PRICES, "W18": PRICES,
    "W19": PRICES, "W20": PRICES, "W23": PRICES, "M05": PRICES, "M06": PRICES,
}  # fmt: skip
_SAID_ELSEWHERE = ("C05",)  # W17 names each operator
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:,\d{3})*(?:\.\d+)?(?: [kMGT]\b)?")
_PREFIXES = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}


@dataclass(frozen=True)
class Remark:
    """One sentence and whom it is about.

    Attributes:
        layers, hardware, models: whom; empty where it is about none in particular.
        code: the finding's, by which scripts and documentation know it.
    """

    topic: str
    text: str
    hint: str = ""
    layers: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    code: str = ""


def remarks(reports: Sequence[EnergyReport], model: str = "") -> list[Remark]:
    """Everything to be said of one run on several machines.

    Args:
        reports: the same run, one report per hardware.
        model: the run's name, where it is one of several.
    """
    activity = reports[0].activity
    run = activity.run
    said = [Remark(FIRST, text) for text in _first(reports[0])]
    said += [Remark(DATA, run.data.note)] if run.data.note and run.data.kind != RANDOM_DATA else []
    said += [_remark(finding) for finding in activity.findings if finding.code not in _SAID_ELSEWHERE]
    said += [_remark(finding, each.hardware.id) for each in reports for finding in each.findings]
    said += [_remark(finding) for finding in spread(reports)]
    owned = [replace(remark, models=(model,) if model else ()) for remark in said]
    return _merged(_merged(_merged(owned, "hardware", _exactly), "layers", _exactly), "layers", _template)


def together(each: Iterable[Sequence[Remark]]) -> list[Remark]:
    """The remarks about several models as one list."""
    every = [remark for remarks in each for remark in remarks]
    return _merged(_merged(every, "models", _exactly), "models", _template)


def topics(remarks: Iterable[Remark], hardware: Sequence[str], models: Sequence[str] = ()) -> tuple[Notes, ...]:
    """The remarks as sentences by topic, in order of weight.

    Args:
        hardware, models: all that the document is about; what concerns all of them names none.
    """
    ordered = list(remarks)
    return tuple(
        Notes(topic, tuple(_sentence(remark, hardware, models) for remark in ordered if remark.topic == topic))
        for topic in TOPICS
        if any(remark.topic == topic for remark in ordered)
    )


def listed(names: Sequence[str], at_most: int = 3) -> str:
    """The first few names, and how many more there are."""
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more


def _first(report: EnergyReport) -> Iterator[str]:
    run = report.activity.run
    if run.data.kind == RANDOM_DATA:
        yield "The input is random data: rates and energies say nothing about a real task."
    if not run.complete:
        yield "The run was interrupted: figures cover the samples that were finished."
    if run.model.note:
        yield run.model.note


def _remark(finding: Finding, hardware: str = "") -> Remark:
    topic = _TOPIC_OF.get(finding.code, COUNTED)
    layer = "" if repr(finding.layer) in finding.text else finding.layer
    return Remark(
        topic, finding.text, finding.hint, (layer,) if layer else (), (hardware,) if hardware else (), code=finding.code
    )


def _sentence(remark: Remark, hardware: Sequence[str], models: Sequence[str]) -> str:
    named = [
        [] if set(remark.models) >= set(models) else list(remark.models),
        [] if set(remark.hardware) >= set(hardware) else [id for id in remark.hardware if id not in remark.text],
        list(remark.layers),
    ]
    subjects = "".join(f"{listed(names)}: " for names in named if names)
    sentences = " ".join(_full(part) for part in (remark.text, remark.hint) if part)
    return f"{subjects}{sentences}{f' ({remark.code})' if remark.code else ''}"


def _full(sentence: str) -> str:
    return sentence if sentence.endswith((".", "!", "?")) else f"{sentence}."


# -- the same thing said twice ---------------------------------------------------------------------------------

Field = Literal["layers", "hardware", "models"]


def _exactly(text: str) -> str:
    return text


def _template(text: str) -> str:
    """The text without its numbers."""
    return _NUMBER.sub("#", text)


def _merged(remarks: Iterable[Remark], field: Field, likeness: Callable[[str], str]) -> list[Remark]:
    """Remarks that differ in `field` alone, and in their text no more than `likeness` lets through, as one."""
    groups: dict[Remark, list[Remark]] = {}
    for remark in remarks:
        key = _about(replace(remark, text=likeness(remark.text)), field, ())
        groups.setdefault(key, []).append(remark)
    return [_united(group, field) for group in groups.values()]


def _united(group: Sequence[Remark], field: Field) -> Remark:
    names = dict.fromkeys(name for remark in group for name in getattr(remark, field))
    return _about(replace(group[0], text=_ranged([remark.text for remark in group])), field, tuple(names))


def _about(remark: Remark, field: Field, names: tuple[str, ...]) -> Remark:
    changed: dict[str, Any] = {field: names}
    return replace(remark, **changed)


def _ranged(texts: Sequence[str]) -> str:
    """One text for several that differ in their numbers.

    >>> _ranged(["up to 5, not 1", "up to 2, not 1"])
    'up to 2–5, not 1'
    """
    slots = zip(*(_NUMBER.findall(text) for text in texts), strict=True)
    numbers = iter([_span(slot) for slot in slots])
    return _NUMBER.sub(lambda match: next(numbers), texts[0])


def _span(numbers: Sequence[str]) -> str:
    ordered = sorted(set(numbers), key=_size)
    return ordered[0] if len(ordered) == 1 else f"{ordered[0]}–{ordered[-1]}"


def _size(number: str) -> float:
    figure, _, prefix = number.partition(" ")
    return float(figure.replace(",", "")) * _PREFIXES.get(prefix, 1.0)
