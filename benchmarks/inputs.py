"""Checkpoints and data files as people have them, through the real command line: what happens to each.

    python benchmarks/inputs.py --markdown docs/data.md

Each case makes a file in a fresh folder and profiles a small network with it. A checkpoint that loads must give the
counts of the plain state dict; one that is refused must end in one sentence and exit status 2. The tables of the page
below its marker are written anew; the text above it stays.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import datetime
import gzip
import io
import json
import os
import pathlib
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from snnprof.__main__ import main as snnprof
from snnprof.workload import models

MARKER = "<!-- Written by benchmarks/inputs.py; edit the script, not the tables below. -->"
LOADS, REFUSED, NOTED = "loads", "refused", "noted"
NET = '''
import torch
from torch import nn

class Spike(nn.Module):
    def forward(self, x):
        return (x > 0.5).to(x.dtype)

class Net(nn.Module):
    def __init__(self, blocks=2, classes=3):
        super().__init__()
        self.stem = nn.Linear(4, 8)
        self.norm = nn.BatchNorm1d(8)
        self.block = nn.ModuleList(nn.Linear(8, 8) for _ in range(blocks))
        self.head, self.spike = nn.Linear(8, classes), Spike()

    def forward(self, x):
        x = self.spike(self.norm(self.stem(x.flatten(1))))
        for layer in self.block:
            x = self.spike(layer(x))
        return self.head(x)

class Wrapped(nn.Module):
    def __init__(self):
        super().__init__()
        self.model = Net()

    def forward(self, x):
        return self.model(x)

class Two(nn.Module):
    """Two inputs."""
    def __init__(self):
        super().__init__()
        self.a, self.b, self.head, self.spike = nn.Linear(4, 8), nn.Linear(2, 8), nn.Linear(8, 3), Spike()

    def forward(self, image, age):
        return self.head(self.spike(self.a(image) + self.b(age)))

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head, self.spike = nn.Embedding(20, 8), nn.Linear(8, 3), Spike()

    def forward(self, x):
        return self.head(self.spike(self.embed(x)).mean(1))

class Broken(Net):
    def forward(self, x):
        return super().forward(x) * float("nan")

def double(): return Net().double()
def half(): return Net().half()
'''


@dataclass(frozen=True)
class Case:
    """A file that people have.

    Attributes:
        what: it is, in words.
        make: writes it into a folder; the argument for --checkpoint or --data.
        expected: loads; is refused; or loads, and the report says what is odd.
        says: what a refusal, note or finding contains.
        model: function of the network's file, or a name of the catalogue.
        also: more arguments of the command.
        other_data: its numbers or the network are others than in the first case, and so are its counts.
        no_accuracy: its counts are those of the first case, and there is no accuracy.
    """

    what: str
    make: Callable[[Path], str]
    expected: str = LOADS
    says: str = ""
    model: str = "Net"
    also: tuple[str, ...] = ()
    other_data: bool = False
    no_accuracy: bool = False


@dataclass(frozen=True)
class Outcome:
    """What the command did.

    Attributes:
        status: its exit status.
        said: error and hint, or notes and findings, without the folder's name.
        counts, accuracy: what was counted, where it ran.
    """

    status: int
    said: str
    counts: Any = None
    accuracy: Any = None


# -- checkpoints -----------------------------------------------------------------------------------------------


def _state(seed: int = 0, **settings: int) -> dict[str, torch.Tensor]:
    space: dict[str, Any] = {}
    exec(NET, space)  # our own text
    torch.manual_seed(seed)
    return dict(space["Net"](**settings).state_dict())


def _prefixed(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _torch(wrap: Callable[[dict[str, Any]], Any], name: str = "w.pt", **options: Any) -> Callable[[Path], str]:
    """A file of what a training script puts around the state dict of the network."""

    def make(folder: Path) -> str:
        torch.save(wrap(_state()), folder / name, **options)
        return str(folder / name)

    return make


def _keyed(make: Callable[[Path], str], key: str) -> Callable[[Path], str]:
    return lambda folder: f"{make(folder)}:{key}"


def _bytes(content: bytes, name: str = "w.pt") -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / name).write_bytes(content)
        return str(folder / name)

    return make


def _safetensors(folder: Path) -> str:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in _state().items()}, folder / "w.safetensors")
    return str(folder / "w.safetensors")


def _script(folder: Path) -> str:
    torch.jit.trace(nn.Linear(4, 3), torch.zeros(1, 4)).save(str(folder / "w.pt"))
    return str(folder / "w.pt")


def _cut(folder: Path) -> str:
    path = Path(_torch(lambda state: state)(folder))
    path.write_bytes(path.read_bytes()[:900])
    return str(path)


def _shipped(folder: Path) -> str:
    return _saved(folder, models.load_model("spikformer:digits").state_dict())


def _saved(folder: Path, content: Any) -> str:
    torch.save(content, folder / "w.pt")
    return str(folder / "w.pt")


class Call:
    """Pickles as a call of open(), which must not run."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("/nonexistent/file", "w")


def _gone(name: str, **attributes: Any) -> Any:
    """An object whose class cannot be imported where the file is read."""
    module = types.ModuleType("training_code_not_here")
    kind = type(name, (), {"__module__": module.__name__})
    setattr(module, name, kind)
    sys.modules[module.__name__] = module
    made = kind()
    made.__dict__.update(attributes)
    return made


def _middle(state: dict[str, Any], part: str) -> dict[str, Any]:
    return {name.replace("block.", f"block.{part}."): tensor for name, tensor in state.items()}


def _averaged(state: dict[str, Any]) -> dict[str, Any]:
    return {"n_averaged": torch.tensor(7), **_prefixed("module.", state)}


def _lightning(state: dict[str, Any]) -> dict[str, Any]:
    inside = {**_prefixed("model.", state), "criterion.weight": torch.ones(3)}
    return {
        "state_dict": inside, "epoch": 9, "global_step": 100, "pytorch-lightning_version": "2.2.0", "loops": {},
        "callbacks": {}, "lr_schedulers": [], "optimizer_states": [_optimizer()], "hyper_parameters": {"lr": 0.1},
    }  # fmt: skip


def _optimizer() -> dict[str, Any]:
    return {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(8, 4)}}, "param_groups": [{"lr": 0.1}]}


def _thop(state: dict[str, Any]) -> dict[str, Any]:
    return {**state, "total_ops": torch.zeros(1), "stem.total_ops": torch.zeros(1), "stem.total_params": torch.zeros(1)}


def _parts(state: dict[str, Any]) -> dict[str, Any]:
    heads = ("stem", "norm", "block", "head")
    return {root: {n.partition(".")[2]: t for n, t in state.items() if n.startswith(root + ".")} for root in heads}


TEACHER = _torch(lambda s: {"student": _prefixed("module.", s), "teacher": _prefixed("module.", _state(1))})
TWO_EMAS = _torch(lambda s: {**_prefixed("online_model.", _state(1)), **_prefixed("ema_model.", s)})
BOTH = _torch(lambda s: {"state_dict": _state(1), "state_dict_ema": s, "epoch": 3})
CHECKPOINTS = [
    Case("state dict", _torch(lambda s: s)),
    Case("`{'state_dict': …, 'epoch': …}`", _torch(lambda s: {"state_dict": s, "epoch": 3})),
    Case("`{'model': …, 'optimizer': …, 'args': Namespace}`",
         _torch(lambda s: {"model": s, "optimizer": _optimizer(), "args": argparse.Namespace(lr=0.1)})),
    Case("`{'model_state_dict': …, 'loss': tensor}`",
         _torch(lambda s: {"model_state_dict": s, "loss": torch.tensor(0.1)})),
    *(Case(f"`{{'{key}': …}}`", _torch(lambda s, key=key: {key: s, "iter": 5}))  # type: ignore[misc]
      for key in ("net", "params", "params_ema", "model_state", "ema", "weights")),
    Case("one deeper: `{'model': {'state_dict': …}}`", _torch(lambda s: {"model": {"state_dict": s}, "epoch": 1})),
    Case("`{'student': …, 'teacher': …}`", TEACHER, REFUSED, "several state dicts that fit: student, teacher"),
    Case("the same, `FILE:student`", _keyed(TEACHER, "student")),
    Case("timm: `state_dict` and `state_dict_ema`", BOTH, REFUSED, "several state dicts that fit"),
    Case("the same, `FILE:state_dict_ema`", _keyed(BOTH, "state_dict_ema")),
    Case("the same state dict under two keys", _torch(lambda s: {"model": s, "best": s})),
    Case("ema-pytorch: `online_model.*` and `ema_model.*` in one", TWO_EMAS, REFUSED, "fit: ema_model, online_model"),
    Case("the same, `FILE:ema_model`", _keyed(TWO_EMAS, "ema_model")),
    Case("a key that is not there", _keyed(BOTH, "state_dict_emma"), REFUSED, "has no state dict"),
    Case("a tuple `(state_dict, epoch)`", _torch(lambda s: (s, 3))),
    Case("part by part: `{'stem': …, 'block': …, 'head': …}`", _torch(_parts)),
    *(Case(f"prefix `{prefix}`", _torch(lambda s, prefix=prefix: _prefixed(prefix, s)))  # type: ignore[misc]
      for prefix in ("module.", "_orig_mod.", "_orig_mod.module.", "net.", "backbone.", "module.model.")),
    Case("a model with `self.model`, its own state dict", _torch(lambda s: _prefixed("model.", s)), model="Wrapped"),
    Case("the same under `module.`", _torch(lambda s: _prefixed("module.model.", s)), model="Wrapped"),
    Case("the same, of the inner network alone", _torch(lambda s: s), model="Wrapped"),
    Case("`_orig_mod` within names", _torch(lambda s: _middle(s, "_orig_mod"))),
    Case("`module` within names", _torch(lambda s: _middle(s, "module"))),
    Case("PyTorch Lightning, with a loss that has weights", _torch(_lightning, "w.ckpt"), NOTED, "criterion.weight"),
    Case("thop's `total_ops` and `total_params`", _torch(_thop), NOTED, "total_ops"),
    Case("`AveragedModel`, with `n_averaged`", _torch(_averaged), NOTED, "n_averaged"),
    Case("without `num_batches_tracked`", _torch(lambda s: {n: t for n, t in s.items() if "tracked" not in n}), NOTED,
         "num_batches_tracked"),
    Case("NumPy scalars beside it", _torch(lambda s: {"model": s, "best": np.float64(0.9), "n": np.int64(3)})),
    Case("NumPy arrays in place of tensors", _torch(lambda s: {n: t.numpy() for n, t in s.items()})),
    Case("paths and times beside it", _torch(lambda s: {
        "model": s, "file": pathlib.PurePosixPath("a/b"), "win": pathlib.PureWindowsPath("C:/a"),
        "at": datetime.datetime(2026, 1, 2), "took": datetime.timedelta(1)})),
    Case("defaultdict, deque, set beside it", _torch(lambda s: {
        "model": s, "log": collections.defaultdict(list, a=[1]), "last": collections.deque([1, 2]), "ids": {1, 2}})),
    Case("an object of a class that is not installed beside it",
         _torch(lambda s: {"model": s, "config": _gone("Config", lr=0.1)})),
    Case("half precision", _torch(lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()}),
         other_data=True),
    Case("float64", _torch(lambda s: {n: t.double() if t.is_floating_point() else t for n, t in s.items()})),
    Case("safetensors", _safetensors),
    Case("the format of before PyTorch 1.6", _torch(lambda s: s, _use_new_zipfile_serialization=False)),
    Case("a file name with a colon", _torch(lambda s: s, "run:3.pt")),
    Case("TorchScript", _script, REFUSED, "is a TorchScript archive"),
    Case("a whole pickled module", _torch(lambda s: nn.Linear(4, 3)), REFUSED, "is a whole pickled module (Linear)"),
    Case("`{'model': whole module}`", _torch(lambda s: {"model": nn.Linear(4, 3)}), REFUSED, "whole pickled module"),
    Case("a pickle that calls `open()`", _torch(lambda s: {"model": s, "hook": Call()}), REFUSED, "does not run"),
    Case("an optimizer's state alone", _torch(lambda s: _optimizer()), REFUSED, "holds no weights"),
    Case("a Git LFS pointer", _bytes(b"version https://git-lfs.github.com/spec/v1\n"), REFUSED, "Git LFS"),
    Case("a web page", _bytes(b"<!DOCTYPE html><html></html>"), REFUSED, "is a web page"),
    Case("gzip", _bytes(gzip.compress(b"weights")), REFUSED, "is a gzip archive"),
    Case("cut short", _cut, REFUSED, "cut short"),
    Case("a deeper network", _torch(lambda s: _state(blocks=3)), REFUSED, "2 unexpected (block.2.weight"),
    Case("another number of classes", _torch(lambda s: _state(classes=5)), REFUSED, "is [5, 8], not [3, 8]"),
    Case("Spikformer's weights for SAFormer", _shipped, REFUSED, "It looks like spikformer:digits.",
         model="saformer", also=("--data", "digits", "--samples", "4")),
    Case("NaN in a weight", _torch(lambda s: {**s, "head.bias": torch.full((3,), torch.nan)}), REFUSED, "NaN"),
    Case("sparse weights", _torch(lambda s: {**s, "head.weight": s["head.weight"].to_sparse()}), REFUSED, "sparse"),
]  # fmt: skip


# -- data ------------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).random((12, 4)).astype(np.float32)
Y = np.arange(12) % 3
FUNCTIONS = f"""
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

X, Y = torch.tensor({X.tolist()}), torch.arange(12) % 3
AGE = torch.ones(12, 2)
NAN = X.clone()
NAN[2, 1] = float("nan")

def loader(): return DataLoader(TensorDataset(X, Y), batch_size=4)
def two(): yield (X, AGE), Y
def named(): yield {{"age": AGE, "image": X}}, Y
def dictionary(): yield {{"image": X, "age": AGE, "label": Y}}
def one_of_a_dictionary(): yield {{"pixels": X, "label": Y}}
def three(): yield X, Y, torch.arange(12)
def column(): yield X, Y[:, None]
def one_hot(): yield X, torch.eye(3)[Y]
def several_classes(): yield X, torch.ones(12, 3)
def real_targets(): yield X, torch.rand(12)
def outside(): yield X, Y + 1
def not_a_number(): yield X, Y; yield NAN, Y
def some_without(): yield X, Y; yield X
def fewer_labels(): yield X, Y[:7]
def big_endian(): yield X.numpy().astype(">f4"), Y.numpy().astype(">i8")
def float64(): yield X.double(), Y
def reversed_view(): yield X.numpy()[::-1], Y.numpy()[::-1]
def token_ids(): yield torch.arange(48).view(12, 4) % 20, Y
def words(): yield X, ["cat"] * 12

class Longer:
    dataset = range(8)
    def __iter__(self): yield X, Y

class Iterated(IterableDataset):
    def __len__(self): return 12
    def __iter__(self): yield X, Y

class Dictionaries(Dataset):
    def __len__(self): return 12
    def __getitem__(self, i): return {{"image": X[i], "age": AGE[i], "label": Y[i]}}
"""


def _npz(name: str = "d.npz", **arrays: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        np.savez(folder / name, **arrays)
        return str(folder / name)

    return make


def _npy(folder: Path) -> str:
    np.save(folder / "d.npy", X)
    return str(folder / "d.npy")


def _tensors(content: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        torch.save(content, folder / "d.pt")
        return str(folder / "d.pt")

    return make


def _hdf5(**arrays: Any) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        import h5py

        with h5py.File(folder / "d.h5", "w") as file:
            for name, array in arrays.items():
                file[name] = array
        return str(folder / "d.h5")

    return make


def _table(*lines: str, rows: bool = True, separator: str = ",") -> Callable[[Path], str]:
    body = [separator.join(map(str, [*x, y])) for x, y in zip(X.tolist(), Y, strict=True)] if rows else []
    return _bytes("\n".join([*lines, *body, ""]).encode(), "d.csv")


def _function(name: str) -> Callable[[Path], str]:
    def make(folder: Path) -> str:
        (folder / "data.py").write_text(FUNCTIONS)
        return f"{folder / 'data.py'}:{name}"

    return make


RECORD = np.zeros(12, dtype=[("a", "f4"), ("b", "f4")])
DATA = [
    Case("`.npz` of x and y", _npz(x=X, y=Y)),
    Case("`.npz` without labels", _npz(x=X), no_accuracy=True),
    Case("`.npz` of x_test and y_test", _npz(x_train=X, y_train=Y, x_test=X, y_test=Y), NOTED, "'x_test'"),
    Case("`.npz` of test_images, labels [N, 1] (MedMNIST)", _npz(test_images=X, test_labels=Y[:, None]), NOTED,
         "'test_images'"),
    Case("`.npz` of other names", _npz(pictures=X), REFUSED, "it holds 'pictures'"),
    Case("`.npz` of float64", _npz(x=X.astype(float), y=Y)),
    *(Case(f"`.npz` of {dtype}", _npz(x=(9 * X).astype(dtype), y=Y), other_data=True) for dtype in
      ("float16", "int64", "uint16", "bool")),
    Case("`.npz` of bytes up to 255", _npz(x=(255 * X).astype(np.uint8), y=Y), other_data=True),
    Case("`.npz`, big-endian", _npz(x=X.astype(">f4"), y=Y.astype(">i8")), NOTED, "big-endian"),
    Case("`.npz`, one-hot labels", _npz(x=X, y=np.eye(3)[Y])),
    Case("`.npz`, labels as real numbers 0.0, 1.0, …", _npz(x=X, y=Y.astype(np.float32))),
    Case("`.npz`, several classes per sample", _npz(x=X, y=np.ones((12, 3))), REFUSED, "not one class"),
    Case("`.npz`, missing labels stored as −1", _npz(x=X, y=Y - 1), REFUSED, "labels run from -1 to 1"),
    Case("`.npz`, fewer labels than samples", _npz(x=X, y=Y[:7]), REFUSED, "7 labels for 12 samples"),
    Case("`.npz` with NaN", _npz(x=np.where(X > 0.9, np.nan, X), y=Y), REFUSED, "hold NaN or infinity"),
    Case("`.npz` of text", _npz(x=np.array([["a"], ["b"]])), REFUSED, "must hold numbers"),
    Case("`.npz` of records", _npz(x=RECORD), REFUSED, "must hold numbers"),
    Case("`.npz` of token ids, for an embedding", _npz(x=np.arange(48).reshape(12, 4) % 20, y=Y), NOTED,
         "go to the embedding", model="Tokens", other_data=True),
    Case("`.npy`", _npy, NOTED, "a .npy file has no labels", no_accuracy=True),
    Case("`.pt` of x and y", _tensors({"x": torch.tensor(X), "y": torch.tensor(Y)})),
    Case("`.pt` of a tuple (x, y)", _tensors((torch.tensor(X), torch.tensor(Y)))),
    Case("`.h5` of x and y", _hdf5(x=X, y=Y)),
    Case("`.h5` of data and label", _hdf5(data=X, label=Y), NOTED, "samples from 'data'"),
    Case("`.h5` of groups", _hdf5(**{"spikes/times": X}), REFUSED, "holds no dataset 'x'"),
    Case("`.csv` with a header", _table("a,b,c,d,label"), NOTED, "labels from column 'label'"),
    Case("`.csv`, labels first, semicolons", _table("label;a;b;c;d", *(f"{y};{';'.join(map(str, x))}" for x, y in
         zip(X.tolist(), Y, strict=True)), rows=False), NOTED, "labels from column"),
    Case("`.csv` without a header", _table(*(",".join(map(str, x)) for x in X.tolist()), rows=False), NOTED,
         "each column is part of x", no_accuracy=True),
    Case("`.csv` with text in it", _table("a,b,c,d,label", "1,2,cat,4,0"), REFUSED, "column 'c' holds text"),
    Case("`.csv` with an empty cell", _table("a,b,c,d,label", "1,,3,4,0"), REFUSED, "hold NaN"),
    Case("DataLoader", _function("loader")),
    Case("two inputs: `((x1, x2), label)`", _function("two"), NOTED, "2 inputs", "Two", other_data=True),
    Case("inputs by name: `({name: x}, label)`", _function("named"), NOTED, "2 inputs", "Two", other_data=True),
    Case("a dictionary with its label inside", _function("dictionary"), NOTED, "2 inputs", "Two", other_data=True),
    Case("a dictionary of one input", _function("one_of_a_dictionary")),
    Case("a data set of dictionaries", _function("Dictionaries"), model="Two", other_data=True),
    Case("an IterableDataset with a length", _function("Iterated")),
    Case("three entries: `(x, label, index)`", _function("three"), NOTED, "others are left out"),
    Case("more samples than its length says", _function("Longer"), NOTED, "more samples than the 8"),
    Case("labels [B, 1]", _function("column")),
    Case("one-hot labels", _function("one_hot")),
    Case("several classes per sample", _function("several_classes"), NOTED, "not one class", no_accuracy=True),
    Case("real targets", _function("real_targets"), NOTED, "are real numbers", no_accuracy=True),
    Case("labels outside the classes", _function("outside"), NOTED, "Labels range from 1 to 3", other_data=True),
    Case("labels in some batches only", _function("some_without"), NOTED, "some have none", other_data=True),
    Case("fewer labels than samples", _function("fewer_labels"), NOTED, "7 for 12 samples", no_accuracy=True),
    Case("labels that are words", _function("words"), REFUSED, "must be a tensor or numbers, not list"),
    Case("NaN in a batch", _function("not_a_number"), NOTED, "has NaN or infinity in the data", other_data=True),
    Case("NaN in what the model puts out", _function("loader"), NOTED, "has NaN in the model's output", "Broken",
         other_data=True),
    Case("big-endian arrays", _function("big_endian"), NOTED, "big-endian"),
    Case("arrays with negative strides", _function("reversed_view")),
    Case("token ids, for an embedding", _function("token_ids"), NOTED, "", "Tokens", other_data=True),
    Case("float64 data for a float32 model", _function("float64")),
    Case("float32 data for a float64 model", _function("loader"), model="double", other_data=True),
    Case("float32 data for a half-precision model", _function("loader"), model="half", other_data=True),
]  # fmt: skip


# -- running them ----------------------------------------------------------------------------------------------


def run(case: Case, folder: Path, flag: str) -> Outcome:
    """The command on one case, in this process."""
    (folder / "net.py").write_text(NET)
    argument, out = case.make(folder), folder / "run.json"
    if flag == "--checkpoint" and "--data" not in case.also:
        np.savez(folder / "samples.npz", x=X, y=Y)
        argument_of_data = ["--data", str(folder / "samples.npz")]
    else:
        argument_of_data = []
    model = (
        case.model if case.model.islower() and case.model not in ("double", "half") else f"{folder}/net.py:{case.model}"
    )
    command = ["profile", "--model", model, flag, argument, "--device", "cpu", "--output", str(out), "--quiet"]
    command += argument_of_data
    err = io.StringIO()
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
        status = snnprof([*command, *case.also])
    said = err.getvalue().strip() if status else ""
    content = json.loads(out.read_text()) if out.is_file() and not status else {}
    if content:
        said = " ".join(_told(content, flag))
    counts = [op["parts"] for op in content.get("ops", [])]
    return Outcome(status, said.replace(f"{folder}{os.sep}", ""), counts, content.get("accuracy"))


def _told(content: dict[str, Any], flag: str) -> Iterator[str]:
    note = content["run"]["data" if flag == "--data" else "model"].get("note")
    if note and not note.startswith("No checkpoint given"):
        yield f"Note: {note}."
    for finding in content["findings"]:
        if finding["code"] in ("C20", "C21", "C25", "C26"):
            yield f"{finding['code']}: {finding['text']}."


def wrong(case: Case, outcome: Outcome, plain: Outcome | None) -> str:
    """What is not as expected; "" where all is."""
    if "Traceback" in outcome.said or outcome.status not in (0, 2):
        return f"exit status {outcome.status}: {outcome.said}"
    if (outcome.status == 2) != (case.expected == REFUSED):
        return f"expected that it {case.expected}, but: {outcome.said or 'it loads'}"
    if case.says not in outcome.said:
        return f"does not say {case.says!r}: {outcome.said}"
    if case.expected == REFUSED and outcome.said.count("\n") > 1:
        return f"more than a sentence and a hint: {outcome.said}"
    if plain is None or case.expected == REFUSED or case.other_data:
        return ""
    accuracy = None if case.no_accuracy else plain.accuracy
    if (outcome.counts, outcome.accuracy) != (plain.counts, accuracy):
        return f"its counts or its accuracy {outcome.accuracy} are not those of the first case, {plain.accuracy}"
    return ""


def tried(cases: list[Case], flag: str) -> Iterator[tuple[Case, Outcome, str]]:
    """Each case with what happened and what is wrong with that."""
    plain: Outcome | None = None
    for case in cases:
        with tempfile.TemporaryDirectory() as place:
            outcome = run(case, Path(place), flag)
        plain = plain or outcome
        yield case, outcome, wrong(case, outcome, plain)


def row(case: Case, outcome: Outcome) -> str:
    """A line of a table."""
    said = outcome.said.replace("error: ", "").replace("\nhint: ", "; hint: ").replace("|", "\\|").replace("<", "&lt;")
    return f"| {case.what.replace('|', chr(92) + '|')} | {'refused' if outcome.status else 'runs'} | {said} |"


def page(rows: dict[str, list[str]]) -> str:
    """The tables of the page, marker included."""
    total = sum(map(len, rows.values()))
    lines = [MARKER, "", "## What happens to which file", "", f"{total} files, made and run by `benchmarks/inputs.py`."]
    for title, found in rows.items():
        lines += ["", f"### {title}", "", "| file | | what is said |", "|---|---|---|", *found]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="write the tables below the marker line of this page")
    options = parser.parse_args()
    rows: dict[str, list[str]] = {}
    failures = 0
    for title, cases, flag in (("Checkpoints", CHECKPOINTS, "--checkpoint"), ("Data", DATA, "--data")):
        rows[title] = []
        for case, outcome, problem in tried(cases, flag):
            rows[title].append(row(case, outcome))
            failures += bool(problem)
            print(f"{'WRONG ' + problem if problem else 'ok'}: {case.what}", flush=True)
    if options.markdown and not failures:
        text = options.markdown.read_text(encoding="utf-8") if options.markdown.is_file() else ""
        above = text.partition(MARKER)[0].rstrip("\n")
        options.markdown.write_text(f"{above}\n\n{page(rows)}", encoding="utf-8")
    print(f"{failures} of {sum(map(len, rows.values()))} are not as expected")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
