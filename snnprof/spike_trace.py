"""The single spikes of one sample, which a run file does not hold and an export replays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]


@dataclass(frozen=True)
class SpikeTrace:
    """What passed through a model in one sample.

    Attributes:
        steps: time steps T.
        neurons: name of a neuron layer → its output, [T, neurons], in the order of its tensor.
        inputs: path of a module with weights → what it read, [T, elements].
    """

    steps: int
    neurons: Mapping[str, Array]
    inputs: Mapping[str, Array]
