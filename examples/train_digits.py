"""Trains the bundled models on the UCI digits and writes their checkpoints.

    python examples/train_digits.py spikformer:digits sdt:digits

Without names it trains every model that has such a preset. Needs scikit-learn, for the digits that are not in the test
split. One model takes about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import copy
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from snnprof import catalogue
from snnprof.models import digits
from snnprof.workload import models

SIZE = 16
BATCH = 64
PEAK_RATE = 4e-3
TEST_PER_CLASS = 36
SPLIT_SEED = 0


@dataclass
class Trained:
    """A trained network and how well it does on the test digits in evaluation mode."""

    model: nn.Module
    correct: int
    total: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.total


def train(model: nn.Module, seed: int, epochs: int, device: str = "cpu") -> Trained:
    """Trains on every digit outside the test split, with AdamW and one learning-rate cycle.

    The test digits are looked at once, after the last epoch.
    """
    torch.manual_seed(seed)
    x, y = (tensor.to(device) for tensor in training_digits())
    model.to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.02)
    batches = len(x) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, epochs=epochs, steps_per_epoch=batches)
    for _ in range(epochs):
        order = torch.randperm(len(x), device=device)
        for batch in order[: batches * BATCH].view(batches, BATCH):
            loss = functional.cross_entropy(model(moved(x[batch])), y[batch], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return evaluate(model)


def moved(x: Tensor) -> Tensor:
    """Each image turned, stretched and shifted a little."""
    n = len(x)
    angle, *stretch = (0.2 * (2 * torch.rand(3, n, device=x.device) - 1)).unbind()
    shift = 0.15 * (2 * torch.rand(n, 2, device=x.device) - 1)
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos * (1 + stretch[0]), -sin], 1), torch.stack([sin, cos * (1 + stretch[1])], 1)]
    matrix = torch.cat([torch.stack(rows, 1), shift[:, :, None]], 2)
    return functional.grid_sample(x, functional.affine_grid(matrix, list(x.shape), False), align_corners=False)


@torch.no_grad()
def evaluate(model: nn.Module) -> Trained:
    """Counts the test digits a model in evaluation mode gets right."""
    model.cpu().eval()
    x, y = digits.load(SIZE)
    guesses = torch.cat([model(batch).argmax(1) for batch in torch.from_numpy(x).split(90)])
    return Trained(model, int((guesses == torch.from_numpy(y)).sum()), len(y))


def training_digits() -> tuple[Tensor, Tensor]:
    """Images [1437, 1, 16, 16] and labels of every digit that is not in the test split."""
    levels, labels = all_digits()
    rest = np.setdiff1d(np.arange(len(labels)), digits.test_positions())
    return torch.from_numpy(digits.images(levels[rest], SIZE)), torch.from_numpy(labels[rest])


def all_digits() -> tuple[np.ndarray, np.ndarray]:
    """Grey levels uint8 [1797, 8, 8] and labels, in scikit-learn's order."""
    from sklearn.datasets import load_digits

    source = load_digits()
    return source.images.astype(np.uint8), source.target.astype(np.int64)


def write_test_split(path: Path) -> None:
    """Draws the test digits, the same number of each class, and stores them with their positions."""
    levels, labels = all_digits()
    generator = np.random.RandomState(SPLIT_SEED)
    drawn = [generator.permutation(np.flatnonzero(labels == digit))[:TEST_PER_CLASS] for digit in range(10)]
    position = np.sort(np.concatenate(drawn))
    x, y = levels[position], labels[position].astype(np.uint8)
    np.savez_compressed(path, x=x, y=y, position=position.astype(np.int16))


def with_digits() -> list[str]:
    """The models that the catalogue knows a digits preset of."""
    return [name for name in catalogue.names() if "digits" in catalogue.entry(name).presets]


def save(trained: Trained, preset: str, seed: int, path: Path) -> None:
    """Writes the state dict with what it was trained as."""
    state = copy.deepcopy(trained.model.state_dict())
    facts = {"preset": preset, "seed": seed, "accuracy": trained.accuracy}
    torch.save({"state_dict": state, **facts}, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("presets", nargs="*", default=[f"{name}:digits" for name in with_digits()])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the checkpoints")
    parser.add_argument("--write-test-split", type=Path, metavar="FILE", help="only draw the test digits")
    options = parser.parse_args()
    if options.write_test_split:
        write_test_split(options.write_test_split)
        return
    for spec in options.presets:
        name, preset = catalogue.split(spec)
        model = models.untrained(spec, seed=options.seed)
        trained = train(model, options.seed, options.epochs, options.device)
        path = options.output / f"{name}_{preset}.pt"
        save(trained, spec, options.seed, path)
        print(f"{spec}: {trained.correct} of {trained.total} test digits ({trained.accuracy:.2%}), wrote {path}")


if __name__ == "__main__":
    main()
