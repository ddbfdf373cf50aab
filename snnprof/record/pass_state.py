"""The state of a pass that all parts of a recording share: the running modules, and the facts of the tensors."""

from __future__ import annotations

from snnprof.record.accumulate import CountLog
from snnprof.record.counters import ConstantCounter, OpCounter
from snnprof.record.recording import Recording
from snnprof.record.script import Call
from snnprof.record.steps import TimeSteps
from snnprof.record.store import Store


class PassState:
    """What the parts of a recording know at any point of a pass.

    Attributes:
        recording: layout, T and findings.
        log: takes the counts that are read on the device.
        learning: whether facts go from tensor to tensor; after learning, plans are looked up.
        store: the facts of the tensors, while learning.
        steps: follows the time axis from tensor to tensor, while learning.
        path: paths of the modules that run, outermost first.
        neurons: paths of the neuron layers that run, outermost first.
        telling: more than 0 while an operator is counted: operators that run then are not the model's.
        script: the operations of the learning batch for a compiled graph; None if nothing will be compiled.
        trace: for the self-check, the layer, counter and MACs of each contraction, in order; None if nothing checks.
        left: values left PyTorch in this pass, so constants that are made after it may depend on them.
        met_new: a call site was met after learning had ended.
        late: paths of the modules with such call sites.
    """

    def __init__(self, recording: Recording, log: CountLog) -> None:
        self.recording, self.log = recording, log
        self.learning = True
        self.path: list[str] = []
        self.neurons: list[str] = []
        self.telling = 0
        self.script: list[Call] | None = None
        self.trace: list[tuple[str, OpCounter | ConstantCounter, int]] | None = None
        self.left = False
        self.met_new = False
        self.late: set[str] = set()
        self.forget_tensors()

    @property
    def layer(self) -> str:
        """Path of the innermost module that runs."""
        return self.path[-1] if self.path else ""

    def forget_tensors(self) -> None:
        """Drops the facts of all tensors."""
        self.store = Store()
        self.steps = TimeSteps(self.recording, self.store)

    def met_late(self) -> None:
        """Notes that the running module has a call site that learning did not meet."""
        self.late.add(self.layer)
        self.met_new = True
