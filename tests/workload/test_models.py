import sys

import pytest
import torch
from torch import nn

from snnprof.cli.profile import _setting
from snnprof.errors import SnnprofError
from snnprof.workload import models


def weights(module):
    return torch.cat([parameter.detach().flatten() for parameter in module.parameters()])


def test_a_name_alone_is_the_trained_default():
    loaded = models.resolve("spikformer")
    assert loaded.facts.preset == "digits"
    assert loaded.facts.checkpoint == "spikformer_digits.pt"
    assert len(loaded.facts.sha256) == 64
    assert loaded.facts.note is None
    assert (loaded.timesteps, loaded.layout, loaded.input_shape, loaded.classes) == (4, "batch", [1, 16, 16], 10)
    assert not loaded.module.training


def test_random_weights_are_seeded_and_said_to_be_random():
    first, again, other = (models.resolve("saformer:digits", {"depth": "1"}, seed=seed) for seed in (0, 0, 1))
    assert weights(first.module).equal(weights(again.module))
    assert not weights(first.module).equal(weights(other.module))
    assert "weights are random (seed 1)" in other.facts.note
    assert "the shipped weights belong to other settings" in other.facts.note


SETTINGS = """
from torch import nn

def plain(width):
    return nn.Linear(4, width)

def hinted(width: int, skip: bool = False):
    return nn.Linear(4, width)

def lying(width: list[str] = "3"):
    return nn.Linear(4, int(width))

def unknown(width: "Nowhere"):
    return nn.Linear(4, width)
"""


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("hinted", "width of .*net.py:hinted takes a whole number, not 'wide'"),
        ("plain", "building .*net.py:plain failed: TypeError"),
        ("unknown", "building .*net.py:unknown failed: TypeError"),
    ],
)
def test_a_wrong_setting_of_a_function_of_a_file(tmp_path, function, message):
    (tmp_path / "net.py").write_text(SETTINGS)
    with pytest.raises(SnnprofError, match=message):
        models.resolve(f"{tmp_path / 'net.py'}:{function}", {"width": "wide"})


def test_annotations_that_are_not_true_refuse_nothing(tmp_path):
    (tmp_path / "net.py").write_text(SETTINGS)
    assert models.resolve(f"{tmp_path / 'net.py'}:lying", {"width": "5"}).module.out_features == 5


@pytest.mark.parametrize("name", ["qkformer", "saformer", "sdt", "spikformer", "spikingformer", "ssa_bin"])
def test_the_example_of_a_setting_holds_for_every_bundled_model(name):
    with pytest.raises(SnnprofError) as caught:
        _setting("depth")
    key, value = caught.value.hint.removeprefix("for example --set ").split("=")
    assert models.resolve(name, {key: value}).facts.parameters > 0


def test_the_caller_s_random_numbers_are_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    models.resolve("saformer:digits", {"depth": 1})
    assert torch.rand(2).equal(expected)


def test_other_steps_keep_the_trained_weights():
    loaded = models.resolve("spikformer:digits", {"timesteps": "2"})
    assert loaded.timesteps == loaded.module.timesteps == 2
    assert loaded.facts.checkpoint == "spikformer_digits.pt"


def test_parameters_are_counted():
    loaded = models.resolve("spikformer:2-384-cifar10")
    assert loaded.facts.parameters == 5_768_122
    assert "random" in loaded.facts.note


def test_settings_are_read_as_yaml():
    assert models.yaml_value("4") == 4
    assert models.yaml_value("[3, 4]") == [3, 4]
    assert models.yaml_value("cifar") == "cifar"
    assert models.yaml_value("{") == "{"
    assert models.yaml_value(2.5) == 2.5


@pytest.mark.parametrize(
    ("spec", "settings", "message", "hint"),
    [
        ("spikformer:digits", {"dept": 3}, "spikformer:digits has no setting 'dept'", "did you mean 'depth'"),
        ("spikformer:digits", {"depth": "deep"}, "depth must be a positive whole number", ""),
        ("spikformr", {}, "unknown model 'spikformr'", "did you mean 'spikformer'"),
        ("spikformr:digits", {}, "unknown model 'spikformr'", "did you mean 'spikformer'"),
        ("no.such.package:net", {}, "there is no module 'no.such.package'", "FILE.py:FUNCTION"),
        ("torch.nn.nowhere:net", {}, "there is no module 'torch.nn.nowhere'", "FILE.py:FUNCTION"),
        ("torch.nn:Linaer", {}, "torch.nn has no 'Linaer'", "'Linear'"),
        (
            "spikformer",
            {"pools": "5"},
            "pools of spikformer:digits takes a list of whole numbers, not 5",
            "for example --set 'pools=[1, 2]'",
        ),
        ("ssa_bin", {"kappa": "x"}, "kappa of ssa_bin:digits takes a number, not 'x'", ""),
        ("spikformer", {"attention": "3"}, "takes a function, which only Python can pass, not 3", ""),
        ("torch.nn:Linear", {}, "needs a value for in_features, out_features", "--set in_features=VALUE"),
        ("torch:float32", {}, "is a dtype, neither a module nor a function", ""),
        ("missing.py:net", {}, "there is no file missing.py", ""),
        ("missing.py", {}, "does not say which function", "missing.py:FUNCTION"),
    ],
)
def test_what_is_wrong_with_a_model_is_said(spec, settings, message, hint):
    with pytest.raises(SnnprofError) as caught:
        models.resolve(spec, settings)
    assert message in str(caught.value)
    assert hint in caught.value.hint


def write(tmp_path, text, name="net.py"):
    path = tmp_path / name
    path.write_text(text)
    return path


FILE = """
from torch import nn
from helper_of_net import WIDTH

def build(width=WIDTH):
    return nn.Linear(width, 2)

ready = nn.Linear(5, 2)
text = lambda: "no module"
needs_gpu = lambda: 1 / 0
"""


@pytest.fixture
def net(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    write(tmp_path, "WIDTH = 3", "helper_of_net.py")
    yield write(tmp_path, FILE)
    sys.modules.pop("helper_of_net", None)


def test_a_function_of_a_file(net):
    loaded = models.resolve(f"{net}:build")
    assert loaded.module.in_features == 3
    assert loaded.facts.name == "build"
    assert loaded.layout is None
    assert loaded.entry is None
    assert models.resolve(f"{net}:build", {"width": "7"}).module.in_features == 7


def test_a_finished_module_of_a_file(net):
    assert isinstance(models.load_model(f"{net}:ready"), nn.Linear)
    with pytest.raises(SnnprofError, match="takes no settings"):
        models.resolve(f"{net}:ready", {"width": 3})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("biuld", "has no 'biuld'"),
        ("text", "returned a str, not an nn.Module"),
        ("needs_gpu", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_wrong_function_of_a_file(net, function, message):
    with pytest.raises(SnnprofError, match=message):
        models.resolve(f"{net}:{function}")


@pytest.mark.parametrize(
    ("text", "message"),
    [("import not_installed_at_all", "ModuleNotFoundError: No module named 'not_installed_at_all'"),
     ("def f(:", "SyntaxError"), ("raise ValueError('no')", "ValueError: no")],
)  # fmt: skip
def test_a_failing_file_or_module_is_told_from_a_missing_one(tmp_path, monkeypatch, text, message):
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = write(tmp_path, text, "broken_net.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    for spec in (f"{path}:f", "broken_net:f"):
        with pytest.raises(SnnprofError) as caught:
            models.resolve(spec)
        assert "failed on import" in str(caught.value)
        assert message in str(caught.value)


def test_a_checkpoint_for_a_function_of_a_file(net, tmp_path):
    state = nn.Linear(3, 2).state_dict()
    torch.save(state, tmp_path / "w.pt")
    loaded = models.resolve(f"{net}:build", checkpoint=tmp_path / "w.pt")
    assert loaded.module.weight.equal(state["weight"])
    assert loaded.facts.checkpoint == "w.pt"


def test_steps_asked_for_apart_from_the_settings():
    assert models.resolve("saformer:digits", timesteps=2).module.timesteps == 2
    assert models.resolve("saformer:digits", {"timesteps": 3}, timesteps=2).timesteps == 3
    events = models.resolve("saformer:reconstruction-2-256-dvs128gesture", timesteps=5)
    assert events.input_shape == [5, 2, 128, 128]
