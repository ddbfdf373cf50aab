"""Writes `digits.nir`: a small recurrent network, untrained, in the Neuromorphic Intermediate Representation."""

from pathlib import Path

import nir
import numpy as np

DT = 1e-4
HIDDEN, CLASSES = 32, 10


def graph():
    random = np.random.default_rng(0)

    def weight(rows, columns):
        return (random.standard_normal((rows, columns)) / np.sqrt(columns)).astype(np.float32)

    ones = np.ones(HIDDEN, np.float32)
    nodes = {
        "input": nir.Input(np.array([1, 8, 8])),
        "flatten": nir.Flatten(np.array([1, 8, 8]), start_dim=0),
        "scale": nir.Scale(np.full(64, 1 / 4, np.float32)),
        "fc": nir.Affine(weight(HIDDEN, 64), np.zeros(HIDDEN, np.float32)),
        "lif": nir.LIF(tau=4 * DT * ones, r=ones, v_leak=0 * ones, v_threshold=ones / 2),
        "recurrent": nir.Linear(weight(HIDDEN, HIDDEN)),
        "head": nir.Linear(weight(CLASSES, HIDDEN)),
        "output": nir.Output(np.array([CLASSES])),
    }
    edges = [("input", "flatten"), ("flatten", "scale"), ("scale", "fc"), ("fc", "lif"), ("lif", "recurrent"),
             ("recurrent", "lif"), ("lif", "head"), ("head", "output")]  # fmt: skip
    return nir.NIRGraph(nodes, edges)


if __name__ == "__main__":
    nir.write(Path(__file__).with_name("digits.nir"), graph())
