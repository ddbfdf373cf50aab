"""What a convention returns: counts and lines; and the options that lead to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any, Literal, get_args, get_type_hints

from snnprof.activity import Activity
from snnprof.conventions.exclusion import Exclusion
from snnprof.errors import SnnprofError, unknown

Category = Literal["contraction", "elementwise", "neuron"]


@dataclass(frozen=True)
class Counts:
    """Operations over the whole run.

    A spike delivered over a synapse is one SOP and one AC: the same count under two names, because chips are priced per
    SOP and CMOS tables per AC. Only one of the two prices ever applies, and the hardware profile says which.

    Attributes:
        sops: synaptic operations: spikes delivered over synapses.
        acs: accumulates: the additions of these spikes.
        macs: multiply-accumulates.
        adds: additions of element-wise arithmetic.
        muls: multiplications of element-wise arithmetic.
        compares: comparisons of element-wise arithmetic.
    """

    sops: float = 0.0
    acs: float = 0.0
    macs: float = 0.0
    adds: float = 0.0
    muls: float = 0.0
    compares: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.sops + other.sops, self.acs + other.acs, self.macs + other.macs,
            self.adds + other.adds, self.muls + other.muls, self.compares + other.compares,
        )  # fmt: skip

    def scaled(self, factor: float) -> Counts:
        """Multiplies every count.

        Args:
            factor: what to multiply with.

        Returns:
            The new counts.
        """
        return Counts(
            factor * self.sops, factor * self.acs, factor * self.macs,
            factor * self.adds, factor * self.muls, factor * self.compares,
        )  # fmt: skip

    @property
    def elementwise(self) -> float:
        """Additions, multiplications and comparisons together."""
        return self.adds + self.muls + self.compares


def spike_driven(events: float) -> Counts:
    """Counts each event as one SOP and one AC."""
    return Counts(sops=events, acs=events)


@dataclass(frozen=True)
class Line:
    """One contraction, element-wise operation or neuron layer of a run, counted by a convention.

    Attributes:
        layer: path of the module.
        op: `conv`, `linear`, `matmul`; an element-wise operator; or the type of a neuron layer.
        index: number of the contraction within its layer; None for other lines.
        category: `contraction`, `elementwise` or `neuron`.
        counts: operations over the run.
        elements: data elements of a contraction, results of element-wise arithmetic, neuron-steps of a neuron layer;
            whether or not the convention counts them as operations.
    """

    layer: str
    op: str
    index: int | None
    category: Category
    counts: Counts
    elements: float = 0.0


Method = Literal["exact", "formula"]
Rate = Literal["input", "mean", "neuron", "network"]
Levels = Literal["by_value", "events", "mac"]
Attention = Literal["pairs", "left", "right", "dense"]
Real = Literal["mac", "sop"]
RealCount = Literal["valid", "dense", "nonzero"]
Encoder = Literal["every_step", "once"]
Synapses = Literal["all", "nonzero"]
BatchNorm = Literal["folded", "counted"]


@dataclass(frozen=True)
class Options:
    """The options of docs/conventions.md#options; the defaults are those of `exact`.

    Attributes:
        method: `exact` counts events; `formula` multiplies a rate by dense MACs.
        rate: which firing rate a formula uses: that of the `input`, its `mean` level, the rate of the `neuron` layers
            that feed it, or that of the whole `network`.
        levels: what a spike of level n > 1 counts as: n ACs (`by_value`), one AC (`events`) or one MAC (`mac`).
        max_levels: spikes whose level may exceed this bound count as MACs, whatever `levels` says.
        attention: data × data: pairs of non-zeros (`pairs`), non-zeros of one side × the size of the other (`left`,
            `right`), or all pairs (`dense`).
        real: what a real-valued input counts as: `mac` or `sop`.
        real_count: which MACs of a real-valued input count: without taps on zero padding (`valid`), with them
            (`dense`), or those of non-zero inputs (`nonzero`).
        encoder: a constant input that is read before the first neuron counts at `every_step` or `once`.
        synapses: `all` weights, or only those that are `nonzero`.
        batch_norm: `folded` into the contraction before it where possible, or `counted`.
        bias: additions of biases have lines of their own.
        reductions: sums have lines of their own.
        neuron_updates: neuron layers have lines of their own.

    Raises:
        SnnprofError: an option has no such value, or the values contradict each other.
    """

    method: Method = "exact"
    rate: Rate = "input"
    levels: Levels = "by_value"
    max_levels: int = 32
    attention: Attention = "pairs"
    real: Real = "mac"
    real_count: RealCount = "valid"
    encoder: Encoder = "every_step"
    synapses: Synapses = "all"
    batch_norm: BatchNorm = "folded"
    bias: bool = True
    reductions: bool = True
    neuron_updates: bool = True

    def __post_init__(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            allowed = get_args(kind)
            if allowed and getattr(self, name) not in allowed:
                raise unknown(f"value for {name}", str(getattr(self, name)), map(str, allowed))
        if self.method == "formula" and self.synapses == "nonzero":
            raise SnnprofError("synapses=nonzero needs method=exact: a rate does not tell which weights spikes meet")


CHOICES = tuple(option.name for option in fields(Options) if option.name != "method")
"""The options that a user may change; the method is fixed by the convention."""


@dataclass(frozen=True)
class Convention:
    """How raw counts become SOPs, ACs and MACs, named after the paper or tool that counts this way. It holds no prices.

    Attributes:
        id: the name that `--convention` takes.
        title: the rule in one line.
        source: the paper or tool, and whether its counting code is public.
        suggested_hardware: id of the profile whose prices the source uses; None if it names none.
        settings: the options that it counts with.
        count: the function that turns an activity and options into lines.
        choices: the options that make a difference to it.
        variants: options of further readings that can be defended; `compare --all-conventions` tries each of them.
        preset: its original options, if some were changed; else None.
        without: the layers that are excluded from the counts.
    """

    id: str
    title: str
    source: str
    suggested_hardware: str | None
    settings: Options
    count: Callable[[Activity, Options], list[Line]]
    choices: tuple[str, ...] = CHOICES
    variants: tuple[Mapping[str, Any], ...] = ()
    preset: Options | None = None
    without: Exclusion = field(default_factory=Exclusion)

    @property
    def options(self) -> dict[str, Any]:
        """All options with their values."""
        return asdict(self.settings)

    @property
    def changed(self) -> dict[str, Any]:
        """The options that differ from the convention's own, with their values."""
        mine, preset = self.settings, self.preset or self.settings
        return {name: getattr(mine, name) for name in CHOICES if getattr(mine, name) != getattr(preset, name)}

    @cached_property
    def label(self) -> str:
        """The text by which `conventions.find` finds it, such as `exact:levels=events`."""
        choices = ",".join(f"{name}={_text(value)}" for name, value in self.changed.items())
        return f"{self.id}:{choices}" if choices else self.id

    @property
    def rule(self) -> str:
        """Its title, the options that were changed, and the layers that were excluded."""
        choices = [f"{name}={_text(value)}" for name, value in self.changed.items()]
        parts = [self.title, *([f"with {', '.join(choices)}"] if choices else []), *self.without.words]
        return ", ".join(parts)

    def lines(self, activity: Activity) -> list[Line]:
        """Counts a run.

        Args:
            activity: what ran.

        Returns:
            One line for each operation that the convention counts, without the excluded layers.
        """
        lines = self.count(activity, self.settings)
        return [line for line in lines if not self.without.holds(line.layer)]

    def excluding(self, exclusion: Exclusion) -> Convention:
        """Returns the same convention with some layers excluded from its counts.

        Args:
            exclusion: the layers; they replace those excluded so far.

        Returns:
            The new convention.
        """
        return replace(self, without=exclusion)

    def with_options(self, **changed: Any) -> Convention:
        """Returns the same convention with other options.

        Args:
            changed: the options to change, by name.

        Returns:
            The new convention.

        Raises:
            SnnprofError: there is no such option or value, or the option makes no difference to this convention.
        """
        for name in changed:
            if name not in self.options:
                raise unknown("option", name, self.choices, owner=f"convention {self.id}")
        if changed.get("method", self.settings.method) != self.settings.method:
            raise SnnprofError(
                f"convention {self.id!r} has method={self.settings.method}", hint="choose another convention"
            )
        for name in changed.keys() - {"method", *self.choices}:
            choices = ", ".join(self.choices)
            raise SnnprofError(
                f"option {name} makes no difference to convention {self.id}",
                hint=f"it takes {choices}" if choices else "it takes no options",
            )
        return replace(self, settings=replace(self.settings, **changed), preset=self.preset or self.settings)


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
