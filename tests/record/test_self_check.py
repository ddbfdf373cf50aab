"""The second counter against every pair written out, and convolutions in float64; and that it disturbs nothing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from snnprof.record.self_check import Recount, SecondCounter


@pytest.fixture(params=[torch.enable_grad, torch.no_grad, torch.inference_mode])
def mode(request: pytest.FixtureRequest) -> Any:
    with request.param():
        yield


def counted(model: nn.Module, *inputs: Any) -> list[Any]:
    with SecondCounter(model) as second:
        model(*inputs)
    return second.calls


def every_pair(subscripts: str, *operands: Tensor) -> tuple[int, int]:
    """Pairs and dense MACs of `ij,jk`: all meetings written out, one element each."""
    axes = sorted(set(subscripts) - {","})
    spread = []
    for names, values in zip(subscripts.split(","), operands, strict=True):
        live = values.permute(sorted(range(len(names)), key=names.__getitem__)) != 0
        spread.append(live.reshape([values.shape[names.index(axis)] if axis in names else 1 for axis in axes]))
    left, right = torch.broadcast_tensors(*spread)
    return int((left & right).sum()), left.numel()


Z = torch.zeros
PRODUCTS: dict[str, tuple[Callable[..., Any], str, tuple[int, ...], tuple[int, ...]]] = {
    "mm": (torch.mm, "ij,jk", (3, 4), (4, 5)),
    "mm onto its operand": (lambda a, b: torch.mm(a, b, out=a), "ij,jk", (4, 4), (4, 4)),
    "integer": (lambda a, b: a.long() @ b.long(), "ij,jk", (3, 4), (4, 5)),
    "complex": (lambda a, b: (a * 1j).conj() @ b.cfloat(), "ij,jk", (3, 4), (4, 5)),
    "mv": (torch.mv, "ij,j", (3, 4), (4,)),
    "vector @ stack": (torch.matmul, "j,bjk", (4,), (2, 4, 5)),
    "broadcast": (torch.matmul, "abij,bjk", (2, 1, 3, 4), (5, 4, 2)),
    "addmm": (lambda a, b: torch.addmm(torch.ones(5), a, b, beta=2, alpha=3), "ij,jk", (3, 4), (4, 5)),
    "addmm in place": (lambda a, b: Z(3, 5).addmm_(a, b), "ij,jk", (3, 4), (4, 5)),
    "baddbmm": (lambda a, b: torch.baddbmm(Z(2, 3, 5), a, b), "bij,bjk", (2, 3, 4), (2, 4, 5)),
    "addbmm": (lambda a, b: torch.addbmm(Z(3, 5), a, b), "bij,bjk", (2, 3, 4), (2, 4, 5)),
    "addr": (lambda a, b: torch.addr(Z(3, 4), a, b), "i,j", (3,), (4,)),
    "linear": (lambda a, b: F.linear(a, b, torch.ones(5)), "bni,oi", (2, 3, 4), (5, 4)),
    "einsum": (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), "bhnd,bhmd", (2, 2, 3, 4), (2, 2, 5, 4)),
    "cdist": (torch.cdist, "bni,bmi", (2, 3, 4), (2, 5, 4)),
    "vmap": (lambda a, b: torch.vmap(lambda row: row @ b)(a), "bij,jk", (2, 3, 4), (4, 5)),
}


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(as_module: Any, spikes: Any, name: str) -> None:
    function, subscripts, left, right = PRODUCTS[name]
    a, b = spikes(*left, rate=0.5, levels=3), spikes(*right, rate=0.6, signed=True, seed=1)
    expected = every_pair(subscripts, a, b)
    assert [call[2:] for call in counted(as_module(function), a, b)] == [expected]


@pytest.mark.parametrize(("rows", "terms", "columns"), [(4097, 1, 4097), (1, 2**24 + 1, 1)])
def test_more_than_float32_can_count(as_module: Any, rows: int, terms: int, columns: int) -> None:
    one = torch.ones(1, 1, dtype=torch.bfloat16)
    (call,) = counted(as_module(torch.mm), one.expand(rows, terms), one.expand(terms, columns))
    assert call.pairs == call.dense == rows * terms * columns


CONVOLUTIONS: dict[str, tuple[Callable[[], Any], tuple[int, ...], int]] = {
    "1d": (lambda: nn.Conv1d(3, 4, 3, 2, 1), (2, 3, 7), 2 * 4 * 4 * 9),
    "2d": (lambda: nn.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), (1, 2), groups=2), (2, 4, 6, 7), 2 * 4 * 7 * 6 * 2 * 6),
    "3d": (lambda: nn.Conv3d(2, 3, 2, padding=1), (1, 2, 3, 4, 3), 4 * 5 * 4 * 3 * 2 * 8),
    "bfloat16": (lambda: nn.Conv2d(3, 4, 3, padding=1).bfloat16(), (2, 3, 5, 5), 2 * 25 * 4 * 27),
    "same": (lambda: nn.Conv2d(2, 3, (3, 2), padding="same"), (2, 2, 4, 5), 2 * 20 * 3 * 12),
    "transposed 1d": (lambda: nn.ConvTranspose1d(3, 4, 3, 2, 1, 1), (2, 3, 5), 2 * 5 * 3 * 4 * 3),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2), (2, 4, 3, 4), 2 * 12 * 4 * 3 * 9),
    "transposed 3d": (lambda: nn.ConvTranspose3d(2, 3, 2, padding=1), (2, 3, 3, 3), 27 * 2 * 3 * 8),
}


@pytest.mark.usefixtures("mode")
@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(brute: Any, spikes: Any, name: str) -> None:
    make, shape, dense = CONVOLUTIONS[name]
    layer, x = make().requires_grad_(False), spikes(*shape, levels=2)
    layer.weight.mul_(spikes(*layer.weight.shape, rate=0.6, seed=1))
    assert [call[2:] for call in counted(layer, x.to(layer.weight.dtype))] == [(brute.effective(layer, x), dense)]


WEIGHTED = {"mode": "sum", "per_sample_weights": torch.tensor([[1.0, 0, 2], [1, 1, 1]])}
BAGS = [({"mode": "sum"}, [(12, 18)]), ({"padding_idx": 2}, [(3, 9)]), (WEIGHTED, [(9, 18)]), ({"mode": "max"}, [])]


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize(("options", "expected"), BAGS)
def test_bags(as_module: Any, options: dict[str, Any], expected: list[tuple[int, int]]) -> None:
    table = torch.tensor([[1.0, 0, 2], [0, 0, 0], [3, 3, 3], [0, 5, 0]])
    bag = as_module(lambda rows: F.embedding_bag(rows, table, **options))
    assert [call[2:] for call in counted(bag, torch.tensor([[0, 2, 3], [1, 2, 2]]))] == expected


@pytest.mark.usefixtures("mode")
def test_attention(as_module: Any, spikes: Any) -> None:
    q, k, v = (spikes(2, 5, 4, seed=seed) for seed in range(3))
    layer = nn.MultiheadAttention(4, 2, batch_first=True)
    with sdpa_kernel(SDPBackend.MATH):
        scores, values = counted(as_module(F.scaled_dot_product_attention), q, k, v)
        projected, *attention, out = counted(layer, q, q, q)
    assert scores[2:] == every_pair("bnd,bmd", q, k)
    assert values[2:] == every_pair("bnm,bmd", torch.ones(2, 5, 5), v)
    assert projected[2:] == every_pair("bni,oi", q, layer.in_proj_weight)
    assert [call.dense for call in (*attention, out)] == [2 * 5 * 5 * 4, 2 * 5 * 5 * 4, 2 * 5 * 4 * 4]


@pytest.mark.usefixtures("mode")
@pytest.mark.filterwarnings("ignore:TF32")
@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTM, 4), (nn.GRU, 3)])
def test_recurrent_layers(spikes: Any, kind: Any, gates: int) -> None:
    layer, x = kind(6, 3, batch_first=True), spikes(2, 5, 6)
    with torch.backends.mkldnn.flags(enabled=False):
        given, first, *later = counted(layer, x)
    assert given[2:] == every_pair("bti,oi", x, layer.weight_ih_l0)
    assert [call[2:] for call in (first, *later)] == [(0, 18 * gates), *[(18 * gates, 18 * gates)] * 4]


def test_no_contraction(as_module: Any) -> None:
    """Operands without values, an operator of another library, a backward pass, and what runs in no module."""
    library = torch.library.Library("self_check", "DEF")
    library.define("mm(Tensor a, Tensor b) -> Tensor")
    library.impl("mm", torch.add, "CompositeExplicitAutograd")
    x = torch.eye(3)
    assert counted(as_module(torch.ops.self_check.mm), x, x) == []
    assert counted(as_module(torch.mm), x.to("meta"), x.to("meta")) == []
    assert counted(as_module(torch.mm), x.to_sparse(), x) == []
    assert len(counted(as_module(lambda a: (a @ a).sum().backward()), x.clone().requires_grad_())) == 1
    assert counted(as_module(lambda a, b: torch.cdist(a, b, p=1.0)), x, x) == []
    with SecondCounter(as_module(torch.mm)) as second:
        x @ x
    assert second.calls == []


def test_branches_and_wrapped_tensors(as_module: Any) -> None:
    x = torch.eye(3)
    branch = as_module(lambda a: torch.ops.higher_order.cond(a.any(), lambda a: a @ a, lambda a: a + 1, (a,)))
    assert counted(branch, x) == [Recount("", "matmul", 3, 27)]
    ragged = torch.nested.nested_tensor([x, x[:2]], layout=torch.jagged)
    assert [call[2:] for call in counted(nn.Linear(3, 2), ragged)] == [(10, 30)]


class Net(nn.Module):
    """Recovers from what a module inside it raises, and runs one in another thread."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.rnn, self.last = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 4)), nn.GRU(4, 8), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        with contextlib.suppress(RuntimeError):
            self.first(x)
        with ThreadPoolExecutor() as aside:
            aside.submit(self.last, x).result()
        return self.last(torch.einsum("tbj,kj->tbk", self.rnn(x)[0], x.reshape(-1, 8)[:4]))


class Log(TorchDispatchMode):  # type: ignore[no-untyped-call]
    seen = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += f"{func} "
        return func(*args, **(kwargs or {}))


@pytest.mark.usefixtures("mode")
def test_it_only_observes() -> None:
    """Results are the same to the last bit, another mode sees the model's operators alone, and no hook stays."""
    torch.manual_seed(0)
    net, x = Net(), torch.randn(7, 4, 4)
    with Log() as alone, Log():  # below a second mode, autograd in torch 2.9 runs more of its own
        before = net(x)
    with Log() as log, SecondCounter(net) as second:
        assert torch.equal(net(x), before)
    assert [call.layer for call in second.calls] == ["first.0", *["rnn"] * 8, "", "last"]
    assert "aten.ne" not in log.seen
    assert log.seen == f"{alone.seen}aten.equal.default " or x.is_inference()  # there it opens what arrives whole
    with pytest.raises(RuntimeError), SecondCounter(net):
        net.first(x)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
