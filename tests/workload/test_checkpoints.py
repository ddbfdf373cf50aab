import argparse
import datetime
import hashlib
import json
import re
import sys
from collections import defaultdict, deque
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from snnprof.errors import SnnprofError
from snnprof.options import file_and_key
from snnprof.workload import checkpoints, models

LAYOUTS = Path(__file__).parents[1] / "data" / "layouts"
SMALL = {"variant": "cifar", "depth": 3, "width": 64, "heads": 4, "in_channels": 1, "classes": 7}


def state_of(spec="spikformer:digits", **settings):
    return models.untrained(spec, settings, seed=5).state_dict()


def saved(tmp_path, content, name="weights.pt"):
    path = tmp_path / name
    torch.save(content, path)
    return path


def tensor_like(text):
    """`float32[48,3,3,3]` as random numbers."""
    dtype, shape = re.fullmatch(r"(\w+)\[(.*)\]", text).groups()
    sizes = [int(size) for size in shape.split(",") if size]
    return torch.randn(sizes) if dtype == "float32" else torch.zeros(sizes, dtype=getattr(torch, dtype))


def prefixed(prefix, state):
    return {prefix + name: tensor for name, tensor in state.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"state": {}}, "args": argparse.Namespace(lr=0.1)},
        lambda state: {"state_dict_ema": state},
        lambda state: {"epoch": 3, "model": {"state_dict": prefixed("module.", state)}},
        lambda state: prefixed("_orig_mod.module.", state),
    ],
)
def test_training_scripts_wrappers_come_off(tmp_path, wrap):
    state = state_of()
    model = models.untrained("spikformer:digits", seed=6)
    checkpoints.load_into(model, checkpoints.read(saved(tmp_path, wrap(state))), "spikformer")
    assert all(tensor.equal(state[name]) for name, tensor in model.state_dict().items())


def test_facts_and_digest(tmp_path):
    path = saved(tmp_path, {"state_dict": state_of(), "seed": 4, "accuracy": 0.5, "preset": "spikformer:digits"})
    read = checkpoints.read(path)
    assert read.facts == {"state_dict": {"seed": 4, "accuracy": 0.5, "preset": "spikformer:digits"}}
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_safetensors(tmp_path, monkeypatch):
    save_file = pytest.importorskip("safetensors.torch").save_file
    path = tmp_path / "weights.safetensors"
    state = state_of()
    save_file(state, path)
    assert models.resolve("spikformer:digits", checkpoint=path).module.head.weight.equal(state["head.weight"])
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(SnnprofError, match="damaged"):
        checkpoints.read(path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(SnnprofError, match="needs the safetensors package") as caught:
        checkpoints.read(path)
    assert "pip install" in caught.value.hint


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_cut_short(tmp_path, share, legacy):
    path = tmp_path / "weights.pt"
    torch.save(state_of(), path, _use_new_zipfile_serialization=not legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SnnprofError, match="cut short, damaged or no PyTorch file"):
        checkpoints.read(path)


def test_a_text_file(tmp_path):
    path = tmp_path / "weights.pt"
    path.write_text("epoch,loss\n1,0.5\n")
    with pytest.raises(SnnprofError, match="cut short, damaged or no PyTorch file"):
        checkpoints.read(path)


def test_a_missing_file(tmp_path):
    with pytest.raises(SnnprofError, match=r"cannot read checkpoint .*: no such file") as caught:
        checkpoints.read(tmp_path / "none.pt")
    assert caught.value.exit_code == 2


class Evil:
    def __reduce__(self):
        return (open, ("/nonexistent/evil", "w"))


def test_code_in_a_pickle_is_not_run(tmp_path):
    content = {"state_dict": {"w": torch.zeros(2)}, "hook": Evil()}
    with pytest.raises(SnnprofError, match="pickled code besides weights, which snnprof does not run") as caught:
        checkpoints.read(saved(tmp_path, content))
    assert "state dict" in caught.value.hint


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrap", [lambda module: module, lambda module: {"model": module, "epoch": 3}])
def test_a_whole_module_is_recognised(tmp_path, wrap, legacy):
    torch.save(wrap(nn.Linear(2, 2)), tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    with pytest.raises(SnnprofError, match=r"is a whole pickled module.*, not a state dict") as caught:
        checkpoints.read(tmp_path / "w.pt")
    assert ".state_dict()" in caught.value.hint


def test_torchscript_is_recognised(tmp_path):
    torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)).save(tmp_path / "w.pt")
    with pytest.raises(SnnprofError, match="is a TorchScript archive, not a state dict") as caught:
        checkpoints.read(tmp_path / "w.pt")
    assert "torch.jit.load(FILE).state_dict()" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "is a Git LFS pointer"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"\x1f\x8b\x08", "is a gzip archive"),
    ],
)
def test_files_that_are_something_else(tmp_path, content, words):
    (tmp_path / "w.pt").write_bytes(content)
    with pytest.raises(SnnprofError, match=words):
        checkpoints.read(tmp_path / "w.pt")


def test_harmless_values_beside_the_weights_are_plain_facts(tmp_path):
    content = {
        "model": {"w": torch.zeros(2)}, "best": np.float32(0.5), "epoch": np.int64(3), "at": datetime.datetime.min,
        "file": PurePosixPath("a/b"), "win": PureWindowsPath("C:/a"), "log": defaultdict(list, a=[1]),
        "last": deque([1]), "options": argparse.Namespace(lr=0.1), "curve": np.arange(3.0), "flag": np.bool_(True),
    }  # fmt: skip
    read = checkpoints.read(saved(tmp_path, content))
    assert list(read.states["model"]) == ["w"]
    assert read.facts["model"] == {"best": 0.5, "epoch": 3, "file": "a/b", "win": "C:\\a", "flag": True}


@pytest.mark.parametrize("legacy", [False, True])
def test_objects_of_unknown_classes_are_not_imported(tmp_path, monkeypatch, legacy):
    kind = type("Config", (), {"__module__": "gone_module", "__qualname__": "Config"})
    module = ModuleType("gone_module")
    module.Config = kind
    monkeypatch.setitem(sys.modules, "gone_module", module)
    config = kind()
    config.lr = 0.1
    state = {"w": torch.ones(2)}
    torch.save({"model": state, "config": config}, tmp_path / "w.pt", _use_new_zipfile_serialization=not legacy)
    monkeypatch.delitem(sys.modules, "gone_module")
    assert checkpoints.read(tmp_path / "w.pt").states["model"]["w"].equal(state["w"])
    assert "gone_module" not in sys.modules


@pytest.mark.parametrize("order", ["<", ">"])
def test_numpy_weights_become_tensors(tmp_path, order):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3)).astype(f"{order}f4")
    read = checkpoints.read(saved(tmp_path, {"weight": array, "name": np.array(["a"])}))
    assert read.states[""]["weight"].tolist() == array.tolist()
    assert list(read.states[""]) == ["weight"]


@pytest.mark.parametrize(
    ("content", "words"),
    [(torch.zeros(3), "holds a tensor"), ([1, 2], "holds a list"), ({"epoch": 3}, "no weights"), ({}, "no weights")],
)
def test_what_is_not_a_state_dict(tmp_path, content, words):
    with pytest.raises(SnnprofError, match=words):
        checkpoints.read(saved(tmp_path, content))


def test_differences_are_counted_and_the_first_are_named(tmp_path):
    state = state_of()
    for name in list(state):
        if "block.1" in name:
            del state[name]
    state["extra"] = torch.zeros(4)
    state["head.weight"] = torch.zeros(7, 64)
    missing = sum("block.1" in name and "num_batches_tracked" not in name for name in state_of())
    with pytest.raises(SnnprofError) as caught:
        models.resolve("spikformer:digits", checkpoint=saved(tmp_path, state))
    message = str(caught.value)
    assert f"weights.pt does not fit spikformer:digits: {missing} keys missing (block.1.norm1.weight, " in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (head.weight is [7, 64], not [10, 64])" in message
    assert "\n" not in message


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear, self.norm = nn.Linear(2, 3), nn.BatchNorm1d(3)
        self.register_buffer("mask", torch.full((2, 2), -torch.inf).triu(1))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linear.weight", torch.nan), ("linear.bias", torch.inf), ("norm.running_var", torch.nan), ("mask", torch.nan),
        ("linear.weight", 1e300),  # finite as float64, infinite in the network
    ],
)  # fmt: skip
def test_weights_that_are_no_numbers(tmp_path, name, value):
    state = Masked().state_dict()
    state[name] = state[name].double()
    state[name].view(-1)[0] = value
    with pytest.raises(SnnprofError, match=rf"holds NaN or infinity in {re.escape(name)}$"):
        checkpoints.load_into(Masked(), checkpoints.read(saved(tmp_path, state)), "masked")


def test_a_mask_may_be_infinite(tmp_path):
    model = Masked()
    checkpoints.load_into(model, checkpoints.read(saved(tmp_path, model.state_dict())), "masked")
    assert model.mask[0, 1] == -torch.inf


def test_the_preset_is_read_off_the_shapes(tmp_path):
    path = saved(tmp_path, state_of("spikformer:2-384-cifar10"))
    loaded = models.resolve("spikformer", checkpoint=path)
    assert loaded.facts.preset == "2-384-cifar10"
    assert loaded.facts.note is None
    assert (loaded.timesteps, loaded.classes) == (4, 10)


def test_sizes_nobody_published_are_read_off_too(tmp_path):
    path = saved(tmp_path, state_of(depth=3, classes=7))
    loaded = models.resolve("spikformer", checkpoint=path)
    assert len(loaded.module.block) == 3
    assert loaded.classes == 7
    assert loaded.facts.preset == "digits"
    assert "depth = 3, classes = 7" in loaded.facts.note
    assert "including heads and T" in loaded.facts.note


def test_the_wrong_preset_hints_at_the_right_one(tmp_path):
    path = saved(tmp_path, state_of("ssa_bin:digits-centred"))
    with pytest.raises(SnnprofError, match="has row = centred, not row = bin") as caught:
        models.resolve("ssa_bin:digits", checkpoint=path)
    assert caught.value.hint == "it fits ssa_bin:digits-centred"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"depth": 3}, "has depth = 2, not depth = 3"),
        ({"width": 128, "classes": 100}, "has width = 64, classes = 10, not width = 128, classes = 100"),
        ({"variant": "dvs"}, "has variant = cifar, not variant = dvs"),
        ({"heads": 7}, "width 64 does not divide by 7 heads"),
        ({"heads": 0}, "heads must be a positive whole number, not 0"),
    ],
)
def test_settings_that_contradict_the_weights(tmp_path, settings, words):
    path = saved(tmp_path, {"state_dict": prefixed("module.", state_of())})
    with pytest.raises(SnnprofError) as caught:
        models.resolve("spikformer", settings, checkpoint=path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_heads_and_steps_come_from_the_preset_or_are_set(tmp_path):
    """They leave no trace in a state dict, so any that fit the width are believed."""
    path = saved(tmp_path, state_of())
    assert models.resolve("spikformer", checkpoint=path).module.block[0].attn.heads == 4
    loaded = models.resolve("spikformer", {"heads": "8", "timesteps": "2"}, checkpoint=path)
    assert (loaded.module.block[0].attn.heads, loaded.timesteps) == (8, 2)


@pytest.mark.parametrize("preset", ["4-384-cifar10", "2-256-cifar10dvs", "8-384-imagenet"])
def test_official_layouts_in_a_data_parallel_wrapper_load(tmp_path, preset):
    """One of each official file, as its training script leaves it, with random values."""
    described = json.loads((LAYOUTS / f"spikformer-{preset}.json").read_text())["state"]
    state = {f"module.{name}": tensor_like(text) for name, text in described.items()}
    loaded = models.resolve("spikformer", checkpoint=saved(tmp_path, {"state_dict": state, "epoch": 300}))
    assert loaded.facts.preset == preset
    for name, tensor in loaded.module.state_dict().items():
        assert tensor.dtype == state[f"module.{name}"].dtype
        assert tensor.equal(state[f"module.{name}"])


def test_rows_without_buffers_cannot_be_told_apart(tmp_path):
    state = state_of("ssa_bin:digits-ssa")
    with pytest.raises(SnnprofError, match="fits several presets of ssa_bin") as caught:
        models.resolve("ssa_bin", checkpoint=saved(tmp_path, state))
    assert caught.value.hint == "name one: digits-ssa, digits-baseline"
    said = saved(tmp_path, {"state_dict": state, "preset": "ssa_bin:digits-baseline"})
    assert models.resolve("ssa_bin", checkpoint=said).facts.preset == "digits-baseline"


def test_another_network_s_weights(tmp_path):
    path = saved(tmp_path, nn.Linear(2, 2).state_dict())
    with pytest.raises(SnnprofError, match=r"does not fit Spikformer: 107 keys missing .*, 2 unexpected"):
        models.resolve("spikformer", checkpoint=path)


def test_another_model_of_the_catalogue_is_named(tmp_path):
    path = saved(tmp_path, {"model": prefixed("module.", state_of(depth=3))})
    with pytest.raises(SnnprofError, match=r"SAFormer: .* It looks like spikformer:digits with depth = 3\.$") as caught:
        models.resolve("saformer", checkpoint=path)
    assert caught.value.hint == "--model spikformer"
    with pytest.raises(SnnprofError, match="has depth = 3, not depth = 2") as caught:
        models.resolve("spikformer:digits", checkpoint=path)
    assert caught.value.hint == "name no preset: --model spikformer takes the sizes from the checkpoint"


@pytest.mark.parametrize("spec", ["saformer", "ssa_bin:digits", "spikformer:4-384-cifar10", "net.py:build"])
def test_another_preset_is_named_beside_its_model(spec, tmp_path, monkeypatch):
    """A linear layer in the user's file has the names of the checkpoint's head, which comes nearest then."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("import torch\ndef build(): return torch.nn.Linear(3, 4)\n")
    path = saved(tmp_path, state_of("spikformer:2-256-cifar10dvs"))
    with pytest.raises(SnnprofError, match=r"\. It looks like spikformer:2-256-cifar10dvs\.$") as caught:
        models.resolve(spec, checkpoint=path)
    assert caught.value.hint == "--model spikformer:2-256-cifar10dvs"


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.block = nn.Linear(2, 3), nn.ModuleList([nn.Linear(3, 3), nn.BatchNorm1d(3)])


class Outer(nn.Module):
    """A model whose own attribute is called as a wrapper is."""

    def __init__(self):
        super().__init__()
        self.model = Inner()


def loaded(tmp_path, content, model=None, key=""):
    model = model or Inner()
    place = f"{saved(tmp_path, content)}{key and ':' + key}"
    found = checkpoints.load_into(model, checkpoints.read(place), "net")
    return model.state_dict(), found


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.module.", "net.", "backbone.", "module.model.", "a.b.c."])
def test_any_prefix_comes_off(tmp_path, prefix):
    state = Inner().state_dict()
    now, _ = loaded(tmp_path, prefixed(prefix, state))
    assert all(tensor.equal(state[name]) for name, tensor in now.items())


@pytest.mark.parametrize("prefix", ["", "model.", "module.model.", "net.model."])
def test_a_prefix_of_the_model_s_own_stays(tmp_path, prefix):
    state = Inner().state_dict()
    now, _ = loaded(tmp_path, prefixed(prefix, state), Outer())
    assert all(tensor.equal(state[name.removeprefix("model.")]) for name, tensor in now.items())


def test_wrappers_within_names(tmp_path):
    state = Inner().state_dict()
    inside = {name.replace("block.", "block._orig_mod."): tensor for name, tensor in state.items()}
    now, _ = loaded(tmp_path, prefixed("module.", inside))
    assert all(tensor.equal(state[name]) for name, tensor in now.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"params": s}, lambda s: {"ema": s}, lambda s: {"model_state": s}, lambda s: {"run": {"weights": s}},
        lambda s: (s, 3), lambda s: {"model": s, "best": s},
        lambda s: {"stem": {n[5:]: t for n, t in s.items() if n[:4] == "stem"},
                   "block": {n[6:]: t for n, t in s.items() if n[:5] == "block"}},
    ],
)  # fmt: skip
def test_state_dicts_under_any_key(tmp_path, wrap):
    state = Inner().state_dict()
    now, _ = loaded(tmp_path, wrap(state))
    assert all(tensor.equal(state[name]) for name, tensor in now.items())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a, b: {"student": prefixed("module.", a), "teacher": b},
        lambda a, b: {**prefixed("student.", a), **prefixed("teacher.", b)},
        lambda a, b: {"nets": {"student": a, "teacher": b}},
    ],
)
def test_of_several_that_fit_one_is_chosen(tmp_path, wrap):
    a, b = Inner().state_dict(), Inner().state_dict()
    with pytest.raises(SnnprofError, match=r"holds several state dicts that fit: .*student.*, .*teacher") as caught:
        loaded(tmp_path, wrap(a, b))
    key = caught.value.hint.rpartition(":")[2]
    assert "student" in key
    for chosen, state in ((key, a), (key.replace("student", "teacher"), b)):
        now, found = loaded(tmp_path, wrap(a, b), key=chosen)
        assert all(tensor.equal(state[name]) for name, tensor in now.items())
        assert found.name.endswith(f":{chosen}")


def test_a_key_that_is_not_there(tmp_path):
    path = saved(tmp_path, {"model": Inner().state_dict(), "ema": Inner().state_dict()})
    with pytest.raises(SnnprofError, match=r"weights\.pt has no state dict 'emma'") as caught:
        checkpoints.read(f"{path}:emma")
    assert caught.value.hint == "did you mean 'ema'?"


def test_colons_in_file_names(tmp_path):
    path = saved(tmp_path, {"a": {"w": torch.zeros(2)}, "b": {"w": torch.ones(2)}}, "run:3.pt")
    assert list(checkpoints.read(path).states)[:2] == ["a", "b"]
    assert list(checkpoints.read(f"{path}:b").states) == ["b"]
    assert file_and_key("C:\\none.pt") == (Path("C:\\none.pt"), "")
    assert file_and_key("C:/none.pt:ema") == (Path("C:/none.pt"), "ema")
    assert file_and_key("none.pt:ema") == (Path("none.pt"), "ema")


@pytest.mark.parametrize(
    "extra", ["criterion.weight", "total_ops", "stem.total_params", "teacher_head.0.bias", "n_averaged"]
)
def test_entries_of_no_weight_are_named_and_left(tmp_path, extra):
    state = Inner().state_dict()
    _, found = loaded(tmp_path, {**state, extra: torch.zeros(1)})
    assert checkpoints.notes(state, found) == f"1 entry of the checkpoint not used: {extra}"


@pytest.mark.parametrize("extra", ["block.2.weight", "stem.scale", "pos_embed"])
def test_entries_of_another_network_are_not_left(tmp_path, extra):
    state = Inner().state_dict()
    with pytest.raises(SnnprofError, match=rf"does not fit net: 1 unexpected \({extra}\)$"):
        loaded(tmp_path, {**state, extra: torch.zeros(1, 4)})


def test_counters_of_batches_may_be_missing(tmp_path):
    state = Inner().state_dict()
    _, found = loaded(tmp_path, {name: tensor for name, tensor in state.items() if "tracked" not in name})
    assert "1 entry not in the checkpoint" in checkpoints.notes(state, found)


def test_a_lazy_layer_takes_its_shape_from_the_file(tmp_path):
    now, _ = loaded(tmp_path, nn.Linear(5, 3).state_dict(), nn.LazyLinear(3))
    assert now["weight"].shape == (3, 5)
