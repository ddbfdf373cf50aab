"""The printed figures of one network: its energy, the counts beside it, and the formula that the source states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

from snnprof.audit.layer_tables import Layer
from snnprof.audit.printed import Quantity, Range
from snnprof.audit.readings import Choice, Reading, Sheet


@dataclass(frozen=True)
class Counted:
    """Counts of one network, and the choices that are already made about them.

    Attributes:
        sheet: the counts.
        decided: choices by axis that every reading of these counts makes, such as the convention that counted a run.
    """

    sheet: Sheet
    decided: Mapping[str, Choice] = field(default_factory=dict)

    def readings(self) -> Iterable[Reading]:
        """All readings of the sheet, with the choices that are already made."""
        for reading in self.sheet.readings():
            yield Reading({**self.decided, **reading.choices}, reading.energy) if self.decided else reading


@dataclass(frozen=True)
class Figures:
    """What a source prints about one network.

    Attributes:
        name: of the row or run, for messages.
        printed: the printed energy of one inference.
        counted: the counts beside it. A run has several, one for each convention.
        fixed: readings without choices of price: a run by each of snnprof's conventions on each hardware profile.
        stated: the choices by axis of the formula that the source states; None where none is known.
        formula: that formula in words.
        missing: what the formula needs and the source does not print.
        layers: the table of layers that the counts come from.
        timesteps: T; None where the source does not print it.
        note: a remark on the row.
        family: the model's name without its size. Rows of one family may have been confused with each other.
    """

    name: str
    printed: Quantity
    counted: tuple[Counted, ...]
    fixed: tuple[Reading, ...] = ()
    stated: Mapping[str, str] | None = None
    formula: str = ""
    missing: str = ""
    layers: tuple[Layer, ...] = ()
    timesteps: int | None = None
    note: str = ""
    family: str = ""

    @property
    def energy(self) -> Range:
        """The energies that round to the printed one, in pJ."""
        return self.printed.range

    @property
    def sheet(self) -> Sheet:
        """The counts by the first convention."""
        return self.counted[0].sheet

    @cached_property
    def stated_reading(self) -> Reading | None:
        """The reading that the source states; None where it states none, or does not print what the formula needs."""
        return None if self.stated is None or not self.counted else self.sheet.reading(self.stated)

    @cached_property
    def readings(self) -> tuple[Reading, ...]:
        """All readings of all counts."""
        return (*self.fixed, *(reading for counted in self.counted for reading in counted.readings()))

    def with_prices(self, prices: Mapping[str, tuple[Choice, ...]]) -> Figures:
        """The same figures, to be read with further prices (by axis) too."""
        return replace(self, counted=tuple(
            replace(each, sheet=replace(each.sheet, prices=prices)) for each in self.counted
        ))  # fmt: skip
