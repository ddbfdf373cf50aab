"""Conventions: from raw counts to SOPs, ACs and MACs. One file for each paper or tool with rules of its own."""

from __future__ import annotations

from collections.abc import Collection

from snnprof.activity import Activity
from snnprof.conventions import (
    choices,
    exact,
    formula,
    neurobench,
    qkformer,
    sdt,
    spikformer,
    spikingformer_script,
    ssa_bin,
)
from snnprof.conventions.counts import Category, Convention, Counts, Line, Options
from snnprof.conventions.exclusion import Exclusion
from snnprof.conventions.formula import deviation, exact_sops, formula_sops, spike_events
from snnprof.conventions.kinds import label
from snnprof.errors import unknown

__all__ = [
    "Category",
    "Convention",
    "Counts",
    "Exclusion",
    "Line",
    "Options",
    "completions",
    "defensible",
    "deviation",
    "exact_sops",
    "find",
    "formula_sops",
    "label",
    "left_out",
    "names",
    "spike_events",
]

_ALL: dict[str, Convention] = {
    module.CONVENTION.id: module.CONVENTION
    for module in (exact, formula, spikformer, ssa_bin, spikingformer_script, sdt, qkformer, neurobench)
}


def names() -> list[str]:
    """Returns the ids of all conventions, the default first."""
    return list(_ALL)


def find(text: str) -> Convention:
    """Finds a convention by `ID` or `ID:OPTION=VALUE,...`.

    Raises:
        SnnprofError: there is no such convention, or it has no such option or value.
    """
    id, colon, options = text.partition(":")
    if id not in _ALL:
        raise unknown("convention", id, names())
    return choices.changed_by(_ALL[id], options) if colon else _ALL[id]


def completions(incomplete: str) -> list[str]:
    """Completes the beginning of a convention's id, or of its options."""
    id, colon, options = incomplete.partition(":")
    known = choices.completions(_ALL[id], options) if colon and id in _ALL else names()
    return [each for each in known if each.startswith(incomplete)]


def defensible() -> list[Convention]:
    """Returns every convention, each followed by its variants: the readings under which a claim is tested."""
    return [each for convention in _ALL.values() for each in (convention, *_variants(convention))]


def _variants(convention: Convention) -> list[Convention]:
    return [convention.with_options(**options) for options in convention.variants]


def left_out(activity: Activity, counted: Collection[tuple[str, str, int | None]]) -> list[tuple[str, float]]:
    """Lists work without a line: dense MACs of contractions, elements of everything else."""
    missing: dict[str, float] = {}
    for op in activity.ops:
        if op.key not in counted:
            missing[op.op] = missing.get(op.op, 0.0) + op.dense_macs
    for line in exact.other_lines(activity, Options()):
        if (line.layer, line.op, line.index) not in counted:
            what = "neuron update" if line.category == "neuron" else line.op
            missing[what] = missing.get(what, 0.0) + line.elements
    return sorted(missing.items(), key=lambda item: -item[1])
