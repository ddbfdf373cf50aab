"""The number of time steps, seen on the first batch: steps that neuron layers make of a call, or calls in a pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from snnprof.record.counters import NeuronCounter, OpCounter


class SeenTime:
    """What a pass shows of T.

    Attributes:
        lengths: steps that neuron layers made of one call, along an axis or in a loop of their own, by layer.
        shapes: what those layers put out.
        calls: how often neuron layers and firing lines that keep state ran in the pass, if more than once.
        repeats: how often contractions ran in the pass, if more than once.
        unclear: turns of a loop may be time steps or blocks of layers.
    """

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.calls: set[int] = set()
        self.repeats: set[int] = set()
        self.unclear = False
        self._totals: dict[int, int] = {}  # calls of each counter, before the pass

    def of_call(self, layer: str, steps: int, shape: tuple[int, ...]) -> None:
        """A neuron layer made so many steps of one call."""
        if steps > 1:
            self.lengths[layer] = steps
            self.shapes[layer] = shape

    def end_pass(self, ops: Iterable[OpCounter], stateful: Iterable[NeuronCounter], unclear: bool) -> None:
        """Looks at how often each thing ran in the pass."""
        self.unclear = unclear
        self.repeats |= self._ran_again(ops)
        self.calls |= self._ran_again(stateful)

    def _ran_again(self, counters: Iterable[OpCounter | NeuronCounter]) -> set[int]:
        """How often those ran in this pass that ran more than once."""
        calls = set()
        for counter in counters:
            calls.add(counter.all_calls - self._totals.get(id(counter), 0))
            self._totals[id(counter)] = counter.all_calls
        return {number for number in calls if number > 1}

    @property
    def _answers(self) -> set[int]:
        """Numbers of steps along which state was carried."""
        return set(self.lengths.values()) | self.calls

    @property
    def timesteps(self) -> int | None:
        """T; None where what was seen leaves several answers.

        State that is carried tells it. Without any it is 1, if nothing ran twice either, and no loop is unclear.
        """
        if self._answers:
            return next(iter(self._answers)) if len(self._answers) == 1 else None
        return None if self.repeats or self.unclear else 1

    @property
    def unknown(self) -> bool:
        return self.timesteps != 1

    @property
    def within_calls(self) -> bool:
        """Whether steps lie within single calls of neuron layers or contractions, which were not told apart."""
        return bool(self.lengths) or (bool(self.calls) and self.repeats != self.calls)

    def disagrees_with(self, told: int) -> int | None:
        """Another number of steps than was told, if state is carried along that and nothing is as long as was told."""
        return min(self._answers) if self._answers and told not in self._answers | self.repeats else None

    def along_first_axis(self, x: Tensor, logits: Tensor | None) -> bool:
        """Whether state is carried along the first axis of the input, which was taken for the batch."""
        if x.dim() < 2 or x.shape[0] == x.shape[1] or x.shape[0] not in self._answers:
            return False
        results = [*self.shapes.values(), *([] if logits is None else [tuple(logits.shape)])]
        return any(len(shape) > 2 and shape[:2] == x.shape[:2] for shape in results)
