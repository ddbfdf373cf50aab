"""The measured cases as data: which network ran on which chip, what was measured, and who says so.

`cases.yaml` holds them; docs/validation.md shows them. A case may lack its activity, since few papers print it: then
there is a range, from no neuron that ever fires to all that fire at each step.
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
    """A power with its unit in watts.

    >>> watts("232 mW")
    0.232
    """
    match = _POWER.fullmatch(text) if isinstance(text, str) else None
    if not match:
        raise ValueError(f"must be a power such as '232 mW', not {text!r}")
    return float(match[1]) * _WATTS[match[2]]


class Measured(_Record):
    """What a check is held against: an energy per inference or a power.

    Attributes:
        what: in words, such as `dynamic energy per inference`.
        energy: picojoules; power: watts. One of them.
    """

    what: str
    energy: Picojoules | None = None
    power: Annotated[float, BeforeValidator(watts)] | None = None

    @property
    def value(self) -> float:
        value = self.energy if self.power is None else self.power
        assert value is not None, self.what
        return value


class Counts(_Record):
    """What happened in one inference, as far as it is published.

    Attributes:
        dense: nothing is sparse: every multiply-accumulate of every step ran on real numbers.
        events: spikes × synapses by layer, in the order of the layers.
        driven: neuron-steps that had input. spikes: sent. fan_out: synapses that each meets, where no layers are known.
        messages, east_west, north_south: of all spikes, and the hops of these messages.
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
    """A profile to hold against the case.

    Attributes:
        relation: whose prices they are: the chip's `own`, those of its `predecessor`, of `other` hardware.
        errs: how the estimate must lie: `low`, `high`, `either` (nothing is known), `equal`.
    """

    profile: str
    relation: Literal["own", "predecessor", "other"]
    errs: Direction
    why: str


class Case(_Record):
    """One measurement.

    Attributes:
        machine: the chip or computer. network: what ran, in words.
        evidence: `measured`, or `simulated` where no silicon was involved.
        figures: what else was published, by name.
        layers: the network's sizes, where they are published.
        latency_s: of an inference, where the measured energy contains static power.
        prices_of: the profile whose prices a simulation used: agreement checks the counting, not the prices.
        missing: what one would need to know for more.
        unverified: fields that we filled in without finding them in a source.
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
        return f"{self.machine}, {self.network}"


@cache
def cases() -> dict[str, Case]:
    """All cases by id, in the order of the file."""
    read = [Case.model_validate(each) for each in read_yaml(CASES).data["cases"]]
    return {case.id: case for case in read}


def find(id: str) -> Case:
    """The case of that id.

    Raises:
        SnnprofError: there is none.
    """
    if id not in cases():
        raise unknown("measured case", id, cases(), see="snnprof hardware validate")
    return cases()[id]
