"""The measured cases as data: which network ran on which chip, what was measured, and who says so.

`cases.yaml` holds them; docs/validation.md shows them. A case may lack its activity, since few papers print it. Then
the estimate is a range: no neuron fires, or every neuron fires at each step.
"""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from snnprof.errors import unknown
from snnprof.hardware import Picojoules, Source
from snnprof.validation.layers import Network
from snnprof.yaml_file import read_yaml

CASES = Path(__file__).with_name("cases.yaml")
Relation = Literal["own", "predecessor", "other", "derived", "same prices"]
Direction = Literal["low", "high", "either", "equal"]
_WATTS = {"µW": 1e-6, "mW": 1e-3, "W": 1.0}
_POWER = re.compile(r"([\d.]+) (µW|mW|W)")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def watts(text: Any) -> Any:
    """Converts a power with its unit to watts.

    >>> watts("232 mW")
    0.232

    Raises:
        ValueError: the value is no such text.
    """
    match = _POWER.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"must be a power such as '232 mW', not {text!r}")
    return float(match[1]) * _WATTS[match[2]]


class Measured(_Record):
    """What a check compares an estimate with: an energy per inference, or a power.

    Attributes:
        what: in words, such as `dynamic energy per inference`.
        energy: picojoules; None for a power.
        power: watts; None for an energy.
    """

    what: str
    energy: Picojoules | None = None
    power: Annotated[float, BeforeValidator(watts)] | None = None

    @property
    def value(self) -> float:
        """The energy in picojoules, or the power in watts."""
        value = self.energy if self.power is None else self.power
        assert value is not None, self.what
        return value


class Counts(_Record):
    """The activity of one inference, as far as it is published.

    Attributes:
        dense: nothing is sparse: every multiply-accumulate of every step ran on real numbers.
        events: spikes × synapses of each layer, in the order of the layers.
        driven: neuron-steps with input.
        spikes: spikes that neurons sent.
        fan_out: synapses that each spike meets, if the layers are unknown.
        messages: messages of all spikes.
        east_west, north_south: hops of these messages.
    """

    dense: bool = False
    events: list[int] = Field(default_factory=list)
    driven: int | None = None
    spikes: int | None = None
    fan_out: int | None = None
    messages: int | None = None
    east_west: int | None = None
    north_south: int | None = None


class Demand(_Record):
    """A profile to compare with the case.

    Attributes:
        profile: id of the profile.
        relation: whose prices it has: the chip's `own`, those of its `predecessor`, or those of `other` hardware.
        errs: how the estimate must deviate: `low`, `high`, `either` (unknown), `equal`.
        why: the reason for that.
    """

    profile: str
    relation: Literal["own", "predecessor", "other"]
    errs: Direction
    why: str


class Case(_Record):
    """One measurement.

    Attributes:
        machine: the chip or computer.
        network: what ran, in words.
        evidence: `measured`, or `simulated` if no silicon was involved.
        figures: what else was published, by name.
        layers: sizes of the network, if they are published.
        activity: counts of one inference, if they are published.
        latency_s: seconds per inference, if the measured energy contains static power.
        prices_of: id of the profile whose prices a simulation used: agreement then checks the counting, not the prices.
        missing: what one would need to know for more.
        unverified: fields that were filled in without a source.
        checks: the profiles to compare with.
    """

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9-]*$")
    machine: str
    network: str
    evidence: Literal["measured", "simulated"]
    measured: Measured
    figures: dict[str, str] = Field(default_factory=dict)
    layers: Network | None = None
    activity: Counts | None = None
    latency_s: float | None = None
    prices_of: str | None = None
    missing: str
    unverified: list[str] = Field(default_factory=list)
    sources: list[Source]
    checks: list[Demand] = Field(default_factory=list)

    @property
    def title(self) -> str:
        """The machine and what ran on it."""
        return f"{self.machine}, {self.network}"


@cache
def cases() -> dict[str, Case]:
    """Returns all cases by id, in the order of the file."""
    read = [Case.model_validate(each) for each in read_yaml(CASES).data["cases"]]
    return {case.id: case for case in read}


def find(id: str) -> Case:
    """Finds a case by its id.

    Raises:
        SnnprofError: there is none with this id.
    """
    if id not in cases():
        raise unknown("measured case", id, cases(), see="snnprof hardware validate")
    return cases()[id]
