"""Exports one sample of a run as a network for the simulator SANA-FE, which replays its spikes on a mapping's cores.

Each neuron of a layer is an input of SANA-FE that spikes when the neuron did, and each synapse an edge of weight 0:
inputs take no current, and synaptic events, messages, hops and their energies do not depend on weights. So SANA-FE's
synaptic events are the SOPs of the exported operations. What it reports of its somas does not hold for the network.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from snnprof.activity import Activity, OpRecord
from snnprof.errors import SnnprofError, printable
from snnprof.mapping import Chip, Mapping, Placement
from snnprof.mapping.network import Connection, groups_of
from snnprof.mapping.packing import runs_of
from snnprof.spike_trace import SpikeTrace

if TYPE_CHECKING:
    from snnprof.spike_trace import Array

MOST_EDGES = 20_000_000
"""A limit, because SANA-FE keeps each synapse as an object."""
MOST_LEVELS = 32
ARCHITECTURE = "loihi1"
PER_CORE = 1024
REPLAY = '''"""Builds the network in SANA-FE, replays its spikes and compares the counts: python replay.py"""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import sanafe

here = Path(__file__).parent
facts = json.loads((here / "network.json").read_text(encoding="utf-8"))
arrays = np.load(here / "network.npz")
architecture = sanafe.load_arch(str(files("sanafe.examples") / "loihi.yaml"))
cores, network, groups = architecture.cores(), sanafe.Network(), {}
for name, group in facts["groups"].items():
    spikes, core, seat = (arrays[f"{name}_{what}"] for what in ("spikes", "core", "seat"))
    groups[name] = network.create_neuron_group(name, len(core))
    for i, neuron in enumerate(groups[name]):
        neuron.set_attributes(
            soma_hw_name=f"loihi_inputs[{seat[i]}]",
            default_synapse_hw_name=group["synapse"],
            model_attributes={"spikes": spikes[:, i].tolist()},
        )
        neuron.map_to_core(cores[core[i]])
for number, (source, target) in enumerate(facts["edges"]):
    pairs = list(zip(arrays[f"near_{number}"].tolist(), arrays[f"far_{number}"].tolist()))
    groups[source].connect_neurons_sparse(groups[target], {"weight": [0.0] * len(pairs)}, pairs)
chip = sanafe.SpikingChip(architecture)
chip.load(network)
found = chip.sim(facts["timesteps"])
print("synaptic events", found["spikes"], "of", facts["synaptic_events"])
print("spikes", found["neurons_fired"], "of", facts["spikes"])
print("messages", found["packets_sent"])
print("synapses", found["energy"]["synapse"], "J, network", found["energy"]["network"], "J")
print("time", found["sim_time"], "s")
'''


@dataclass
class Group:
    """A group of neurons in SANA-FE.

    Attributes:
        name: its name in the file: a layer may have any name, a group of SANA-FE may not.
        title: the layer or input that it represents.
        spikes: [T, neurons].
        cores: core of each neuron, [neurons].
        synapse: SANA-FE's unit for the synapses that reach it.
    """

    name: str
    title: str
    spikes: Array
    cores: Array
    synapse: str


@dataclass
class Replay:
    """A network for SANA-FE, and the counts that SANA-FE must report of it.

    Attributes:
        steps: time steps T.
        groups: groups of neurons.
        edges: source group, target group, and two arrays: source neuron and target neuron of each synapse.
        events: synaptic events.
        left_out: layers whose operation is not exported, and why.
    """

    steps: int
    groups: list[Group] = field(default_factory=list)
    edges: list[tuple[Group, Group, Array, Array]] = field(default_factory=list)
    events: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)

    def files(self) -> dict[str, str | bytes]:
        """Returns the files of the export by name."""
        facts = json.dumps(self.facts(), indent=1, ensure_ascii=False) + "\n"
        return {"network.json": facts, "network.npz": self._arrays(), "replay.py": REPLAY}

    def facts(self) -> dict[str, Any]:
        """Returns what each group represents, and what SANA-FE must count."""
        return {
            "timesteps": self.steps,
            "synaptic_events": self.events,
            "spikes": sum(int(group.spikes.sum()) for group in self.groups),
            "groups": {group.name: {"layer": group.title, "synapse": group.synapse} for group in self.groups},
            "edges": [[source.name, target.name] for source, target, _, _ in self.edges],
            "left_out": [{"layer": layer, "why": why} for layer, why in self.left_out],
        }

    @property
    def synapses(self) -> int:
        """Number of synapses."""
        return sum(len(near) for _, _, near, _ in self.edges)

    def _arrays(self) -> bytes:
        import numpy as np

        arrays: dict[str, Array] = {}
        for group, seats in zip(self.groups, self._seats(), strict=True):
            arrays[f"{group.name}_spikes"] = group.spikes.astype(np.uint8)
            arrays[f"{group.name}_core"], arrays[f"{group.name}_seat"] = group.cores.astype(np.int32), seats
        for number, (_, _, near, far) in enumerate(self.edges):
            arrays[f"near_{number}"], arrays[f"far_{number}"] = near.astype(np.int32), far.astype(np.int32)
        stream = io.BytesIO()
        np.savez_compressed(stream, **arrays)  # type: ignore[arg-type]
        return stream.getvalue()

    def _seats(self) -> Iterator[Array]:
        """Yields the numbers of each group's neurons on their cores: each takes the next input unit of its core."""
        import numpy as np

        taken: dict[int, int] = {}
        for group in self.groups:
            seats = np.zeros(len(group.cores), dtype=np.int32)
            for index, core in enumerate(group.cores.tolist()):
                seats[index] = taken.setdefault(core, 0)
                taken[core] += 1
            yield seats


def replay(activity: Activity, trace: SpikeTrace, mapping: Mapping) -> Replay:
    """Exports one sample. Activity and trace are of this sample; the mapping is of the same run, on Loihi 1.

    Raises:
        SnnprofError: the chip is another one, the network needs several chips, a layer has no place, no operation can
            be replayed, or there are too many synapses.
    """
    must_be_known(mapping.chip)
    if mapping.chips > 1:
        raise SnnprofError(f"the network needs {mapping.chips} chips, and the {ARCHITECTURE} of SANA-FE is one")
    if not mapping.whole:
        misfits = [each.layer.name for each in mapping.placements if not each.grid.placed]
        raise SnnprofError(f"{', '.join(misfits[:3])} has no place on {mapping.chip.id}", hint="see finding M01")
    made = _Maker(activity, trace, mapping).made()
    if not made.edges:
        why = "; ".join(f"{layer}: {reason}" for layer, reason in made.left_out[:3])
        raise SnnprofError(f"nothing of this run can be replayed in SANA-FE: {why or 'it has no weighted operation'}")
    return made


def must_be_known(chip: Chip) -> None:
    """Checks that SANA-FE has an architecture file of the chip.

    Raises:
        SnnprofError: it has none.
    """
    if chip.id != ARCHITECTURE:
        raise SnnprofError(
            f"SANA-FE gets its own {ARCHITECTURE}, not {chip.id}", hint=f"export with --mapping {ARCHITECTURE}"
        )


class _Maker:
    """Builds a replay: first each layer as a group, then each operation as edges."""

    def __init__(self, activity: Activity, trace: SpikeTrace, mapping: Mapping) -> None:
        self.activity, self.trace, self.mapping = activity, trace, mapping
        self.out = Replay(trace.steps)
        self.layers: dict[str, Group] = {}
        self.free = mapping.cores

    def made(self) -> Replay:
        """Returns the replay.

        Raises:
            SnnprofError: the network needs more cores than the chip has, or has too many synapses.
        """
        for placement in self.mapping.placements:
            self.layers[placement.layer.name] = self._layer(placement)
        reached = {id(each.op): (each, place) for place in self.mapping.placements for each in place.layer.connections}
        for op in self.activity.ops:
            found = reached.get(id(op))
            why = self._why_not(op, found[0] if found else None)
            if why or found is None:
                self.out.left_out.append((op.layer or "(root)", why))
            else:
                self._join(*found)
        if self.free > self.mapping.chip.cores_per_chip:
            raise SnnprofError(f"with its inputs the network needs {self.free} cores, more than one {ARCHITECTURE} has")
        return self.out

    def _layer(self, placement: Placement) -> Group:
        import numpy as np

        layer = placement.layer
        spikes = self.trace.neurons.get(layer.name)
        if spikes is None or spikes.shape[1] != layer.neurons:
            spikes = np.zeros((self.trace.steps, layer.neurons))
        conv = any(each.op.op == "conv" for each in layer.connections)
        synapse = "loihi_conv_synapse" if conv else "loihi_dense_synapse"
        return self._group(layer.name or "(root)", spikes != 0, _cores(placement, conv), synapse)

    def _group(self, title: str, spikes: Array, cores: Array, synapse: str) -> Group:
        group = Group(f"g{len(self.out.groups)}", printable(title), spikes, cores, synapse)
        self.out.groups.append(group)
        return group

    def _why_not(self, op: OpRecord, connection: Connection | None) -> str:
        """Returns why an operation cannot be exported; "" if it can."""
        if len(op.data) > 1:
            return "a product of data with data"
        if connection is None or not connection.known:
            return "where its result goes is not known"
        if op.part("real").elements:
            return "it reads real values"
        levels = self._levels(op)
        if levels is None:
            return "its module does not show what it reads"
        if levels.sum() != sum(part.level_sum for part in op.parts) or not _is_one_input(connection, levels.shape[1]):
            return "the module read something else than was counted"
        return f"its spikes carry numbers above {MOST_LEVELS}" if levels.max(initial=0) > MOST_LEVELS else ""

    def _levels(self, op: OpRecord) -> Array | None:
        """Returns the number of spikes that each element of its input represents, [T, elements].

        None if it is unknown.
        """
        import numpy as np

        values = self.trace.inputs.get(op.layer)
        if values is None or len([other for other in self.activity.ops if other.layer == op.layer]) > 1:
            return None
        return np.rint(np.abs(values) / (op.data[0].quantum or 1.0)).astype(np.int64)

    def _join(self, connection: Connection, target: Placement) -> None:
        """Adds the edges of one operation from the groups that it reads to the group of the layer that it reaches.

        If something pools between the operation and the layer, several outputs lead to one neuron.

        Raises:
            SnnprofError: there are too many synapses.
        """
        levels = self._levels(connection.op)
        assert levels is not None
        near, far = _edges(connection, levels.shape[1])
        far = far * target.layer.neurons // _outputs(connection, levels.shape[1])
        sources = self._sources(connection.op, levels)
        if self.out.synapses + len(near) * len(sources) > MOST_EDGES:
            raise SnnprofError(
                f"the network has more than {MOST_EDGES:,} synapses, more than SANA-FE can hold",
                hint="export a smaller network",
            )
        self.out.edges += [(source, self.layers[target.layer.name], near, far) for source in sources]
        self.out.events += int((levels.sum(axis=0)[near]).sum())

    def _sources(self, op: OpRecord, levels: Array) -> list[Group]:
        """Returns the groups whose spikes an operation reads.

        These are the layers that feed it, if it reads their spikes or the sum of them. For an input from outside, or
        for pooled spikes, they are new groups that spike as its input does.
        """
        import numpy as np

        layers = [self.layers[name] for name in op.fed_by if name in self.layers]
        sizes = {group.spikes.shape[1] for group in layers}
        known = len(layers) == len(op.fed_by) and sizes == {levels.shape[1]}
        if known and np.array_equal(sum(group.spikes.astype(int) for group in layers), levels):
            return layers
        return [self._outside(op, levels >= level) for level in range(1, int(levels.max(initial=1)) + 1)]

    def _outside(self, op: OpRecord, spikes: Array) -> Group:
        import numpy as np

        cores = self.free + np.arange(spikes.shape[1]) // PER_CORE
        self.free = int(cores[-1]) + 1
        return self._group(f"input of {op.layer or '(root)'}", spikes, cores, "loihi_dense_synapse")


def _cores(placement: Placement, channels_first: bool) -> Array:
    """Returns the core of each neuron of a layer, in the order of its tensor."""
    import numpy as np

    layer, grid, index = placement.layer, placement.grid, np.arange(placement.layer.neurons)
    position = index % layer.positions if channels_first else index // layer.channels
    channel = index // layer.positions if channels_first else index % layer.channels
    column = runs_of(channel, layer.channels, grid.channels)
    cores: Array = placement.first + column * grid.positions + runs_of(position, layer.positions, grid.positions)
    return cores


def _is_one_input(connection: Connection, elements: int) -> bool:
    """Whether an operation reads this number of elements in one step."""
    if connection.op.op == "conv":
        return elements == connection.inputs * connection.channels_in
    return elements > 0 and elements % connection.channels_in == 0


def _outputs(connection: Connection, elements: int) -> int:
    """Returns the number of outputs of an operation in one step."""
    shape = connection.op.shape
    if connection.op.op == "conv":
        return int(connection.outputs * shape["output"][0])
    return elements // int(shape["input"][-1]) * int(shape["output"][-1])


def _edges(connection: Connection, elements: int) -> tuple[Array, Array]:
    """Returns every synapse of an operation, as two arrays: the element that it reads, and the output."""
    import numpy as np

    shape = connection.op.shape
    if connection.op.op != "conv":
        read, made = int(shape["input"][-1]), int(shape["output"][-1])
        row = np.arange(elements // read)[:, None, None]
        near = np.broadcast_to(row * read + np.arange(read)[None, :, None], (len(row), read, made))
        far = np.broadcast_to(row * made + np.arange(made)[None, None, :], (len(row), read, made))
        return near.ravel(), far.ravel()
    assert connection.links is not None
    position, place = connection.links
    groups = groups_of(connection.op)
    channels, filters = shape["input"][0] // groups, shape["output"][0] // groups
    group = np.arange(groups)[:, None, None, None]
    channel = (group * channels + np.arange(channels)[None, :, None, None]) * connection.inputs
    unit = (group * filters + np.arange(filters)[None, None, :, None]) * connection.outputs
    size = (groups, channels, filters, len(position))
    return np.broadcast_to(channel + position, size).ravel(), np.broadcast_to(unit + place, size).ravel()


def summary(made: Replay) -> Sequence[str]:
    """Describes the export in sentences."""
    counts = f"{made.events:,} synaptic events in {made.steps} steps over {made.synapses:,} synapses"
    return [counts, *(f"left out: {layer}: {why}" for layer, why in made.left_out)]
