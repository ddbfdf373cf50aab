"""What a convention answers in: counts, the lines they stand on, and the choices that led to them."""

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

    A spike delivered over a synapse is one SOP and one AC: the same count under two names, because chips are priced
    per SOP and CMOS tables per AC. Only one of the two prices ever applies, and the hardware profile says which.
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
        return Counts(
            factor * self.sops, factor * self.acs, factor * self.macs,
            factor * self.adds, factor * self.muls, factor * self.compares,
        )  # fmt: skip

    @property
    def elementwise(self) -> float:
        return self.adds + self.muls + self.compares


def spike_driven(events: float) -> Counts:
    return Counts(sops=events, acs=events)


@dataclass(frozen=True)
class Line:
    """One operation, element-wise line or neuron layer of a run, counted by a convention.

    Attributes:
        layer: module path.
        op: `conv`, `linear`, `matmul`; an element-wise operator; or the neuron's type.
        index: the contraction's number within its layer; null for other lines.
        elements: results (neuron-steps for a neuron layer), whether or not they were counted as anything.
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
    """The choices of docs/conventions.md; the defaults are those of `exact`.

    Attributes:
        method: count the events, or multiply a rate by dense MACs.
        rate: formula only: which firing rate.
        levels: what a spike of level n > 1 costs: n ACs, one AC, or a MAC.
        max_levels: above this bound a level is a MAC whatever `levels` says.
        attention: data × data: pairs that meet, or the spikes of one side × the other's extent.
        real: what a real input costs.
        real_count: which MACs of a real input count.
        encoder: a constant input is encoded at each step, or once and kept.
        synapses: all weights, or only those that are not zero.
        batch_norm: folded into the contraction before it where possible, or counted.
        bias, reductions, neuron_updates: give them lines of their own.
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
"""What a convention may leave open; its method is what it is."""


@dataclass(frozen=True)
class Convention:
    """How raw counts become SOPs, ACs and MACs, named after the paper or tool that counts so. No prices inside.

    Attributes:
        source: the paper or tool, and whether its counting code is public.
        suggested_hardware: the profile whose prices the source uses; null where it names none.
        settings: the options it counts with.
        count: the function behind it.
        choices: the options that make a difference to it.
        variants: options of other readings that can be defended, one reading each; `compare --all-conventions` counts
            by them too.
        preset: the options as the convention has them, where some were changed.
        without: the layers whose work is left out of the counts.
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
        return asdict(self.settings)

    @property
    def changed(self) -> dict[str, Any]:
        """The options that are not those of the preset."""
        mine, preset = self.settings, self.preset or self.settings
        return {name: getattr(mine, name) for name in CHOICES if getattr(mine, name) != getattr(preset, name)}

    @cached_property
    def label(self) -> str:
        """What `conventions.find` takes for it, e.g. `exact:levels=events`."""
        choices = ",".join(f"{name}={_text(value)}" for name, value in self.changed.items())
        return f"{self.id}:{choices}" if choices else self.id

    @property
    def rule(self) -> str:
        """Its title, the options that were changed, and the layers that were left out."""
        choices = [f"{name}={_text(value)}" for name, value in self.changed.items()]
        parts = [self.title, *([f"with {', '.join(choices)}"] if choices else []), *self.without.words]
        return ", ".join(parts)

    def lines(self, activity: Activity) -> list[Line]:
        lines = self.count(activity, self.settings)
        return [line for line in lines if not self.without.holds(line.layer)]

    def excluding(self, exclusion: Exclusion) -> Convention:
        """The same convention, which leaves layers out of its counts."""
        return replace(self, without=exclusion)

    def with_options(self, **changed: Any) -> Convention:
        """The same convention with other choices.

        Raises:
            SnnprofError: there is no such option, it makes no difference here, or there is no such value for it.
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
