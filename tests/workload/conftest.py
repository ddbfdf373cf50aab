"""Runs in processes of their own, which can be killed; and a small stochastic network to run."""

from __future__ import annotations

import json
import multiprocessing
import socket
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

NET = """
import torch
from torch import nn
from snnprof.models.neuron import LIF

STEPS = 2


class Net(nn.Module):
    '''Spikes are drawn anew for each batch; a layer of its own sees the batches that hold a bright image.'''

    def __init__(self):
        super().__init__()
        self.conv, self.first = nn.Conv2d(1, 4, 3, padding=1), LIF(v_threshold=0.3)
        self.fc, self.second = nn.Linear(144, 8), LIF(v_threshold=0.1)
        self.rare, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 3)

    def forward(self, x):
        bright = bool((x > 0.99).all(dim=(1, 2, 3)).any())
        x = x.unsqueeze(0).repeat(STEPS, 1, 1, 1, 1)
        x = (torch.rand_like(x) < x).float()
        x = self.first(self.conv(x.flatten(0, 1)).unflatten(0, (STEPS, -1)))
        x = self.second(self.fc(x.flatten(2)))
        if bright:
            x = x + self.rare(x)
        return self.head(x.mean(0))


def build():
    return Net()
"""


@pytest.fixture
def net(tmp_path: Path) -> str:
    """A model in a file, as the command line names it."""
    (tmp_path / "net.py").write_text(NET)
    return f"{tmp_path / 'net.py'}:build"


@pytest.fixture
def images(tmp_path: Path) -> Callable[..., str]:
    """`images(count, bright=…)` writes random 6 × 6 images with labels, some of them all bright."""

    def write(count: int, bright: tuple[int, ...] = ()) -> str:
        rng = np.random.default_rng(3)
        x = rng.random((count, 1, 6, 6), dtype=np.float32) * 0.9
        x[list(bright)] = 1.0
        np.savez(tmp_path / "images.npz", x=x, y=rng.integers(0, 3, count))
        return str(tmp_path / "images.npz")

    return write


PRELOADED = ("snnprof.workload.run", "snnprof.models.neuron", "fvcore.nn", "torch._dynamo")


class Apart:
    """Starts processes from one that has loaded everything already and never computed."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["snnprof.workload.run", "snnprof.models.neuron", "fvcore.nn", "torch._dynamo"]
        )

    def start(self, code: str) -> BaseProcess:
        process = self._context.Process(target=exec, args=("import torch; torch.set_num_threads(1)\n" + code, {}))
        process.start()
        return process

    def run(self, code: str) -> None:
        process = self.start(code)
        process.join(60)
        assert process.exitcode == 0

    def profile(self, path: Path, save_seconds: float = 60.0, **options: Any) -> str:
        """Code that does what the command line does, and saves the run at `path`."""
        given = {"timesteps": 2, "output": str(path), **options}
        return f"""
from pathlib import Path
from snnprof.errors import SnnprofError
from snnprof.workload import checkpointer
from snnprof.options import ProfileOptions
from snnprof.workload.run import profile_run
checkpointer.SAVE_SECONDS = {save_seconds}
options = {given!r}
for name in ("output", "resume"):
    options[name] = Path(options[name]) if options.get(name) else None
try:
    profile_run(ProfileOptions(**options)).save({str(path)!r})
except SnnprofError as error:
    Path({str(path)!r} + ".error").open("a").write(str(error) + "\\n")
    raise SystemExit(error.exit_code)
"""

    def team(self, size: int, code: str, statuses: list[int] | None = None) -> None:
        """Runs the same code in several processes that know of each other, as torchrun starts them."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        processes = []
        for rank in range(size):
            place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size}
            known = {**{name: str(value) for name, value in place.items()}, "MASTER_ADDR": "127.0.0.1",
                     "MASTER_PORT": str(port)}  # fmt: skip
            processes.append(self.start(f"import os; os.environ.update({known!r})\n{code}"))
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == (statuses or [0] * size)


@pytest.fixture(scope="session")
def apart() -> Apart:
    return Apart()


@pytest.fixture
def facts() -> Callable[[Path], dict[str, Any]]:
    """A run file without what two equal runs may differ in: when and by which command."""

    def read(path: Path) -> dict[str, Any]:
        content: dict[str, Any] = json.loads(path.read_text())
        content["run"].pop("created")
        content["run"].pop("argv")
        content["run"].pop("checksum")
        return content

    return read
