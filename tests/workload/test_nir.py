"""Graphs in the Neuromorphic Intermediate Representation: the same counts as of the network that they were made of."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import snnprof
from snnprof.errors import SnnprofError
from snnprof.workload import models, nir_file, nir_network
from snnprof.workload.batches import InputSpec, holds_frames

h5py = pytest.importorskip("h5py", reason="h5py is not installed (pip install 'snnprof[nir]')")

DATA = Path(__file__).parent.parent / "data" / "nir"
DT = 2.0**-13
THRESHOLD = 1 + 2.0**-10
"""No sum of the weights and inputs below meets it: SpikingJelly fires at v ≥ threshold, NIR at v > threshold."""


def write(path, nodes, edges, **more):
    """A file as `nir.write` makes it; a node is a kind and its parameters."""
    with h5py.File(path, "w") as file:
        file["version"] = "1.0.4"
        write_graph(file.create_group("node"), nodes, edges)
        for name, value in more.items():
            file[f"node/metadata/{name}"] = value
    return path


def write_graph(group, nodes, edges):
    group["type"] = "NIRGraph"
    group["edges"] = np.array(edges, dtype=h5py.string_dtype()) if len(edges) else np.zeros((0, 2))
    for name, node in nodes.items():
        inner = group.create_group(f"nodes/{name}")
        if isinstance(node[0], dict):
            write_graph(inner, *node)
            continue
        inner["type"] = node[0]
        for key, value in node[1].items():
            inner[key] = value


def chain(*names):
    return list(itertools.pairwise(names))


def grid(*shape, step=8):
    """Weights that float32 and every sum of them hold exactly."""
    return ((torch.arange(int(np.prod(shape))) * 7 % 17 - 8) / step).reshape(shape)


def images(*shape):
    return (torch.arange(int(np.prod(shape))) * 5 % 17 / 16).reshape(shape)


def counts(activity):
    """What was counted, without names."""
    ops = [(op.op, [part.model_dump() for part in op.parts]) for op in activity.ops]
    neurons = [(n.spikes, n.updates, n.driven, n.level_sum, n.spikes_per_step) for n in activity.neurons]
    return ops, neurons


def stepped(model, x, steps=6):
    return snnprof.profile(model, x, layout="step", timesteps=steps, self_check=False)


# -- the same network, twice -------------------------------------------------------------------------------


def spikingjelly_network():
    layer = pytest.importorskip("spikingjelly.activation_based.layer")
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron")
    network = nn.Sequential(
        layer.Conv2d(1, 4, 3, padding=1), neuron.IFNode(v_threshold=THRESHOLD), layer.AvgPool2d(2, 2), layer.Flatten(),
        layer.Linear(64, 10, bias=False), neuron.LIFNode(tau=2.0, v_threshold=THRESHOLD),
    )  # fmt: skip
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(grid(*parameter.shape))
    return network


def test_a_spikingjelly_network_and_its_export_give_the_same_counts():
    """Hard reset, average pooling; the file is what `nir_exchange.export_to_nir` and nir 1.0.8 wrote."""
    x = images(12, 1, 8, 8)
    expected = counts(stepped(spikingjelly_network(), x))
    found = stepped(models.load_model(str(DATA / "spikingjelly.nir")), x)
    assert counts(found) == expected
    assert [neuron.layer for neuron in found.neurons] == ["_1", "_5"]
    assert all(neuron.spikes for neuron in found.neurons)


def test_spikingjelly_exports_the_same_file_today(tmp_path):
    nir = pytest.importorskip("nir")
    exchange = pytest.importorskip("spikingjelly.activation_based.nir_exchange")
    if tuple(map(int, nir.version.split(".")[:3])) < (1, 0, 6):
        pytest.skip("SpikingJelly writes v_reset, which nir knows from 1.0.6 on")
    exchange.export_to_nir(spikingjelly_network(), torch.zeros(1, 1, 8, 8), tmp_path / "net.nir")
    old, new = (nir_file.read(path) for path in (DATA / "spikingjelly.nir", tmp_path / "net.nir"))
    assert (old.edges, list(old.nodes)) == (new.edges, list(new.nodes))


class OverTime(nn.Module):
    """A Norse network over `[T, B, ...]`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        state, outputs = None, []
        for frame in x:
            output, state = self.network(frame, state)
            outputs.append(output)
        return torch.stack(outputs)


@pytest.mark.parametrize("layout", nir_network.LAYOUTS)
def test_a_norse_network_and_its_export_give_the_same_counts(tmp_path, layout):
    """Norse resets to 0, and writes tau = dt / tau_mem_inv: its steps are dt² long in the time of the file."""
    norse = pytest.importorskip("norse.torch")
    from norse.torch.functional.lif_box import LIFBoxParameters

    dt = 2.0**-10
    cell = norse.LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(512.0)), dt=dt)
    network, path = norse_network(tmp_path, cell, nn.Linear(16, 10), norse.LIBoxCell(dt=dt), dt=dt)
    x = images(12, 64).expand(6, 12, 64).contiguous()
    expected = counts(snnprof.profile(OverTime(network), x, layout="time-batch", self_check=False))
    found = models.resolve(str(path), {"dt": dt * dt, "reset": "zero", "layout": layout})
    shown = x.transpose(0, 1).contiguous() if layout == "batch-time" else x
    assert counts(snnprof.profile(found.module, shown, layout=layout, timesteps=6, self_check=False)) == expected
    assert found.input_shape == [64]  # and not [1, 64], as the file says
    assert (found.classes, found.layout) == (10, layout)


def test_norse_integrators_export_steps_of_one_second(tmp_path):
    norse = pytest.importorskip("norse.torch")
    network, path = norse_network(tmp_path, norse.IAFCell(), nn.Linear(16, 10), dt=0.001)
    x = images(12, 64).expand(6, 12, 64).contiguous()
    expected = counts(snnprof.profile(OverTime(network), x, layout="time-batch", self_check=False))
    found = models.load_model(str(path), {"dt": 1, "reset": "zero"})
    assert counts(stepped(found, x)) == expected


def norse_network(folder, *layers, dt):
    """A network of a linear layer and others, and the file that it was exported to."""
    nir, norse = pytest.importorskip("nir"), pytest.importorskip("norse.torch")
    network = norse.SequentialState(nn.Linear(64, 16), *layers)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(grid(*parameter.shape))
    path = folder / "net.nir"
    nir.write(path, norse.to_nir(network, torch.zeros(1, 64), dt=dt))
    return network, path


# -- equations and edges -----------------------------------------------------------------------------------

UNIT = {"r": np.ones(3), "v_leak": np.full(3, 0.25), "v_threshold": np.full(3, 0.75)}
X = torch.tensor([[1.0, 0.5, 2.0], [0.25, 1.5, 0.0]])


def run(tmp_path, kind, values, steps=5, **settings):
    """What one node puts out for X at each step."""
    nodes = {"input": ("Input", {"shape": [3]}), "node": (kind, values), "output": ("Output", {"shape": [3]})}
    path = write(tmp_path / "net.nir", nodes, chain(*nodes))
    network = nir_network.load(path, dt=DT, **settings)
    return torch.stack([network(X) for _ in range(steps)])


def euler(x, steps, change, fires=None, after=None):
    """v by forward Euler, and spikes where there are any."""
    v, outputs = torch.zeros_like(x), []
    for _ in range(steps):
        v = v + change(v)
        z = v > fires if fires is not None else v
        outputs.append(z.float() if fires is not None else v)
        if fires is not None:
            v = torch.where(z, after(v), v)
    return torch.stack(outputs)


def test_a_lif_neuron_integrates_leaks_and_fires(tmp_path):
    tau = np.full(3, 2 * DT)
    expected = euler(X, 5, lambda v: (0.25 - v + X) / 2, 0.75, lambda v: v - 0.75)
    assert run(tmp_path, "LIF", {"tau": tau, **UNIT}).equal(expected)
    assert run(tmp_path, "LIF", {"tau": tau, **UNIT, "v_reset": np.full(3, 9.0)}, reset="subtract").equal(expected)
    to_reset = euler(X, 5, lambda v: (0.25 - v + X) / 2, 0.75, lambda v: torch.full_like(v, -0.5))
    assert run(tmp_path, "LIF", {"tau": tau, **UNIT, "v_reset": np.full(3, -0.5)}).equal(to_reset)
    to_zero = euler(X, 5, lambda v: (0.25 - v + X) / 2, 0.75, torch.zeros_like)
    assert run(tmp_path, "LIF", {"tau": tau, **UNIT}, reset="zero").equal(to_zero)


def test_each_neuron_has_its_own_parameters(tmp_path):
    tau, threshold = np.array([1.0, 2.0, 4.0]) * DT, torch.tensor([0.5, 1.0, 0.25])
    values = {"tau": tau, "r": np.ones(3), "v_leak": np.zeros(3), "v_threshold": threshold.numpy()}
    share = torch.tensor([1.0, 0.5, 0.25])
    assert run(tmp_path, "LIF", values).equal(
        euler(X, 5, lambda v: share * (X - v), threshold, lambda v: v - threshold)
    )


def test_integrators_and_leaky_integrators_put_out_their_potential(tmp_path):
    gain = {"r": np.full(3, 0.5 / DT)}
    assert run(tmp_path, "I", gain).equal(euler(X, 5, lambda v: X / 2))
    fires = run(tmp_path, "IF", {**gain, "v_threshold": np.full(3, 0.75)})
    assert fires.equal(euler(X, 5, lambda v: X / 2, 0.75, lambda v: v - 0.75))
    leaky = run(tmp_path, "LI", {"tau": np.full(3, 4 * DT), "r": np.full(3, 2.0), "v_leak": np.full(3, 0.5)})
    assert leaky.equal(euler(X, 5, lambda v: (0.5 - v + 2 * X) / 4))


@pytest.mark.parametrize("kind", ["CubaLI", "CubaLIF"])
def test_the_membrane_reads_the_current_of_the_same_step(tmp_path, kind):
    values = {"tau_syn": np.full(3, 4 * DT), "tau_mem": np.full(3, 2 * DT), **UNIT, "w_in": np.full(3, 2.0)}
    current, v, expected = torch.zeros_like(X), torch.zeros_like(X), []
    for _ in range(5):
        current = current + (2 * X - current) / 4
        v = v + (0.25 - v + current) / 2
        fires = v > 0.75
        expected.append(fires.float() if kind == "CubaLIF" else v)
        v = torch.where(fires, v - 0.75, v) if kind == "CubaLIF" else v
    assert run(tmp_path, kind, values).equal(torch.stack(expected))


def test_thresholds_scales_and_delays(tmp_path):
    fires = run(tmp_path, "Threshold", {"threshold": [0.5, 0.5, 3]}, 1)[0]
    assert fires.equal(X.gt(torch.tensor([0.5, 0.5, 3])).float())
    assert run(tmp_path, "Scale", {"scale": [2, 0, 1]}, 1)[0].equal(X * torch.tensor([2.0, 0, 1]))
    late = run(tmp_path, "Delay", {"delay": np.array([0, 1, 3]) * DT})
    assert [[bool(each.any()) for each in step.T] for step in late] == [
        [True, False, False], [True, True, False], [True, True, False], [True, True, True], [True, True, True],
    ]  # fmt: skip
    assert late[4].equal(X)


def test_convolutions_and_pools_are_those_of_torch(tmp_path):
    conv = {"weight": grid(2, 2, 3, 3).numpy(), "bias": grid(2).numpy(), "groups": 1, "dilation": [1, 1]}
    window = {"kernel_size": [2, 2], "stride": [2, 2], "padding": [0, 0]}
    nodes = {
        "input": ("Input", {"shape": [2, 8, 8]}), "conv": ("Conv2d", {**conv, "stride": 1, "padding": "same"}),
        "sum": ("SumPool2d", window), "mean": ("AvgPool2d", {**window, "stride": 1}),
        "flat": ("Flatten", {"start_dim": 0, "end_dim": -1}), "output": ("Output", {"shape": [18]}),
    }  # fmt: skip
    network = nir_network.load(write(tmp_path / "net.nir", nodes, chain(*nodes)))
    x = images(3, 2, 8, 8)
    made = nn.functional.conv2d(x, grid(2, 2, 3, 3), grid(2), padding=1)
    expected = nn.functional.avg_pool2d(4 * nn.functional.avg_pool2d(made, 2), 2, 1).flatten(1)
    assert network(x).allclose(expected)
    assert network.output_shape == (18,)


def recurrent(tmp_path):
    lif = {"tau": np.full(8, 2 * DT), "r": np.ones(8), "v_leak": np.zeros(8), "v_threshold": np.full(8, 0.5)}
    nodes = {
        "input": ("Input", {"shape": [4]}), "fc": ("Linear", {"weight": grid(8, 4).numpy()}), "lif": ("LIF", lif),
        "rec": ("Affine", {"weight": grid(8, 8, step=16).numpy(), "bias": grid(8).numpy()}),
        "output": ("Output", {"shape": [8]}),
    }  # fmt: skip
    edges = [*chain("input", "fc", "lif", "output"), ("lif", "rec"), ("rec", "lif")]
    return write(tmp_path / "net.nir", nodes, edges, dt=DT)


def test_a_recurrent_edge_reads_the_spikes_of_the_step_before(tmp_path):
    x = images(10, 4)
    v = z = torch.zeros(10, 8)
    events = spikes = 0
    for _ in range(6):
        events += 8 * int(z.sum())
        v = v + (x @ grid(8, 4).T + z @ grid(8, 8, step=16).T + grid(8) - v) / 2
        z = (v > 0.5).float()
        v, spikes = v - z / 2, spikes + int(z.sum())
    activity = stepped(models.load_model(str(recurrent(tmp_path))), x)  # dt is among the metadata
    found = {op.layer: sum(part.events for part in op.parts if part.kind == "spikes") for op in activity.ops}
    assert found == {"rec": events, "fc": 0}
    assert [neuron.spikes for neuron in activity.neurons] == [spikes]
    assert events


def test_a_graph_within_a_graph_and_names_that_modules_have_already(tmp_path):
    inner = {"in": ("Input", {"shape": [3]}), "forward": ("Scale", {"scale": [1, 2, 3]}), "out": ("Output", {})}
    twice = ("Scale", {"scale": [2, 2, 2]})
    nodes = {"i": IN, "sub.graph": (inner, chain(*inner)), "a.b": twice, "a_b": twice, "o": OUT}
    network = nir_network.load(write(tmp_path / "net.nir", nodes, chain(*nodes)))
    assert network(X).equal(4 * X * torch.tensor([1.0, 2, 3]))
    assert {"sub_graph.forward_", "a_b", "a_b_"} < dict(network.named_modules()).keys()


def test_whole_numbers_are_taken_as_data(tmp_path):
    """Event frames are often stored as bytes or booleans."""
    spikes = (X > 0.6).to(torch.uint8)
    activity = stepped(models.load_model(str(write(tmp_path / "net.nir", *graph_of(AFFINE)))), spikes, 2)
    assert activity.ops[0].events == 2 * 3 * int(spikes.sum())


# -- what cannot run ---------------------------------------------------------------------------------------

IN, OUT = ("Input", {"shape": [3]}), ("Output", {"shape": [3]})
AFFINE = ("Affine", {"weight": np.eye(3), "bias": np.zeros(3)})
LINE = chain("i", "n", "o")


def graph_of(node, edges=LINE, start=IN):
    return {"i": start, "n": node, "o": OUT}, edges


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (graph_of(("Izhikevich", {})), "node 'n' is a Izhikevich, which snnprof cannot run"),
        (graph_of(("Linear", {})), r"node 'n' \(Linear\) has no weight"),
        (graph_of(("Linear", {"weight": np.full((3, 3), np.nan)})), "weight holds NaN"),
        (graph_of(("Linear", {"weight": "much"})), "cannot be built"),
        (graph_of(("Linear", {"weight": np.ones((3, 5))})), r"does not take its input of shape \[3\]"),
        (graph_of(("Linear", {"weight": np.ones(3)})), r"not \[out, in\]"),
        (graph_of(("Affine", {"weight": np.eye(3), "bias": np.zeros(2)})), r"its bias has the shape \[2\]"),
        (graph_of(("Scale", {"scale": np.ones((2, 3))})), "its parameters have another shape"),
        (graph_of(("LI", {"tau": 0.0, "r": 1.0, "v_leak": 0.0})), "tau must be more than 0"),
        (graph_of(("LI", {"tau": 1e-5, "r": 1.0, "v_leak": 0.0})), "forward Euler does not converge"),
        (graph_of(("Delay", {"delay": 1e9})), "delay must be from 0 to 1000 time steps"),
        (graph_of(AFFINE, [*LINE, ("n", "n")]), "form a cycle in which no node keeps state"),
        (graph_of(AFFINE, [("i", "o")]), "node 'n' is not connected"),
        (graph_of(AFFINE, [("i", "nowhere")]), "an edge names the node 'nowhere'"),
        (graph_of(AFFINE, []), "is not connected"),
        (graph_of(("Delay", {"delay": DT}), [*LINE, ("n", "i")]), "an edge leads from 'n' into the Input"),
        (({"i": IN, "a": AFFINE, "b": ("Linear", {"weight": np.ones((2, 3))}), "o": OUT},
          [("i", "a"), ("i", "b"), ("a", "o"), ("b", "o")]), r"the sum of different shapes: \[2\] and \[3\]"),
        (graph_of(IN), "the graph has 2 Input nodes"),
        (graph_of(AFFINE, start=("Input", {"shape": [-3]})), r"the Input has the shape \[-3\]"),
        (graph_of(AFFINE, start=("Input", {"shape": [2**40, 3]})), "GB in memory"),
    ],
)  # fmt: skip
def test_a_graph_that_cannot_run_is_told_in_one_sentence(tmp_path, graph, message):
    with pytest.raises(SnnprofError, match=message) as raised:
        nir_network.load(write(tmp_path / "net.nir", *graph))
    assert "\n" not in str(raised.value)


def bomb(file):
    file.create_dataset("node/nodes/n/weight", (1 << 22, 1 << 22), "f4", chunks=(1024, 1024), compression="gzip")


def elsewhere(file):
    file["node/nodes/n/weight"] = h5py.ExternalLink("/elsewhere.h5", "/x")


def raw_elsewhere(file):
    file.create_dataset("node/nodes/n/weight", (3, 3), "f4", external=[("/elsewhere", 0, 36)])


def endless(file):
    file["node/nodes/again"] = file["node"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (bomb, "GB in memory"),
        (elsewhere, "another file"),
        (raw_elsewhere, "another file"),
        (endless, "16 deep in each other"),
    ],
)
def test_a_hostile_file_is_refused_before_it_is_read(tmp_path, spoil, message):
    path = write(tmp_path / "net.nir", *graph_of(("Linear", {})))
    with h5py.File(path, "a") as file:
        spoil(file)
    with pytest.raises(SnnprofError, match=message) as raised:
        nir_network.load(path)
    assert "\n" not in f"{raised.value}{raised.value.hint}"


@pytest.mark.parametrize("content", [b"", b"no graph", b"\x89HDF\r\n\x1a\n" + b"\x00" * 64])
def test_what_is_no_hdf5_file_is_not_readable(tmp_path, content):
    (tmp_path / "net.nir").write_bytes(content)
    with pytest.raises(SnnprofError, match="is not a readable NIR file"):
        nir_network.load(tmp_path / "net.nir")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dt": 0}, "dt must be a number of seconds above 0"),
        ({"dt": "fast"}, "dt must be a number"),
        ({"dt": float("nan")}, "dt must be a number"),
        ({"reset": "hard"}, "has no reset 'hard'"),
        ({"layout": "batch"}, "has no layout 'batch'"),
        ({"width": 3}, "has no setting 'width'"),
    ],
)
def test_a_wrong_setting_is_told(tmp_path, settings, message):
    path = write(tmp_path / "net.nir", *graph_of(AFFINE))
    with pytest.raises(SnnprofError, match=message):
        models.resolve(str(path), settings)


def test_dt_is_what_the_user_says_then_the_file_then_a_default(tmp_path):
    values = {"r": np.ones(3)}
    nodes = {"i": IN, "n": ("I", values), "o": OUT}
    plain, dated = (
        write(tmp_path / f"{name}.nir", nodes, LINE, **more) for name, more in (("a", {}), ("b", {"dt": 0.5}))
    )
    gains = [
        models.resolve(str(path), settings).module.n.gain[0].item()
        for path, settings in ((plain, {}), (dated, {}), (dated, {"dt": "1e-3"}), (dated, {"dt": 2}))
    ]
    assert gains == pytest.approx([1e-4, 0.5, 1e-3, 2])


def test_a_sample_may_have_another_shape_but_not_another_size(tmp_path):
    network = nir_network.load(write(tmp_path / "net.nir", *graph_of(AFFINE)))
    assert network(X.reshape(2, 3, 1)).equal(X)
    with pytest.raises(ValueError, match=r"a sample has the shape \[2\], and the Input \[3\]"):
        network(X[:, :2])


@pytest.mark.parametrize(("sample", "frames"), [((4, 3), True), ((4,), False), ((3,), False)])
def test_the_shape_of_the_input_tells_frames_from_an_image(tmp_path, sample, frames):
    """T = 4: [4, 3] is a sequence of vectors, and a square image of 4 rows is none where the Input takes it whole."""
    shape = [3] if sample[-1] == 3 else [4]
    wanted = InputSpec(shape=tuple(shape), layout="step", timesteps=4)
    assert holds_frames(sample, wanted) is frames
    assert not holds_frames((4, 4), InputSpec(shape=(1, 4, 4), layout="step", timesteps=4))


def test_a_long_chain_needs_no_deep_recursion(tmp_path):
    names = [f"n{number}" for number in range(3000)]
    nodes = {"i": IN, **{name: ("Scale", {"scale": 1.0}) for name in names}, "o": OUT}
    assert nir_network.load(write(tmp_path / "net.nir", nodes, chain(*nodes)))(X).equal(X)


def snnprof_command(folder, *arguments):
    command = [sys.executable, "-m", "snnprof", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def test_the_command_profiles_a_file_and_verifies_it(tmp_path):
    np.savez(tmp_path / "data.npz", x=images(10, 4).numpy(), y=np.arange(10) % 8)
    name = recurrent(tmp_path).name
    data = ["--data", "data.npz", "--timesteps", 4]
    ran = snnprof_command(tmp_path, "profile", "--model", name, *data, "-o", "run.json", "--strict", "--quiet")
    assert ran.returncode == 0, ran.stderr
    run = json.loads((tmp_path / "run.json").read_text())["run"]
    assert (run["layout"], run["timesteps"], run["model"]["checkpoint"]) == ("step", 4, "net.nir")
    assert "forward Euler with dt = 0.00012207 s" in run["model"]["note"]
    verified = snnprof_command(tmp_path, "verify", "run.json", "--quiet")
    assert verified.returncode == 0, verified.stderr
    missing = snnprof_command(tmp_path, "profile", "other.nir", "--data", "random")
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1), missing.stderr
