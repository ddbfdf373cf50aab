"""The parts of a page as plain values: texts, and the numbers behind them for sorting and for the widths of bars.

A `Priced` place shows an energy of the chosen price list. Its number is its position in every `Prices.pj`, by which
the page's script finds what the place costs on another list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """One headline figure, and what stands beneath it; `prices` is the position of the price list it is about."""

    label: str
    figure: str
    small: tuple[str, ...]
    prices: int | None = None


@dataclass(frozen=True)
class Check:
    """A sentence to read before anything else, and the codes of the findings behind it."""

    text: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A number as the page prints it, and its value; null where it is unknown or there is none."""

    text: str
    value: float | None


@dataclass(frozen=True)
class Prices:
    """One price list and what every place costs on it, per inference.

    Attributes:
        total: the whole run; `against`: its ANN twin; `unpriced`: work that is not in the total, and how much of it.
        evidence: how well the prices are known.
        pj: picojoules by place; null for unknown.
        missing: for each place the position in `kinds` of what has no price there.
        kinds: combinations of kinds of work; the first is the empty one.
    """

    id: str
    title: str
    total: Number
    interval: str
    against: str
    evidence: str
    unpriced: str
    pj: tuple[float | None, ...]
    missing: tuple[int, ...]
    kinds: tuple[str, ...]


@dataclass(frozen=True)
class Priced:
    """A place that shows an energy, as the first price list has it: its share of the total, and what has no price."""

    number: int
    energy: Number
    share: float | None
    missing: str


@dataclass(frozen=True)
class Bar:
    """A part of the network: its name, its operations and its energy."""

    name: str
    work: str
    priced: Priced


@dataclass(frozen=True)
class Column:
    """One column of a small chart, from 0 to 1 high; `anchor` is that of the layer it is about."""

    name: str
    text: str
    height: float
    anchor: str = ""


@dataclass(frozen=True)
class Chart:
    title: str
    columns: tuple[Column, ...]
    note: str = ""


@dataclass(frozen=True)
class Source:
    """A layer that feeds another, or is fed by it; `anchor` is empty where it has no line on the page."""

    name: str
    anchor: str


@dataclass(frozen=True)
class Layer:
    """One line of the tree; its facts and charts show once it is opened.

    Attributes:
        kind: `operation`, `neurons`, `other` or `static`.
        reads: what its data was, e.g. `binary`.
        anchor: the fragment that leads to it; empty where nothing does.
    """

    anchor: str
    kind: str
    name: str
    op: str
    reads: str
    role: str
    rate: Number
    sops: Number
    macs: Number
    priced: Priced
    facts: tuple[tuple[str, str], ...]
    fed_by: tuple[Source, ...]
    feeds: tuple[Source, ...]
    charts: tuple[Chart, ...]


@dataclass(frozen=True)
class Block:
    """Layers that stand together, and their sums."""

    name: str
    sops: Number
    macs: Number
    priced: Priced
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class ReportPage:
    """One run.

    Attributes:
        contents: fragments and names of what a reader may want to go to.
        kind: the template that shows it.
        bars: headings, and the parts of the network by each of them.
        sops, macs: of the whole run.
        rates: firing rates of the neuron layers, a chart for each block, all on one scale up to `rates_top`.
    """

    subtitle: str
    checks: tuple[Check, ...]
    tiles: tuple[Tile, ...]
    bars: tuple[tuple[str, tuple[Bar, ...]], ...]
    prices: tuple[Prices, ...]
    tree: tuple[Block, ...]
    sops: Number
    macs: Number
    rates: tuple[Chart, ...]
    rates_top: str
    contents: tuple[tuple[str, str], ...]
    kind: str = "report"


@dataclass(frozen=True)
class Mark:
    """One model on a scale from 0 to 1: its figure and the ends of its interval; null where unknown."""

    name: str
    text: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scale:
    """Models on one scale.

    Attributes:
        start, end: what the ends of the scale stand for.
        bars: whether the scale starts at 0, so that lengths can be compared; points otherwise.
        line: where the value lies that parts better from worse.
    """

    title: str
    marks: tuple[Mark, ...]
    start: str
    end: str
    bars: bool = True
    line: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Segment:
    """A part of a stacked bar; `hue` numbers its colour, the same for a name all over the page."""

    name: str
    text: str
    width: float
    hue: int


@dataclass(frozen=True)
class Stack:
    """One model's bar, in parts."""

    name: str
    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Compared:
    """The runs on one price list: their energies, and the ratios of all but the baseline to it."""

    id: str
    title: str
    energies: tuple[Number, ...]
    ratios: tuple[Number, ...]


@dataclass(frozen=True)
class ComparisonPage:
    """Several runs side by side.

    Attributes:
        lists: the runs on every price list; `runs` and `others` head the columns of their energies and ratios.
        verdicts: on how many lists each of the others needs less than the baseline.
        stacks: titles, and the models' bars by part of the network.
        legend: names and hues of the parts.
    """

    subtitle: str
    tiles: tuple[Tile, ...]
    scales: tuple[Scale, ...]
    stacks: tuple[tuple[str, tuple[Stack, ...]], ...]
    legend: tuple[tuple[str, int], ...]
    runs: tuple[str, ...]
    others: tuple[str, ...]
    lists: tuple[Compared, ...]
    verdicts: tuple[str, ...]
    kind: str = "comparison"
    contents: tuple[tuple[str, str], ...] = ()
    checks: tuple[Check, ...] = ()
    prices: tuple[Prices, ...] = ()
