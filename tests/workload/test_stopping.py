"""`--until-ci`: when it is asked, what it says, and that the run then ends."""

from __future__ import annotations

import math
from statistics import mean, stdev

import pytest

from snnprof import statistics
from snnprof.merging import SPIKE_EVENTS
from snnprof.options import ProfileOptions
from snnprof.workload.run import profile_run
from snnprof.workload.stopping import StoppingRule

FIGURES = [100, 104, 97, 103, 99, 101, 95, 106, 98, 102, 100, 100, 96, 105, 99, 101]


def test_reached_at_the_half_width_of_the_interval():
    """Blocks of equal size: the ratio estimator is the mean's own standard error."""
    half = statistics.t_quantile(0.975, 15) * stdev(FIGURES) / math.sqrt(16) / mean(FIGURES) * 100
    counted = [(i, figure, 4) for i, figure in enumerate(FIGURES)]
    assert StoppingRule(half * 1.001).reached(counted)
    assert not StoppingRule(half * 0.999).reached(counted)
    shared = [(i, figure - 40, 1) for i, figure in enumerate(FIGURES)] + [(i, 40, 3) for i in range(16)]
    assert StoppingRule(half * 1.001).reached(shared)  # two processes, the same blocks
    assert not StoppingRule(half * 0.999).reached(shared)


def test_silence_reaches_nothing():
    assert not StoppingRule(50).reached([(i, 0, 4) for i in range(16)])
    assert not StoppingRule(50).reached([(0, 5, 4)])


def test_never_before_sixteen_blocks():
    assert not StoppingRule(50).reached([(i, 100, 4) for i in range(15)])
    assert StoppingRule(50).reached([(i, 100, 4) for i in range(16)])


@pytest.mark.parametrize(("largest", "stops"), [(400, True), (401, False)])
def test_a_heavy_tail_delays_the_end(largest, stops):
    """One of 64 blocks at four times the median, or above."""
    counted = [(i, 100, 4) for i in range(63)] + [(63, largest, 4)]
    assert StoppingRule(50).reached(counted) is stops


def test_blocks_of_which_most_are_silent_are_a_heavy_tail():
    assert not StoppingRule(1000).reached([(i, 100 if i < 7 else 0, 4) for i in range(16)])


def test_asked_at_whole_blocks_from_the_sixteenth_on():
    asked = [(n, span) for n in range(1, 200) for span in (1, 2, 16) if StoppingRule(1).is_due(n, span)]
    assert [n for n, span in asked if span == 1] == list(range(16, 200, 8))
    assert [n for n, span in asked if span == 2] == list(range(32, 200, 8))
    assert [n for n, span in asked if span == 16] == []


@pytest.mark.parametrize(("percent", "samples"), [(50.0, 64), (0.01, 200)])
def test_the_run_ends_there(net, images, percent, samples):
    activity = profile_run(
        ProfileOptions(model=net, data=images(200), batch_size=4, timesteps=2, device="cpu", until_ci=percent, seed=5)
    )
    assert activity.samples == samples
    assert activity.run.complete
    assert (activity.run.data.order_seed, activity.run.data.total) == (5, 200)
    events = [(i, sum(row[SPIKE_EVENTS] for row in b.ops), b.samples) for i, b in enumerate(activity.blocks)]
    assert StoppingRule(percent).reached(events) == (percent == 50)
