"""The document that compares a run with another tool: layer by layer, then the steps between the two energies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from snnprof.against.energy import PRICES, Step, steps
from snnprof.against.reasons import REASONS
from snnprof.against.records import Explained, Ops, Row
from snnprof.against.tools import TITLES
from snnprof.render.table import Column, Document, Notes, Table, Value
from snnprof.render.table import Row as Line
from snnprof.units import energy_text

SCHEMA = "snnprof.against/0"
KINDS = ("acs", "macs", "muls")
NAMES = {"acs": "additions", "macs": "MACs", "muls": "multiplications"}
CONTRACTIONS = ("conv", "linear", "matmul")


def against_document(compared: Sequence[tuple[str, Explained]], command: str = "") -> Document:
    """The counts of both tools side by side, and why they differ.

    Args:
        compared: pairs of a model's name and its comparison; all with the same tool.
        command: the command that makes the document again.
    """
    peer = compared[0][1].peer
    tool = f"{TITLES[peer.tool]} {peer.version}"
    several = len(compared) > 1
    return Document(
        title=f"{', '.join(name for name, _ in compared)}: snnprof beside {tool}",
        tables=(_layers(compared, several), _way(compared, several)),
        facts=tuple(_facts(compared)),
        notes=tuple(_notes(compared)),
        data={
            "tool": peer.tool,
            "version": peer.version,
            "samples": {name: explained.samples for name, explained in compared},
            "unexplained": sum(_unexplained(explained) for _, explained in compared),
        },
        command=command,
        schema=SCHEMA,
    )


def _layers(compared: Sequence[tuple[str, Explained]], several: bool) -> Table:
    tool = TITLES[compared[0][1].peer.tool]
    columns = (
        Column("model", "Model", machine_only=not several),
        Column("layer", "Layer"),
        Column("operation", "Operation"),
        Column("op", machine_only=True),
        Column("index", kind="integer", machine_only=True),
        Column("ours", "snnprof"),
        Column("theirs", tool),
        Column("difference", "Difference", drop=1),
        *(
            Column(f"{side}_{kind}", kind="integer", machine_only=True)
            for side in ("ours", "theirs", "difference")
            for kind in KINDS
        ),
        Column("why", "Why"),
        Column("reasons", machine_only=True),
        Column("per", machine_only=True),
    )
    rows = [Line(_values(name, row), section=_section(name, row)) for name, each in compared for row in each.rows]
    note = "SOPs: additions of a weight for a spike. MACs: multiply-accumulates. Additions: of biases, in sums, …"
    return Table("layers", f"Operations of all samples ({_samples(compared)})", columns, tuple(rows), (note,))


def _values(name: str, row: Row) -> dict[str, Value]:
    difference = row.theirs - row.ours
    sides = {"ours": row.ours, "theirs": row.theirs, "difference": difference}
    names = {**NAMES, "acs": "SOPs"} if row.op in CONTRACTIONS else NAMES
    reasons = [change.reason for change in row.changes]
    return {
        "model": name, "layer": row.layer or "(root)", "op": row.op, "index": row.index,
        "operation": row.op if row.op != "matmul" or row.index is None else f"matmul #{row.index}",
        "ours": _text(row.ours, names), "theirs": _text(row.theirs, names),
        "difference": _text(difference, names, signed=True),
        **{f"{side}_{kind}": getattr(ops, kind) for side, ops in sides.items() for kind in KINDS},
        "why": "; ".join(REASONS[reason].title for reason in reasons) or "equal",
        "reasons": " ".join(reasons), "per": "all samples",
    }  # fmt: skip


def _text(ops: Ops, names: Mapping[str, str], signed: bool = False) -> str:
    """Operations as integers, each kind with its name."""
    sign = "+" if signed else ""
    parts = [f"{getattr(ops, kind):{sign},.0f} {names[kind]}" for kind in KINDS if getattr(ops, kind)]
    return ", ".join(parts).replace("-", "−") or "0"


def _section(name: str, row: Row) -> str:
    kind = "contraction" if row.op in CONTRACTIONS else "neuron" if row.op == "neuron" else "other"
    return f"{name} {kind}"


def _way(compared: Sequence[tuple[str, Explained]], several: bool) -> Table:
    columns = (
        Column("model", "Model", machine_only=not several),
        Column("step", "Reason"),
        Column("reason", machine_only=True),
        Column("rows", "Rows", "integer", drop=1),
        Column("acs", "SOPs, additions", "integer"),
        Column("macs", "MACs", "integer"),
        Column("muls", "Multiplications", "integer", drop=2),
        Column("energy_pj", "Energy", "energy", apart=True),
    )
    rows = [
        Line(_step_values(name, step, explained), section=name, total=step.reason in ("ours", "theirs"))
        for name, explained in compared
        for step in steps(explained)
    ]
    note = f"Both at the prices of {PRICES}: only the counting differs. Arithmetic alone; no memory, no neuron updates."
    return Table("way", "Why the totals differ (energy per inference)", columns, tuple(rows), (note,))


def _step_values(name: str, step: Step, explained: Explained) -> dict[str, Value]:
    ends = {"ours": "counted by snnprof", "theirs": f"counted by {TITLES[explained.peer.tool]}"}
    title = ends.get(step.reason) or REASONS[step.reason].title
    return {
        "model": name, "step": title, "reason": step.reason, "rows": step.rows, "acs": step.ops.acs,
        "macs": step.ops.macs, "muls": step.ops.muls, "energy_pj": step.energy_pj,
    }  # fmt: skip


def _samples(compared: Sequence[tuple[str, Explained]]) -> str:
    counts = dict.fromkeys(explained.samples for _, explained in compared)
    return ", ".join(f"{count:,} {'sample' if count == 1 else 'samples'}" for count in counts)


def _unexplained(explained: Explained) -> int:
    return sum(any(change.reason == "unexplained" for change in row.changes) for row in explained.rows)


def _facts(compared: Sequence[tuple[str, Explained]]) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    for name, explained in compared:
        equal = sum(not row.changes for row in explained.rows)
        unexplained = _unexplained(explained)
        facts.append(
            (
                name if len(compared) > 1 else "Rows",
                f"{len(explained.rows)}: {equal} equal, {len(explained.rows) - equal - unexplained} explained, "
                f"{unexplained} unexplained; {explained.updates:,} neuron updates have no counterpart",
            )
        )
        facts += _own_figures(explained)
    return facts


def _own_figures(explained: Explained) -> list[tuple[str, str]]:
    """The other tool's figures besides operations, under the tool's own names."""
    peer, title = explained.peer, TITLES[explained.peer.tool]
    facts = []
    if peer.energy_pj is not None:
        energy = energy_text(peer.energy_pj / explained.samples)
        facts.append((f"{title}'s own estimate", f"{energy} of arithmetic an inference"))
    if peer.dense is not None:
        ours = f"snnprof's dense MACs of the same layers without taps on padding: {explained.dense:,}"
        facts.append((f"{title}'s Dense", f"{peer.dense:,.0f}; {ours}"))
    return facts


def _notes(compared: Sequence[tuple[str, Explained]]) -> list[Notes]:
    found = dict.fromkeys(step.reason for _, explained in compared for step in steps(explained))
    tool = TITLES[compared[0][1].peer.tool]
    order = sorted(found, key=lambda name: name != "unexplained")  # unexplained differences first
    sentences = tuple(f"{REASONS[name].title}: {REASONS[name].sentence(tool)}" for name in order if name in REASONS)
    return [Notes("Why they differ", sentences)] if sentences else []
