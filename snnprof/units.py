"""Energies are picojoules inside; text and other units only at the edges."""

from __future__ import annotations

PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "µJ": 1e6, "mJ": 1e9, "J": 1e12}
_COUNTS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def energy_text(picojoules: float | None, digits: int = 4) -> str:
    """An energy in the unit that leaves one to three digits before the point; `–` for unknown.

    >>> energy_text(354_200_000.0)
    '354.2 µJ'
    >>> energy_text(None)
    '–'
    """
    if picojoules is None:
        return "–"
    for unit in ("J", "mJ", "µJ", "nJ", "pJ"):
        if abs(picojoules) >= PICOJOULES[unit]:
            return f"{_rounded(picojoules / PICOJOULES[unit], digits)} {unit}"
    return "0 pJ" if picojoules == 0 else f"{_rounded(picojoules / PICOJOULES['fJ'], digits)} fJ"


def count_text(count: float | None, digits: int = 4) -> str:
    """A count with a decimal prefix; whole numbers below 10,000 in full; `–` for unknown.

    >>> count_text(934_035_456)
    '934.0 M'
    """
    if count is None:
        return "–"
    if abs(count) < 10_000:
        return str(int(count)) if float(count).is_integer() else _rounded(count, digits)
    for prefix, size in _COUNTS:
        if abs(count) >= size:
            return f"{_rounded(count / size, digits)} {prefix}"
    return _rounded(count, digits)


def percent_text(share: float | None, digits: int = 1) -> str:
    """A share in percent; `–` for unknown."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _rounded(value: float, digits: int) -> str:
    """`digits` significant digits, never in scientific notation."""
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"


def without_noise(value: float) -> float:
    """The value without what binary arithmetic leaves behind its twelfth digit; a whole number as it is.

    >>> without_noise(0.1 + 0.2), without_noise(905639.0399999999), without_noise(2.0**53)
    (0.3, 905639.04, 9007199254740992.0)
    """
    return value if value.is_integer() else float(f"{value:.12g}")
