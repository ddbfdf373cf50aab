"""How another tool's figures of the same run come from ours: every difference by line and convention. No torch.

    records        what the other tool counted, and what a comparison consists of
    reasons        the conventions in which the tools differ, in words
    spikingjelly   SpikingJelly's counters re-derived from our counts
    neurobench     NeuroBench's synaptic operations re-derived from our counts
    explain        a run beside what the tool counted, row by row
"""

from snnprof.against.explain import explained
from snnprof.against.records import Batch, Call, Explained, PeerRun, Row

__all__ = ["Batch", "Call", "Explained", "PeerRun", "Row", "explained"]
