"""Detects T on the first batch: by the steps that neuron layers make in one call, or by how often things run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from snnprof.record.counters import NeuronCounter


class SeenTime:
    """Everything that passes show of T.

    Attributes:
        lengths: how many steps each neuron layer made in one call, along an axis or in a loop, by layer; only if more
            than one.
        shapes: the shapes of these layers' outputs.
        calls: how often neuron layers and firing lines with state ran in a pass; only numbers above 1.
        repeats: how often contractions ran in a pass; only numbers above 1.
        unclear: there is a loop whose turns may be time steps or blocks of layers.
    """

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.calls: set[int] = set()
        self.repeats: set[int] = set()
        self.unclear = False
        self._totals: dict[int, int] = {}  # calls of each counter, before the pass

    def of_call(self, layer: str, steps: int, shape: tuple[int, ...]) -> None:
        """Notes how many steps a neuron layer made in one call, and the shape of its output."""
        if steps > 1:
            self.lengths[layer] = steps
            self.shapes[layer] = shape

    def end_pass(self, repeats: set[int], stateful: Iterable[NeuronCounter], unclear: bool) -> None:
        """Notes how often contractions, and neuron layers and firing lines with state, ran in the pass.

        Args:
            repeats: how often contractions ran; only numbers above 1.
            stateful: the counters of neuron layers and firing lines with state.
            unclear: there is a loop whose turns may be time steps or blocks of layers.
        """
        self.repeats |= repeats
        self.unclear = unclear
        for counter in stateful:
            calls = counter.all_calls - self._totals.get(id(counter), 0)
            self._totals[id(counter)] = counter.all_calls
            if calls > 1:
                self.calls.add(calls)

    @property
    def _answers(self) -> set[int]:
        """All values of T for which a neuron layer or line carried state from step to step."""
        return set(self.lengths.values()) | self.calls

    @property
    def timesteps(self) -> int | None:
        """T; None if several values are possible.

        It is the number of steps over which state was carried. If no state was carried, T is 1, unless a contraction
        ran several times or a loop is unclear.
        """
        if self._answers:
            return next(iter(self._answers)) if len(self._answers) == 1 else None
        return None if self.repeats or self.unclear else 1

    @property
    def unknown(self) -> bool:
        """Whether T may be another number than 1."""
        return self.timesteps != 1

    @property
    def within_calls(self) -> bool:
        """Whether several steps lie in one call of a neuron layer or of a contraction, and were counted as one."""
        return bool(self.lengths) or (bool(self.calls) and self.repeats != self.calls)

    def disagrees_with(self, told: int) -> int | None:
        """The T that the model carries state over, if the T that was told matches nothing that ran; else None."""
        return min(self._answers) if self._answers and told not in self._answers | self.repeats else None

    def along_first_axis(self, x: Tensor, logits: Tensor | None) -> bool:
        """Whether the model carries state along the first axis of its input, which was taken for the batch axis."""
        if x.dim() < 2 or x.shape[0] == x.shape[1] or x.shape[0] not in self._answers:
            return False
        results = [*self.shapes.values(), *([] if logits is None else [tuple(logits.shape)])]
        return any(len(shape) > 2 and shape[:2] == x.shape[:2] for shape in results)
