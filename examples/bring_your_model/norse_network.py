"""A Norse network: cells whose state the model carries through its own loop."""

import norse.torch as norse
import torch
from torch import nn


class Network(nn.Module):
    def __init__(self, steps=16):
        super().__init__()
        self.steps = steps
        self.net = norse.SequentialState(nn.Linear(64, 100), norse.LIFCell(), nn.Linear(100, 10), norse.LICell())

    def forward(self, x):
        state = None
        for _ in range(self.steps):
            out, state = self.net(x.flatten(1).float(), state)
        return out


def network():
    torch.manual_seed(0)
    return Network()
