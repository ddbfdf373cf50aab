"""Explains how another tool's counts of the same run follow from those of snnprof, difference by difference. No torch.

tools          which tools, and whether they are installed
records        what the other tool counted, and what a comparison consists of
reasons        the conventions in which the tools differ, in words
operands       what kind of data an operand was in a part of a run
spikingjelly   SpikingJelly's counts, derived from those of snnprof
neurobench     NeuroBench's synaptic operations, derived from the counts of snnprof
explain        a run beside what the tool counted, row by row
energy         both at the same prices
"""

from snnprof.against.explain import explained
from snnprof.against.records import Batch, Call, Explained, PeerRun, Row

__all__ = ["Batch", "Call", "Explained", "PeerRun", "Row", "explained"]
