"""The notes on a run: findings of the run and of the price lists, most important first, each sentence once.

Equal sentences about several layers, price lists or models become one sentence that names all of them; sentences that
differ only in numbers become one with ranges of numbers.
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
    """One note and what it is about.

    Attributes:
        topic: one of `TOPICS`.
        text: the fact.
        hint: what to do about it.
        layers: the layers that it is about; empty for none in particular.
        hardware: the price lists that it is about; empty for none in particular.
        models: the models that it is about; empty for none in particular.
        code: code of the finding, which scripts and the documentation use; "" if it is no finding.
    """

    topic: str
    text: str
    hint: str = ""
    layers: tuple[str, ...] = ()
    hardware: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    code: str = ""


def remarks(reports: Sequence[EnergyReport], model: str = "") -> list[Remark]:
    """All notes on one run on several price lists.

    Args:
        reports: the reports of the run, one per price list.
        model: the name of the run, if it is one of several; else "".
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
    """Merges the notes on several models into one list."""
    every = [remark for remarks in each for remark in remarks]
    return _merged(_merged(every, "models", _exactly), "models", _template)


def topics(remarks: Iterable[Remark], hardware: Sequence[str], models: Sequence[str] = ()) -> tuple[Notes, ...]:
    """The notes as sentences by topic, the most important topic first.

    Args:
        remarks: the notes.
        hardware: all price lists of the document; a note about all of them names none.
        models: all models of the document; a note about all of them names none.
    """
    ordered = list(remarks)
    return tuple(
        Notes(topic, tuple(_sentence(remark, hardware, models) for remark in ordered if remark.topic == topic))
        for topic in TOPICS
        if any(remark.topic == topic for remark in ordered)
    )


def listed(names: Sequence[str], at_most: int = 3) -> str:
    """The first names, and the number of the others: `a, b, c and 2 more`."""
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


# -- merging equal notes ---------------------------------------------------------------------------------------

Field = Literal["layers", "hardware", "models"]


def _exactly(text: str) -> str:
    return text


def _template(text: str) -> str:
    """The text with # in place of its numbers."""
    return _NUMBER.sub("#", text)


def _merged(remarks: Iterable[Remark], field: Field, likeness: Callable[[str], str]) -> list[Remark]:
    """Merges notes that differ only in `field` and whose texts are equal after `likeness` is applied."""
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
    """Merges texts that differ only in their numbers into one text with ranges.

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
