"""A SpikingJelly network in multi-step mode; the picture is shown T times inside forward."""

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn


class Network(nn.Sequential):
    def forward(self, x):
        return super().forward((x[None, :, None].float() / 4).repeat(4, 1, 1, 1, 1)).mean(0)


def network():
    torch.manual_seed(0)
    convolution = layer.Conv2d(1, 16, 3, padding=1, bias=False), layer.BatchNorm2d(16), neuron.LIFNode(tau=1.5)
    net = Network(*convolution, layer.MaxPool2d(2), layer.Flatten(), layer.Linear(16 * 4 * 4, 10), neuron.LIFNode())
    functional.set_step_mode(net, "m")
    return net
