"""What goes into a model and which labels come with it, run end to end: counts are right, and what is odd is told."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import snnprof
from snnprof.workload import models
from snnprof.workload.labels import class_numbers

ROOT = Path(__file__).parents[2]
X, AGE, Y = torch.rand(6, 4), torch.rand(6, 2), torch.tensor([0, 1, 2, 0, 1, 2])


class Two(nn.Module):
    """Spikes of two inputs; `steps` sees one frame of each at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(4, 8), nn.Linear(2, 8), nn.Linear(8, 3)

    def forward(self, image: torch.Tensor, age: torch.Tensor) -> Any:
        return self.head((self.a(image) + self.b(age) > 0).float())


class Scores(nn.Module):
    """Puts out what it is told to."""

    def __init__(self, out: Any) -> None:
        super().__init__()
        self.fc, self.out = nn.Linear(4, 3), out

    def forward(self, x: torch.Tensor) -> Any:
        return self.out(self.fc(x))


def codes(activity: snnprof.Activity, *wanted: str) -> list[tuple[str, str]]:
    return [(found.code, found.text) for found in activity.findings if found.code in wanted]


def counts(activity: snnprof.Activity) -> list[Any]:
    return [(op.layer, op.parts) for op in activity.ops]


# -- several inputs --------------------------------------------------------------------------------------------


def test_several_inputs_in_order_and_by_name() -> None:
    model = Two()
    by_hand = snnprof.Recorder(model)
    with by_hand, torch.no_grad():
        model(X, AGE)
    expected = counts(by_hand.activity(samples=6))
    for x in ((X, AGE), {"image": X, "age": AGE}, {"age": AGE, "image": X}):
        activity = snnprof.profile(model, [(x, Y)])
        assert counts(activity) == expected
        assert (activity.samples, activity.accuracy and activity.accuracy.total) == (6, 6)
        assert activity.coverage == 1.0
        assert activity.self_check is not None
        assert activity.self_check.equal == activity.self_check.rows == 3


def test_one_input_by_another_name_is_the_only_one() -> None:
    activity = snnprof.profile(nn.Linear(4, 3), [{"pixels": X, "label": Y}])
    assert activity.accuracy is not None
    assert activity.accuracy.total == 6


def test_several_inputs_step_by_step() -> None:
    frames = torch.rand(3, 6, 4)
    activity = snnprof.profile(Two(), [((frames, AGE), Y)], layout="step", timesteps=3)
    assert [op.dense_macs for op in activity.ops] == [3 * 6 * 32, 3 * 6 * 16, 3 * 6 * 24]


def test_several_inputs_on_a_batch_that_does_not_fit() -> None:
    with pytest.raises(snnprof.errors.SnnprofError, match=r"on a batch of shape \[6, 2\], \[6, 4\]: "):
        snnprof.profile(Two(), [((AGE, X), Y)])


# -- number formats --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("data", [torch.float32, torch.float64, torch.float16])
def test_real_data_take_the_format_of_the_weights(weights: torch.dtype, data: torch.dtype) -> None:
    activity = snnprof.profile(nn.Linear(4, 3).to(weights), [((X > 0.5).to(data), Y)])
    assert activity.accuracy is not None
    assert activity.ops[0].events == 3 * int((X > 0.5).sum())


def test_whole_numbers_of_an_iterable_stay_whole() -> None:
    model = nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(40, 3))
    activity = snnprof.profile(model, [(torch.arange(30).view(6, 5) % 20, Y)])
    assert activity.ops[0].dense_macs == 6 * 120


@pytest.mark.parametrize(
    ("model", "rows"),
    [
        (nn.Sequential(nn.Embedding(20, 4), nn.Linear(4, 3)), 20),
        (nn.Sequential(nn.Identity(), nn.Sequential(nn.EmbeddingBag(7, 4))), 7),
        (nn.Sequential(nn.Linear(4, 3), nn.Embedding(20, 4)), None),
        (nn.Identity(), None),
    ],
)
def test_the_embedding_with_which_a_model_begins(model: nn.Module, rows: int | None) -> None:
    assert models.tokens(model) == rows


# -- labels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y", [Y, Y[:, None], torch.eye(3)[Y], torch.eye(3)[Y].bool(), Y.double(), Y.byte(), Y.numpy().astype(">i8")]
)
def test_labels_in_all_forms_give_one_accuracy(y: Any) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    correct = int((model(X).argmax(1) == Y).sum())
    activity = snnprof.profile(model, [(X, y)])
    assert activity.accuracy is not None
    assert (activity.accuracy.correct, activity.accuracy.total) == (correct, 6)
    assert codes(activity, "C26") == []


@pytest.mark.parametrize(
    ("y", "why"),
    [
        (torch.ones(6, 3), "are [3] numbers per sample, not one class"),
        (2 * torch.eye(3)[Y], "are [3] numbers per sample, not one class"),
        (torch.full((6,), 0.5), "are real numbers, not classes"),
        (torch.tensor([0, 1, 2, 0, 1, torch.nan]), "hold NaN for 1 of 6 samples"),
        (Y[:5], "number 5 for 6 samples"),
        (torch.zeros(6, 5, 5), "are [5, 5] numbers per sample, not one class"),
    ],
)
def test_labels_that_are_no_classes(y: torch.Tensor, why: str) -> None:
    assert class_numbers(y, 6) == (None, why)
    activity = snnprof.profile(nn.Linear(4, 3), [(X, y)])
    assert activity.accuracy is None
    assert codes(activity, "C26") == [("C26", f"There is no accuracy: the labels {why}")]


def test_labels_in_some_batches_only() -> None:
    activity = snnprof.profile(nn.Linear(4, 3), [(X, Y), X, (X, Y)])
    assert activity.accuracy is None
    assert codes(activity, "C26") == [
        ("C26", "There is no accuracy: some batches of the data have labels and some have none")
    ]


@pytest.mark.parametrize(
    ("out", "shown"), [(lambda x: x[:, None, None], r"\[6, 1, 1, 3\]"), (lambda x: {"none": None}, "no tensor")]
)
def test_outputs_that_are_no_class_scores(out: Any, shown: str) -> None:
    ((_, text),) = codes(snnprof.profile(Scores(out), [(X, Y)], self_check=False), "C26")
    assert re.fullmatch(f"There is no accuracy: the model outputs {shown}, not 6 rows of class scores", text)


def test_labels_outside_the_classes_are_told_once() -> None:
    activity = snnprof.profile(nn.Linear(4, 3), [(X, Y + 1), (X, Y - 1)])
    ((_, text),) = codes(activity, "C21")
    assert text.startswith("Labels range from 1 to 3, but the model outputs 3 classes")


# -- NaN -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_numbers_that_are_none_in_a_batch(value: float) -> None:
    odd = X.clone()
    odd[2, 1] = odd[4, 0] = value
    activity = snnprof.profile(Scores(lambda x: torch.zeros_like(x)), [(X, Y), (odd, Y), (odd, Y)])
    assert codes(activity, "C25") == [
        ("C25", "Batch 1 has NaN or infinity in the data, in 2 of its 6 samples; later batches may have them too")
    ]


def test_nan_in_what_the_model_puts_out() -> None:
    activity = snnprof.profile(Scores(lambda x: x * torch.nan), [(X, Y)])
    assert codes(activity, "C25") == [
        ("C25", "Batch 0 has NaN in the model's output, in 6 of its 6 samples; later batches may have them too")
    ]


def test_a_masked_class_is_no_nan() -> None:
    activity = snnprof.profile(
        Scores(lambda x: x.masked_fill(torch.tensor([False, False, True]), -torch.inf)), [(X, Y)]
    )
    assert codes(activity, "C25") == []


def test_looking_for_nan_counts_nothing() -> None:
    model = nn.Sequential(nn.Linear(4, 3))
    with snnprof.Recorder(model) as recorder, torch.no_grad():
        model(X)
    by_hand, run = recorder.activity(samples=6), snnprof.profile(model, [(X, Y)])
    assert counts(run) == counts(by_hand)
    assert run.elementwise == by_hand.elementwise


# -- the page --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def page(script: Any) -> ModuleType:
    module: ModuleType = script("benchmarks/inputs.py")
    return module


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["CHECKPOINTS", "DATA"])
def test_every_file_of_the_page(page: ModuleType, kind: str) -> None:
    pytest.importorskip("h5py")
    pytest.importorskip("safetensors")
    flag = "--checkpoint" if kind == "CHECKPOINTS" else "--data"
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    tried = list(page.tried(getattr(page, kind), flag))
    assert {case.what: problem for case, _, problem in tried if problem} == {}
    assert [row for case, outcome, _ in tried if (row := page.row(case, outcome)) not in text] == []


def test_forty_checkpoints_and_thirty_data_files(page: ModuleType) -> None:
    assert len({case.what for case in page.CHECKPOINTS}) == len(page.CHECKPOINTS) >= 40
    assert len({case.what for case in page.DATA}) == len(page.DATA) >= 30


def test_arrays_of_other_libraries_are_read() -> None:
    pandas = pytest.importorskip("pandas")
    model = nn.Linear(4, 3)
    frame, series = pandas.DataFrame(X.numpy()), pandas.Series(Y.numpy())
    first, *others = (snnprof.profile(model, [item]) for item in ((X, Y), (frame, series), (np.asarray(X), Y.tolist())))
    assert [other.accuracy for other in others] == [first.accuracy] * 2
    assert [counts(other) for other in others] == [counts(first)] * 2
