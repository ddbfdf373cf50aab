"""However a contraction is written or wrapped, it is counted, or there is a finding: never a silent zero."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune

from snnprof.activity import Activity
from snnprof.record.recorder import Recorder

B, N, D, H, FF = 2, 5, 16, 4, 32


def _dense(activity: Activity) -> int:
    return sum(op.dense_macs for op in activity.ops)


# -- fused attention ---------------------------------------------------------------------------------------------


@pytest.fixture(params=["no_grad", "inference_mode", "grad"], autouse=False)
def mode(request: pytest.FixtureRequest) -> Any:
    with {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode, "grad": torch.enable_grad}[request.param]():
        yield request.param


ATTENTION = 2 * B * N * N * D


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("weights", [True, False])
def test_multihead_attention(record: Any, batch_first: bool, weights: bool) -> None:
    layer = nn.MultiheadAttention(D, H, batch_first=batch_first).eval()
    x = torch.randn(B, N, D)
    activity = record(layer, x, x, x, need_weights=weights)
    rows = B * N
    assert _dense(activity) == 4 * rows * D * D + (ATTENTION if batch_first else 2 * B * B * N * D)
    assert [op.op for op in activity.ops] == ["linear", "matmul", "matmul", "linear"]
    assert [op.bias_adds for op in activity.ops] == [3 * rows * D, 0, 0, rows * D]


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("training", [True, False])
def test_transformer_encoder_layer(record: Any, training: bool) -> None:
    layer = nn.TransformerEncoderLayer(D, H, FF, dropout=0.0, batch_first=True).train(training)
    activity = record(layer, torch.randn(B, N, D))
    assert _dense(activity) == B * N * (4 * D * D + 2 * D * FF) + ATTENTION
    assert {op.layer for op in activity.ops} == {"self_attn", "linear1", "linear2"}


def test_padded_transformer_encoder(record: Any) -> None:
    layer = nn.TransformerEncoder(nn.TransformerEncoderLayer(D, H, FF, batch_first=True), 2).eval()
    mask = torch.zeros(B, N, dtype=torch.bool)
    mask[0, -2:] = True
    activity = record(layer, torch.randn(B, N, D), src_key_padding_mask=mask)
    assert _dense(activity) == 2 * (B * N * (4 * D * D + 2 * D * FF) + ATTENTION)


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("tokens", [N, D // H])
def test_scaled_dot_product_attention(record: Any, tokens: int) -> None:
    """Its two products are two operations, also where their shapes are the same."""
    q, k, v = torch.randn(3, B, H, tokens, D // H)

    def twice(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        for _ in range(2):
            q = F.scaled_dot_product_attention(q, k, v)
        return q

    activity = record(twice, q, k, v)
    product = B * H * tokens * tokens * D // H
    assert [(op.dense_macs, op.calls) for op in activity.ops] == [(2 * product, 2), (2 * product, 2)]


def test_spiking_attention_through_the_fused_function(record: Any, spikes: Any) -> None:
    """Softmax makes attn real and leaves no zero; v's spikes gate it, so that each pair is an addition."""
    q, k, v = (spikes(B, H, N, 4, seed=seed) for seed in range(3))
    scores, values = record(F.scaled_dot_product_attention, q, k, v).ops
    assert scores.part("spikes").events == int((q @ k.transpose(-2, -1)).sum())
    assert values.part("spikes").right == values.part("spikes").events == int(v.sum()) * N


# -- recurrent layers --------------------------------------------------------------------------------------------

GATES = {nn.RNN: 1, nn.GRU: 3, nn.LSTM: 4, nn.RNNCell: 1, nn.GRUCell: 3, nn.LSTMCell: 4}


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_recurrent_layers(record: Any, spikes: Any, kind: Any, bias: bool) -> None:
    """Input-hidden reads the spikes; hidden-hidden reads zeros at first and real values from then on."""
    torch.manual_seed(0)
    layer = kind(6, 8, batch_first=True, bias=bias)
    x = spikes(B, N, 6)
    with torch.no_grad():
        before = layer(x)[0]
    activity = record(layer, x, samples=B)
    inputs, hidden = activity.ops
    gates = GATES[kind] * 8
    assert inputs.part("spikes").events == int(x.sum()) * gates
    assert inputs.dense_macs == B * N * 6 * gates
    assert hidden.dense_macs == B * N * 8 * gates
    assert hidden.part("silent").elements == B * 8
    assert hidden.part("real").events == B * (N - 1) * 8 * gates
    assert inputs.bias_adds == hidden.bias_adds == (B * N * gates if bias else 0)
    with torch.no_grad():
        torch.testing.assert_close(layer(x)[0], before)


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_deep_bidirectional_recurrence(record: Any, spikes: Any, kind: Any) -> None:
    layer = kind(6, 8, num_layers=2, bidirectional=True)
    activity = record(layer, spikes(N, B, 6))
    gates = GATES[kind] * 8
    assert _dense(activity) == B * N * gates * (2 * (6 + 8) + 2 * (16 + 8))
    assert len(activity.ops) == 8


def test_opened_lstm_gives_the_same_result(as_module: Any, spikes: Any) -> None:
    torch.manual_seed(0)
    layer = nn.LSTM(6, 8, 2, bidirectional=True)
    x = spikes(N, B, 6)
    with torch.no_grad():
        expected, (h, c) = layer(x)
        with Recorder(layer):
            out, (h2, c2) = layer(x)
    for got, want in ((out, expected), (h2, h), (c2, c)):
        torch.testing.assert_close(got, want)


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("kind", [nn.RNNCell, nn.GRUCell, nn.LSTMCell])
def test_recurrent_cells(record: Any, spikes: Any, kind: Any) -> None:
    layer, x = kind(6, 8), spikes(B, 6)
    activity = record(layer, x)
    events = {op.nonzero: op.events for op in activity.ops}
    assert events == {0: 0, int(x.sum()): int(x.sum()) * GATES[kind] * 8}
    assert _dense(activity) == B * (6 + 8) * GATES[kind] * 8


def test_cudnn_recurrence_opens_to_the_same_result(spikes: Any) -> None:
    """The rewrite of the GPU's kernel, run where there is no GPU."""
    from snnprof.record import decompositions

    layer = nn.GRU(6, 8, 2, bidirectional=True)
    x, h = spikes(N, B, 6), torch.zeros(4, B, 8)
    call = (x, layer._flat_weights, 4, None, h, None, 3, 8, 0, 2, False, 0.0, False, True, [], None)
    with torch.no_grad():
        out, state, *_ = decompositions.cudnn_rnn(*call)
        torch.testing.assert_close((out, state), layer(x))


# -- words of their own ------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("mode")
def test_bilinear(record: Any, spikes: Any) -> None:
    layer = nn.Bilinear(6, 5, 4)
    a, b = spikes(B, 6, rate=0.5), spikes(B, 5, rate=0.5, seed=1)
    with torch.no_grad():
        expected = layer(a, b)
    activity = record(layer, a, b)
    (op,) = activity.ops
    assert op.dense_macs == B * 6 * 5 * 4
    assert op.part("spikes").events == 4 * int((a.sum(1) * b.sum(1)).sum())
    assert op.bias_adds == B * 4
    with torch.no_grad():
        torch.testing.assert_close(layer(a, b), expected)


def test_distances(record: Any, spikes: Any) -> None:
    a, b = spikes(1, 4, 6), spikes(1, 3, 6, seed=1)
    (op,) = record(torch.cdist, a, b).ops
    assert (op.dense_macs, op.events) == (4 * 3 * 6, int((a @ b.transpose(1, 2)).sum()))
    manhattan = record(lambda a, b: torch.cdist(a, b, p=1.0), a, b)
    assert [entry.op for entry in manhattan.uncounted] == ["_cdist_forward"]


@pytest.mark.usefixtures("mode")
def test_embeddings_are_look_ups(record: Any) -> None:
    indices = torch.randint(0, 20, (3, 4))
    table = record(nn.Embedding(20, 5), indices, input_kind="real")
    assert (table.ops, table.uncounted, table.findings) == ([], [], [])


@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_rows_that_are_selected_and_added_up_are_a_contraction(only: Any, mode: str) -> None:
    """Each index is a spike, and its row the synapses: 12 rows of 5 weights, of which some are zero."""
    bag, indices = nn.EmbeddingBag(20, 5, mode=mode, padding_idx=3), torch.arange(12).view(3, 4)
    bag.weight.data = torch.arange(100).reshape(20, 5).remainder(7).float()
    op = only(bag, indices, input_kind="real")
    kept = bag.weight[indices[indices != 3]]
    assert (op.op, op.dense_macs, op.events) == ("linear", 11 * 5, 11 * 5)
    assert op.part("spikes").effective == int((kept != 0).sum())
    summed = only(lambda i: bag.weight[i].sum(1), indices, input_kind="real")
    assert (summed.dense_macs, summed.events) == (12 * 5, 12 * 5)


def test_outer_products(only: Any, spikes: Any) -> None:
    a, b = spikes(6, rate=0.5), spikes(4, rate=0.5, seed=1)
    op = only(lambda m, a, b: torch.addr(m, a, b), torch.randn(6, 4), a, b)
    assert (op.dense_macs, op.events, op.bias_adds) == (24, int(a.sum() * b.sum()), 24)


# -- wrappers ----------------------------------------------------------------------------------------------------


def _net() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 64, 10))


@pytest.fixture
def image(spikes: Any) -> Tensor:
    return spikes(B, 3, 8, 8)


WRAPPERS: dict[str, Callable[[nn.Module, Tensor], nn.Module]] = {
    "scripted": lambda net, x: torch.jit.script(net),
    "traced": lambda net, x: torch.jit.trace(net, x),
    "scripted inside": lambda net, x: nn.Sequential(torch.jit.script(net[0]), net[1], net[2]),
    "compiled": lambda net, x: torch.compile(net),
    "compiled inside": lambda net, x: nn.Sequential(net[0], net[1], torch.compile(net[2])),
    "data parallel": lambda net, x: nn.DataParallel(net),
    "in bfloat16": lambda net, x: net.bfloat16().float(),
    "channels last": lambda net, x: net.to(memory_format=torch.channels_last),
}


@pytest.mark.usefixtures("mode")
@pytest.mark.parametrize("name", WRAPPERS)
def test_wrapped_models(record: Any, brute: Any, image: Tensor, name: str) -> None:
    net = _net()
    events = brute.events(net[0], image)
    if name == "traced":
        with torch.no_grad():
            model = WRAPPERS[name](net, image)
    else:
        model = WRAPPERS[name](net, image)
    activity = record(model, image, samples=B)
    assert [op.op for op in activity.ops] == ["conv", "linear"]
    assert activity.ops[0].part("spikes").events == events
    assert activity.ops[1].dense_macs == B * 256 * 10
    assert activity.uncounted == []
    assert activity.findings == []


@pytest.mark.filterwarnings("ignore")
def test_a_model_compiled_and_run_before(record: Any, image: Tensor) -> None:
    """What was compiled earlier would run as one opaque kernel: the stance makes it run as operators."""
    model = torch.compile(_net(), backend="eager")
    with torch.no_grad():
        model(image)
        activity = record(model, image)
    assert [op.op for op in activity.ops] == ["conv", "linear"]


def test_the_compiler_is_not_loaded_to_keep_it_out() -> None:
    """It would take 50 MB. What a model compiles in its forward pass all the same is counted, and compiles again."""
    script = textwrap.dedent("""
        import os, sys, torch
        from torch import nn
        from snnprof.record.recorder import Recorder

        class Compiling(nn.Module):
            def __init__(self):
                super().__init__()
                self.fc = nn.Linear(4, 3, bias=False)

            def forward(self, x):
                return torch.compile(self.fc)(x) if late else self.fc(x)

        def macs(model):
            with torch.no_grad(), Recorder(model, timesteps=1) as recorder:
                model(torch.tensor([[1.0, 0, 1, 1]]))
                recorder.end_batch()
                recorder.end_block(1)
            return [op.dense_macs for op in recorder.activity().ops]

        model, late = Compiling(), False
        assert macs(model) == [12]
        assert "torch._dynamo" not in sys.modules
        late = True
        assert macs(model) == [12]
        assert "torch._dynamo" in sys.modules and "TORCHDYNAMO_DISABLE" not in os.environ
        graphs = []
        torch.compile(model.fc, backend=lambda graph, _: graphs.append(graph) or graph.forward)(torch.ones(1, 4))
        assert graphs
    """)
    subprocess.run([sys.executable, "-c", script], check=True)


def test_autocast(record: Any, brute: Any, image: Tensor) -> None:
    net = _net()
    with torch.autocast("cpu", torch.bfloat16):
        activity = record(net, image)
    assert activity.ops[0].events == brute.events(net[0], image)
    assert activity.uncounted == []


def test_the_root_is_a_layer(only: Any, spikes: Any) -> None:
    x = spikes(3, 64)
    op = only(nn.Linear(64, 10), x)
    assert (op.layer, op.events) == ("", 10 * int(x.sum()))


def test_keywords_and_functions_count_the_same(only: Any, spikes: Any) -> None:
    layer, x = nn.Linear(64, 10), spikes(3, 64)
    ways = [
        only(layer, x),
        only(layer, input=x),
        only(lambda x: F.linear(x, layer.weight, layer.bias), x),
        only(lambda x: F.linear(input=x, weight=layer.weight, bias=layer.bias), x),
        only(lambda x: torch.addmm(layer.bias, x, layer.weight.t()), x),
        only(lambda x: torch.einsum("ni,oi->no", x, layer.weight) + layer.bias, x),
        only(lambda x: x @ layer.weight.T + layer.bias, x),
    ]
    assert {(op.op, op.events, op.dense_macs, op.bias_adds) for op in ways} == {("linear", 10 * int(x.sum()), 1920, 30)}


def test_functional_convolution(only: Any, brute: Any, image: Tensor) -> None:
    layer = nn.Conv2d(3, 8, 3, padding=1)
    events = brute.events(layer, image)
    assert only(layer, image).events == events
    assert only(lambda x: F.conv2d(x, layer.weight, padding=1), image).events == events
    with torch.inference_mode():
        assert only(lambda x: F.conv2d(x, layer.weight, padding="same"), image).events == events


class Half(nn.Linear):
    """A sub-class, as SpikingJelly's layers are."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_dressed_up_layers(only: Any, spikes: Any) -> None:
    x = spikes(3, 16)
    pruned = nn.Linear(16, 4, bias=False)
    prune.l1_unstructured(pruned, "weight", amount=0.5)
    layers = {
        "sub-class": Half(16, 4, bias=False),
        "weight norm": parametrizations.weight_norm(nn.Linear(16, 4, bias=False)),
        "old weight norm": nn.utils.weight_norm(nn.Linear(16, 4, bias=False)),
        "spectral norm": parametrizations.spectral_norm(nn.Linear(16, 4, bias=False)).eval(),
        "orthogonal": parametrizations.orthogonal(nn.Linear(16, 4, bias=False)),
        "pruned": pruned,
    }
    for name, layer in layers.items():
        op = only(layer, x)
        assert (op.op, op.events, op.weights) == ("linear", 4 * int(x.sum()), 64), name
        assert op.part("spikes").effective <= op.events


def test_pruned_weights(only: Any, spikes: Any, brute: Any) -> None:
    layer = nn.Conv2d(3, 4, 3, padding=1)
    prune.random_unstructured(layer, "weight", amount=0.7)
    x = spikes(2, 3, 6, 6)
    op = only(layer, x)
    dense = nn.Conv2d(3, 4, 3, padding=1)
    dense.weight.data = layer.weight.detach()
    assert op.part("spikes").effective == brute.effective(dense, x)
    assert op.events == brute.events(dense, x)


def test_weights_that_look_like_spikes_are_weights(only: Any) -> None:
    layer = nn.Linear(64, 10, bias=False)
    nn.init.ones_(layer.weight)
    op = only(layer, torch.randn(2, 64))
    assert [part.kind for part in op.parts] == ["real"]
    assert [operand.role for operand in op.operands] == ["data", "weight"]


def test_a_constant_image_is_real(only: Any) -> None:
    op = only(nn.Conv2d(3, 8, 3, padding=1), torch.full((1, 3, 8, 8), 0.5))
    assert [part.kind for part in op.parts] == ["real"]


def test_shared_modules_count_every_call(record: Any, spikes: Any) -> None:
    shared = nn.Linear(8, 8, bias=False)

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = shared, shared

        def forward(self, x: Tensor) -> Tensor:
            return self.first(x) + self.second(x)

    (op,) = record(Twice(), spikes(3, 8)).ops
    assert (op.calls, op.layer) == (2, "first")


def test_backward_passes_are_ignored(spikes: Any) -> None:
    layer, x = nn.Linear(8, 4), spikes(3, 8)
    with Recorder(layer) as recorder:
        layer(x).sum().backward()
    (op,) = recorder.activity().ops
    assert (op.calls, op.events) == (1, 4 * int(x.sum()))


def test_gradients_inside_forward_and_checkpoints_are_ignored(record: Any, spikes: Any) -> None:
    from torch.utils.checkpoint import checkpoint

    layer, x = nn.Linear(8, 4), spikes(3, 8)

    def learns(x: Tensor) -> Tensor:
        out = checkpoint(layer, x.requires_grad_(), use_reentrant=False)
        torch.autograd.grad(out.sum(), layer.weight)
        return out

    (op,) = record(learns, x).ops
    assert op.calls == 1


# -- what cannot be seen ---------------------------------------------------------------------------------------


def _codes(activity: Activity) -> set[str]:
    return {finding.code for finding in activity.findings}


@pytest.mark.filterwarnings("ignore")
def test_opaque_graphs_are_found(record: Any) -> None:
    from torch.utils import mkldnn

    if not torch.backends.mkldnn.is_available():
        pytest.skip("torch was built without oneDNN")
    activity = record(mkldnn.to_mkldnn(nn.Conv2d(3, 8, 3)), torch.randn(2, 3, 8, 8).to_mkldnn())
    assert activity.ops == []
    assert "C05" in _codes(activity)


def test_products_of_jagged_tensors_are_counted(record: Any, spikes: Any) -> None:
    """They bring rules of their own, inside which operators run on the rows."""
    weight = torch.eye(4)

    def forward(x: Tensor) -> Tensor:
        ragged = torch.nested.nested_tensor([x[0], x[1, :2]], layout=torch.jagged)
        return torch.nn.functional.linear(ragged, weight).values()

    x = spikes(2, 5, 4)
    (op,) = record(forward, x).ops
    assert (op.dense_macs, op.events) == (7 * 16, 4 * int(x[0].sum() + x[1, :2].sum()))


def test_sparse_products_are_listed(record: Any, spikes: Any) -> None:
    weight = torch.eye(8).to_sparse()
    activity = record(lambda x: torch.sparse.mm(weight, x), spikes(8, 3))
    assert activity.uncounted
    assert "C05" in _codes(activity)


def test_other_threads_are_found(record: Any, spikes: Any) -> None:
    class Threaded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner, self.outer = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x: Tensor) -> Tensor:
            thread = threading.Thread(target=lambda: self.inner(x))
            thread.start()
            thread.join()
            return self.outer(x)

    activity = record(Threaded(), spikes(3, 8))
    assert [op.layer for op in activity.ops] == ["outer"]
    assert {"C04", "C09"} <= _codes(activity)


def test_unknown_operators_are_listed(record: Any) -> None:
    activity = record(lambda x: torch.linalg.inv(x), torch.eye(3) + 0.1)
    assert "linalg_inv_ex" in [entry.op for entry in activity.uncounted]
    assert "C05" in _codes(activity)


def test_a_custom_operator_is_listed(record: Any) -> None:
    @torch.library.custom_op("snnprof_test::spike_linear", mutates_args=())
    def spike_linear(x: Tensor, weight: Tensor) -> Tensor:
        return x @ weight.T

    class Fused(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 8))

        def forward(self, x: Tensor) -> Tensor:
            return spike_linear(x, self.weight)

    activity = record(Fused(), torch.randn(2, 8))
    assert [entry.op for entry in activity.uncounted] == ["snnprof_test::spike_linear"]
    assert _codes(activity) == {"C04", "C05"}


def test_a_product_that_is_summed_is_found(record: Any, spikes: Any) -> None:
    weight = torch.randn(8)
    activity = record(lambda x: (x * weight).sum(-1), spikes(3, 8))
    assert "C02" in _codes(activity)
