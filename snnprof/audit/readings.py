"""Readings: the ways to turn printed counts into an energy.

A paper prints operations and an energy. To get from one to the other, it chose prices and made decisions that few
papers state: is the first layer charged at each time step, do Q, K and V have the rate of their input or of their
output, is a FLOP one MAC or half of one? Each decision is an axis; a reading makes one choice on each axis. All counts
are ranges, because printed figures are rounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from typing import Literal

from snnprof.audit.printed import NOTHING, Range
from snnprof.errors import unknown

FEW = 1
"""A plain reading makes at most this many unusual choices; it may be what an author did."""


@dataclass(frozen=True)
class Choice:
    """One way to decide an axis.

    Attributes:
        key: its name in files.
        words: what it does, as part of a sentence.
        unusual: whether no paper states it and it occurs only as a slip.
        factor: pJ per operation for a price; for other axes the number that counts are multiplied by.
        prices: the price list that a price belongs to; empty for other axes and for the user's own prices.
    """

    key: str
    words: str
    unusual: bool = False
    factor: float = 1.0
    prices: str = ""


AXES: Mapping[str, tuple[Choice, ...]] = {
    "ac": (
        Choice("0.9", "0.9 pJ per AC", factor=0.9, prices="45 nm"),
        Choice("0.077", "77 fJ per SOP", factor=0.077, prices="77 fJ"),
    ),
    "mac": (
        Choice("4.6", "4.6 pJ per MAC", factor=4.6, prices="45 nm"),
        Choice("12.5", "12.5 pJ per FLOP", factor=12.5, prices="77 fJ"),
    ),
    "first": (
        Choice("mac_each_step", "first layer as MACs at each time step"),
        Choice("mac_once", "first layer as MACs, once"),
        Choice("left_out", "first layer left out, or already among the SOPs"),
        Choice("mac_at_rate", "first layer as MACs at its input rate"),
        Choice("ac_at_rate", "first layer as ACs at its input rate"),
        Choice("ac_each_step", "first layer as ACs at each time step", unusual=True),
        Choice("ac_once", "first layer as ACs, once", unusual=True),
        Choice("product_each_step", "first layer at AC price × MAC price, at each time step", unusual=True),
        Choice("product_once", "first layer at AC price × MAC price, once", unusual=True),
    ),
    "macs": (
        Choice("mac", "printed MACs as MACs"),
        Choice("left_out", "printed MACs left out"),
        Choice("ac", "printed MACs as ACs", unusual=True),
        Choice("product", "printed MACs at AC price × MAC price", unusual=True),
    ),
    "qkv": (
        Choice("output_rates", "Q, K, V at the mean rate of their outputs"),
        Choice("input_rates", "Q, K, V at the rate of their input"),
    ),
    "attention": (
        Choice("counted", "attention counted"),
        Choice("left_out", "attention left out"),
    ),
    "rates": (
        Choice("input", "other layers at the rate of their input"),
        Choice("output", "other layers at the rate of their output"),
    ),
    "mlp": (
        Choice("own", "MLP layers at their own rates"),
        Choice("swapped", "rates of the two MLP layers swapped", unusual=True),
    ),
    "head": (
        Choice("counted", "head as the convention counts it"),
        Choice("left_out", "head left out, or already among the SOPs"),
        Choice("mac_once", "head as MACs, once"),
        Choice("mac_each_step", "head as MACs at each time step"),
        Choice("ac_each_step", "head as ACs at each time step"),
        Choice("ac_once", "head as ACs, once", unusual=True),
    ),
    "steps": (
        Choice("once", "T counted once"),
        Choice("twice", "SOPs multiplied by T again", unusual=True),
        Choice("never", "SOPs divided by T", unusual=True),
    ),
    "flops": (
        Choice("one", "1 FLOP = 1 MAC"),
        Choice("double", "2 FLOPs per MAC, each priced", unusual=True, factor=2.0),
        Choice("half", "2 FLOPs per MAC, priced in pairs", unusual=True, factor=0.5),
        Choice("double_first", "first layer and head at 2 FLOPs per MAC, each priced", unusual=True, factor=2.0),
        Choice("half_first", "first layer and head at 2 FLOPs per MAC, priced in pairs", unusual=True, factor=0.5),
    ),
}  # fmt: skip
"""Every axis with its choices, the default first."""
DECISIONS: Mapping[str, str] = {
    "convention": "the convention", "hardware": "the hardware profile", "ac": "the price of an AC",
    "mac": "the price of a MAC", "first": "the first layer", "macs": "the printed MACs", "qkv": "the rate of Q, K, V",
    "attention": "attention", "rates": "the rate of other layers", "mlp": "the rates of the MLP", "head": "the head",
    "steps": "T", "flops": "FLOPs per MAC",
}  # fmt: skip
"""What each axis decides. The first two axes are for runs only."""
TACIT = {("steps", "once"), ("flops", "one"), ("mlp", "own"), ("attention", "counted")}
"""Choices that a description of a reading leaves out, since almost everybody makes them."""
ONCE = {"mac_once": "mac_each_step", "ac_once": "ac_each_step", "product_once": "product_each_step"}
"""Choices that give the same energy where T is 1."""
_OF_ALL_TERMS = ("ac", "mac", "steps", "flops")
_OWN_FIRST = ("double_first", "half_first")
"""Choices of FLOPs per MAC that apply to dense terms only."""


def place(axis: str, choice: Choice) -> int:
    """The position of a choice on its axis; 0 for choices that only one run or user has."""
    return AXES[axis].index(choice) if choice in AXES.get(axis, ()) else 0


def in_order(axis: str, choices: Iterable[Choice]) -> list[Choice]:
    """Choices sorted by their positions on the axis."""
    return sorted(choices, key=lambda choice: (place(axis, choice), choice.key))


@dataclass(frozen=True)
class Work:
    """Operations, by the price that each has.

    Attributes:
        ac: accumulates, at the price of an AC.
        mac: multiply-accumulates, at the price of a MAC.
        product: operations priced at AC price × MAC price, a slip that occurs in spreadsheets.
    """

    ac: Range = NOTHING
    mac: Range = NOTHING
    product: Range = NOTHING

    def __add__(self, other: Work) -> Work:
        return Work(self.ac + other.ac, self.mac + other.mac, self.product + other.product)

    def close_to(self, other: Work) -> bool:
        """Compare two amounts of work.

        Args:
            other: the other amount.

        Returns:
            Whether both are equal within the rounding of floating point.
        """
        pairs = ((self.ac, other.ac), (self.mac, other.mac), (self.product, other.product))
        return all(math.isclose(a.low, b.low) and math.isclose(a.high, b.high) for a, b in pairs)

    def priced(self, ac: float, mac: float) -> Range:
        """Price the operations.

        Args:
            ac: pJ per AC.
            mac: pJ per MAC.

        Returns:
            The energy in pJ.
        """
        return self.ac.times(ac) + self.mac.times(mac) + self.product.times(ac * mac)


@dataclass(frozen=True)
class Term:
    """One part of a network's work, such as its first layer.

    Attributes:
        name: for tables.
        axis: the decision that it depends on; empty where it depends on none.
        ways: its operations, by the key of the choice on the axis.
        part: `spikes` for SOPs; `dense` for the first layer, the head, and printed MACs and FLOPs.
    """

    name: str
    axis: str
    ways: Mapping[str, Work]
    part: Literal["spikes", "dense"] = "spikes"


@dataclass(frozen=True)
class Reading:
    """One choice on each axis that has an effect, and the energy that follows.

    Attributes:
        choices: by axis.
        energy: pJ per inference.
    """

    choices: Mapping[str, Choice]
    energy: Range

    @property
    def key(self) -> tuple[tuple[str, str], ...]:
        """The axes and the keys of the choices on them; readings of several rows with one key are the same reading."""
        return tuple((axis, choice.key) for axis, choice in self.choices.items())

    @property
    def unusual(self) -> int:
        """The number of unusual choices. Prices from two price lists count as one of them."""
        lists = {choice.prices for choice in self.choices.values()} - {""}
        return sum(choice.unusual for choice in self.choices.values()) + (len(lists) > 1)

    @property
    def plain(self) -> bool:
        """Whether it makes few unusual choices."""
        return self.unusual <= FEW


@dataclass(frozen=True)
class Sheet:
    """The printed counts of one network.

    Attributes:
        terms: the counts, one term for each part of the work.
        timesteps: T; None where the source does not print it.
        prices: further prices to try, by axis (`ac`, `mac`).
    """

    terms: tuple[Term, ...]
    timesteps: int | None = None
    prices: Mapping[str, tuple[Choice, ...]] = field(default_factory=dict)

    @cached_property
    def axes(self) -> dict[str, tuple[Choice, ...]]:
        """The axes that these counts depend on, each with the choices that give different energies."""
        own = {term.axis: _differing(AXES[term.axis], term.ways) for term in self.terms if term.axis}
        works = [work for term in self.terms for work in term.ways.values()]
        priced = {
            "ac": any(work.ac != NOTHING or work.product != NOTHING for work in works),
            "mac": any(work.mac != NOTHING or work.product != NOTHING for work in works),
        }
        prices = {axis: AXES[axis] + tuple(self.prices.get(axis, ())) for axis, there in priced.items() if there}
        spiking = any(term.part == "spikes" for term in self.terms)
        mixed = spiking and any(term.part == "dense" for term in self.terms)
        steps = AXES["steps"] if spiking and self.timesteps and self.timesteps > 1 else ()
        flops = AXES["flops"] if mixed else tuple(c for c in AXES["flops"] if c.key not in _OWN_FIRST)
        found = {**prices, **own, "steps": steps, "flops": flops}
        return {axis: found[axis] for axis in AXES if found.get(axis)}

    def readings(self) -> Iterator[Reading]:
        """Combine all choices on all axes.

        Yields:
            Every reading once. A reading has no choice on an axis without an effect.
        """
        own = [axis for axis in self.axes if axis not in _OF_ALL_TERMS]
        for chosen in product(*(self.axes[axis] for axis in own)):
            yield from self._priced(dict(zip(own, chosen, strict=True)))

    def reading(self, keys: Mapping[str, str]) -> Reading | None:
        """Make these choices, and the first choice on every other axis.

        Args:
            keys: the key of a choice, by axis; axes that these counts do not depend on are ignored.

        Returns:
            The reading; None where a choice needs something that is not printed, such as T.

        Raises:
            SnnprofError: there is no such axis or choice.
        """
        wanted: dict[str, Choice] = {axis: choices[0] for axis, choices in self.axes.items()}
        for axis, key in keys.items():
            if axis not in AXES:
                raise unknown("axis", axis, AXES)
            if key not in (known := [choice.key for choice in AXES[axis] + self.axes.get(axis, ())]):
                raise unknown(f"choice for {axis}", key, known)
            if axis not in self.axes:
                continue
            found = self._choice(axis, key)
            if found is None:
                return None
            wanted[axis] = found
        every = self._priced({a: c for a, c in wanted.items() if a not in _OF_ALL_TERMS}, wanted)
        return next(every, None)

    def _choice(self, axis: str, key: str) -> Choice | None:
        """The choice of this key, or one that gives the same energy here: once is each step where T is 1."""
        keys = {key, ONCE.get(key, key) if self.timesteps == 1 else key}
        ways = next((term.ways for term in self.terms if term.axis == axis), {})
        keys |= {other for other, work in ways.items() if key in ways and work.close_to(ways[key])}
        return next((choice for choice in self.axes[axis] if choice.key in keys), None)

    def _priced(self, own: Mapping[str, Choice], fixed: Mapping[str, Choice] | None = None) -> Iterator[Reading]:
        """The readings with these choices on the axes of terms.

        Args:
            own: a choice for each axis that a term has.
            fixed: the choices of prices, T and FLOPs per MAC; None for all of them.

        Yields:
            One reading for each combination that has an effect.
        """
        spikes, dense = (self._work(own, part) for part in ("spikes", "dense"))
        work = spikes + dense
        effective = {
            "ac": work.ac != NOTHING or work.product != NOTHING,
            "mac": work.mac != NOTHING or work.product != NOTHING,
            "steps": spikes != Work(),
            "flops": work != Work(),
        }
        axes = [axis for axis, there in effective.items() if there and axis in self.axes]
        for chosen in product(*([fixed[axis]] if fixed else self.axes[axis] for axis in axes)):
            decided = dict(zip(axes, chosen, strict=True))
            if "flops" in decided and decided["flops"].key in _OWN_FIRST and dense == Work():
                continue
            choices = {**own, **decided}
            ordered = {axis: choices[axis] for axis in AXES if axis in choices}
            yield Reading(ordered, self._energy(spikes, dense, decided))

    def _work(self, own: Mapping[str, Choice], part: str) -> Work:
        """The operations of one part of the terms."""
        total = Work()
        for term in self.terms:
            if term.part == part:
                total += term.ways[own[term.axis].key if term.axis else ""]
        return total

    def _energy(self, spikes: Work, dense: Work, decided: Mapping[str, Choice]) -> Range:
        """The energy in pJ, from both parts of the work."""
        ac, mac = (decided[axis].factor if axis in decided else 0.0 for axis in ("ac", "mac"))
        priced = spikes.priced(ac, mac).times(self._factor("spikes", decided))
        return priced + dense.priced(ac, mac).times(self._factor("dense", decided))

    def _factor(self, part: str, choices: Mapping[str, Choice]) -> float:
        """The number by which the choices on T and FLOPs per MAC multiply the operations of one part."""
        steps, flops = choices.get("steps"), choices.get("flops")
        again = {"twice": float(self.timesteps or 1), "never": 1 / (self.timesteps or 1)}
        factor = again.get(steps.key, 1.0) if steps and part == "spikes" else 1.0
        if flops and (part == "dense" or flops.key not in _OWN_FIRST):
            factor *= flops.factor
        return factor

    def lines(self, reading: Reading) -> list[Line]:
        """Show how a reading arrives at its energy.

        Args:
            reading: a reading of these counts.

        Returns:
            One line for each term and price. The energies of the lines add up to that of the reading.
        """
        prices = {axis: reading.choices[axis] for axis in ("ac", "mac") if axis in reading.choices}
        found = []
        for term in self.terms:
            choice = reading.choices.get(term.axis)
            work = term.ways[choice.key if choice else ""]
            factor = self._factor(term.part, reading.choices)
            for operations, needed in ((work.ac, ("ac",)), (work.mac, ("mac",)), (work.product, ("ac", "mac"))):
                if operations != NOTHING:
                    pj = math.prod(prices[axis].factor for axis in needed)
                    words = choice.words if choice else ""
                    found.append(Line(term.name, words, operations.times(factor), pj))
        return found


@dataclass(frozen=True)
class Line:
    """Operations of one term at one price.

    Attributes:
        name: of the term.
        words: the choice on the term's axis, in words; empty where it has none.
        operations: per inference.
        price: pJ per operation.
    """

    name: str
    words: str
    operations: Range
    price: float

    @property
    def energy(self) -> Range:
        """In pJ per inference."""
        return self.operations.times(self.price)


# -- terms -----------------------------------------------------------------------------------------------------


def spiking(sops: Range, name: str = "SOPs") -> Term:
    """A term of printed SOPs, which are those of all time steps."""
    return Term(name, "", {"": Work(ac=sops)})


def dense(flops: Range) -> Term:
    """A term of the printed FLOPs of a network without spikes."""
    return Term("FLOPs", "", {"": Work(mac=flops)}, "dense")


def printed_macs(macs: Range) -> Term:
    """A term of printed MACs, which are those of all time steps."""
    ways = {"mac": Work(mac=macs), "left_out": Work(), "ac": Work(ac=macs), "product": Work(product=macs)}
    return Term("MACs", "macs", ways, "dense")


def first_layer(macs: Range, timesteps: int | None, rate: Range | None = None) -> Term:
    """A term of the first layer, which reads the data.

    Args:
        macs: MACs of one time step.
        timesteps: T; None where it is unknown.
        rate: the share of its input that is not 0, as a fraction; None where it is unknown.
    """
    ways = {"left_out": Work(), **_once_and_each_step(macs, timesteps, ("mac", "ac", "product"))}
    if rate is not None and timesteps:
        driven = macs.product(rate).times(timesteps)
        ways |= {"mac_at_rate": Work(mac=driven), "ac_at_rate": Work(ac=driven)}
    return Term("first layer", "first", ways, "dense")


def head(macs: Range, timesteps: int | None, rate: Range | None = None) -> Term:
    """A term of the head, the last linear layer.

    Args:
        macs: MACs of one time step.
        timesteps: T; None where it is unknown.
        rate: the firing rate of its input, as a fraction; None counts an AC for each MAC.
    """
    driven = macs if rate is None else macs.product(rate)
    ways = {
        "left_out": Work(),
        **_once_and_each_step(macs, timesteps, ("mac",)),
        **_once_and_each_step(driven, timesteps, ("ac",)),
    }
    return Term("head", "head", ways, "dense")


def _differing(choices: Sequence[Choice], ways: Mapping[str, Work]) -> tuple[Choice, ...]:
    """The choices that a term offers, without those that give the same work as an earlier one."""
    found: list[Choice] = []
    for choice in choices:
        if choice.key in ways and not any(ways[other.key].close_to(ways[choice.key]) for other in found):
            found.append(choice)
    return tuple(found)


def _once_and_each_step(macs: Range, timesteps: int | None, prices: Sequence[str]) -> dict[str, Work]:
    """The MACs of one time step at each of these prices, once and × T: only once for unknown T, only × T for T = 1."""
    kinds = {"mac": lambda r: Work(mac=r), "ac": lambda r: Work(ac=r), "product": lambda r: Work(product=r)}
    ways: dict[str, Work] = {}
    for price in prices:
        if timesteps:
            ways[f"{price}_each_step"] = kinds[price](macs.times(timesteps))
        if timesteps != 1:
            ways[f"{price}_once"] = kinds[price](macs)
    return ways


def total(ranges: Iterable[Range]) -> Range:
    """The sum of ranges."""
    result = NOTHING
    for each in ranges:
        result += each
    return result
