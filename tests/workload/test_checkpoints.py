import argparse
import hashlib
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from snnprof.errors import SnnprofError
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
    read = checkpoints.read(saved(tmp_path, wrap(state)))
    assert list(read.state) == list(state)
    assert all(read.state[name].equal(state[name]) for name in state)


def test_facts_and_digest(tmp_path):
    path = saved(tmp_path, {"state_dict": state_of(), "seed": 4, "accuracy": 0.5, "preset": "spikformer:digits"})
    read = checkpoints.read(path)
    assert read.facts == {"seed": 4, "accuracy": 0.5, "preset": "spikformer:digits"}
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


@pytest.mark.parametrize("content", [nn.Linear(2, 2), {"state_dict": {"w": torch.zeros(2)}, "hook": Evil()}])
def test_code_in_a_pickle_is_not_run(tmp_path, content):
    with pytest.raises(SnnprofError, match="pickled code besides weights, which is not run") as caught:
        checkpoints.read(saved(tmp_path, content))
    assert "state dict" in caught.value.hint


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
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(7, 64)
    missing = sum("block.1" in name for name in state_of())
    with pytest.raises(SnnprofError) as caught:
        models.resolve("spikformer:digits", checkpoint=saved(tmp_path, state))
    message = str(caught.value)
    assert f"{missing} missing (block.1.norm1.weight, block.1.norm1.bias, " in message
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
    assert "heads and T included" in loaded.facts.note


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
    with pytest.raises(SnnprofError, match="holds no Spikformer"):
        models.resolve("spikformer", checkpoint=path)
