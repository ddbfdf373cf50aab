"""Memory of a recording's own: zeros when they are taken, whatever a forked process wrote to its copy."""

from __future__ import annotations

import os
import sys

import pytest
import torch

from snnprof.record.memory import zeros


@pytest.mark.skipif(sys.platform != "linux", reason="forks")
def test_a_forked_process_writes_to_its_own_copy() -> None:
    host = torch.device("cpu")
    zeros((), torch.float64, host)
    child = os.fork()
    if child == 0:
        zeros((64,), torch.float64, host).fill_(7)
        os._exit(0)
    os.waitpid(child, 0)
    assert zeros((64,), torch.float64, host).tolist() == [0.0] * 64
