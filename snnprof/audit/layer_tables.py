"""Tables of layers with MACs and firing rates, as appendices print them, and the terms that follow from one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pydantic import BaseModel, ConfigDict, model_validator

from snnprof.audit import readings
from snnprof.audit.printed import NOTHING, Printed, Range
from snnprof.audit.readings import Sheet, Term, Work, total

FIRST, HEAD, QKV, ATTENTION, MLP = "first", "head", "qkv", "attention", "mlp"
ROLES = (FIRST, HEAD, QKV, ATTENTION, MLP, "conv", "linear", "projection", "other")


class Layer(BaseModel):
    """One layer of a printed table.

    Attributes:
        layer: its name.
        role: one of `ROLES`. Only the first five have axes of their own.
        macs_m: MACs of one time step, in 1e6.
        rate: firing rate of the input, mean over T, as a fraction; above 1 where spikes are integers. None only for the
            first layer and the head.
        output_rate: firing rate of the output, as a fraction; None where it is not printed.
    """

    model_config = ConfigDict(extra="forbid")

    layer: str
    role: str = "other"
    macs_m: Printed
    rate: Printed | None = None
    output_rate: Printed | None = None

    @model_validator(mode="after")
    def _can_be_counted(self) -> Layer:
        if self.role not in ROLES:
            raise ValueError(f"layer {self.layer!r} has the unknown role {self.role!r}; known: {', '.join(ROLES)}")
        if self.rate is None and self.role not in (FIRST, HEAD):
            raise ValueError(f"layer {self.layer!r} needs a rate; only the roles {FIRST} and {HEAD} can do without")
        return self

    @property
    def macs(self) -> Range:
        """MACs of one time step."""
        return self.macs_m.range.times(1e6)

    @property
    def input_range(self) -> Range | None:
        """The rates of the input that round to the printed one; None where none is printed."""
        return None if self.rate is None else self.rate.range

    def driven(self, steps: int, output: bool = False) -> Range:
        """Multiply MACs by a firing rate and T.

        Args:
            steps: T.
            output: take the rate of the output, not that of the input.

        Returns:
            SOPs over all time steps; nothing where the rate is not printed.
        """
        rate = self.output_rate if output else self.rate
        return NOTHING if rate is None else self.macs.product(rate.range).times(steps)


def terms(layers: Sequence[Layer], steps: int) -> tuple[Term, ...]:
    """The terms of a table of layers, in the order of a network.

    Args:
        layers: at least one, of any role.
        steps: T.
    """
    by_role = {role: [layer for layer in layers if layer.role == role] for role in ROLES}
    ordinary = [layer for layer in layers if layer.role not in (FIRST, HEAD, QKV, ATTENTION, MLP)]
    return (
        *_added(readings.first_layer(layer.macs, steps, layer.input_range) for layer in by_role[FIRST]),
        *_by_rates("QKV", "qkv", by_role[QKV], steps, ("output_rates", "input_rates")),
        *_attention(by_role[ATTENTION], steps),
        *_by_rates("other layers", "rates", ordinary, steps, ("output", "input")),
        *_mlp(by_role[MLP], steps),
        *_added(readings.head(layer.macs, steps, layer.input_range) for layer in by_role[HEAD]),
    )


def _added(each: Iterable[Term]) -> list[Term]:
    """Several terms on one axis as one term; it keeps the choices that all of them offer."""
    terms = list(each)
    if len(terms) < 2:
        return terms
    first, *others = terms
    ways = {key: work for key, work in first.ways.items() if all(key in other.ways for other in others)}
    for other in others:
        ways = {key: work + other.ways[key] for key, work in ways.items()}
    return [replace(first, ways=ways)]


def layer_energies(layers: Sequence[Layer], steps: int, keys: Mapping[str, str]) -> list[tuple[Layer, Range | None]]:
    """Each layer with its energy by one reading, in pJ.

    Args:
        layers: of the table.
        steps: T.
        keys: the reading's choices, by axis.
    """
    each = [(layer, Sheet(terms([layer], steps), steps).reading(keys)) for layer in layers]
    return [(layer, None if reading is None else reading.energy) for layer, reading in each]


def _by_rates(name: str, axis: str, layers: Sequence[Layer], steps: int, keys: tuple[str, str]) -> list[Term]:
    """A term of layers that papers price at the rate of the input or the output; input only, if one lacks the other."""
    if not layers:
        return []
    inputs = Work(ac=total(layer.driven(steps) for layer in layers))
    if any(layer.output_rate is None for layer in layers):
        return [Term(name, "", {"": inputs})]
    outputs = Work(ac=total(layer.driven(steps, output=True) for layer in layers))
    return [Term(name, axis, dict(zip(keys, (outputs, inputs), strict=True)))]


def _attention(layers: Sequence[Layer], steps: int) -> list[Term]:
    """A term of attention products, which some papers leave out."""
    if not layers:
        return []
    counted = Work(ac=total(layer.driven(steps) for layer in layers))
    return [Term("attention", "attention", {"counted": counted, "left_out": Work()})]


def _mlp(layers: Sequence[Layer], steps: int) -> list[Term]:
    """A term of the two layers of each MLP, whose rates a spreadsheet may have swapped."""
    if not layers:
        return []
    own = Work(ac=total(layer.driven(steps) for layer in layers))
    if len(layers) % 2:
        return [Term("MLP", "", {"": own})]
    other = [layers[at + 1 if at % 2 == 0 else at - 1] for at in range(len(layers))]
    swapped = total(
        layer.macs.product(twin.rate.range).times(steps)
        for layer, twin in zip(layers, other, strict=True) if twin.rate is not None
    )  # fmt: skip
    return [Term("MLP", "mlp", {"own": own, "swapped": Work(ac=swapped)})]
