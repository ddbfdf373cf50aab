"""Spikes as people make them, in a module, in a function and in an autograd.Function: counted right, or said."""

from __future__ import annotations

import importlib.util
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import snnprof
from snnprof.activity import Activity

FORMS = ("module", "function", "autograd function")
FACTS = ("C05", "C06", "C08", "C10", "C11")  # of the run, its input and its device: they question no layer's kind
LAYERS = ("b", "fire")
KNOWN_SAID: tuple[str, ...] = ()
"""`kind: name` of idioms that are not counted right, and of which a finding says so."""


def _corpus() -> ModuleType:
    spec = importlib.util.spec_from_file_location("idioms", Path(__file__).with_name("idioms.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and scripted functions look their module up
    spec.loader.exec_module(module)
    return module


IDIOMS = _corpus().IDIOMS
HARDWARE = snnprof.load_hardware("cmos45-fp32")
GENERATOR = torch.Generator().manual_seed(0)
BATCHES = [torch.randn(rows, 8, generator=GENERATOR) for rows in (4, 3)]
WEIGHTS = torch.randn(16, 8, generator=torch.Generator().manual_seed(1))
KEPT: list[Tensor] = []
"""What the second layers read: outside the networks, which `profile` leaves as it found them."""


class Net(nn.Module):
    """Linear 8 to 16, spikes, linear to 4."""

    def __init__(self, idiom: Any, form: str) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 16, bias=False), nn.Linear(idiom.width, 4, bias=False)
        self.a.weight.data = WEIGHTS.clone()
        self.steps, self.call = idiom.steps, idiom.fire
        if isinstance(idiom.fire, type) or form == "module":
            self.fire = _module(idiom)
            self.call = self.fire if form == "module" else self.fire.forward
        if form == "autograd function":
            self.call = _function(self.call)

    def forward(self, x: Tensor) -> Tensor:
        for _ in range(self.steps):
            h = self.call(self.a(x))
            KEPT.append(h.detach().clone())
            y = self.b(h)
        return y


def _module(idiom: Any) -> nn.Module:
    if isinstance(idiom.fire, type):
        made = idiom.fire()
        assert isinstance(made, nn.Module)
        return made

    def forward(self: nn.Module, v: Tensor) -> Tensor:
        return idiom.fire(v)

    name = idiom.neuron[0] if idiom.neuron else "Fire"
    return type(name, (nn.Module,), {"forward": forward})()


def _function(fire: Any) -> Any:
    class Spike(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, v: Tensor) -> Tensor:
            return fire(v)

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            return grads[0]

    return Spike.apply


def _bare(idiom: Any, batches: list[Tensor], form: str = "function") -> list[Tensor]:
    """What the network does without a profiler, each batch in a network of its own, seeded as seed 0 of `profile`."""
    KEPT.clear()
    for number, x in enumerate(batches):
        net = Net(idiom, form).eval()
        torch.manual_seed(number)
        with torch.no_grad():
            net(x.clone())
    return list(KEPT)


def _right(idiom: Any, kept: list[Tensor], samples: int) -> tuple[int, int]:
    """SOPs and MACs, of activations and the definition alone."""
    first = samples * 8 * 16 * idiom.steps
    inner = samples * idiom.inner
    if idiom.real:
        return inner, first + 4 * sum(h.numel() for h in kept)
    return inner + 4 * sum(int(idiom.spikes(h).double().sum()) for h in kept), first


def _counted(activity: Activity) -> tuple[int, int]:
    totals = snnprof.price(activity, hardware=HARDWARE).totals
    return round(totals.sops), round(totals.macs)


def _said(activity: Activity) -> list[str]:
    """Findings that question what the layer or its neuron was counted for."""
    about = (f for f in activity.findings if f.layer.split(".")[0] in LAYERS)
    return [finding.code for finding in about if finding.code not in FACTS]


def _verdict(idiom: Any, form: str, batches: list[Tensor]) -> str:
    """`right`, `said`, or what is wrong."""
    bare = _bare(idiom, batches, form)
    KEPT.clear()
    named = idiom.neuron if form == "module" else ()
    activity = snnprof.profile(Net(idiom, form), [x.clone() for x in batches], neuron=named)
    kept = KEPT[: len(bare)]
    if idiom.seeded and not all(map(torch.equal, kept, bare)):  # where T lies within a call, the first batch runs twice
        kept = KEPT[idiom.steps : idiom.steps + len(bare)]
    if idiom.seeded and not all(map(torch.equal, kept, bare)):
        return "the network does not do what it does unwatched"
    got, want = _counted(activity), _right(idiom, kept, sum(map(len, batches)))
    if got == want:
        return "right"
    said = _said(activity)
    return "said" if said else f"(SOPs, MACs) {got}, right {want}"


def _verdicts(idiom: Any) -> Iterator[tuple[str, str]]:
    """What is not right: two forms read one batch, the third, another one for each idiom, reads two."""
    two = FORMS[IDIOMS.index(idiom) % len(FORMS)]
    for form in FORMS:
        verdict = _verdict(idiom, form, BATCHES if form == two else BATCHES[:1])
        if verdict != "right":
            yield f"{form}{', two batches' if form == two else ''}", verdict


def _id(idiom: Any) -> str:
    return f"{idiom.kind}: {idiom.name}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("idiom", IDIOMS, ids=_id)
def test_counted_right_or_said(idiom: Any) -> None:
    wrong = dict(_verdicts(idiom))
    if _id(idiom) in KNOWN_SAID:
        assert set(wrong.values()) == {"said"}, f"no longer only said: {wrong}"
    else:
        assert wrong == {}


# -- the corpus itself ---------------------------------------------------------------------------------------------


def test_every_idiom_has_a_name() -> None:
    names = [_id(idiom) for idiom in IDIOMS]
    assert len(names) == len(set(names)) >= 130
    assert set(KNOWN_SAID) <= set(names)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("idiom", IDIOMS, ids=_id)
def test_the_definition_leaves_no_doubt(idiom: Any) -> None:
    """Levels lie on their grid and show no common divisor, single spikes have one size, and some of them fire."""
    kept = _bare(idiom, BATCHES)
    assert {h.shape[-1] for h in kept} == {idiom.width}
    if idiom.real:
        return
    for run in (kept[: idiom.steps], kept):
        shown = torch.cat([h.flatten() for h in run])
        counts = torch.cat([idiom.spikes(h).flatten() for h in run]).long()
        sizes = shown[counts > 0].abs().double() / counts[counts > 0]
        torch.testing.assert_close(sizes, sizes[:1].expand_as(sizes), rtol=1e-5, atol=0)
        assert math.gcd(*counts.tolist()) == 1
        assert counts.max() <= 32
        assert torch.equal(counts > 0, shown != 0)
