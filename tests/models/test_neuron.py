import pytest
import torch

from snnprof.models.neuron import IF, LIF


def reference(x, tau, threshold):
    """The equation of the docstring, one neuron at a time in Python floats."""
    spikes = torch.zeros_like(x)
    for neuron in range(x.shape[1]):
        v = 0.0
        for t in range(x.shape[0]):
            h = v + (x[t, neuron].item() - v) / tau
            spikes[t, neuron] = float(h >= threshold)
            v = 0.0 if h >= threshold else h
    return spikes


@pytest.mark.parametrize("threshold", [1.0, 0.5])
@pytest.mark.parametrize("tau", [2.0, 3.0])
def test_spikes_follow_the_equation(tau, threshold):
    x = torch.randint(-4, 9, (6, 50), generator=torch.Generator().manual_seed(0)).double() / 4
    with torch.no_grad():
        assert LIF(tau, threshold)(x).equal(reference(x, tau, threshold))


def test_a_potential_at_the_threshold_fires():
    with torch.no_grad():
        assert LIF()(torch.full((1, 1), 2.0)).item() == 1.0
        assert LIF()(torch.full((1, 1), 1.999)).item() == 0.0


@pytest.mark.parametrize("learns", [False, True])
@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 2, 3, 6, 6), (1, 2)])
def test_agrees_with_spikingjelly_to_the_last_spike(shape, learns, spikingjelly):
    theirs = spikingjelly.LIFNode(tau=2.0, v_threshold=0.5, v_reset=0.0, detach_reset=True, step_mode="m")
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 2
    spikes = LIF(v_threshold=0.5)(x.clone().requires_grad_(learns))
    assert spikes.equal(theirs(x))
    assert 0 < spikes.sum() < spikes.numel()


@pytest.mark.parametrize("shape", [(4, 3, 5), (4, 2, 3, 6, 6), (1, 2)])
def test_spikes_the_same_when_compiled(shape):
    lif = LIF(v_threshold=0.5)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(1)) * 2
    with torch.no_grad():
        spikes = lif(x)
        assert torch.compile(lif, backend="eager", fullgraph=True)(x).equal(spikes)
    assert 0 < spikes.sum() < spikes.numel()


def test_gradient_agrees_with_spikingjelly(spikingjelly):
    theirs = spikingjelly.LIFNode(tau=2.0, v_reset=0.0, detach_reset=True, step_mode="m")
    x = (torch.randn(4, 30, generator=torch.Generator().manual_seed(2)) * 2).requires_grad_()
    weight = torch.rand(4, 30, generator=torch.Generator().manual_seed(3))
    (ours,) = torch.autograd.grad((LIF()(x) * weight).sum(), x)
    (reference,) = torch.autograd.grad((theirs(x) * weight).sum(), x)
    torch.testing.assert_close(ours, reference)


def test_no_state_is_kept_and_the_input_is_left_alone():
    lif, x = LIF(), torch.full((3, 4), 1.5)
    with torch.no_grad():
        first, second = lif(x), lif(x)
    assert first.equal(second)
    assert x.equal(torch.full((3, 4), 1.5))
    assert not lif.state_dict()


@pytest.mark.parametrize("learns", [False, True])
def test_other_neurons_agree_with_spikingjelly_to_the_last_spike(learns, spikingjelly):
    settings = {"v_reset": 0.0, "detach_reset": True, "step_mode": "m"}
    pairs = [
        (IF(), spikingjelly.IFNode(v_threshold=1.0, **settings)),
        (
            LIF(4 / 3, 0.5, decay_input=False),
            spikingjelly.LIFNode(tau=4 / 3, v_threshold=0.5, decay_input=False, **settings),
        ),
    ]
    x = torch.randn(6, 2, 3, 20, 20, generator=torch.Generator().manual_seed(4))
    for ours, theirs in pairs:
        spikes = ours(x.clone().requires_grad_(learns))
        assert spikes.equal(theirs(x))
        assert 0 < spikes.sum() < spikes.numel()
