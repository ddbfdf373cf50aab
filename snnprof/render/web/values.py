"""The parts of a page as plain values: texts, and the numbers behind them for sorting and for the widths of bars.

A `Priced` place shows an energy on the chosen price list. Its number is its index in `Prices.pj` of every price list;
with it the page's script finds the energy on another list.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Tile:
    """A headline figure.

    Attributes:
        label: what the figure is.
        figure: the figure.
        small: the texts below it.
        prices: the number of its price list; None if it does not depend on prices.
    """

    label: str
    figure: str
    small: tuple[str, ...]
    prices: int | None = None


@dataclass(frozen=True)
class Check:
    """A sentence to read first, and the codes of the findings in it."""

    text: str
    codes: tuple[str, ...]


@dataclass(frozen=True)
class Number:
    """A number as the page prints it, and its value; None if it is unknown or there is none."""

    text: str
    value: float | None


@dataclass(frozen=True)
class Prices:
    """One price list, and the energy of every place on it, per inference (of the whole run if samples are unknown).

    Attributes:
        id: id of the price list.
        title: title of the price list.
        total: the total energy in pJ.
        interval: half the 95 % interval of the total, as text.
        against: comparison with the ANN twin, as text.
        evidence: kind of evidence for the prices.
        unpriced: the work without a price, with its counts, as text.
        pj: energy of each place in pJ; None if unknown.
        missing: for each place, the index in `kinds` of the work that has no price there.
        kinds: the combinations of kinds of work that occur in `missing`; the first is "".
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
    """A place that shows an energy.

    Attributes:
        number: its index in `Prices.pj`.
        energy: energy on the first price list in pJ.
        share: fraction of the total energy; None if unknown.
        missing: the work in it that has no price, as text.
    """

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
    """One column of a small chart; its height is from 0 to 1, and it links to the anchor of its layer."""

    name: str
    text: str
    height: float
    anchor: str = ""


@dataclass(frozen=True)
class Chart:
    """A small chart of columns, with a title and perhaps a note."""

    title: str
    columns: tuple[Column, ...]
    note: str = ""


@dataclass(frozen=True)
class Source:
    """A layer that feeds another or is fed by it; `anchor` is "" if it has no line on the page."""

    name: str
    anchor: str


@dataclass(frozen=True)
class Layer:
    """One line of the tree.

    Attributes:
        anchor: its HTML anchor; "" if nothing links to it.
        kind: `operation`, `neurons`, `other` or `static`.
        name: name of the layer.
        op: the operation, or the class of the neurons.
        reads: the kind of its input, such as `binary`.
        role: its role in the network.
        rate: firing rate of its input or of its neurons.
        sops: SOPs per inference.
        macs: MACs per inference.
        priced: its energy.
        facts: pairs of label and text that show when the line is opened.
        fed_by: the neuron layers that feed it.
        feeds: the neuron layers that it feeds.
        charts: charts that show when the line is opened.
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
    """A block of the network: its layers and their sums."""

    name: str
    sops: Number
    macs: Number
    priced: Priced
    layers: tuple[Layer, ...]


@dataclass(frozen=True)
class ReportPage:
    """The page of one run.

    Attributes:
        subtitle: samples, T and parameters.
        checks: sentences to read first.
        tiles: the headline figures.
        bars: pairs of a heading and the parts of the network.
        prices: all price lists; the first is shown first.
        tree: the layers by block.
        sops: SOPs per inference.
        macs: MACs per inference.
        rates: firing rates of the neuron layers, one chart for each block, all on the same scale.
        rates_top: the top of that scale.
        contents: the table of contents: pairs of anchor and name.
        kind: name of the page's template.
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
    """One model on a scale from 0 to 1: its value and the ends of its interval; None if unknown."""

    name: str
    text: str
    at: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Scale:
    """Models on one scale.

    Attributes:
        title: title of the scale.
        marks: the models.
        start: the value at the beginning of the scale, as text.
        end: the value at its end, as text.
        bars: True draws bars, for a scale that starts at 0; False draws points.
        line: place, from 0 to 1, of the value that separates better from worse; None for none.
        note: a note on the scale.
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
    """A part of a stacked bar; `hue` is the number of its colour, the same for equal names on the whole page."""

    name: str
    text: str
    width: float
    hue: int


@dataclass(frozen=True)
class Stack:
    """The stacked bar of one model."""

    name: str
    text: str
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Compared:
    """The runs on one price list: their energies, and the ratios of the others to the baseline."""

    id: str
    title: str
    energies: tuple[Number, ...]
    ratios: tuple[Number, ...]


@dataclass(frozen=True)
class ComparisonPage:
    """The page of a comparison.

    Attributes:
        subtitle: names of the models.
        tiles: the ratios to the baseline.
        scales: accuracy, SOPs, energies and ratios of the models.
        stacks: pairs of a title and the models' bars by part of the network.
        legend: name and hue of each part.
        runs: headings of the columns of energies in `lists`.
        others: headings of the columns of ratios in `lists`.
        lists: the runs on every price list.
        verdicts: sentences on how many lists each of the others needs less energy than the baseline.
        kind: name of the page's template.
        contents: the table of contents: pairs of anchor and name.
        checks: empty; only the page of a run has them.
        prices: empty; only the page of a run has them.
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
