"""The number of time steps, seen on the first batch: steps that neuron layers make of a call, or calls in a pass."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from snnprof.record.books import Books
    from snnprof.record.counters import NeuronCounter


class SeenTime:
    """What a pass shows of T.

    Attributes:
        lengths: steps that neuron layers made of one call, along an axis or in a loop of their own, by layer.
        shapes: what those layers put out.
        repeats: how often contractions ran in the pass, where that is more than once.
        spiking: how often neuron layers and firing lines ran.
    """

    def __init__(self) -> None:
        self.lengths: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.repeats: set[int] = set()
        self.spiking: set[int] = set()
        self._calls: dict[int, int] = {}  # of each counter, before the pass

    def of_call(self, layer: str, steps: int, shape: tuple[int, ...]) -> None:
        """A neuron layer made so many steps of one call."""
        if steps > 1:
            self.lengths[layer] = steps
            self.shapes[layer] = shape

    def end_pass(self, books: Books, neurons: Iterable[NeuronCounter]) -> None:
        """Looks at how often each thing ran in the pass."""
        self.repeats |= self._ran_again((id(op), op.all_calls) for op in books.ops.values())
        spiking = [*neurons, *books.firing.counters()]
        self.spiking |= self._ran_again((id(counter), counter.all_calls) for counter in spiking)

    def _ran_again(self, counters: Iterable[tuple[int, int]]) -> set[int]:
        """How often those ran in this pass that ran more than once."""
        calls = set()
        for counter, total in counters:
            calls.add(total - self._calls.get(counter, 0))
            self._calls[counter] = total
        return {number for number in calls if number > 1}

    @property
    def timesteps(self) -> int | None:
        """T; None where what was seen leaves several answers.

        A state along an axis tells it. Without one, what ran several times did so in a loop over time if neurons ran
        as often as the contractions. Where nothing ran twice it is 1.
        """
        lengths = set(self.lengths.values())
        if lengths:
            return next(iter(lengths)) if len(lengths) == 1 else None
        if not self.repeats:
            return 1
        common = self.repeats & self.spiking
        return next(iter(common)) if len(self.repeats) == 1 and common else None

    def along_first_axis(self, x: Tensor) -> bool:
        """Whether neuron layers carry state along the first axis of the input, which was taken for the batch."""
        shapes = (self.shapes[layer] for layer, steps in self.lengths.items() if steps == x.shape[0])
        return x.dim() > 1 and x.shape[0] != x.shape[1] and any(shape[:2] == x.shape[:2] for shape in shapes)

    @property
    def unknown(self) -> bool:
        return self.timesteps != 1

    @property
    def hides_size(self) -> bool:
        """Whether what a neuron layer puts out in a call is several steps that nobody told apart."""
        return bool(self.lengths)

    def disagrees_with(self, told: int) -> int | None:
        """Another number of steps than was told, if state is carried along that and nothing is as long as was told."""
        seen = set(self.lengths.values()) | (self.repeats & self.spiking)
        return min(seen) if seen and told not in seen else None
