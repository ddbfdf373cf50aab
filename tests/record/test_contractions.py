"""Every contraction against a brute-force count, over random shapes: equal integers, always."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from snnprof.activity import OpRecord

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}

# Function-scoped fixtures here are stateless helpers.
SETTINGS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def _axis(draw: Any, low: int, high: int, dims: int) -> tuple[int, ...]:
    return tuple(draw(st.integers(low, high)) for _ in range(dims))


@st.composite
def convolutions(draw: Any) -> tuple[nn.Module, tuple[int, ...]]:
    """A convolution of any kind, and the shape of an input it takes."""
    dims = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 3))
    channels = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 3))
    kernel, dilation, stride = _axis(draw, 1, 3, dims), _axis(draw, 1, 2, dims), _axis(draw, 1, 3, dims)
    mode = draw(st.sampled_from(["zeros", "circular", "reflect", "replicate"]))
    padding: Any = _axis(draw, 0, 2, dims)
    if draw(st.booleans()):
        padding, stride = "same", (1,) * dims
    space = _axis(draw, 3, 6, dims)
    layer = CONV[dims](
        *channels, kernel, stride, padding, dilation, groups, bias=draw(st.booleans()), padding_mode=mode
    )
    assume(_fits(layer, space))
    return layer, (draw(st.integers(1, 3)), channels[0], *space)


@st.composite
def transposed_convolutions(draw: Any) -> tuple[nn.Module, tuple[int, ...]]:
    dims = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2))
    channels = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel, dilation, stride = _axis(draw, 1, 3, dims), _axis(draw, 1, 2, dims), _axis(draw, 1, 3, dims)
    extra = tuple(draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True))
    padding = _axis(draw, 0, 2, dims)
    space = _axis(draw, 2, 4, dims)
    layer = TRANSPOSED[dims](*channels, kernel, stride, padding, extra, groups, dilation=dilation)
    assume(_fits(layer, space))
    return layer, (draw(st.integers(1, 2)), channels[0], *space)


def _fits(layer: nn.Module, space: tuple[int, ...]) -> bool:
    try:
        with torch.no_grad():
            return bool(layer(torch.zeros(1, layer.in_channels, *space)).numel())
    except RuntimeError:
        return False


def _check(op: OpRecord, brute: Any, layer: nn.Module, x: Tensor, dense: int) -> None:
    assert op.dense_macs == dense
    assert op.valid_macs == brute.valid(layer, x)
    assert op.events == brute.events(layer, x)
    assert sum(part.by_value for part in op.parts) == brute.by_value(layer, x)
    assert sum(part.effective for part in op.parts) == brute.effective(layer, x)
    assert op.events <= op.valid_macs <= op.dense_macs
    if getattr(layer, "padding_mode", "zeros") == "zeros":  # else the operator reads the padded tensor
        assert (op.elements, op.nonzero) == (x.numel(), int((x != 0).sum()))
        assert sum(part.level_sum for part in op.parts) == int(x.abs().sum())


@SETTINGS
@given(convolutions(), st.integers(1, 4), st.floats(0, 1), st.booleans(), st.integers(0, 9))
def test_convolutions(
    only: Any, brute: Any, spikes: Any, case: Any, levels: int, rate: float, prune: bool, seed: int
) -> None:
    layer, shape = case
    _prune(layer, prune, seed)
    x = spikes(*shape, rate=rate, levels=levels, seed=seed)
    op = only(layer, x, samples=shape[0])
    with torch.no_grad():
        out = layer(x)
    _check(op, brute, layer, x, out.numel() * layer.weight[0].numel())
    assert op.bias_adds == (out.numel() if layer.bias is not None else 0)
    assert op.op == "conv"


@SETTINGS
@given(transposed_convolutions(), st.integers(1, 4), st.floats(0, 1), st.booleans(), st.integers(0, 9))
def test_transposed_convolutions(
    only: Any, brute: Any, spikes: Any, case: Any, levels: int, rate: float, prune: bool, seed: int
) -> None:
    layer, shape = case
    _prune(layer, prune, seed)
    x = spikes(*shape, rate=rate, levels=levels, seed=seed)
    op = only(layer, x, samples=shape[0])
    _check(op, brute, layer, x, x.numel() * layer.weight[0].numel())


def _prune(layer: nn.Module, prune: bool, seed: int) -> None:
    if prune:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            layer.weight.mul_(torch.rand(layer.weight.shape, generator=generator) < 0.5)


@SETTINGS
@given(
    st.lists(st.integers(1, 4), min_size=0, max_size=4),
    st.integers(1, 6), st.integers(1, 5), st.integers(1, 4), st.booleans(), st.booleans(), st.integers(0, 9),
)  # fmt: skip
def test_linear_on_any_rank(
    only: Any, brute: Any, spikes: Any, rows: list[int], inputs: int, outputs: int, levels: int, bias: bool,
    prune: bool, seed: int,
) -> None:  # fmt: skip
    layer = nn.Linear(inputs, outputs, bias=bias)
    _prune(layer, prune, seed)
    x = spikes(*rows, inputs, levels=levels, seed=seed)
    op = only(layer, x)
    _check(op, brute, layer, x, x.numel() * outputs)
    assert op.bias_adds == (math.prod(rows) * outputs if bias else 0)
    assert op.weights == inputs * outputs


@SETTINGS
@given(convolutions(), st.integers(0, 9))
def test_real_input_meets_every_valid_tap(only: Any, brute: Any, case: Any, seed: int) -> None:
    layer, shape = case
    x = torch.randn(shape, generator=torch.Generator().manual_seed(seed)) + 10
    op = only(layer, x)
    (part,) = op.parts
    assert part.kind == "real"
    assert part.events == part.valid_macs == brute.valid(layer, x)


# -- data × data ---------------------------------------------------------------------------------------------

PRODUCTS: dict[str, tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...]]] = {
    "mm": (torch.mm, (3, 4), (4, 5)),
    "bmm": (torch.bmm, (2, 3, 4), (2, 4, 5)),
    "mv": (torch.mv, (3, 4), (4,)),
    "dot": (torch.dot, (6,), (6,)),
    "@ vector vector": (torch.matmul, (6,), (6,)),
    "@ matrix vector": (torch.matmul, (2, 3, 4), (4,)),
    "@ vector matrix": (torch.matmul, (4,), (2, 4, 5)),
    "@ matrix stack": (torch.matmul, (3, 4), (2, 4, 5)),
    "@ stack matrix": (torch.matmul, (2, 3, 4), (4, 5)),
    "@ stacks": (torch.matmul, (2, 1, 3, 4), (5, 4, 2)),
    "@ 4-D": (torch.matmul, (2, 3, 4, 5), (2, 3, 5, 4)),
    "einsum pairs": (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), (2, 3, 4, 5), (2, 3, 6, 5)),
    "einsum sums two axes": (lambda a, b: torch.einsum("bij,ijk->bk", a, b), (2, 3, 4), (3, 4, 5)),
    "tensordot": (lambda a, b: torch.tensordot(a, b, dims=2), (2, 3, 4), (3, 4, 5)),
    "inner": (torch.inner, (2, 4), (3, 4)),
    "transposed": (lambda a, b: a @ b.transpose(-2, -1), (2, 3, 4), (2, 5, 4)),
}
ADDED: dict[str, tuple[Callable[..., Tensor], tuple[int, ...], tuple[int, ...], tuple[int, ...]]] = {
    "addmm": (torch.addmm, (5,), (3, 4), (4, 5)),
    "addmv": (torch.addmv, (3,), (3, 4), (4,)),
    "baddbmm": (torch.baddbmm, (2, 3, 5), (2, 3, 4), (2, 4, 5)),
    "addbmm": (torch.addbmm, (3, 5), (2, 3, 4), (2, 4, 5)),
}


@pytest.mark.parametrize("inference", [False, True])
@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("name", PRODUCTS)
def test_pairs(only: Any, spikes: Any, name: str, levels: int, inference: bool) -> None:
    product, left, right = PRODUCTS[name]
    a, b = spikes(*left, levels=levels, rate=0.5), spikes(*right, levels=levels, rate=0.5, seed=1)
    with torch.inference_mode(inference):
        op = only(product, a, b)
    _check_pairs(op, product, a, b)
    assert op.bias_adds == 0


@pytest.mark.parametrize("name", ADDED)
def test_pairs_added_to_something(only: Any, spikes: Any, name: str) -> None:
    product, added, left, right = ADDED[name]
    a, b = spikes(*left, levels=2, rate=0.5), spikes(*right, levels=2, rate=0.5, seed=1)
    op = only(product, torch.randn(added), a, b)
    _check_pairs(op, lambda x, y: product(torch.zeros(added).double(), x, y), a, b)
    outputs = math.prod(product(torch.zeros(added), a, b).shape)
    assert op.bias_adds == outputs


def test_beta_zero_adds_nothing(only: Any, spikes: Any) -> None:
    op = only(lambda a, b: torch.addmm(torch.ones(5), a, b, beta=0), spikes(3, 4), spikes(4, 5))
    assert op.bias_adds == 0


def _check_pairs(op: OpRecord, product: Callable[..., Tensor], a: Tensor, b: Tensor) -> None:
    ones_a, ones_b = torch.ones_like(a).double(), torch.ones_like(b).double()
    mask_a, mask_b = (a != 0).double(), (b != 0).double()
    assert op.op == "matmul"
    assert op.dense_macs == op.valid_macs == int(product(ones_a, ones_b).sum())
    assert op.events == int(product(mask_a, mask_b).sum())
    (part,) = op.parts
    assert part.by_value == int(product(a.double(), b.double()).sum())
    assert part.left == int(product(mask_a, ones_b).sum())
    assert part.right == int(product(ones_a, mask_b).sum())
    assert part.effective == part.events <= min(part.left, part.right)


@SETTINGS
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 5), st.integers(1, 5), st.integers(1, 5),
    st.sampled_from([(False, False), (True, False), (False, True)]), st.integers(1, 4), st.integers(0, 9),
)  # fmt: skip
def test_broadcast_pairs(
    only: Any,
    spikes: Any,
    outer: int,
    inner: int,
    n: int,
    k: int,
    m: int,
    single: tuple[bool, bool],
    levels: int,
    seed: int,
) -> None:
    left = (1 if single[0] else outer, inner, n, k)
    right = (outer, 1 if single[1] else inner, k, m)
    a, b = spikes(*left, rate=0.6, levels=levels, seed=seed), spikes(*right, rate=0.6, levels=levels, seed=seed + 10)
    assume(bool((a != 0).any()) and bool((b != 0).any()))
    _check_pairs(only(torch.matmul, a, b), torch.matmul, a, b)


# -- single cases worth a name -------------------------------------------------------------------------------


def test_a_corner_spike_reaches_four_taps_of_nine(only: Any) -> None:
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, 0, 0] = 1
    assert only(nn.Conv2d(3, 8, 3, padding=1, bias=False), x).events == 32


def test_counts_far_above_float32(only: Any) -> None:
    """2²⁵ + 1 spikes, each reaching 3 outputs, in float32 and in half precision."""
    size = (1 << 25) + 1
    for dtype in (torch.float32, torch.bfloat16):
        op = only(nn.Linear(1, 3, bias=False, dtype=dtype), torch.ones(size, 1, dtype=dtype))
        assert (op.nonzero, op.events) == (size, 3 * size)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_gives_the_same_integers(only: Any, spikes: Any, brute: Any, dtype: torch.dtype) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    x = spikes(2, 3, 6, 6, levels=3)
    op = only(layer.to(dtype), x.to(dtype))
    _check(op, brute, layer, x, 2 * 4 * 36 * 27)
    assert op.parts[0].kind == "spikes"


def test_bool_and_integer_inputs(only: Any) -> None:
    fired = torch.tensor([[True, False, True]])
    assert only(lambda x: x.float() @ torch.ones(3, 2), fired).events == 4
    assert only(lambda x: x.float() @ torch.ones(3, 2), fired.long() * 3).parts[0].by_value == 12


@pytest.mark.parametrize("layout", ["channels_last", "transposed", "strided", "expanded"])
def test_memory_layout_does_not_matter(only: Any, spikes: Any, brute: Any, layout: str) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1, stride=2)
    x = {
        "channels_last": lambda: spikes(2, 3, 6, 6).to(memory_format=torch.channels_last),
        "transposed": lambda: spikes(6, 6, 3, 2).permute(3, 2, 0, 1),
        "strided": lambda: spikes(2, 3, 12, 12)[:, :, ::2, ::2],
        "expanded": lambda: spikes(1, 3, 6, 6).expand(2, 3, 6, 6),
    }[layout]()
    _check(only(layer, x), brute, layer, x, 2 * 4 * 9 * 27)


def test_signed_spikes(only: Any, spikes: Any, brute: Any) -> None:
    layer = nn.Linear(16, 4)
    x = spikes(5, 16, rate=0.6, signed=True)
    op = only(layer, x)
    _check(op, brute, layer, x, 5 * 64)
    assert op.operands[0].signed
    assert op.operands[0].histogram == [int((x == 0).sum()), int((x != 0).sum())]


def test_scaled_spikes_keep_their_levels(only: Any, spikes: Any) -> None:
    x = spikes(4, 16, levels=3)
    op = only(lambda x: nn.functional.linear(x * 0.37, torch.ones(2, 16)), x)
    assert op.parts[0].kind == "spikes"
    assert op.parts[0].by_value == 2 * int(x.sum())
    assert op.operands[0].quantum == pytest.approx(0.37)
    assert op.operands[0].levels == 3
