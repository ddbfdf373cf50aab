"""What a sweep varies: settings, values, the grid, and the options of each run."""

from __future__ import annotations

from pathlib import Path

import pytest

from snnprof.errors import SnnprofError
from snnprof.grid import GridPoint, axes, file_names, grid
from snnprof.options import ProfileOptions

GIVEN = ProfileOptions(model="m")


def test_several_axes_make_a_grid() -> None:
    points = grid(axes(["timesteps=1,2", "set.width=[8, 16],[8]"]))
    assert [point.values for point in points] == [
        (("timesteps", "1"), ("set.width", "[8, 16]")), (("timesteps", "1"), ("set.width", "[8]")),
        (("timesteps", "2"), ("set.width", "[8, 16]")), (("timesteps", "2"), ("set.width", "[8]")),
    ]  # fmt: skip
    assert points[0].words == ["--timesteps", "1", "--set", "width=[8, 16]"]


def test_a_point_becomes_options(tmp_path: Path) -> None:
    weights = tmp_path / "a.pt"
    weights.touch()
    point = GridPoint(
        (("timesteps", "4"), ("threshold.block.*", "0.5"), ("threshold", "1"), ("input_rate", "0.25"),
         ("checkpoint", str(weights)), ("seed", "3"), ("set.depth", "2"))
    )  # fmt: skip
    options = point.options(GIVEN)
    assert (options.timesteps, options.input_rate, options.checkpoint, options.seed) == (4, 0.25, weights, 3)
    assert options.thresholds == (("", 1.0), ("block.*", 0.5))  # that of all neurons first: a pattern departs from it
    assert options.settings == (("depth", "2"),)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (["timestep=1"], "unknown setting to sweep over 'timestep'"),
        (["timesteps"], "--over needs SETTING=VALUE"),
        (["timesteps="], "a value is empty"),
        (["timesteps=1,1"], "a value is there twice"),
        (["timesteps=1", "timesteps=2"], "two sweeps over timesteps"),
        (["set.=1"], "unknown setting to sweep over 'set.'"),
        (["seed.x=1"], "unknown setting to sweep over 'seed.x'"),
        ([], "a sweep needs a setting"),
        ({"threshold": []}, "--over threshold has no values"),
        ({"timesteps": "12"}, "--over timesteps needs a list of values, not '12'"),
        ({"timesteps": 4}, "--over timesteps needs a list of values, not 4"),
    ],
)
def test_what_is_no_axis(over: list[str] | dict[str, list[object]], message: str) -> None:
    with pytest.raises(SnnprofError, match=message):
        axes(over)


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ("timesteps=0", "needs whole numbers from 1 to 1,000,000, not '0'"),
        ("timesteps=1.5", "not '1.5'"),
        ("threshold=0", "needs numbers above 0, not '0'"),
        ("threshold=nan", "not 'nan'"),
        ("threshold=inf", "not 'inf'"),
        ("threshold=high", "not 'high'"),
        ("input_rate=1.5", "above 0 and at most 1, not '1.5'"),
        ("checkpoint=missing.pt", "there is no file missing.pt"),
    ],
)
def test_values_that_no_setting_has(over: str, message: str) -> None:
    with pytest.raises(SnnprofError, match=message):
        [point.options(GIVEN) for point in grid(axes([over]))]


def test_one_value_for_all_runs_contradicts_a_sweep() -> None:
    given = ProfileOptions(model="m", timesteps=4, settings=(("depth", "2"),), thresholds=(("", 1.0),), input_rate=0.5)
    for over in ("timesteps=1", "set.depth=1", "threshold=1", "input_rate=1"):
        with pytest.raises(SnnprofError, match=f"--over {over.partition('=')[0]} contradict"):
            grid(axes([over]))[0].options(given)


def test_file_names_are_readable_and_differ() -> None:
    points = grid(axes({"checkpoint": ["a/best.pt", "b/best.pt", "<b>%.pt"], "threshold.block.*": [0.5]}))
    assert file_names(points) == [
        "checkpoint-best_threshold.block-0.5.json", "checkpoint-best_threshold.block-0.5_2.json",
        "checkpoint-b_threshold.block-0.5.json",
    ]  # fmt: skip
    (long,) = file_names([GridPoint((("set.name", "n" * 1000),))])
    assert len(long) < 200
