"""Unknown is no constant: what takes its role from its partner, what is listed, and what a reader is told of it."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import snnprof
from snnprof.activity import Activity
from snnprof.record.recorder import Recorder

GENERATOR = torch.Generator().manual_seed(0)
S = (torch.rand(4, 8, generator=GENERATOR) < 0.4).float()
X = torch.rand(4, 8, generator=GENERATOR) - 0.5
IMAGE = (torch.rand(2, 1, 6, 6, generator=GENERATOR) < 0.4).float()
SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).view(1, 1, 3, 3)


def _codes(activity: Activity) -> set[str]:
    return {finding.code for finding in activity.findings}


def _linear(out: int = 4, width: int = 8) -> nn.Linear:
    return nn.Linear(width, out, bias=False)


# -- an unknown takes its role from its partner --------------------------------------------------------------------


class Filtered(nn.Module):
    """A fixed kernel, as a buffer or as a plain attribute that nobody registered."""

    def __init__(self, registered: bool) -> None:
        super().__init__()
        if registered:
            self.register_buffer("kernel", SOBEL.clone())
        else:
            self.kernel = SOBEL.clone()

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.kernel)


def test_a_kernel_that_is_an_attribute_counts_as_when_it_is_a_buffer() -> None:
    buffer, attribute = (snnprof.profile(Filtered(registered), [IMAGE]) for registered in (True, False))
    assert buffer.ops == attribute.ops
    assert buffer.ops[0].part("spikes").effective == int(F.conv2d(IMAGE, (SOBEL != 0).float()).sum())
    assert [f.layer for f in attribute.findings if f.code == "C12"] == [""]
    assert "C12" not in _codes(buffer)


@pytest.mark.parametrize(
    "wrapped", [lambda x: SimpleNamespace(x=x), lambda x: {"x": x}, lambda x: x], ids=["object", "dict", "tensor"]
)
def test_input_counts_alike_however_it_comes(record: Any, wrapped: Callable[[Tensor], Any]) -> None:
    layer = _linear()

    def run(sample: Any) -> Tensor:
        x = sample if isinstance(sample, Tensor) else sample["x"] if isinstance(sample, dict) else sample.x
        return layer(x)

    (op,) = record(run, wrapped(S)).ops
    assert (op.events, op.operands[0].quantum, op.fed_by) == (4 * int(S.sum()), 1.0, ["input"])


def test_two_unknowns_are_two_data_operands(record: Any) -> None:
    held = SimpleNamespace(q=S, k=S.flip(0))
    (op,) = record(lambda _: held.q @ held.k.t(), X).ops
    assert (op.op, op.events) == ("matmul", int((held.q @ held.k.t()).sum()))


def test_a_pruning_mask_that_is_an_attribute_leaves_a_weight(record: Any) -> None:
    class Pruned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.mask = nn.Parameter(torch.rand(4, 8) + 0.1), (torch.arange(32).view(4, 8) % 3 > 0).float()

        def forward(self, x: Tensor) -> Tensor:
            return F.linear(x, self.weight * self.mask)

    net = Pruned()
    (op,) = record(net, S).ops
    assert (op.events, op.part("spikes").effective) == (4 * int(S.sum()), int((S @ net.mask.t()).sum()))


def test_products_of_weights_alone_are_listed(record: Any) -> None:
    a, b = nn.Parameter(torch.rand(4, 2)), nn.Parameter(torch.rand(2, 8))
    activity = record(lambda x: F.linear(x, a @ b), S)
    assert [(op.layer, op.op, op.dense_macs) for op in activity.constant_ops] == [("", "matmul", 4 * 2 * 8)]
    assert [op.dense_macs for op in activity.ops] == [4 * 4 * 8]
    assert "C13" in _codes(activity)


def test_what_came_back_from_numpy_is_said(record: Any) -> None:
    layer = _linear()
    activity = record(lambda x: layer(torch.from_numpy((x.numpy() > 0).astype("float32"))), X)
    assert activity.ops[0].events == 4 * int((X > 0).sum())
    assert "C12" in _codes(activity)


def test_a_kernel_that_the_network_makes(record: Any) -> None:
    """A convolution of data with data follows the rule of products: pairs that meet, no padding among them."""
    kernel = (torch.rand(3, 1, 3, 3, generator=GENERATOR) < 0.5).float()
    (op,) = record(lambda x, k: F.conv2d(x, k, padding=1), IMAGE, kernel).ops
    pairs, ones = int(F.conv2d(IMAGE, kernel, padding=1).sum()), torch.ones_like(kernel)
    part = op.part("spikes")
    assert (part.events, part.left) == (pairs, int(F.conv2d(IMAGE, ones, padding=1).sum()))
    assert part.right == int(F.conv2d(torch.ones_like(IMAGE), kernel, padding=1).sum())
    assert len(op.data) == 2


# -- one spike is one, whatever its size, over the whole run -------------------------------------------------------


class Levels(nn.Module):
    """An integer neuron between two layers that pass its input on."""

    def __init__(self, fire: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.fire = nn.Linear(4, 4, bias=False), nn.Linear(4, 2, bias=False), fire
        self.a.weight.data = torch.eye(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.fire(self.a(x)))


def test_the_unit_is_that_of_the_whole_run() -> None:
    """The first batch shows 0 and 4 alone, the second 1 and 4: a spike of 4 is one in the first run, four in both."""
    batches = [torch.tensor([[4.2, 0, 0, 4.0]]), torch.tensor([[1.1, 4, 0, 0]])]
    net = Levels(lambda v: v.clamp(0, 4).round())
    one, both = (snnprof.profile(net, batches[:n], input="real").ops[1] for n in (1, 2))
    assert (one.part("spikes").by_value, one.operands[0].quantum, one.operands[0].levels) == (2 * 2, 4.0, 1)
    assert (both.part("spikes").by_value, both.operands[0].quantum) == (2 * (4 + 4 + 1 + 4), 1.0)
    assert both.part("spikes").events == 2 * 4


def test_runs_in_other_units_merge_as_one() -> None:
    batches = [torch.tensor([[4.2, 0, 0, 4.0]]), torch.tensor([[1.1, 4, 0, 0]])]
    net = Levels(lambda v: v.clamp(0, 4).round())
    apart = [snnprof.profile(net, [batch], input="real") for batch in batches]
    merged, whole = apart[0].merge(apart[1]), snnprof.profile(net, batches, input="real")
    assert merged.ops == whole.ops
    assert [block.ops for block in merged.blocks] == [block.ops for block in whole.blocks]
    Activity.from_json(merged.to_json())


def test_pools_count_in_the_unit_of_their_source() -> None:
    """Whole spikes averaged in pairs: quarters of 4, halves of one spike each, whatever a short run showed."""
    net = Levels(lambda v: F.avg_pool1d(((v > 0).float() * 8).unsqueeze(0), 2)[0].repeat(1, 2))
    op = snnprof.profile(net, [torch.tensor([[1.0, -1, 1, 1]])], input="real").ops[1]
    assert (op.operands[0].quantum, op.operands[0].levels) == (4.0, 2)
    assert op.part("spikes").by_value == 2 * 2 * (1 + 2)


# -- rows named after lines ---------------------------------------------------------------------------------------


def spike(v: Tensor) -> Tensor:
    return (v > 0).float()


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = _linear(8), _linear(8), _linear(4)

    def forward(self, x: Tensor) -> Tensor:
        first = spike(self.a(x))
        return self.c(spike(self.b(first)))


def test_each_call_of_a_function_that_fires_is_a_row() -> None:
    net = Functional()
    activity = snnprof.profile(net, [X])
    first, second = activity.neurons
    assert first.layer.startswith("test_origin.py:")
    assert first.layer != second.layer
    spikes = spike(net.a(X))
    assert (first.spikes, first.size, first.updates) == (int(spikes.sum()), 8, 32)
    assert second.spikes == int(spike(net.b(spikes)).sum())
    by_layer = {op.layer: op for op in activity.ops}
    assert (by_layer["b"].fed_by, by_layer["a"].feeds) == ([first.layer], [first.layer])


def test_a_function_can_be_named() -> None:
    activity = snnprof.profile(Functional(), [X], neuron=("spike",))
    assert [(n.layer, n.type, n.found_by) for n in activity.neurons] == [
        ("spike", "spike", "named"), ("spike (2)", "spike", "named"),
    ]  # fmt: skip


def test_a_mask_on_real_values_is_no_row() -> None:
    net = nn.Sequential(_linear(8), nn.ReLU(), _linear(4))
    net[1].forward = lambda v: v * (v > 0)  # type: ignore[method-assign]
    activity = snnprof.profile(net, [X])
    assert activity.neurons == []
    assert activity.ops[1].fed_by == ["input"]


# -- findings are true ---------------------------------------------------------------------------------------------


def test_a_layer_that_never_fires_is_named() -> None:
    class Never(nn.Module):
        def forward(self, v: Tensor) -> Tensor:
            return (v > 1e9).float()

    net = nn.Sequential(_linear(8), nn.Sigmoid(), Fire(), _linear(8), Never(), _linear())
    findings = snnprof.profile(net, [X]).findings
    assert [f.layer for f in findings if f.code == "C18"] == ["4"]


class Fire(nn.Module):
    def forward(self, v: Tensor) -> Tensor:
        return (v > 0).float()


def test_chance_is_named_and_better_is_not() -> None:
    labels = torch.arange(64) % 2
    right = torch.stack([1.0 - labels, labels.float()], 1)
    for answers, said in ((right, False), (right.flip(1), True), (torch.ones(64, 2), True)):
        net = nn.Sequential(nn.Linear(2, 2, bias=False))
        net[0].weight.data = torch.eye(2)
        assert ("C19" in _codes(snnprof.profile(net, [(answers, labels)]))) is said


def test_raw_images_and_labels_outside_the_classes_are_named() -> None:
    images = torch.randint(0, 256, (4, 3, 2, 2)).float()
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    found = _codes(snnprof.profile(net, [(images, torch.tensor([0, 1, 2, 3]))]))
    assert {"C20", "C21"} <= found
    assert not {"C20", "C21"} & _codes(snnprof.profile(net, [(images / 255, torch.tensor([0, 1, 2, 0]))]))


def test_spikes_that_were_counted_as_real_are_named() -> None:
    """A square root keeps zeros and ones, and no rule says so."""
    net = Levels(lambda v: (v > 0).float().sqrt().mul(3).exp().log().div(3))
    x = torch.tensor([[0.5, -0.5, 0.3, -0.2]])
    assert [f.layer for f in snnprof.profile(net, [x]).findings if f.code == "C22"] == ["b"]


def test_a_parameter_that_the_pass_writes_is_named() -> None:
    class Learns(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(4, 8))

        def forward(self, x: Tensor) -> Tensor:
            y = F.linear(x, self.w)
            self.w.data.mul_(0.5)
            return y

    net = Learns()
    assert "C23" in _codes(snnprof.profile(net, [S, S]))
    assert bool((net.w == 1).all())


def test_tied_shared_and_swapped_weights_are_no_idle_layers() -> None:
    tied = nn.Sequential(_linear(8), _linear(8))
    tied[1].weight = tied[0].weight
    assert "C04" not in _codes(snnprof.profile(tied, [S]))
    net = nn.Sequential(_linear(8), _linear(8))
    other = {name: p.detach() * 2 for name, p in net.named_parameters()}
    with Recorder(net) as recorder:
        torch.func.functional_call(net, other, (S,))
    assert "C04" not in _codes(recorder.activity(samples=4))


# -- found by readers of the change --------------------------------------------------------------------------------


def test_spikes_of_lines_keep_their_grid_in_products() -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.out = _linear(8), _linear(8), nn.Linear(4, 3, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            return self.out(spike(self.q(x)) @ spike(self.k(x)).t())

    net = Attends()
    product, out = snnprof.profile(net, [X]).ops[2:]
    scores = spike(net.q(X)) @ spike(net.k(X)).t()
    assert product.events == int(scores.sum())
    assert (out.operands[0].quantum, out.part("spikes").by_value) == (1.0, 3 * int(scores.sum()))


def test_event_counts_that_grow_after_the_first_batch_are_spikes() -> None:
    op = snnprof.profile(nn.Sequential(_linear()), [S, 3 * S]).ops[0]
    assert op.part("spikes").by_value == 4 * int(S.sum()) * (1 + 3)
    assert op.part("real").elements == 0


def test_choices_at_random_are_data(record: Any) -> None:
    layer, chosen = _linear(), []

    def forward(x: Tensor) -> Tensor:
        chosen.append(F.one_hot(torch.multinomial(torch.ones(4, 8), 1)[:, 0], 8).float())
        return layer(chosen[0])

    activity = record(forward, X)
    assert (activity.ops[0].events, activity.constant_ops) == (4 * 4, [])


def test_a_buffer_that_numpy_writes_is_read_each_time(record: Any) -> None:
    held, layer = torch.zeros(4, 8), _linear()

    def forward(x: Tensor) -> list[Tensor]:
        results = []
        for row in x:
            held.numpy()[...] = row.numpy()
            results.append(layer(held))
        return results

    frames = torch.stack([S, S.flip(0), torch.ones(4, 8)])
    assert record(forward, frames).ops[0].events == 4 * int(frames.sum())


POOLED: dict[str, Callable[[Tensor], Tensor]] = {
    "adaptive, with equal windows that overlap": lambda s: F.adaptive_avg_pool1d(s[:, None, :3], 2)[:, 0],
    "folded": lambda s: F.fold(F.unfold(s.view(1, 1, 4, 8), 2), (4, 8), 2)[0, 0],
    "nearest-exact": lambda s: F.interpolate(s[None], scale_factor=2, mode="nearest-exact")[0],
    "shrunk": lambda s: F.hardshrink(s, 0.5),
}


@pytest.mark.parametrize("name", POOLED)
def test_more_ways_to_keep_spikes(record: Any, name: str) -> None:
    x = POOLED[name](S)
    op = record(lambda s: F.linear(POOLED[name](s), torch.randn(4, x.shape[-1])), S).ops[-1]
    assert {part.kind for part in op.parts} == {"spikes"}
    assert op.events == 4 * int((x != 0).sum())
