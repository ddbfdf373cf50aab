import pytest
import torch

import snnprof
from snnprof import conventions
from snnprof.errors import SnnprofError
from snnprof.models import digits, ssa_bin
from snnprof.models.spikformer import VARIANTS
from snnprof.workload import models

SMALL = {"depth": 1, "width": 32, "heads": 4, "timesteps": 3}


def attention(row, **options):
    return ssa_bin.build(row=row, **SMALL, **options).block[0].attn


def spikes(seed=0, tokens=16):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(3, 2, 4, tokens, 8, generator=generator) < 0.4).double() for _ in range(3)]


def binary_attention(q, k, v, delta, shift=0.0):
    """The definition, one query, key and channel at a time."""
    out = torch.zeros_like(v)
    for t, b, h, i in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:-1])):
        for j in range(k.shape[3]):
            if float((q[t, b, h, i] * k[t, b, h, j]).sum()) > delta:
                out[t, b, h, i] += v[t, b, h, j]
    return out - shift


def test_baseline_gates_values_by_any_coincidence():
    q, k, v = spikes(tokens=5)
    attn = attention("baseline").double().eval()
    assert attn.attend(q, k, v).equal(binary_attention(q, k, v, delta=0))


def test_threshold_and_shift_are_applied_frozen_in_evaluation():
    q, k, v = spikes(tokens=5)
    attn = attention("bin").double().eval()
    attn.threshold.value.fill_(1.0)
    attn.shift.value.copy_(torch.arange(32.0).view(attn.shift.value.shape))
    shift = torch.arange(32.0, dtype=torch.float64).view(1, 1, 4, 1, 8)
    for _ in range(2):
        assert attn.attend(q, k, v).equal(binary_attention(q, k, v, 1.0, shift))


def test_the_threshold_is_exceeded_strictly():
    attn = attention("threshold").double().eval()
    attn.threshold.value.fill_(2.0)
    q = torch.zeros(1, 1, 1, 1, 3, dtype=torch.float64)
    for coincidences, weight in ((2, 0.0), (3, 1.0)):
        q[..., :coincidences] = 1
        assert attn.attend(q, torch.ones_like(q), torch.ones_like(q)).max() == weight


def test_training_computes_what_evaluation_computes():
    attn = attention("baseline").double()
    q, k, v = spikes(tokens=5)
    q.requires_grad_()
    assert attn.train().attend(q, k, v).equal(attn.eval().attend(q.detach(), k, v))


@pytest.mark.parametrize("per_step", [False, True])
@pytest.mark.parametrize("shape", ["block", "head"])
def test_running_mean_of_the_coincidences(shape, per_step):
    attn = attention("threshold", threshold_shape=shape, per_step=per_step).double().train()
    expected = torch.zeros((), dtype=torch.float64)
    for seed in range(3):
        q, k, v = spikes(seed)
        attn.attend(q, k, v)
        product = torch.einsum("tbhid,tbhjd->tbhij", q, k)
        kept = ([0] if per_step else []) + ([2] if shape == "head" else [])
        mean = product.mean([axis for axis in range(5) if axis not in kept], keepdim=True)
        expected = 0.99 * expected + 0.01 * mean
    torch.testing.assert_close(attn.threshold.value, expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("shape", "size"), [("scalar", (1, 1, 1, 1, 1)), ("channel", (1, 1, 4, 1, 8)), ("token-channel", (1, 1, 4, 16, 8))]
)
def test_running_mean_of_the_gated_values(shape, size):
    attn = attention("centred", shift_shape=shape, tokens=16, momentum=0.5).double().train()
    q, k, v = spikes()
    out = attn.attend(q, k, v)
    gated = binary_attention(q, k, v, delta=0)
    mean = gated.mean([axis for axis, length in enumerate(size) if length == 1], keepdim=True)
    assert attn.shift.value.shape == size
    torch.testing.assert_close(attn.shift.value, 0.5 * mean, rtol=1e-6, atol=0)
    torch.testing.assert_close(out, gated - 0.5 * mean, rtol=1e-6, atol=1e-6)


def test_the_row_ssa_is_spikformer():
    from snnprof.models import spikformer

    theirs, ours = spikformer.build(**SMALL), ssa_bin.build(row="ssa", **SMALL)
    ours.load_state_dict(theirs.state_dict())
    x = torch.rand(2, 3, 16, 16)
    assert ours.eval()(x).equal(theirs.eval()(x))


@pytest.mark.parametrize(
    ("row", "buffers"), [("ssa", 0), ("baseline", 0), ("centred", 1), ("threshold", 1), ("bin", 2)]
)
def test_rows_differ_in_their_running_means(row, buffers):
    state = ssa_bin.build(row=row, **SMALL).state_dict()
    assert len([name for name in state if name.endswith(".value")]) == buffers


@pytest.mark.parametrize("variant", sorted(VARIANTS))
def test_every_variant_runs_and_learns(variant):
    shape = (2, 3, 2, 16, 16) if variant == "dvs" else (2, 3, 16, 16)
    model = ssa_bin.build(variant=variant, **SMALL)
    model(torch.rand(shape)).sum().backward()
    assert model.head.weight.grad is not None
    with torch.no_grad():
        assert model.eval()(torch.rand(shape)).shape == (2, 10)


def test_gradient_of_the_binary_weights_is_the_softmax_slope():
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, 5, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((ssa_bin.Above.apply(x, torch.zeros(())) * weight).sum(), x)
    share = x.detach().exp() / x.detach().exp().sum(-1, keepdim=True)
    torch.testing.assert_close(gradient, weight * share * (1 - share))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"row": "binn"}, "row must be one of ssa, baseline"),
        ({"threshold_shape": "token"}, "threshold_shape must be one of"),
        ({"shift_shape": "token-channel"}, "number of tokens"),
    ],
)
def test_impossible_options_are_refused(settings, words):
    with pytest.raises(SnnprofError, match=words):
        ssa_bin.build(**settings)


@pytest.fixture(scope="module")
def trained_run():
    images, _ = digits.load(16)
    return snnprof.profile(
        models.load_model("ssa_bin:digits"), torch.from_numpy(images[:3]), layout="batch", timesteps=4
    )


def test_compares_and_shift_are_lines_of_their_own(trained_run):
    """Per sample, step and block: N²·h compares with Δ and N·D subtractions of V̄; N = 16, h = 4, D = 64."""
    rows = {(row.layer, row.op): row for row in snnprof.price(trained_run, "yan2024-22nm").rows}
    for block in ("block.0.attn", "block.1.attn"):
        assert rows[block, "compare"].energy_pj == pytest.approx(3 * 4 * 16**2 * 4 * 0.05448)
        assert rows[block, "shift"].energy_pj == pytest.approx(3 * 4 * 16 * 64 * 0.05448)
        assert rows[block, "compare"].sops == rows[block, "shift"].sops == 0


def test_binary_attention_adds_where_a_weight_and_a_value_meet(trained_run):
    second = [op for op in trained_run.ops if op.op == "matmul" and op.index == 1]
    assert [conventions.label(op) for op in second] == ["binary x binary"] * 2
    assert all(0 < op.events < op.dense_macs for op in second)


def test_a_layer_with_a_bias_and_a_batch_norm_adds_once_per_output(trained_run):
    lines = conventions.find("exact").lines(trained_run)
    for stage in ("q", "proj"):
        adds = sum(line.counts.adds for line in lines if line.layer.startswith(f"block.0.attn.{stage}_"))
        assert adds == 3 * 4 * 16 * 64
