"""Names on the command line → hardware profiles, a convention, priced reports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from snnprof.errors import SnnprofError

if TYPE_CHECKING:
    from snnprof.activity import Activity
    from snnprof.catalogue import Published
    from snnprof.comparison import Entry
    from snnprof.conventions import Convention
    from snnprof.hardware import HardwareProfile
    from snnprof.mapping import Target
    from snnprof.pricing import EnergyReport

DEFAULT_HARDWARE = ("cmos45-fp32", "cmos45-fp32-mem", "rolls-77fj")
"""The two prices the field quotes, and the first with memory accesses, which can turn the comparison with the ANN;
side by side, because a single one hides how much it decides."""


class Pricing:
    """How to price, checked before anything runs: profiles, convention, latency, chip.

    A chip without hardware is priced with the profiles of that chip, where there are any.

    Raises:
        SnnprofError: an unknown or invalid profile, convention, latency, chip or mapping.
    """

    def __init__(
        self,
        hardware: Sequence[str] | None,
        convention: str,
        latency_s: float | None = None,
        mapping: str | None = None,
    ) -> None:
        from snnprof.conventions import find
        from snnprof.hardware import load_hardware, names
        from snnprof.mapping import load_target

        if latency_s is not None and not 0 < latency_s < float("inf"):
            raise SnnprofError(f"--latency must be a positive number of seconds, not {latency_s:g}")
        self.target: Target | None = None if mapping is None else load_target(mapping)
        own = [id for id in self.target.chip.prices if id in names()] if self.target else []
        self.convention: Convention = find(convention)
        self.hardware: list[HardwareProfile] = [
            load_hardware(name) for name in unique(hardware or own or DEFAULT_HARDWARE)
        ]
        self.latency_s = latency_s

    def reports(self, activity: Activity) -> list[EnergyReport]:
        """One report per hardware profile."""
        from snnprof.mapping import map_to_chip
        from snnprof.pricing import price

        mapping = None if self.target is None else map_to_chip(activity, self.target)
        return [price(activity, profile, self.convention, self.latency_s, mapping=mapping) for profile in self.hardware]

    def entries(self, things: Sequence[tuple[str, Activity | Published]]) -> list[Entry]:
        """Named runs and published rows, priced, ready to compare."""
        from snnprof.activity import Activity
        from snnprof.comparison import Entry

        return [
            Entry(name, runs=(tuple(self.reports(thing)),)) if isinstance(thing, Activity)
            else Entry(name, published=thing)
            for name, thing in things
        ]  # fmt: skip


def unique(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))
