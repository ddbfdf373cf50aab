"""Data loaded by workers: the same batches and the same integers, and one sentence for whatever goes wrong in one."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from snnprof.activity import Activity, DataFacts
from snnprof.errors import SnnprofError
from snnprof.options import ProfileOptions
from snnprof.workload import inputs, map_dataset
from snnprof.workload.batches import Batch, InputSpec, Loading, Sampler
from snnprof.workload.lazy_dataset import LazyDataset
from snnprof.workload.run import profile_run

BAD = Sampler(4, None, seed=1).batches(23)[3][1]
"""A sample of the fourth batch, which workers load."""
HERE = os.getpid()
forks = pytest.mark.skipif(not map_dataset.FORKS, reason="workers are forked")


def drawn(position: int) -> tuple[Tensor, int]:
    """A sample of its own, with whatever an augmentation may draw."""
    return position + torch.rand(3) + random.random() + float(np.random.rand()), position


def dealt(load: Callable[[int], Any], loading: Loading, samples: int | None = None) -> Iterator[Batch]:
    source = LazyDataset(DataFacts(source="mine", kind="data set", total=23), InputSpec(), load)
    yield from source.batches(Sampler(4, samples, seed=1), lambda number, start: number != 2, loading)


@forks
@pytest.mark.parametrize("workers", [1, 3, 50])
def test_workers_load_the_same_batches_in_the_same_order(workers: int) -> None:
    alone = list(dealt(drawn, Loading(0, seed=7)))
    ahead = list(dealt(lambda position: drawn(position), Loading(workers, seed=7)))  # which cannot be pickled
    assert [(b.start, b.stop) for b in ahead] == [(b.start, b.stop) for b in alone]
    assert [b.stop - b.start for b in ahead] == [4, 4, 4, 4, 4, 3]
    for one, other in zip(ahead, alone, strict=True):
        assert (one.x is None) == (other.x is None) == (one.start == 8)
        if one.x is not None and other.x is not None and one.y is not None and other.y is not None:
            assert inputs.first(one.x).equal(inputs.first(other.x))
            assert one.y.equal(other.y)
    assert multiprocessing.active_children() == []


def test_what_data_draw_depends_on_the_seed_and_nothing_else_of_the_process() -> None:
    def first(seed: int) -> Tensor:
        batch = next(dealt(drawn, Loading(seed=seed)))
        assert batch.x is not None
        return inputs.first(batch.x)

    generators = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # type: ignore[index, union-attr]
    one = first(7)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == generators  # type: ignore[index, union-attr]
    torch.rand(1), random.random(), np.random.rand()
    assert first(7).equal(one)
    assert not first(8).equal(one)


def failing(what: Callable[[], Any]) -> Callable[[int], tuple[Tensor, int]]:
    return lambda position: (what() if position == BAD else torch.zeros(2), 0)


def _raise(error: BaseException) -> None:
    raise error


def _kill() -> None:
    assert os.getpid() != HERE
    os.kill(os.getpid(), signal.SIGKILL)


@forks
@pytest.mark.parametrize(
    ("what", "said"),
    [
        (lambda: _raise(ValueError("bad\nline")), f"sample {BAD} of mine cannot be read: ValueError: bad$"),
        (lambda: _raise(SystemExit(3)), f"sample {BAD} of mine cannot be read: SystemExit: 3$"),
        (lambda: torch.zeros(3), r"the samples of mine differ in shape: \[2\], \[3\]$"),
        (_kill, r"loading data with 2 workers failed: [^\n]*$"),
    ],
    ids=["raises", "exits", "ragged", "killed"],
)
def test_what_goes_wrong_in_a_worker_is_one_sentence(what: Callable[[], Any], said: str) -> None:
    with pytest.raises(SnnprofError, match=said):
        list(dealt(failing(what), Loading(2)))
    assert multiprocessing.active_children() == []


@forks
@pytest.mark.parametrize(
    ("loading", "workers"), [(Loading(), 0), (Loading(pinned=True), 3), (Loading(0, pinned=True), 0), (Loading(2), 2)]
)
def test_files_are_read_ahead_for_a_gpu(loading: Loading, workers: int) -> None:
    facts = DataFacts(source="mine", kind="image", total=23)
    assert LazyDataset(facts, InputSpec(), drawn, workers=3)._workers(loading) == workers
    assert map_dataset.TensorDataset(facts)._workers(loading) == 0


@forks
def test_ctrl_c_ends_no_worker() -> None:
    """A terminal sends it to all processes; the batch at hand and what is read ahead still come."""
    with closing(dealt(drawn, Loading(2))) as batches:
        next(batches), next(batches)
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGINT)
        assert len(list(batches)) == 4


@forks
def test_ctrl_c_ends_no_worker_that_is_still_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a large process it takes a while."""
    ready = map_dataset._ignore_ctrl_c

    def slowly(worker: int) -> None:
        time.sleep(0.5 * worker)
        ready(worker)

    monkeypatch.setattr(map_dataset, "_ignore_ctrl_c", slowly)
    with closing(dealt(drawn, Loading(2))) as batches:
        next(batches), next(batches)  # by the first worker
        for child in multiprocessing.active_children():
            assert child.pid is not None
            os.kill(child.pid, signal.SIGINT)
        assert len(list(batches)) == 4


@forks
def test_no_worker_outlives_a_run_that_ends_early() -> None:
    batches = dealt(drawn, Loading(2))
    next(batches), next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()
    assert multiprocessing.active_children() == []


# -- whole runs ------------------------------------------------------------------------------------------------

SETS = """
import random, torch
from torch.utils.data import Dataset

class Set(Dataset):
    def __init__(self): self.change = lambda x: x * random.random()
    def __len__(self): return 270
    def __getitem__(self, position): return self.change(torch.rand(1, 6, 6)), position % 3

def batches():
    for _ in range(3): yield torch.rand(4, 1, 6, 6)
"""


@pytest.fixture
def own(net: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Options for a run on a data set, or on an iterable without length."""
    (tmp_path / "sets.py").write_text(SETS)

    def options(name: str = "Set", **more: Any) -> dict[str, Any]:
        return {"model": net, "data": f"{tmp_path / 'sets.py'}:{name}", "timesteps": 2, "device": "cpu", **more}

    return options


@forks
@pytest.mark.parametrize("part", [{"batch_size": 40}, {"samples": 50}, {"until_ci": 5.0, "batch_size": 8}], ids=str)
def test_run_files_are_the_same(part: dict[str, Any], own: Callable[..., dict[str, Any]]) -> None:
    alone, ahead = (profile_run(ProfileOptions(**own(workers=workers, **part))) for workers in (0, 3))
    assert alone.samples == ahead.samples
    created = {"run": alone.run.model_copy(update={"created": ahead.run.created})}
    assert alone.model_copy(update=created) == ahead


@forks
def test_several_processes_with_workers_each(apart: Any, own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    alone, ahead = tmp_path / "alone.json", tmp_path / "ahead.json"
    options = own(samples=50, batch_size=4)
    apart.run(apart.profile(alone, workers=0, **options))
    apart.team(2, apart.profile(ahead, workers=2, **options))
    assert Activity.load(ahead).blocks == Activity.load(alone).blocks
    assert Activity.load(ahead).run.data == Activity.load(alone).run.data


@forks
def test_a_run_goes_on_with_other_workers(own: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    whole = profile_run(ProfileOptions(**own(batch_size=40)))
    part = whole.restricted(whole.blocks[0]).merge(whole.restricted(whole.blocks[1]))
    data = part.run.data.model_copy(update={"read": None})
    half = part.model_copy(update={"run": part.run.model_copy(update={"complete": False, "data": data})})
    half.save(tmp_path / "half.json")
    resumed = profile_run(ProfileOptions(**own(batch_size=40, workers=2, resume=tmp_path / "half.json")))
    assert resumed.blocks == whole.blocks


@pytest.mark.parametrize(
    ("data", "forks", "why"),
    [("batches", True, "gives whole batches; let it return a map-style Dataset"), ("Set", False, "cannot fork")],
)
def test_workers_that_nothing_can_use_are_said(
    data: str, forks: bool, why: str, own: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_dataset, "FORKS", forks and map_dataset.FORKS)
    said: list[str] = []
    activity = profile_run(ProfileOptions(**own(data, samples=8, workers=2)), warn=said.append)
    assert activity.samples == 8
    assert len(said) == 1
    assert "--workers has no effect: " in said[0]
    assert why in said[0]
