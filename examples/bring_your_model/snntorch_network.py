"""An snnTorch network that is called once for each step: the caller loops, `--layout step`."""

import snntorch as snn
import torch
from torch import nn


class Quarter(nn.Module):
    def forward(self, x):
        return x.flatten(1).float() / 4


def network():
    torch.manual_seed(0)
    hidden = nn.Linear(64, 100), snn.Leaky(beta=0.9, init_hidden=True)
    return nn.Sequential(Quarter(), *hidden, nn.Linear(100, 10), snn.Leaky(beta=0.9, init_hidden=True))
