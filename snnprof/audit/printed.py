"""Printed numbers: the digits in the source, and the range of values that round to these digits.

A printed 6.82 stands for every value from 6.815 to 6.825, a printed 4.50 for 4.495 to 4.505.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from snnprof.units import PICOJOULES

COUNTS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9, "T": 1e12}
"""Operations per unit."""
ENERGIES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "µJ": 1e6, "μJ": 1e6, "mJ": 1e9, "J": 1e12}
"""pJ per unit; both the micro sign and the Greek letter mu occur."""
_NUMBER = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?", re.IGNORECASE)
_LONGEST = 40  # characters of a number
_LARGEST = 1e60
_ROUNDING = 1e-12
"""The relative error of floating point at the ends of a range."""

assert ENERGIES.items() >= PICOJOULES.items()


@dataclass(frozen=True)
class Range:
    """All values from `low` to `high`.

    Attributes:
        low: the lowest value, at least 0.
        high: the highest value.
    """

    low: float
    high: float

    def __add__(self, other: Range) -> Range:
        return Range(self.low + other.low, self.high + other.high)

    def times(self, factor: float) -> Range:
        """Multiply both ends by a number.

        Args:
            factor: at least 0.

        Returns:
            The new range.
        """
        return Range(self.low * factor, self.high * factor)

    def product(self, other: Range) -> Range:
        """Multiply every value of this range by every value of another.

        Args:
            other: the other range.

        Returns:
            The range of the products.
        """
        return Range(self.low * other.low, self.high * other.high)

    @property
    def middle(self) -> float:
        """The mean of both ends."""
        return (self.low + self.high) / 2

    def meets(self, other: Range) -> bool:
        """Compare two rounded figures.

        Args:
            other: the other range.

        Returns:
            Whether both ranges have a value in common, within the rounding of floating point.
        """
        slack = _ROUNDING * max(self.high, other.high)
        return self.low <= other.high + slack and other.low <= self.high + slack

    def off(self, other: Range) -> float:
        """Measure the gap between two ranges.

        Args:
            other: the range to compare with.

        Returns:
            A fraction of the nearest end of the other range: 0.1 where this range is 10 % above it, -0.1 where it is
            10 % below; 0 where both meet.
        """
        if self.meets(other):
            return 0.0
        if self.low > other.high:
            return self.low / other.high - 1 if other.high else math.inf
        return self.high / other.low - 1


NOTHING = Range(0.0, 0.0)


class Printed(float):
    """A number with the digits that the source prints.

    >>> Printed("4.50").range
    Range(low=4.495, high=4.505)

    Attributes:
        text: the digits.

    Raises:
        ValueError: the text is no number, is below 0, has over 40 characters or is above 1e60.
    """

    text: str

    def __new__(cls, text: str | float) -> Printed:
        """Read the digits; those of another number are its shortest decimal.

        Raises:
            ValueError: see the class.
        """
        written = text.text if isinstance(text, Printed) else str(text).strip()
        if len(written) > _LONGEST or not _NUMBER.fullmatch(written) or float(written) > _LARGEST:
            raise ValueError(f"{written[:_LONGEST]!r} is not a number that a table can print, such as 4.50")
        made = super().__new__(cls, float(written))
        made.text = written
        return made

    def __reduce__(self) -> tuple[type[Printed], tuple[str]]:
        return Printed, (self.text,)

    @property
    def range(self) -> Range:
        """The values that round to these digits: half a unit of the last digit below and above the number."""
        exact = Decimal(self.text)
        exponent = exact.as_tuple().exponent
        half = Decimal(5).scaleb(int(exponent) - 1)
        return Range(float(max(exact - half, Decimal(0))), float(exact + half))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validated(value: object) -> Printed:
            if isinstance(value, bool) or not isinstance(value, (str, int, float)):
                raise ValueError("must be a number")
            return cls(value)

        return core_schema.no_info_plain_validator_function(
            validated, serialization=core_schema.plain_serializer_function_ser_schema(float)
        )


@dataclass(frozen=True)
class Quantity:
    """A printed number and its unit.

    Attributes:
        number: as the source prints it.
        unit: such as `mJ` or `G`; empty for counts in full.
        size: operations or pJ per unit.
    """

    number: Printed
    unit: str = ""
    size: float = 1.0

    @property
    def text(self) -> str:
        """The number and the unit, as `4.50 mJ`."""
        return f"{self.number.text} {self.unit}".rstrip()

    @property
    def between(self) -> str:
        """The range in the printed unit, as `4.495 to 4.505 mJ`."""
        exponent = int(Decimal(self.number.text).as_tuple().exponent)
        low, high = (f"{end:.{max(0, 1 - exponent)}f}" for end in (self.number.range.low, self.number.range.high))
        return f"{low} to {high} {self.unit}".rstrip()

    @property
    def value(self) -> float:
        """The number in operations or in pJ."""
        return self.number * self.size

    @property
    def range(self) -> Range:
        """The values that round to the printed digits, in operations or in pJ."""
        return self.number.range.times(self.size)

    def in_unit(self, size: float) -> Printed:
        """The same digits in another unit.

        Args:
            size: operations or pJ per new unit, a power of ten times the present size.
        """
        return Printed(str(Decimal(self.number.text).scaleb(round(math.log10(self.size / size)))))


def without_operations(unit: str) -> str:
    """The unit without the name of an operation: `GSOPs` → `G`, `MFLOPs` → `M`; other units as they are."""
    return re.sub(r"(?i)(?<=^[kmgt])(sops?|flops?|macs?|ops?|acs?)$", "", unit)


def quantity(text: str, units: dict[str, float], default: str | None) -> Quantity:
    """Read a number with its unit, such as `4.50mJ` or `6.82 G`.

    Args:
        text: what is printed.
        units: operations or pJ per unit, by its name.
        default: the unit of a text without one; None where the text must have one.

    Raises:
        ValueError: the text is no number, its unit is not known, or it has an exponent and a unit with a prefix: a
            count of `11.09e9` in a column of G would be 11.09e18.
    """
    text = text.strip()
    if "," in text:
        raise ValueError(f"{text[:_LONGEST]!r} has a comma: write a decimal point and no separator of thousands")
    number = _NUMBER.match(text)
    if number is None:
        raise ValueError(f"{text[:_LONGEST]!r} is not a number that a table can print, such as 4.50")
    unit = without_operations(text[number.end() :].strip()) or default
    if unit is None:
        raise ValueError(f"{text[:_LONGEST]!r} needs a unit: {', '.join(units)}")
    if unit not in units:
        raise ValueError(f"{text[:_LONGEST]!r} ends in an unknown unit; known: {', '.join(filter(None, units))}")
    if number[2] and unit not in ("", "J"):
        raise ValueError(f"{text[:_LONGEST]!r} has an exponent, and the unit {unit}, too: write one of the two")
    return Quantity(Printed(number.group()), "µJ" if unit in ("uJ", "μJ") else unit, units[unit])
