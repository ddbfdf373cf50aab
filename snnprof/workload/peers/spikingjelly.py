"""Runs SpikingJelly 2.0's counters on a model: SynOps and MACs of contractions, ACs and MACs of other operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from spikingjelly.activation_based import op_counter
from torch import Tensor, nn

from snnprof.against.records import Call, CallKind, Ops
from snnprof.workload.peers.whereabouts import Whereabouts

KINDS: dict[str, CallKind] = {
    **dict.fromkeys(("mm", "addmm", "bmm", "baddbmm", "convolution"), "contraction"),
    **dict.fromkeys(("add", "sub", "rsub"), "add"),
    **dict.fromkeys(("sum", "mean"), "reduce"),
    "native_batch_norm": "batch_norm",
    "avg_pool2d": "pool",
}
"""The kinds of the operators for which SpikingJelly has rules; names without the underscore of in-place forms."""


class SpikingJelly:
    """SpikingJelly's energy profiler; its counters are wrapped to record each call of an operator.

    For every operator the counters run one after the other: MACs, ACs, SynOps. The ACs of a contraction are its SynOps.
    """

    def __init__(self, model: nn.Module) -> None:
        self.calls: list[Call] = []
        self.own, self.energy_pj, self.dense = Ops(), 0.0, None
        self._where = Whereabouts(model)
        self._profiler = op_counter.SimpleEnergyProfiler()
        self._profiler.bind_model(model)
        self._counts_memory = False
        self._listen(self._profiler.mac_counter, self._macs, lambda count: Ops(macs=count))
        self._listen(self._profiler.ac_counter, self._acs, lambda count: Ops(acs=count))
        self._listen(self._profiler.synop_counter, self._synops, lambda count: Ops())
        self._mark_memory(self._profiler.memory_counter)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """See `run.Counter.watching`."""
        self.calls = []
        with self._where.followed(), self._profiler:
            yield
        self.energy_pj += self._profiler.get_report().energy_compute_pj

    def _listen(self, counter: Any, note: Callable[[Any, Any, Any, int], None], own: Callable[[int], Ops]) -> None:
        count = counter.count

        def counting(func: Any, args: Any, kwargs: Any, out: Any, **context: Any) -> int:
            counted = int(count(func, args, kwargs, out, **context))
            if self._counts_memory:
                self.own += own(counted)
            else:
                note(func, args, out, counted)
            return counted

        counter.count = counting

    def _mark_memory(self, counter: Any) -> None:
        """Marks the operators that the memory counter itself runs: the other counters see them too."""
        count = counter.count

        def counting(*args: Any, **context: Any) -> Any:
            self._counts_memory = True
            try:
                return count(*args, **context)
            finally:
                self._counts_memory = False

        counter.count = counting

    def _macs(self, func: Any, args: Any, out: Any, macs: int) -> None:
        kind = _kind(func)
        call = Call(self._where.layer, kind, Ops(macs=macs))
        self.calls.append(_described(call, func, args, out) if kind == "contraction" else call)

    def _acs(self, func: Any, args: Any, out: Any, acs: int) -> None:
        kind = _kind(func)
        if kind == "contraction":
            return
        channels = args[0].shape[1] if kind == "batch_norm" else 0
        outputs = out.numel() if isinstance(out, Tensor) else 0
        self.calls.append(Call(self._where.layer, kind, Ops(acs=acs), outputs=outputs, channels=channels))

    def _synops(self, func: Any, args: Any, out: Any, synops: int) -> None:
        last = self.calls[-1]
        self.calls[-1] = replace(last, counted=last.counted + Ops(acs=synops))


counter = SpikingJelly


def _kind(func: Any) -> CallKind:
    return KINDS.get(func.overloadpacket.__name__.removesuffix("_"), "other")


def _described(call: Call, func: Any, args: Any, out: Tensor) -> Call:
    """Adds to a contraction its dense MACs, whether its operands are binary, and the density of the right one."""
    name = func.overloadpacket.__name__
    left, right = args[1:3] if name in ("addmm", "baddbmm") else args[:2]
    if name == "convolution":
        transposed = args[6]
        dense = (left if transposed else out).numel() * math.prod(right.shape[1:])
    else:
        dense = out.numel() * left.shape[-1]
    binary = (op_counter.is_binary_tensor(left), op_counter.is_binary_tensor(right))
    return replace(call, dense=dense, binary=binary, density=int(right.count_nonzero()) / max(1, right.numel()))
