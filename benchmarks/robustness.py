"""Hostile input, through the real entry point: every command must end with a result or with one clear sentence.

    python benchmarks/robustness.py --markdown docs/robustness.md

Each case runs in a process of its own, forked from one that has loaded everything: killed after a time limit, denied
more memory than a limit, and looked at afterwards for a traceback, a file that changed, and code that ran.
"""

from __future__ import annotations

import argparse
import functools
import io
import itertools
import json
import math
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import damage
import numpy as np
import torch
import yaml

from snnprof.records import SCHEMA

ROOT = Path(__file__).parent.parent
SECONDS = 20  # of processor time: a busy machine is no hang
WAITING = 90  # in all
MEBIBYTES = 2048
CANARY = "canary"
INTERRUPTED = 130
PARTIAL = "--model net.py:spiking --data net.py:broken_off --timesteps 2"
NET = """
from pathlib import Path

import torch
from torch import nn
from snnprof.models.neuron import LIF


def build():
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 6), nn.Hardtanh(0, 1), nn.Linear(6, 3))


def spiking():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.fire, self.head = nn.Linear(12, 6), LIF(), nn.Linear(6, 3)

        def forward(self, x):
            x = self.first(x.flatten(1)).expand(2, -1, -1)
            return self.head(self.fire(x)).mean(0)

    return Net()


def coloured():
    return nn.Sequential(nn.AvgPool2d(16), nn.Flatten(), nn.Linear(12, 10))


def unruly():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(12, 3)

        def forward(self, x):
            x = x.flatten(1)
            return self.fc(x * 2 if float(x.sum()) > 0 else x)

    return Net()


def batches():
    yield torch.rand(2, 3, 2, 2), torch.tensor([0, 1])


def broken_off():
    for number in range(4):
        if number == 2 and not Path("go").exists():
            raise KeyboardInterrupt
        yield torch.full((2, 3, 2, 2), number / 4), torch.tensor([0, 1])
"""


class RunsCode:
    """Unpickling it runs a command, if one lets it."""

    def __reduce__(self) -> Any:
        return os.system, (f"touch {CANARY}",)


class EvaluatesCode:
    def __reduce__(self) -> Any:
        return eval, (f"open({CANARY!r}, 'w').close()",)


@dataclass(frozen=True)
class Case:
    """One command in a folder with these files.

    Attributes:
        kind: what was damaged.
        arguments: of snnprof.
        files: written before it runs, by name; nothing but `may_write` may differ afterwards.
        may_write: names that the command was asked to write.
    """

    kind: str
    arguments: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    may_write: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Outcome:
    """How a case ended; `complaints` is empty where it ended as it should."""

    case: Case
    status: int
    said: str
    seconds: float
    mebibytes: float
    complaints: tuple[str, ...]

    @property
    def ending(self) -> str:
        return {0: "result", 1: "check failed", 2: "sentence"}.get(self.status, "other")


# -- cases -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Good:
    """Undamaged inputs, from which all cases are made; `always` lie in the folder of every case."""

    run: bytes
    runs: tuple[bytes, ...]
    partial: bytes
    always: dict[str, bytes]

    @classmethod
    def made(cls) -> Good:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "net.py").write_text(NET)
            np.savez(folder / "data.npz", x=_images(), y=np.arange(8) % 3)
            made = [
                _profiled(folder, "--model", "net.py:spiking", "--data", "data.npz", "--timesteps", "2"),
                _profiled(folder, "--model", "saformer", "--samples", "8", "--batch-size", "1"),
            ]
            partial = _profiled(folder, *PARTIAL.split(), status=INTERRUPTED)
            always = {"net.py": NET.encode(), "data.npz": (folder / "data.npz").read_bytes(), "good.json": made[0]}
        return cls(made[0], tuple(made), partial, always)


def _images() -> Any:
    return np.random.default_rng(0).random((8, 3, 2, 2), dtype=np.float32)


def _profiled(folder: Path, *arguments: str, status: int = 0) -> bytes:
    command = [sys.executable, "-m", "snnprof", "profile", *arguments, "--output", "made.json", "--force"]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.returncode == status, done.stderr
    return (folder / "made.json").read_bytes()


def cases(good: Good, count: int, seed: int = 0) -> Iterator[Case]:
    """About `count` cases of each kind in turn, the same for the same seed."""
    rng = random.Random(seed)
    kinds = (run_files, hardware_files, checkpoints, data_files, cifar_files, command_lines, long_runs)
    share = dict(zip(kinds, (6, 5, 3, 3, 2, 5, 2), strict=True))
    for kind in kinds:
        for _ in range(max(1, count * share[kind] // sum(share.values()))):
            yield kind(rng, good)
    yield from special(good)


def run_files(rng: random.Random, good: Good) -> Case:
    raw = rng.choice((good.run, good.run, rng.choice(good.runs)))
    if rng.random() < 0.35:
        raw = damage.damaged_bytes(rng, raw)
    else:
        tree = json.loads(raw)
        if rng.random() < 0.5:
            tree["blocks"] = []  # else most damage is noticed because blocks and totals no longer agree
        raw = json.dumps(damage.damaged_tree(rng, tree)).encode("utf-8", "surrogatepass")
    form = rng.choice(("table", "json", "csv", "markdown", "latex", "html"))
    convention = rng.choice(
        ("exact", "formula", "ssa-bin", "neurobench", "spikformer", "spikingformer-script", "sdt", "qkformer")
    )
    commands: tuple[tuple[str, ...], ...] = (
        ("report", "bad.json", "--format", form, "--convention", convention),
        ("report", "bad.json", "--by", rng.choice(("op", "layer", "block", "role")), "--format", form),
        ("report", "bad.json", "--hardware", rng.choice(_hardware()).stem, "--latency", "0.01", "--format", form),
        ("compare", "good.json", "bad.json", "--format", form),
        ("compare", "bad.json", "bad.json", "--group", "--fail-over", "5%"),
        ("cite", "bad.json"),
        ("plot", "bad.json", "--kind", rng.choice(("energy", "rates", "timesteps", "attention", "tradeoff")),
         "--output", "figure.svg"),
        ("profile", "--model", "net.py:spiking", "--data", "data.npz", "--timesteps", "2", "--resume", "bad.json"),
    )  # fmt: skip
    command = rng.choice(commands)
    return Case(
        "run files", command, {"bad.json": raw}, frozenset({"bad.json" if "--resume" in command else "figure.svg"})
    )


def hardware_files(rng: random.Random, good: Good) -> Case:
    raw = rng.choice(_hardware()).read_bytes()
    if rng.random() < 0.4:
        raw = damage.damaged_bytes(rng, raw)
    else:
        tree = damage.damaged_tree(rng, yaml.safe_load(raw))
        if isinstance(tree, dict) and rng.random() < 0.7:
            tree["id"] = "bad"  # else the id of a built-in profile is refused before anything else is read
        raw = yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "surrogatepass")
    commands = (
        ("hardware", "check", "bad.yaml"), ("hardware", "show", "bad.yaml"),
        ("report", "good.json", "--hardware", "bad.yaml", "--latency", "0.01"),
        ("compare", "good.json", "good.json", "--hardware", "bad.yaml", "--format", "json"),
    )  # fmt: skip
    return Case("hardware profiles", rng.choice(commands), {"bad.yaml": raw})


def _hardware() -> list[Path]:
    return sorted((ROOT / "hardware_profiles").glob("*.yaml"))


def checkpoints(rng: random.Random, good: Good) -> Case:
    weights = {"1.weight": torch.rand(6, 12), "1.bias": torch.rand(6), "3.weight": torch.rand(3, 6),
               "3.bias": torch.rand(3)}  # fmt: skip
    if rng.random() < 0.5:
        raw = damage.damaged_bytes(rng, _safetensors(weights) if (flat := rng.random() < 0.3) else _torch(weights))
        name = "bad.safetensors" if flat else rng.choice(("bad.pt", "bad.pth"))
    else:
        raw, name = _torch(_strange_weights(rng, weights)), "bad.pt"
    model = rng.choice(("net.py:build", "net.py:build", "net.py:build", "saformer", "ssa_bin"))
    data = () if ":" not in model else ("--data", "data.npz")
    command = ("profile", "--model", model, *data, "--samples", "2", "--checkpoint", name, "--format", "json")
    return Case("checkpoints", command, {name: raw})


def _strange_weights(rng: random.Random, weights: dict[str, Any]) -> Any:
    name = rng.choice(list(weights))
    tensors = (
        torch.full_like(weights[name], rng.choice((math.nan, math.inf, 1e38))), torch.empty(0),
        torch.tensor(3), weights[name].to(rng.choice((torch.int8, torch.complex64, torch.bool, torch.float64))),
        weights[name].to_sparse(), torch.rand(1).expand(10**9), torch.rand(6, 12, device="meta"),
        damage.strange_value(rng) if rng.random() < 0.5 else RunsCode(), torch.nn.Linear(2, 2),
    )  # fmt: skip
    changed = {**weights, name: rng.choice(tensors)}
    wrapped = ({"state_dict": changed, "epoch": damage.strange_value(rng)}, {"model": {"model": changed}},
               {"module." + key: value for key, value in changed.items()}, list(changed.values()), {7: weights},
               {"state_dict": EvaluatesCode(), **weights}, damage.strange_value(rng))  # fmt: skip
    return rng.choice((changed, changed, *wrapped))


def _torch(content: Any) -> bytes:
    stream = io.BytesIO()
    try:
        torch.save(content, stream)
    except (OverflowError, RecursionError, UnicodeEncodeError):
        torch.save("cannot be pickled", stream)
    return stream.getvalue()


def _safetensors(tensors: dict[str, Any]) -> bytes:
    """The format by hand, so that no package is needed: header length, JSON header, raw numbers."""
    header, body = {}, b""
    for name, tensor in tensors.items():
        raw = tensor.numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def data_files(rng: random.Random, good: Good) -> Case:
    suffix = rng.choice(("npz", "npz", "pt"))
    if rng.random() < 0.5:
        good_file = good.always["data.npz"] if suffix == "npz" else _torch({"x": torch.rand(4, 3, 2, 2)})
        raw = damage.damaged_bytes(rng, good_file)
    else:
        raw = _strange_data(rng, suffix)
    layout = rng.choice(("batch", "batch", "time-batch", "batch-time", "step"))
    extra = rng.choice(((), ("--timesteps", "2"), ("--timesteps", "3"), ("--until-ci", "5"), ("--batch-size", "3")))
    kind = rng.choice(("auto", "spikes", "real"))
    command = ("profile", "--model", rng.choice(("net.py:build", "net.py:spiking")), "--data", f"bad.{suffix}",
               "--layout", layout, "--input", kind, *extra)  # fmt: skip
    return Case("data files", command, {f"bad.{suffix}": raw})


def _strange_data(rng: random.Random, suffix: str) -> bytes:
    x, y = _images(), np.arange(8) % 3
    strange_x = (
        np.full_like(x, np.nan), x * np.inf, x.astype(np.float16), x.astype(np.complex64), x[:0], x[:, :0], x[0],
        np.float32(3), x.astype(str), x.astype("datetime64[s]"), x > 0.5, (x * 255).astype(np.uint8), x * 1e38,
        x.astype(np.float64) * 1e300, x[..., :1], np.zeros((8, 3, 2, 2)), np.ones((1, 3, 2, 2)), x[None], -x,
        np.array([RunsCode()], dtype=object), np.zeros(8, dtype=[("a", "f4"), ("b", "i4")]), x.astype(">f4"),
        np.full_like(x, 2.0**63), (x * 40).astype(np.uint64), np.asfortranarray(x), x.T,
    )  # fmt: skip
    strange_y = (y, y, y[:3], y - 1, y + 10**12, y.astype(float), y.astype(str), y[:, None], np.array(3), y > 1,
                 y.astype(np.uint64) + np.uint64(2**63), np.array([], dtype=int))  # fmt: skip
    given = rng.choice((rng.choice(strange_x), x)), rng.choice(strange_y)
    if suffix == "pt":
        odd = {"x": torch.rand(4), "y": damage.strange_value(rng)}
        pair = (torch.rand(8, 3, 2, 2), torch.arange(8) % 3)
        return _torch(rng.choice(({"x": given[0], "y": given[1]}, odd, [RunsCode()], pair, torch.rand(0, 3))))
    stream = io.BytesIO()
    names = rng.choice((("x", "y"), ("x", "y"), ("X", "Y"), ("data", "labels"), ("../x", "y"), ("x", "z")))
    np.savez_compressed(stream, **dict(zip(names, given, strict=True)))
    return stream.getvalue()


def cifar_files(rng: random.Random, good: Good) -> Case:
    images = np.random.default_rng(1).integers(0, 256, (6, 3072), dtype=np.uint8)
    content: Any = {b"data": images, b"labels": [0, 1, 2, 3, 4, 5], b"batch_label": b"testing batch 1 of 1"}
    if rng.random() < 0.25:
        raw = b"".join(bytes([i]) + row.tobytes() for i, row in enumerate(images))
        files = {"cifar/cifar-10-batches-bin/test_batch.bin": damage.damaged_bytes(rng, raw)}
    else:
        if rng.random() < 0.4:
            key = rng.choice((b"data", b"labels"))
            content[key] = rng.choice((RunsCode(), EvaluatesCode(), images[:2], images.astype(float), images[:, :9],
                                       [0] * 5, [10**30] * 6, [-1] * 6, None, "x", np.array([None] * 6),
                                       rng.choice(damage.STRANGE_NUMBERS)))  # fmt: skip
        raw = pickle.dumps(content, protocol=rng.choice((2, 2, 0, 4)))
        files = {"cifar/test_batch": damage.damaged_bytes(rng, raw) if rng.random() < 0.7 else raw}
    command = ("profile", "--model", "net.py:coloured", "--data", "cifar10:cifar", "--samples", "2", "--input", "real")
    return Case("CIFAR files", command, files)


OPENINGS = {
    "profile": ("--model net.py:build --data data.npz", "--model net.py:spiking --data data.npz --timesteps 2",
                "--model net.py:spiking --data", "--data data.npz --model", ""),
    "report": ("good.json", "good.json", ""), "cite": ("good.json", ""), "env": ("",),
    "compare": ("good.json", "good.json good.json", "good.json paper:ssa_bin-bin-cifar10", ""),
    "plot": ("good.json --kind rates", "good.json --kind energy -o x.svg", "good.json good.json --kind tradeoff", ""),
    "hardware show": ("rolls-77fj", ""), "models show": ("saformer", ""), "hardware check": ("good.json", ""),
    "hardware list": ("",), "models list": ("",), "": ("",), "hardware": ("",), "reprot": ("",),
}  # fmt: skip
OPTIONS = {
    "--model": "net.py:build net.py:spiking net.py:batches net.py:nothing net.py: :build saformer: spikformer:huge "
               "os:system builtins:eval sys:exit torch.nn:Identity torch.nn:Linear nowhere.py:f folder:f "
               "good.json:x ..:x",
    "--data": "data.npz digits random net.py:batches net.py:build cifar10:. cifar10: imagefolder:. imagefolder:folder "
              "dvs128-gesture:. cifar10-dvs:. n-caltech101:folder good.json fifo /dev/null sys:exit x.pt folder",
    "--set": "depth=1 a.b=1 =3 a=b=c x= bias={1:2} classes=-1",
    "--checkpoint": "good.json net.py data.npz fifo folder",
    "--layout": "batch time-batch batch-time step", "--input": "auto spikes real",
    "--resume": "good.json data.npz folder",
    "--device": "cpu cuda cuda:99 mps meta xla cpu:7", "--amp": "float16 bfloat16 float8 float32",
    "--neuron": "Net LIF Linear torch.nn.Linear",
    "--hardware": "cmos45-fp32 loihi2 rolls-77fj net.py good.json cmos45-fp32-mem",
    "--convention": "exact formula spikformer ssa-bin neurobench spikingformer-script sdt qkformer",
    "--latency": "0.01 1e-30 1e300",
    "--format": "json csv latex html table markdown", "--by": "op layer block role", "--kind": "rates energy attention",
    "--output": "x.json x.csv x.pdf good.json folder nowhere/x.json /dev/full . net.py", "--layout-of": "main ablation",
    "--baseline": "good.json 0", "--fail-over": "5% 0 1e9% -1%", "--samples": "1 3 99999999999999999999",
    "--timesteps": "1 2 3 100000", "--batch-size": "1 3 99999999999999999999", "--seed": "-1 7 99999999999999999999",
    "--until-ci": "5 99.9 1e-9", "--maps": "1 2 100",
}  # fmt: skip
FLAGS = "--force --strict --siunitx --group --maps --help --version --debug -- -x - --=1 --samples=-1 -f -o".split()
NUMBERS = "0 -1 1 2 1e9 1e309 nan inf 0.5 5% 99999999999999999999 \u0663 1_0 0x1".split()


def command_lines(rng: random.Random, good: Good) -> Case:
    command = rng.choice([*OPENINGS, "profile", "profile", "report", "compare"])
    words = [*command.split(), *rng.choice(OPENINGS[command]).split()]
    own = _own_options(command) if rng.random() < 0.85 else list(OPTIONS)
    for _ in range(rng.choice((1, 1, 2, 3))):
        words += _option(rng, own)
    words = [word.replace("\0", "0").replace("\ud800", "?") for word in words]  # no system passes these on
    return Case("command lines", tuple(words), {"folder/there.txt": b"there"}, _asked_for(words))


@functools.cache
def _own_options(command: str) -> list[str]:
    """The options of a command that take a value."""
    import typer

    from snnprof.cli.app import app

    here: Any = typer.main.get_command(app)
    for word in command.split():
        here = getattr(here, "commands", {}).get(word, here)
    return [name for parameter in here.params for name in parameter.opts if name in OPTIONS]


def _option(rng: random.Random, own: list[str]) -> list[str]:
    """An option with a value that it takes, or might take, or never takes; or a word of its own."""
    if rng.random() < 0.25 or not own:
        return [rng.choice((*FLAGS, *damage.STRANGE_TEXTS, "good.json", "nothing.json", "folder"))]
    name = rng.choice(own)
    values = (OPTIONS[name].split(), OPTIONS[name].split(), NUMBERS, damage.STRANGE_TEXTS)
    return [name, rng.choice(rng.choice(values))]


def long_runs(rng: random.Random, good: Good) -> Case:
    """What goes on from a damaged file, stops at a hostile goal, or is compiled; tiny nets, most refused before.

    One batch is never compiled, so that no case waits for a C++ compiler.
    """
    case = rng.choice((_resumed, _resumed, _until, _compiled))(rng, good)
    return Case("long runs", tuple(word.replace("\0", "0").replace("\ud800", "?") for word in case.arguments),
                case.files, case.may_write)  # fmt: skip


def _resumed(rng: random.Random, good: Good) -> Case:
    tree = json.loads(good.partial)
    raw = good.partial
    if rng.random() < 0.25:
        raw = damage.damaged_bytes(rng, raw)
    elif rng.random() < 0.9:
        place = rng.choice((tree, tree, tree["run"], rng.choice(tree["blocks"]), rng.choice(tree["ops"])))
        key = rng.choice(list(place))
        place[key] = rng.choice((damage.strange_value(rng), damage.damaged_tree(rng, place[key])
                                 if isinstance(place[key], dict | list) else None))  # fmt: skip
        raw = json.dumps(tree).encode("utf-8", "surrogatepass")
    more = rng.choice(((), (), ("--until-ci", "5"), ("--samples", "3"), ("--timesteps", "7"), ("--seed", "1")))
    words = ("profile", *PARTIAL.split(), "--resume", "bad.json", *more)
    return Case("", words, {"bad.json": raw, "go": b""}, frozenset({"bad.json"}))


def _until(rng: random.Random, good: Good) -> Case:
    model = rng.choice(("net.py:spiking", "net.py:build", "net.py:unruly"))
    more = rng.choice(((), ("--samples", rng.choice(NUMBERS)), ("--batch-size", rng.choice(NUMBERS)), ("--strict",)))
    goal = rng.choice((*NUMBERS, *NUMBERS, *damage.STRANGE_TEXTS, "100", "100%", "99.999%", "1e-300", "5 %", "%", "+5"))
    return Case(
        "", ("profile", "--model", model, "--data", "data.npz", "--timesteps", "2", f"--until-ci={goal}", *more)
    )


def _compiled(rng: random.Random, good: Good) -> Case:
    words = ["profile", "--compile", "--model", rng.choice(("net.py:spiking", "net.py:build", "net.py:unruly"))]
    words += ["--data", rng.choice(("data.npz", "data.npz", "net.py:batches", "random", "good.json", "folder"))]
    for name in rng.sample(("--layout", "--device", "--amp", "--timesteps", "--checkpoint", "--neuron"), 2):
        words += [name, rng.choice(OPTIONS[name].split())]
    if words[3] == "net.py:unruly":
        words += ["--batch-size", "2"]  # gives up while the graph is traced
    return Case("", tuple(words))


def _asked_for(words: list[str]) -> frozenset[str]:
    """What a command line may write: what follows --output, and the default name of a figure."""
    named = {after for word, after in itertools.pairwise(words) if word in ("--output", "-o")}
    maps = {f"{name.removesuffix('.json')}.maps.npz" for name in named}
    overwrites = "--force" in words or "--resume" in words
    figures = {"*.pdf"} if "plot" in words else set()
    return frozenset((named | maps if overwrites else {name for name in named | maps if name != "good.json"}) | figures)


def special(good: Good) -> Iterator[Case]:
    """Traps that chance does not find: bombs, wrong versions, other encodings, code in pickles."""
    text = good.run.decode()
    schema = f'"schema":"{SCHEMA}"'
    others = ('"snnprof.activity/2"', '"snnprof.activity/-1"', '"snnprof.activity/"', "0", "null", "[]", "{}",
              '"' + "x" * 99_999 + '"')  # fmt: skip
    runs = [
        b"", b"null", b"[]", b"0", b'"x"', b"{" * 100_000, b"[" * 100_000, b'{"a":' * 100_000, b"9" * 100_000,
        text.encode("utf-16"), b"\xef\xbb\xbf" + good.run, good.run + good.run, b"\x00" * 10_000,
        *(text.replace(schema, f'"schema":{other}').encode() for other in others),
    ]  # fmt: skip
    yield from (Case("run files", ("report", "bad.json"), {"bad.json": raw}) for raw in runs)
    profile = (ROOT / "hardware_profiles" / "cmos45-fp32.yaml").read_text().replace("id: cmos45-fp32", "id: bad", 1)
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    tags = ("!!python/object/apply:os.system ['touch canary']", "!!python/name:os.system", "!!binary x",
            "!!timestamp 1", "!!int x", "!!float x", "!!set {a}", "2020-13-45", "1:2:3:4", "0o99", "1_0",
            "." * 50_000, "9" * 50_000,
            "? [a]\n: b", "- \n" * 50_000, "%YAML 9.9\n---\na: b", "<<: {a: b}", "[" * 50_000, "{" * 50_000,
            "a:\n" + "".join(" " * i + "a:\n" for i in range(300)))  # fmt: skip
    hardware = [bomb, profile + bomb, profile.encode("utf-16"), b"\x00" * 2_000_000, profile + "#" * 2_000_000]
    hardware += [f"{profile}\nnote2: {tag}\n" for tag in tags] + list(tags)
    for content in hardware:
        raw = content if isinstance(content, bytes) else content.encode()
        yield Case("hardware profiles", ("hardware", "check", "bad.yaml"), {"bad.yaml": raw})
    run = ("profile", "--model", "net.py:build", "--samples", "2")
    for evil in (RunsCode(), EvaluatesCode()):
        for raw in (pickle.dumps(evil), _torch(evil), _torch({"state_dict": evil}), pickle.dumps({"x": evil}, 0)):
            yield Case("checkpoints", (*run, "--data", "data.npz", "--checkpoint", "bad.pt"), {"bad.pt": raw})
            yield Case("data files", (*run, "--data", "bad.pt"), {"bad.pt": raw})
            yield Case("data files", (*run, "--data", "bad.npz"), {"bad.npz": raw})
    for shape in ((10**12,), (10**6, 10**6, 10**6), (-1,), (2**63, 2)):
        yield Case("data files", (*run, "--data", "bad.npz"), {"bad.npz": _claiming(shape)})


def _claiming(shape: tuple[int, ...]) -> bytes:
    """An .npz whose array says that it is larger than it is."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 64)
    return stream.getvalue()


# -- running them ------------------------------------------------------------------------------------------------


def run(case: Case, good: Good, fresh: bool = False) -> Outcome:
    """One case, in a forked process, or in one started afresh as a user's is."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "here"
        _fill(folder, {**good.always, **case.files})
        before = _seen(folder)
        said = Path(name) / "said"
        child = os.fork()
        if not child:
            _become(case, folder, said, fresh)
        _, status, usage = os.wait4(child, 0)
        seconds = usage.ru_utime + usage.ru_stime
        code = os.waitstatus_to_exitcode(status)
        text = (said.with_suffix(".err")).read_text(encoding="utf-8", errors="replace")
        out = (said.with_suffix(".out")).read_text(encoding="utf-8", errors="replace")
        may_write = case.may_write if code in (0, 1) else frozenset()
        complaints = [*_complaints(code, text, out, case), *_touched(may_write, before, _seen(folder))]
        return Outcome(case, code, text, seconds, usage.ru_maxrss / 1024, tuple(complaints))


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    os.mkfifo(folder / "fifo")


def _become(case: Case, folder: Path, said: Path, fresh: bool) -> None:
    """The child: limits, a folder of its own, and the command. Never returns."""
    status = 99
    try:
        signal.alarm(WAITING)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        if not fresh:
            own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
            resource.setrlimit(resource.RLIMIT_AS, (own + MEBIBYTES * 2**20,) * 2)
        os.chdir(folder)
        for number, target in enumerate((os.devnull, said.with_suffix(".out"), said.with_suffix(".err"))):
            flags = os.O_RDONLY if not number else os.O_WRONLY | os.O_CREAT
            os.dup2(os.open(target, flags), number)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "snnprof", *case.arguments])
        from snnprof.__main__ import main

        status = main(list(case.arguments))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        import traceback

        traceback.print_exc()
        sys.stderr.flush()
    os._exit(status)


def _complaints(status: int, said: str, out: str, case: Case) -> Iterator[str]:
    if status < 0:
        limits = {signal.SIGALRM: f"waited for {WAITING} s", signal.SIGXCPU: f"computed for {SECONDS} s"}
        number = signal.Signals(-status)
        yield limits.get(number, f"died by {number.name}")
    elif status not in (0, 1, 2):
        yield f"exit status {status}"
    if "Traceback" in said and "--debug" not in case.arguments:
        yield "a traceback"
    helped = "Usage: " in said + out
    if status in (1, 2) and not helped and not any(line.startswith("error: ") for line in said.splitlines()):
        yield "no sentence"
    if status == 2 and len(said) > 5000:
        yield f"{len(said)} characters on stderr"


def _seen(folder: Path) -> dict[str, bytes]:
    """Every plain file in the folder; what Python caches of the user's own module does not count."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _touched(may_write: frozenset[str], before: dict[str, bytes], after: dict[str, bytes]) -> Iterator[str]:
    if CANARY in after:
        yield "code in a file ran"
    for name in sorted({*before, *after}):
        allowed = name in may_write or (f"*{Path(name).suffix}" in may_write and name not in before)
        if before.get(name) != after.get(name) and name != CANARY and not allowed:
            yield f"{name} was {'changed' if name in after and name in before else 'made' if name in after else 'lost'}"


def warmed() -> None:
    """Loads what commands load, so that forked processes share it; runs without --output are kept nowhere else."""
    import importlib

    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="snnprof-cache-")
    for name in ("__main__", "cli.app", "workload.run", "workload.models", "render.figures", "render.plots",
                 "render.tables", "render.summary", "render.html", "render.latex", "render.comparison",
                 "models.neuron"):  # fmt: skip
        importlib.import_module(f"snnprof.{name}")
    for name in ("fvcore.nn", "torch._dynamo", "matplotlib.backends.backend_svg", "matplotlib.backends.backend_pdf"):
        importlib.import_module(name)
    torch.set_num_threads(1)


# -- the page ----------------------------------------------------------------------------------------------------

HEAD = """# Robustness

Damaged and hostile input, through the real entry point. Made by

    python benchmarks/robustness.py --markdown docs/robustness.md

Files are cut, bit-flipped, repeated, and their values replaced by wrong types, huge numbers, NaN, deep nesting and
hostile text; command lines are put together by chance. Seed and cases are fixed. Each command runs in a process of its
own and must end with a result (exit 0; 1 where a check was asked for) or with a sentence on stderr (exit 2): within
{seconds} s of processor time and {waiting} s in all, within {memory} MiB beyond the loaded libraries, without a
traceback, without touching a file it was not asked to write, and without running code that a checkpoint, a data file or
a YAML file holds.
"""


def page(outcomes: list[Outcome], fresh: int) -> str:
    lines = [HEAD.format(seconds=SECONDS, waiting=WAITING, memory=MEBIBYTES)]
    lines += [
        "| input | cases | result | sentence | check failed | wrong | slowest (CPU s) |",
        "|---" + "|---:" * 6 + "|",
    ]
    kinds = list(dict.fromkeys(outcome.case.kind for outcome in outcomes))
    for kind in [*kinds, "all"]:
        some = [outcome for outcome in outcomes if kind in (outcome.case.kind, "all")]
        endings = Counter("wrong" if outcome.complaints else outcome.ending for outcome in some)
        cells = [len(some), *(endings[e] for e in ("result", "sentence", "check failed", "wrong"))]
        slowest = max(outcome.seconds for outcome in some)
        lines.append(f"| {kind} | {' | '.join(map(str, cells))} | {slowest:.1f} |")
    lines += ["", f"{fresh} of them ran in processes started afresh, the others in forked ones."]
    wrong = [outcome for outcome in outcomes if outcome.complaints]
    lines += ["", "## What went wrong", ""] if wrong else []
    lines += [f"- `{_short(outcome)}`: {'; '.join(outcome.complaints)}" for outcome in wrong]
    return "\n".join([*lines, ""])


def _short(outcome: Outcome) -> str:
    return " ".join(word if len(word) < 60 else f"{word[:57]}…" for word in outcome.case.arguments)


def tried(wanted: Iterable[Case], good: Good, fresh_every: int = 0) -> Iterator[Outcome]:
    for position, case in enumerate(wanted):
        fresh = bool(fresh_every) and position % fresh_every == 0
        outcome = run(case, good, fresh)
        # Whoever else works on this machine may have stopped its processes meanwhile; a case that hangs hangs again.
        yield run(case, good, fresh) if outcome.status == -signal.SIGALRM else outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cases", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--fresh-every", type=int, default=60, help="every N-th case in a process started afresh")
    parser.add_argument("--keep", type=Path, help="copy the input of every case that went wrong into this folder")
    parser.add_argument("--markdown", type=Path, help="write the page to this file")
    arguments = parser.parse_args()
    good = Good.made()
    warmed()
    outcomes = []
    for outcome in tried(cases(good, arguments.cases, arguments.seed), good, arguments.fresh_every):
        outcomes.append(outcome)
        if outcome.complaints:
            print(f"{outcome.case.kind}: {_short(outcome)}: {'; '.join(outcome.complaints)}", file=sys.stderr)
            if arguments.keep:
                _keep(outcome, arguments.keep / str(len(outcomes)))
    fresh = -(-len(outcomes) // arguments.fresh_every)
    text = page(outcomes, fresh)
    if arguments.markdown:
        arguments.markdown.write_text(text + _written_by_faults(arguments.markdown), encoding="utf-8", newline="\n")
    print(text)
    return int(any(outcome.complaints for outcome in outcomes))


def _written_by_faults(path: Path) -> str:
    """The page's second half, which benchmarks/faults.py makes."""
    _, section, rest = (path.read_text(encoding="utf-8") if path.exists() else "").partition("\n## Kills,")
    return section + rest


def _keep(outcome: Outcome, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, content in outcome.case.files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / "said.txt").write_text(f"{outcome.case.arguments!r}\n{outcome.complaints!r}\n{outcome.said}")


if __name__ == "__main__":
    sys.exit(main())
