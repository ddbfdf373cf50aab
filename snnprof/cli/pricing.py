"""Resolves the options about prices into hardware profiles, a convention and a chip, and prices runs with them."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.comparison import Entry
    from snnprof.conventions import Convention
    from snnprof.hardware import HardwareProfile
    from snnprof.literature import Published
    from snnprof.mapping import Target
    from snnprof.pricing import EnergyReport

DEFAULT_HARDWARE = ("cmos45-fp32", "cmos45-fp32-mem", "rolls-77fj")
"""The two prices that papers use most, and the first with memory accesses, which can reverse the comparison with the
ANN. There are several, because a single one would hide how much the choice of prices decides."""


class Pricing:
    """The options about prices, checked before anything runs: profiles, convention, latency, chip.

    If --mapping names a chip and no --hardware is given, the profiles of that chip are used, if there are any.

    Raises:
        SnnprofError: an unknown or invalid profile, convention, latency, chip or mapping.
    """

    def __init__(
        self,
        hardware: Sequence[str] | None,
        convention: str,
        latency_s: float | None = None,
        prices: Sequence[str] | None = None,
        exclude: Sequence[str] | None = None,
        mapping: str | None = None,
    ) -> None:
        from snnprof.conventions import Exclusion, find
        from snnprof.hardware import names
        from snnprof.mapping import load_target

        if latency_s is not None and not 0 < latency_s < float("inf"):
            raise SnnprofError(f"--latency must be a positive number of seconds, not {latency_s:g}")
        self.target: Target | None = None if mapping is None else load_target(mapping)
        own = [id for id in self.target.chip.prices if id in names()] if self.target else []
        self.convention: Convention = find(convention).excluding(Exclusion(tuple(unique(exclude or []))))
        self.hardware: list[HardwareProfile] = price_lists(hardware, prices) or price_lists(own or DEFAULT_HARDWARE)
        self.by_default = not (hardware or prices or own)
        self.latency_s = latency_s

    def on_the_first_list(self) -> Pricing:
        """The same options with the first price list only."""
        again = copy.copy(self)
        again.hardware = self.hardware[:1]
        return again

    def reports(self, activity: Activity) -> list[EnergyReport]:
        """One report per hardware profile."""
        from snnprof.mapping import map_to_chip
        from snnprof.pricing import price

        mapping = None if self.target is None else map_to_chip(activity, self.target)
        return [price(activity, profile, self.convention, self.latency_s, mapping=mapping) for profile in self.hardware]

    def entries(self, things: Sequence[tuple[str, Activity | Published]]) -> list[Entry]:
        """Prices named runs, and makes comparable entries of them and of published rows."""
        from snnprof.activity import Activity
        from snnprof.comparison import Entry

        return [
            Entry(name, runs=(tuple(self.reports(thing)),)) if isinstance(thing, Activity)
            else Entry(name, published=thing)
            for name, thing in things
        ]  # fmt: skip


def price_lists(hardware: Sequence[str] | None, prices: Sequence[str] | None = None) -> list[HardwareProfile]:
    """The profiles that --hardware names, then those that --price states; empty if neither was given.

    Raises:
        SnnprofError: there is no such profile or price, or two lists have the same id.
    """
    from snnprof.hardware import load_hardware, prices_in

    lists = [load_hardware(name) for name in unique(hardware or [])]
    own = unique(prices or [])
    lists += [prices_in(text, "own-prices" + (f"-{i}" if i else "")) for i, text in enumerate(own, len(own) > 1)]
    for profile in lists:
        if sum(each.id == profile.id for each in lists) > 1:
            raise SnnprofError(f"two price lists have the id {profile.id!r}", hint="name each only once")
    return lists


def unique(names: Sequence[str]) -> list[str]:
    """The names without duplicates, in their order."""
    return list(dict.fromkeys(names))
