"""The choices that a user has for a figure: width, title, fonts, and other names for its parts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from snnprof.errors import SnnprofError, unknown
from snnprof.render.cleaning import line

ONE_COLUMN, TWO_COLUMNS = 3.5, 7.16
"""Widths in inches of one and two columns on a page of IEEE."""
WIDTHS, SIZES = (2.0, 20.0), (5.0, 16.0)
TEXTS = {
    "stem": "first layer", "QKV": "Q, K, V", "QK": "Q, K", "QK^T": "Q × Kᵀ", "AV": "attention × V", "K^TV": "Kᵀ × V",
    "Q(K^TV)": "Q × (Kᵀ V)", "DWC": "depth-wise conv.",
    "static": "static power", "other elementwise": "other arithmetic", "other contraction": "other products",
    "other neuron": "other neurons",
}  # fmt: skip
"""Names of roles as a figure prints them."""


@dataclass(frozen=True)
class Look:
    """How a figure looks.

    Attributes:
        width: width in inches; None takes one or two columns, as the content needs.
        title: title over the figure; none by default, since papers have captions.
        font: an installed font family.
        size: size of titles and axes in points; ticks and legends are 1 smaller, numbers inside a plot 2.
        labels: other names for runs, roles, layers and price lists, by their name in the figure without labels.

    Raises:
        SnnprofError: the width or size is out of range.
    """

    width: float | None = None
    title: str = ""
    font: str = "DejaVu Sans"
    size: float = 8.0
    labels: Mapping[str, str] = field(default_factory=dict)
    _seen: dict[str, None] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.width is not None:
            _must_lie("the width of a figure", self.width, WIDTHS, "inches")
        _must_lie("the size of its type", self.size, SIZES, "points")

    @property
    def small(self) -> float:
        """The size of ticks and legends in points."""
        return max(SIZES[0], self.size - 1)

    @property
    def smallest(self) -> float:
        """The size of numbers inside a plot in points."""
        return max(SIZES[0], self.size - 2)

    def name(self, text: str, length: int = 34) -> str:
        """A name as the figure prints it: the user's label or ours, on one line, shortened in the middle if long."""
        from snnprof.render.terminal import shortened

        self._seen[text] = None
        shown = line(self.labels.get(text) or TEXTS.get(text, text))
        shown = f" {shown}" if shown.startswith("_") else shown  # matplotlib leaves names with _ out of legends
        return shortened(shown, length)

    def must_have_used_all_labels(self) -> None:
        """Raises SnnprofError for a label of something that the figure does not show."""
        for old in self.labels:
            if old not in self._seen:
                raise unknown("name in --label", old, self._seen)


def _must_lie(what: str, value: float, bounds: tuple[float, float], unit: str) -> None:
    low, high = bounds
    if not low <= value <= high:
        raise SnnprofError(f"{what} must be {low:g} to {high:g} {unit}, not {value:g}")
