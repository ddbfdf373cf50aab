"""All call sites of a recording: how each is counted, where its counts accumulate, the provenance of its result.

While learning, facts go from tensor to tensor and each call site gets a `Plan`; after that passes only look the plan
up, count and verify. Learning ends with the first batch of `profile()`; if the caller drives the passes, it ends with
the first pass that teaches nothing new, and a call site that is met later starts it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from types import FrameType
from typing import Any

from torch import Tensor

from snnprof.record.accumulate import CountLog
from snnprof.record.arithmetic_sites import ArithmeticSites
from snnprof.record.contraction_sites import ContractionSites, widened
from snnprof.record.contractions import Contraction
from snnprof.record.counters import OpCounter
from snnprof.record.firing_sites import FiringSites
from snnprof.record.known_weights import KnownWeights
from snnprof.record.operand_facts import OperandFacts
from snnprof.record.pass_state import PassState
from snnprof.record.provenance import Facts, Origin
from snnprof.record.recording import Recording
from snnprof.record.result_facts import ResultFacts
from snnprof.record.store import storage_key
from snnprof.record.suspend import Unseen


class CallSites(PassState):
    """The call sites together: `dispatch` hands operators to them, and `Recorder` reads their counters.

    Its parts share what it knows of the pass, as a `PassState`.

    Attributes:
        weights: the parameters and buffers of the model.
        contractions: the plans and counters of contractions.
        arithmetic: the plans and counters of other arithmetic.
        spikes: the lines of code that make spikes.
        read_names: neuron layers and lines whose spikes the model puts out.
        input_facts: the facts of unsigned spikes or event counts in the input.
        ops: the counters of contractions.
        few_values: paths of modules that read real values which take only a few evenly spaced values.
        disguised: paths of modules that write a contraction as multiply and sum.
        foreign: paths of modules with a contraction that read a tensor of unknown origin.
    """

    def __init__(self, recording: Recording, log: CountLog, named: dict[int, str]) -> None:
        super().__init__(recording, log)
        self.read_names: set[str] = set()
        self.input_facts: Facts | None = None
        self.weights = KnownWeights(self)
        self._operands = OperandFacts(self, self.weights)
        self.contractions = ContractionSites(self, self.weights, self._operands)
        self.arithmetic = ArithmeticSites(self, self.contractions)
        self.spikes = FiringSites(self, self.contractions, named)
        self.ops, self.few_values = self.contractions.ops, self.contractions.few_values
        self.disguised, self.foreign = self.arithmetic.disguised, self._operands.foreign
        self._results = ResultFacts(self, self.weights, self._operands, self.contractions, self.arithmetic, self.spikes)

    # -- operators -----------------------------------------------------------------------------------------

    def contraction(self, name: str, form: Contraction) -> OpCounter | None:
        """Counts one contraction; None if both operands are weights, and no data depends on it."""
        return self.contractions.count(name, form)

    def other(self, frame: FrameType, name: str, args: Any, result: Any, facts: list[Facts] | None) -> None:
        """Counts an operator that is no contraction and does arithmetic; see `ArithmeticSites.count`."""
        self.arithmetic.count(frame, name, args, result, facts)

    def fired(self, frame: FrameType, name: str, result: Any) -> None:
        """Counts spikes that a line of code makes, after learning."""
        self.spikes.count(frame, name, result)

    def _uncount(self, layer: str, name: str) -> None:
        """Lists one call of an operator as uncounted."""
        self.arithmetic.uncount(layer, name)

    def facts_of(self, args: Any, kwargs: Any) -> list[Facts]:
        """The facts of the tensors that an operator reads, in order."""
        return self._results.facts_of(args, kwargs)

    def pass_on(self, *call: Any) -> None:
        """Writes the facts of an operator's results; see `ResultFacts.pass_on`."""
        self._results.pass_on(*call)

    def leave(self, tensor: Any) -> None:
        """Notes that values of a tensor leave PyTorch: they come back unknown, and its memory may be written unseen."""
        if not isinstance(tensor, Tensor) or storage_key(tensor) is None:
            return
        facts = self.store.get(tensor) if self.learning else None
        if facts is not None and (facts.origin is not Origin.WEIGHT or not facts.params):
            self.left |= facts.origin is not Origin.WEIGHT
            with Unseen():
                self.store.share(tensor)

    # -- passes --------------------------------------------------------------------------------------------

    def begin_pass(self) -> None:
        """Forgets what only the pass before needed."""
        self.store.begin_pass()
        self.left = False
        self.contractions.begin_pass()
        self.spikes.decisions.begin_pass()

    def know_outputs(self, outputs: Sequence[Tensor]) -> None:
        """Notes whose spikes the model puts out, at the end of a pass."""
        for output in outputs:
            facts = self.store.get(output)
            if facts is not None and facts.grid:
                self.read_names |= facts.fed_by

    def widen_input(self, levels: int) -> None:
        """Widens the bounds of the input, and of all that it alone feeds, to so many levels."""
        assert self.input_facts is not None
        factor = Fraction(levels, self.input_facts.levels or 1)
        self.input_facts = widened(self.input_facts, factor)
        self.contractions.widen_input(factor)

    def constant_macs(self) -> dict[tuple[str, str], int]:
        """Dense multiply-accumulates of products of weights alone, by layer and kind."""
        return self.contractions.constant_macs()

    # -- learning ------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Adds the counts of calls that read only constants at first, if their call sites have read data by now."""
        self.arithmetic.settle()
        self.contractions.settle()

    def end_learning(self) -> None:
        """From here on plans are looked up and values verify them."""
        if not self.learning:
            return
        self.settle()
        self.contractions.end_learning()
        self.arithmetic.end_learning()
        self.learning = False
        self.forget_tensors()

    def learn_again(self) -> None:
        """Starts learning again, since the pass before met a call site without a plan."""
        self.learning, self.met_new = True, False
        self.contractions.learn_again()
        self.spikes.lines.learn_again()

    def knowledge(self) -> tuple[Any, ...]:
        """Everything that decides how the next pass is counted: a pass that leaves it unchanged has taught nothing."""
        spikes, weights = self.spikes, self.weights
        return (
            self.contractions.knowledge(), self.arithmetic.knowledge(), spikes.lines.knowledge(), dict(spikes.renamed),
            set(spikes.decisions.carrying), set(weights.read), set(weights.used), set(self.read_names),
        )  # fmt: skip
