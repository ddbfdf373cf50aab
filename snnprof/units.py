"""Text for energies, counts, times and rates. Inside snnprof, energies are picojoules.

Other units are only for output.
"""

from __future__ import annotations

PICOJOULES = {"fJ": 1e-3, "pJ": 1.0, "nJ": 1e3, "uJ": 1e6, "µJ": 1e6, "mJ": 1e9, "J": 1e12}
_COUNTS = (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3))


def energy_text(picojoules: float | None, digits: int = 4) -> str:
    """Writes an energy in the unit that leaves one to three digits before the point; `–` if unknown.

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


def price_text(picojoules: float) -> str:
    """Writes a price in the unit in which papers print it.

    >>> price_text(0.9), price_text(0.077), price_text(13300.0)
    ('0.9 pJ', '77 fJ', '13.3 nJ')
    """
    unit = "nJ" if picojoules >= PICOJOULES["nJ"] else "pJ" if picojoules >= 0.1 or not picojoules else "fJ"
    return f"{picojoules / PICOJOULES[unit]:.6g} {unit}"


def time_text(seconds: float) -> str:
    """Writes a time with up to three digits.

    >>> time_text(0.000547), time_text(1.0e-3), time_text(12.0)
    ('547 µs', '1 ms', '12 s')
    """
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def count_text(count: float | None, digits: int = 4) -> str:
    """Writes a count with a decimal prefix; integers below 10,000 in full; `–` if unknown.

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


def brief_energy(picojoules: float | None) -> str:
    """Writes an energy with three digits; `–` if unknown.

    >>> brief_energy(3_264_300.0), brief_energy(999_960.0), brief_energy(0.0)
    ('3.26 µJ', '1.00 µJ', '0 pJ')
    """
    if not picojoules:
        return "–" if picojoules is None else "0 pJ"
    return _brief(picojoules, [(unit, PICOJOULES[unit]) for unit in ("J", "mJ", "µJ", "nJ", "pJ", "fJ")])


def brief_power(watts: float | None) -> str:
    """Writes a power with three digits; `–` if unknown.

    >>> brief_power(0.1788), brief_power(4.804e-4)
    ('179 mW', '480 µW')
    """
    return "–" if watts is None else _brief(watts, [("W", 1.0), ("mW", 1e-3), ("µW", 1e-6)])


def brief_count(count: float | None) -> str:
    """Writes a count with three digits, with a prefix from a thousand on; `–` if unknown.

    >>> brief_count(3_096_000), brief_count(4811.5), brief_count(64.0)
    ('3.10 M', '4.81 k', '64')
    """
    if count is None:
        return "–"
    if abs(count) < 1000 and float(count).is_integer():
        return str(int(count))
    return _brief(count, [*_COUNTS, ("", 1.0)]).rstrip()


def seconds_text(seconds: float) -> str:
    """Writes a time with three digits.

    >>> seconds_text(0.00412), seconds_text(2.5)
    ('4.12 ms', '2.50 s')
    """
    return _brief(seconds, [("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)]) if seconds else "0 s"


def watts_text(watts: float) -> str:
    """Writes a power with three digits.

    >>> watts_text(21.4), watts_text(0.0644)
    ('21.4 W', '64.4 mW')
    """
    return _brief(watts, [("W", 1.0), ("mW", 1e-3), ("µW", 1e-6), ("nW", 1e-9)]) if watts else "0 W"


def rate_text(share: float | None) -> str:
    """Writes a rate in percent; a rate above 0 is never written as 0.

    >>> rate_text(0.0004), rate_text(0.235), rate_text(0.0)
    ('<0.1 %', '23.5 %', '0 %')
    """
    if not share:
        return "–" if share is None else "0 %"
    return "<0.1 %" if share < 0.0005 else percent_text(share)


def percent_text(share: float | None, digits: int = 1) -> str:
    """Writes a share in percent; `–` if unknown."""
    return "–" if share is None else f"{100 * share:.{digits}f} %"


def _rounded(value: float, digits: int) -> str:
    """Writes a number with `digits` significant digits, never in scientific notation."""
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, digits - whole)}f}"


def without_noise(value: float) -> float:
    """Rounds a number to twelve digits, which removes the noise of binary arithmetic; an integer stays as it is.

    >>> without_noise(0.1 + 0.2), without_noise(905639.0399999999), without_noise(2.0**53)
    (0.3, 905639.04, 9007199254740992.0)
    """
    return value if value.is_integer() else float(f"{value:.12g}")


def _brief(value: float, units: list[tuple[str, float]]) -> str:
    """Writes three digits in the largest unit that leaves one before the point, after rounding."""
    rounded = float(f"{value:.2e}")
    unit, size = next((pair for pair in units if abs(rounded) >= pair[1]), units[-1])
    figure = rounded / size
    return f"{_rounded(figure, 3) if abs(figure) >= 1 else f'{figure:.3g}'} {unit}"
