"""Trains ANNs of the digits Spikformer's shape with low-bit activations: real opponents of the spiking network.

    python examples/train_quantised_ann.py --bits 4 --width 16 32 64      writes quantised_ann_4bit_16wide.pt and others

Every LIF layer of the Spikformer becomes a ReLU whose output has 2^bits levels (PyTorch's fake quantisation, whose
gradient passes straight through), and the image is shown once. After training the weights are rounded to INT8. Data,
augmentation, optimiser and learning-rate cycle are those of train_digits.py. Needs scikit-learn.

The shipped Spikformer, with its weights rounded in the same way, is written as spikformer_int8.pt. docs/sweep.md
compares the two at equal accuracy.
"""

from __future__ import annotations

import argparse
import importlib
import itertools
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.ao.quantization import FakeQuantize, MovingAverageMinMaxObserver, disable_observer

from snnprof.workload import models

LIKE = "spikformer:digits"
FACTOR = 127  # of symmetric INT8


class QuantisedReLU(nn.Module):
    """max(0, x) rounded to 0, s, …, (2^bits − 1) s; s follows the largest value of the training batches."""

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.quantise = FakeQuantize(
            MovingAverageMinMaxObserver, quant_min=0, quant_max=2**bits - 1, dtype=torch.quint8,
            qscheme=torch.per_tensor_affine,
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        quantised: Tensor = self.quantise(torch.relu(x))
        return quantised


def network(bits: int, width: int, seed: int = 0) -> nn.Module:
    """The digits Spikformer at T = 1 with a `QuantisedReLU` for each LIF layer, and random weights.

    Args:
        width: embedding width D; the Spikformer has 64.
    """
    model = models.untrained(LIKE, {"timesteps": 1, "width": width}, seed)
    neuron = type(model.get_submodule("patch_embed.proj_lif"))
    for path in [path for path, module in model.named_modules() if isinstance(module, neuron)]:
        parent, _, name = path.rpartition(".")
        setattr(model.get_submodule(parent), name, QuantisedReLU(bits))
    return model


def build(bits: int = 4, width: int = 64, folder: str = ".") -> nn.Module:
    """The trained network, as `snnprof profile` and `sweep` load it.

    Args:
        folder: where `main` wrote its checkpoint.
    """
    model = network(bits, width)
    model.load_state_dict(torch.load(file_in(Path(folder), bits, width), weights_only=True)["state_dict"])
    model.apply(disable_observer)
    return model.eval()


@torch.no_grad()
def round_weights(model: nn.Module) -> None:
    """Rounds every weight matrix and kernel to INT8: multiples of its largest value / 127."""
    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            weight = module.weight
            step = max(float(weight.abs().max()) / FACTOR, 1e-12)
            weight.copy_(torch.fake_quantize_per_tensor_affine(weight, step, 0, -FACTOR, FACTOR))


def write_rounded(path: Path) -> None:
    """The shipped Spikformer with weights in INT8."""
    spiking = models.load_model(LIKE)
    round_weights(spiking)
    torch.save({"state_dict": spiking.state_dict()}, path)


def file_in(folder: Path, bits: int, width: int) -> Path:
    """The checkpoint of one network."""
    return folder / f"quantised_ann_{bits}bit_{width}wide.pt"


def main() -> None:
    """Trains one network for each number of bits and each width, and writes its checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bits", type=int, nargs="+", default=[4])
    parser.add_argument("--width", type=int, nargs="+", default=[16, 32, 64])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the checkpoints")
    options = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    digits = importlib.import_module("train_digits")
    write_rounded(options.output / "spikformer_int8.pt")
    for bits, width in itertools.product(options.bits, options.width):
        trained = digits.train(network(bits, width, options.seed), options.seed, options.epochs)
        trained.model.apply(disable_observer)
        round_weights(trained.model)
        after = digits.evaluate(trained.model)
        path = file_in(options.output, bits, width)
        facts = {"bits": bits, "width": width, "seed": options.seed, "accuracy": after.accuracy}
        torch.save({"state_dict": after.model.state_dict(), **facts}, path)
        print(f"{path.name}: {after.correct} of {after.total} test digits ({after.accuracy:.2%})", flush=True)


if __name__ == "__main__":
    main()
