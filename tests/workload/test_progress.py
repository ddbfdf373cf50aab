"""How far `snnprof.profile` is, for whoever asks; and what it knows of a model that `load_model` made."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import snnprof

LOADER = DataLoader(torch.rand(6, 4), batch_size=2)  # type: ignore[arg-type, var-annotated]


def test_a_function_is_told_phase_samples_done_and_samples_to_do() -> None:
    told: list[tuple[str, int, int | None]] = []
    snnprof.profile(nn.Linear(4, 3), LOADER, progress=lambda *where: told.append(where))
    assert [where for where in told if where[0] == "profiling"] == [("profiling", n, 6) for n in (2, 4, 6)]
    told.clear()
    snnprof.profile(nn.Linear(4, 3), [torch.rand(2, 4)] * 3, samples=4, progress=lambda *where: told.append(where))
    assert told[1] == ("profiling", 4, 4)


def test_a_bar_stands_on_stderr_where_it_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    snnprof.profile(nn.Linear(4, 3), LOADER)
    assert capsys.readouterr() == ("", "")
    snnprof.profile(nn.Linear(4, 3), LOADER, progress=True)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "profiling: 100%" in printed.err


@pytest.mark.slow
def test_a_model_that_was_loaded_by_name_keeps_it() -> None:
    model = snnprof.load_model("saformer")
    x = torch.rand(2, 1, 16, 16)
    known = snnprof.profile(model, x, self_check=False).run.model
    assert (known.name, known.preset, known.checkpoint) == ("saformer", "digits", "saformer_digits.pt")
    assert known.title.startswith("SAFormer (reconstruction)")
    with torch.no_grad():
        next(model.parameters()).add_(1)
    other = snnprof.profile(model, x, self_check=False).run.model
    assert (other.name, other.checkpoint, other.sha256) == ("saformer", None, None)
    assert other.note is not None
    assert other.note.endswith("Its weights were changed after it was loaded.")
