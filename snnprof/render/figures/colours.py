"""The meaning of colours, hatches and markers in all figures.

A colour of `ROLES` stands for a role in the network, a colour of `MODELS` for a network; no colour is in both. Inside
the bar of a role, a tint and hatch of `WORK` stand for a kind of work. The colours of roles are shades of those by
Okabe and Ito, the colours of models Paul Tol's muted scheme: colour-blind readers can distinguish both, and lightness
or hatch distinguishes them in grey print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Paint:
    """How a role is drawn: colour and hatch of its bars, colour and marker of its lines."""

    colour: str
    hatch: str = ""
    marker: str = "o"


ROLES: Mapping[str, Paint] = {
    "stem": Paint("#3B3B3B", marker="P"),
    "SPS": Paint("#D55E00", marker="X"),
    "Q": Paint("#08306B", marker="o"),
    "K": Paint("#2171B5", "....", "s"),
    "V": Paint("#9ECAE1", marker="^"),
    "QKV": Paint("#4292C6", "///", "o"),
    "QK": Paint("#4292C6", "///", "o"),
    "QK^T": Paint("#B87F00", "\\\\\\\\", "<"),
    "K^TV": Paint("#B87F00", "\\\\\\\\", "<"),
    "AV": Paint("#F5C242", "\\\\\\\\", ">"),
    "Q(K^TV)": Paint("#F5C242", "\\\\\\\\", ">"),
    "attention": Paint("#E69F00", "\\\\", "D"),
    "aggregation": Paint("#E69F00", "\\\\", "D"),
    "projection": Paint("#CC79A7", marker="v"),
    "MLP": Paint("#009E73", "xxxx", "*"),
    "DWC": Paint("#7B4F9E", "ooo", "h"),
    "residual": Paint("#CFCFCF", "----", "d"),
    "head": Paint("#F0E442", marker="p"),
    "other": Paint("#8C8C8C", "||||", "."),
    "static": Paint("#FFFFFF", marker="8"),
}
EVIDENCE: Mapping[str, str] = {
    "measured": "#004488", "simulated": "#BB5566", "synthesis": "#228833", "derived": "#DDAA33",
    "arithmetic": "#222222", "convention": "#33BBEE", "unstated": "#999999",
}  # fmt: skip
"""Colours of the kinds of evidence for prices, in figures without roles and networks."""
UNKNOWN = Paint("#8C8C8C", "", ".")
_SPARE = (
    Paint("#56B4E9", "///", "o"), Paint("#7F3B08", "", "s"), Paint("#B2DF8A", "xxxx", "^"),
    Paint("#542788", "....", "D"), Paint("#FDB863", "\\\\\\\\", "v"), Paint("#01665E", "", "P"),
    Paint("#E7298A", "ooo", "X"), Paint("#C7EAE5", "", "*"), Paint("#666600", "///", "<"),
    Paint("#FFED6F", "....", ">"), Paint("#1A1A1A", "", "h"), Paint("#D9D9D9", "xxxx", "p"),
)  # fmt: skip
"""For roles of users' own networks, which are not in `ROLES`."""
MODELS = (
    "#332288",
    "#CC6677",
    "#117733",
    "#88CCEE",
    "#882255",
    "#999933",
    "#44AA99",
    "#AA4499",
    "#DDCC77",
    "#661100",
    "#6699CC",
    "#888888",
)
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""Markers of the price lists of a figure, in their order."""
PUBLISHED = "d"
WORK: Mapping[str, tuple[str, float, str]] = {
    "sop": ("synaptic operations", 1.0, ""),
    "mac": ("multiply-accumulates", 0.75, "++++"),
    "elementwise": ("other arithmetic", 0.55, ""),
    "neuron": ("neuron updates", 0.45, "**"),
    "spike": ("spikes", 0.4, "||||"),
    "memory": ("memory", 0.28, ""),
    "static": ("static power", 0.0, ""),
}
"""For each kind of work: its name, the strength of the role's colour, and its hatch."""


def paints(roles: Sequence[str]) -> dict[str, Paint]:
    """How each role is drawn; roles that are not in `ROLES` get spare colours in their order."""
    spare = iter(_SPARE)
    return {role: ROLES[role] if role in ROLES else next(spare, UNKNOWN) for role in dict.fromkeys(roles)}


def bar(paint: Paint, work: str | None = None) -> dict[str, Any]:
    """Keyword arguments of matplotlib for a role's bar, or for the part of it that is one kind of work."""
    if work is None:
        return {"facecolor": paint.colour, "hatch": paint.hatch}
    _, strength, hatch = WORK[work]
    return {"facecolor": tint(paint.colour, strength), "hatch": hatch}


def tint(colour: str, strength: float) -> str:
    """The colour mixed with white: strength 1 is the colour itself, 0 is white.

    >>> tint("#000000", 0.5)
    '#808080'
    """
    channels = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - strength * (255 - channel)):02x}" for channel in channels)


def of_model(position: int) -> str:
    """The colour of the network at this position in a figure."""
    return MODELS[position % len(MODELS)]


def of_list(position: int) -> str:
    """The marker of the price list at this position in a figure."""
    return MARKERS[position % len(MARKERS)]
