"""Reads a graph of the Neuromorphic Intermediate Representation (NIR) from its HDF5 file: nodes, arrays and edges.

The file is read with h5py, not with the `nir` package: so files of all its versions can be read, and the size of an
array is known before it is read. Graphs within a graph are flattened: their nodes are named `outer/inner`.

Source of the format: J. E. Pedersen et al., Neuromorphic intermediate representation, Nature Communications 15:8122,
2024, and the files that `nir` writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from snnprof import capacity
from snnprof.errors import SnnprofError, first_line
from snnprof.workload.hdf5 import h5py_for

INSIDE = "/"
"""Separates the name of a graph from that of a node in it; names in HDF5 cannot contain it."""
POOL = ("kernel_size", "stride", "padding")
CONV = ("weight", "bias", "stride", "padding", "dilation", "groups")
NEEDED: dict[str, tuple[str, ...]] = {
    "Input": ("shape",), "Output": (), "Affine": ("weight", "bias"), "Linear": ("weight",), "Scale": ("scale",),
    "Conv1d": CONV, "Conv2d": CONV, "SumPool2d": POOL, "AvgPool2d": POOL, "Flatten": ("start_dim", "end_dim"),
    "Delay": ("delay",), "Threshold": ("threshold",), "I": ("r",), "IF": ("r", "v_threshold"),
    "LI": ("tau", "r", "v_leak"), "LIF": ("tau", "r", "v_leak", "v_threshold"),
    "CubaLI": ("tau_syn", "tau_mem", "r", "v_leak"),
    "CubaLIF": ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
}  # fmt: skip
"""The kinds of nodes that snnprof runs, each with its required parameters."""
OPTIONAL = ("v_reset", "w_in")
DT_NAMES = ("dt", "simulation_timestep")
MOST_NODES, MOST_EDGES, DEEPEST = 10_000, 100_000, 16
"""Limits far above any network: a file may hold links to itself, and so an endless tree."""
HINT = "write it again with nir.write(FILE, graph)"


@dataclass(frozen=True)
class Node:
    """One node.

    Attributes:
        kind: its type in NIR.
        values: its parameters by name: arrays as stored, or `str` for text.
    """

    kind: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Graph:
    """A flat graph.

    Attributes:
        version: version of NIR that the file states; "" if it states none.
        nodes: the nodes by name.
        edges: pairs of names (from, to), without duplicates.
        dt: length of a time step in seconds; None if the metadata do not state it.
    """

    version: str
    nodes: dict[str, Node]
    edges: list[tuple[str, str]]
    dt: float | None = None


def read(path: Path) -> Graph:
    """Reads a file that `nir.write` made.

    Raises:
        SnnprofError: h5py is missing; the file is missing, damaged, larger than memory or refers to other files; or it
            holds a kind of node that snnprof cannot run.
    """
    if not path.is_file():
        raise SnnprofError(f"there is no file {path}")
    h5py = h5py_for(path, "pip install 'snnprof[nir]'")
    try:
        with h5py.File(path, "r") as file:
            return _Reader(h5py, path).graph(file)
    except SnnprofError:
        raise
    except Exception as error:  # for a damaged file, the HDF5 library raises errors of many kinds
        raise SnnprofError(f"{path} is not a readable NIR file: {first_line(error)}", hint=HINT) from error


class _Reader:
    """Reads one file, and counts nodes and bytes against the limits."""

    def __init__(self, h5py: Any, path: Path) -> None:
        self.h5py, self.path = h5py, path
        self.bytes = self.met = 0

    def graph(self, file: Any) -> Graph:
        """The flat graph of the open file.

        Raises:
            SnnprofError: the file holds no NIR graph, or one that cannot be read.
        """
        root = self._entry(file, "node")
        if root is None or self._kind(root, "the root") != "NIRGraph":
            raise SnnprofError(f"{self.path} holds no NIR graph", hint=HINT)
        nodes, edges = self._flat(root, "", 0)
        version = self._value(file, "version")
        return Graph(version if isinstance(version, str) else "", nodes, list(dict.fromkeys(edges)), self._dt(root))

    def _flat(self, group: Any, prefix: str, depth: int) -> tuple[dict[str, Node], list[tuple[str, str]]]:
        """The nodes and edges of a graph and of the graphs within it; names get `prefix`."""
        nodes: dict[str, Node] = {}
        inner_edges: list[tuple[str, str]] = []
        ends: dict[str, tuple[str, str]] = {}  # where an edge to the node goes, and where one from it begins
        for name, entry in self._nodes(group, prefix, depth):
            kind = self._kind(entry, prefix + name)
            if kind == "NIRGraph":
                found, edges = self._flat(entry, f"{prefix}{name}{INSIDE}", depth + 1)
                first, last = (self._only(found, each, f"{prefix}{name}{INSIDE}") for each in ("Input", "Output"))
                ends[name] = (first, last)
                nodes |= found
                inner_edges += edges
            else:
                nodes[prefix + name] = self._node(entry, kind, prefix + name)
                ends[name] = (prefix + name, prefix + name)
        return nodes, inner_edges + [(ends[a][1], ends[b][0]) for a, b in self._edges(group, ends)]

    def _nodes(self, group: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        inner = self._entry(group, "nodes")
        if inner is None:
            raise SnnprofError(
                f"{self.path}: the graph {prefix.rstrip(INSIDE) or 'at the root'} has no nodes", hint=HINT
            )
        for name in islice(inner, MOST_NODES + 1):
            self.met += 1
            if self.met > MOST_NODES or depth > DEEPEST:
                raise SnnprofError(
                    f"{self.path} holds over {MOST_NODES:,} nodes, or graphs more than {DEEPEST} deep in each other",
                    hint="it may hold links to itself",
                )
            yield name, self._entry(inner, name)

    def _edges(self, group: Any, ends: dict[str, tuple[str, str]]) -> Iterator[tuple[str, str]]:
        pairs = self._value(group, "edges")
        if not isinstance(pairs, np.ndarray) or (pairs.size and (pairs.ndim != 2 or pairs.shape[1] != 2)):
            raise SnnprofError(f"{self.path}: the edges are not pairs of names", hint=HINT)
        if len(pairs) > MOST_EDGES:
            raise SnnprofError(f"{self.path} holds {len(pairs):,} edges; snnprof takes up to {MOST_EDGES:,}")
        for pair in pairs:
            names = [str(_text(name)) for name in pair]
            for name in names:
                if name not in ends:
                    raise SnnprofError(f"{self.path}: an edge names the node {name!r}, which is not in the graph")
            yield names[0], names[1]

    def _only(self, nodes: dict[str, Node], kind: str, prefix: str) -> str:
        """The single Input or Output node of the graph at `prefix` itself, not of graphs within it."""
        found = [name for name in nodes if nodes[name].kind == kind and INSIDE not in name.removeprefix(prefix)]
        if len(found) != 1:
            raise SnnprofError(
                f"{self.path}: the graph {prefix.rstrip(INSIDE)} has {len(found)} {kind} nodes; snnprof takes one"
            )
        return found[0]

    def _node(self, group: Any, kind: str, name: str) -> Node:
        if kind not in NEEDED:
            raise SnnprofError(
                f"{self.path}: node {name!r} is a {kind}, which snnprof cannot run",
                hint=f"it runs {', '.join(NEEDED)}, and graphs of them",
            )
        values = {key: self._value(group, key) for key in (*NEEDED[kind], *OPTIONAL)}
        for key in NEEDED[kind]:
            if values[key] is None:
                raise SnnprofError(f"{self.path}: node {name!r} ({kind}) has no {key}", hint=HINT)
        for key, value in values.items():
            if isinstance(value, np.ndarray) and not _is_numbers(value):
                raise SnnprofError(f"{self.path}: node {name!r} ({kind}): {key} holds NaN, or no numbers", hint=HINT)
        return Node(kind, {key: value for key, value in values.items() if value is not None})

    def _kind(self, group: Any, name: str) -> str:
        kind = self._value(group, "type")
        if not isinstance(kind, str):
            raise SnnprofError(f"{self.path}: node {name!r} has no type", hint=HINT)
        return kind

    def _dt(self, root: Any) -> float | None:
        """The time step in seconds from the metadata of the graph, which NIR does not standardise; None if missing."""
        metadata = self._entry(root, "metadata")
        found = [] if metadata is None else [self._value(metadata, name) for name in DT_NAMES]
        return next((float(each) for each in found if isinstance(each, np.ndarray) and each.size == 1), None)

    def _entry(self, group: Any, name: str) -> Any:
        """An entry of a group; None if there is none.

        Raises:
            SnnprofError: it is a link to another file, which the user did not name.
        """
        if not isinstance(group, self.h5py.Group) or name not in group:
            return None
        if isinstance(group.get(name, getlink=True), self.h5py.ExternalLink):
            raise SnnprofError(f"{self.path}: {name!r} lies in another file; snnprof reads one file alone", hint=HINT)
        return group[name]

    def _value(self, group: Any, name: str) -> Any:
        """A dataset as an array or as text; None if there is none.

        Raises:
            SnnprofError: it does not fit in memory, or its data are in another file.
        """
        found = self._entry(group, name)
        if not isinstance(found, self.h5py.Dataset):
            return None
        if found.external or found.is_virtual:
            raise SnnprofError(f"{self.path}: {name!r} lies in another file; snnprof reads one file alone", hint=HINT)
        if found.shape is None:  # HDF5's empty dataset
            return None
        self.bytes += found.nbytes
        capacity.must_fit(str(self.path), self.bytes)
        return _text(found[()])


def _text(value: Any) -> Any:
    """Converts text to `str` and numbers to an array."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    return value if isinstance(value, str) else np.asarray(value)


def _is_numbers(value: np.ndarray[Any, Any]) -> bool:
    return value.dtype.kind in "biuf" and not bool(np.isnan(value).any())
