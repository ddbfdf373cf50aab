"""Random programs of benchmarks/programs.py: none breaks the profiler, and each is counted as it ran."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import nn

import snnprof

PROGRAMS = 40


@pytest.fixture(scope="module")
def programs(script: Callable[[str], ModuleType]) -> ModuleType:
    return script("benchmarks/programs.py")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_counted_as_it_ran(programs: ModuleType, seed: int) -> None:
    case = programs.made(seed)
    differences = programs.wrong(case)
    assert not differences, str(case)


# -- the generator and its count -----------------------------------------------------------------------------------


def test_a_seed_gives_one_program(programs: ModuleType) -> None:
    first, again = ([str(programs.made(seed)) for seed in range(10)] for _ in "12")
    assert first == again
    assert len(set(first)) == 10


def test_nearly_all_programs_run_by_themselves(programs: ModuleType) -> None:
    assert sum(programs._bare(programs.made(seed)) is not None for seed in range(PROGRAMS)) >= PROGRAMS * 0.9


def test_pairs_by_hand(programs: ModuleType) -> None:
    """Three inputs that are not zero meet six weights, two of which are."""
    layer, x = nn.Linear(4, 2), torch.tensor([[1.0, 0.0, 2.0, -1.0]])
    layer.weight.data = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 0.0, 0.0, 1.0]])
    with torch.no_grad(), programs.Pairs(layer) as pairs:
        layer(x)
        x @ x.t()
    assert (pairs.pairs, pairs.dense, pairs.constant) == (4 + 3, 8 + 4, 0)


@pytest.mark.parametrize("kind", [nn.Conv2d, nn.ConvTranspose2d])
def test_pairs_of_a_convolution(programs: ModuleType, kind: type[nn.Conv2d]) -> None:
    """One spike in a corner reaches the outputs of four taps, or of nine where it is spread out."""
    layer, x = kind(1, 1, 3, padding=1 if kind is nn.Conv2d else 0), torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1
    with torch.no_grad(), programs.Pairs(layer) as pairs:
        layer(x)
    assert (pairs.pairs, pairs.dense) == (4 if kind is nn.Conv2d else 9, 16 * 9)


def test_a_layer_that_is_left_out_is_found(programs: ModuleType) -> None:
    source = (
        "import torch\n\nclass Program(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(8, 3)\n"
    )
    case = programs.Case(0, source, "spikes", [torch.ones(2, 8), torch.ones(1, 8)], False)
    assert programs.wrong(case) == []
    activity = snnprof.profile(case.program(), case.batches)
    short = activity.model_copy(update={"ops": []})
    differences = list(programs.compared(short, programs._bare(case)))
    assert differences[:2] == ["events 0, right 72", "dense MACs 0, right 72"]
