"""How another tool's figures of the same run come from ours: every difference by line and convention. No torch.

tools          which tools, and whether they are installed
records        what the other tool counted, and what a comparison consists of
reasons        the conventions in which the tools differ, in words
operands       what an operand was in a part of a run
spikingjelly   SpikingJelly's counters re-derived from our counts
neurobench     NeuroBench's synaptic operations re-derived from our counts
explain        a run beside what the tool counted, row by row
energy         both at the same prices
"""

from snnprof.against.explain import explained
from snnprof.against.records import Batch, Call, Explained, PeerRun, Row

__all__ = ["Batch", "Call", "Explained", "PeerRun", "Row", "explained"]
