"""Single spikes of one sample, which a run file does not keep: what an export replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class SpikeTrace:
    """What passed a model in one sample.

    Attributes:
        steps: time steps T.
        neurons: what each neuron layer put out, [T, neurons], in the order of its tensor.
        inputs: what each module with weights read, [T, elements], by its path.
    """

    steps: int
    neurons: Mapping[str, Array]
    inputs: Mapping[str, Array]
