"""The numbers behind the figures: worked out here from the run's own integers."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from snnprof import catalogue, estimates, statistics
from snnprof.activity import Activity
from snnprof.charts.attention import attention_values, is_binary
from snnprof.charts.energy import energy_of_networks, energy_of_run
from snnprof.charts.maps import overlays
from snnprof.charts.rates import neuron_role, rates_by_layer, rates_by_role, rates_by_step, roles_repeat
from snnprof.charts.tradeoff import Point, data_names, tradeoff_of, unbeaten
from snnprof.comparison import PRINTED, Entry, Estimate
from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps, LayerMaps
from snnprof.pricing import price
from snnprof.sweeps import is_sweep, sweep_of

LISTS = ("cmos45-fp32", "rolls-77fj")


def entry(activity: Activity, name: str = "net", lists: Sequence[str] = LISTS[:1]) -> Entry:
    return Entry(name, runs=(tuple(price(activity, id) for id in lists),))


def row(id: str) -> Entry:
    published = catalogue.published_row(id)
    return Entry(f"{published.title} (published)", published=published)


def changed(activity: Activity, **facts: Any) -> Activity:
    """The run with other facts: `timesteps=2`, `data={"source": "x"}`, …"""
    update = {
        key: getattr(activity.run, key).model_copy(update=value) if key in ("data", "model") else value
        for key, value in facts.items()
    }
    return activity.model_copy(update={"run": activity.run.model_copy(update=update)})


# -- energy ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [None, "role", "block", "layer", "op"])
def test_bars_of_a_run_add_up_to_it(by: Any, activity: Activity) -> None:
    reports = [price(activity, id) for id in LISTS]
    chart = energy_of_run(reports, by)
    for report, panel in zip(reports, chart.panels, strict=True):
        whole = report.per_inference(report.energy_pj)
        assert sum(sum(bar.parts.values()) for bar in panel.bars) == pytest.approx(whole)
        assert sum(bar.share or 0.0 for bar in panel.bars) == pytest.approx(1.0)
        assert panel.total == estimates.energy(report)


def test_parts_are_the_terms_of_the_rows(activity: Activity) -> None:
    report = price(activity, "cmos45-fp32")
    bars = {bar.name: bar for bar in energy_of_run([report], "block").panels[0].bars}
    stem = [each for each in report.rows if each.layer.startswith("patch_embed")]
    for term in ("mac", "elementwise"):
        expected = sum(each.terms.get(term) or 0.0 for each in stem) / 20
        assert bars["SPS"].parts.get(term, 0.0) == pytest.approx(expected)


def test_work_without_a_price_is_no_bar_of_0(activity: Activity) -> None:
    chart = energy_of_run([price(activity, id) for id in LISTS], "role")
    priced, not_priced = ({bar.name: bar.total for bar in panel.bars}["stem"] for panel in chart.panels)
    assert priced is not None
    assert not_priced is None


def test_bars_of_networks_are_stacked_by_role(activity_maker: Callable[..., Activity]) -> None:
    runs = [activity_maker("spikformer"), activity_maker("spikformer", firing=5)]
    chart = energy_of_networks([entry(run, str(place), LISTS) for place, run in enumerate(runs)])
    assert {"stem", "QKV", "attention", "projection", "MLP", "head"} <= set(chart.parts)
    assert "AV" not in chart.parts, "one part for all products of attention"
    for id, panel in zip(LISTS, chart.panels, strict=True):
        for run, bar in zip(runs, panel.bars, strict=True):
            assert bar.total == estimates.energy(price(run, id))
            assert sum(bar.parts.values()) == pytest.approx(bar.total.value)  # type: ignore[union-attr]


def test_networks_that_nobody_knows_are_stacked_by_work(activity: Activity) -> None:
    mine = changed(activity, model={"name": "mine"})
    chart = energy_of_networks([entry(mine, "a"), entry(mine, "b")])
    terms = {term: pj / 20 for term, pj in price(mine).totals.terms.items() if pj}
    assert chart.stacked_by == "work"
    assert [bar.parts for bar in chart.panels[0].bars] == [terms, terms]


def test_energies_that_cannot_stand_side_by_side(activity: Activity) -> None:
    with pytest.raises(SnnprofError, match="a published row has no layers"):
        energy_of_networks([entry(activity), row("ssa_bin-bin-cifar10")])
    with pytest.raises(SnnprofError, match="samples of net are not known"):
        energy_of_networks([entry(activity.model_copy(update={"samples": None, "blocks": []}))])


def test_a_run_of_unknown_samples_is_no_inference(activity: Activity) -> None:
    report = price(activity.model_copy(update={"samples": None, "blocks": []}))
    chart = energy_of_run([report])
    assert chart.per == "over the whole run"
    assert sum(sum(bar.parts.values()) for bar in chart.panels[0].bars) == pytest.approx(report.energy_pj)


# -- rates -----------------------------------------------------------------------------------------------------


def test_rates_by_role_are_spikes_over_updates(activity: Activity) -> None:
    rates = {(rate.block, rate.role): rate for rate in rates_by_role(activity)}
    assert [role for _, role in rates] == ["SPS", "Q", "K", "V", "attention", "MLP"]
    mlp = rates["block 0", "MLP"]
    fc1, fc2 = (next(n for n in activity.neurons if n.layer == layer) for layer in mlp.layers)
    assert mlp.value is not None
    assert mlp.value.value == (fc1.spikes + fc2.spikes) / (fc1.updates + fc2.updates)


def test_the_interval_of_a_rate_rests_on_the_blocks(activity: Activity) -> None:
    """The ratio estimator of docs/statistics.md, by hand."""
    place = [neuron.layer for neuron in activity.neurons].index("block.0.attn.q_lif")
    counts = [(block.neurons[place][0], block.neurons[place][2]) for block in activity.blocks]
    ratio = sum(spikes for spikes, _ in counts) / sum(updates for _, updates in counts)
    squares = sum((spikes - ratio * updates) ** 2 for spikes, updates in counts)
    error = (10 / 9 * squares) ** 0.5 / sum(updates for _, updates in counts)
    value = next(rate.value for rate in rates_by_role(activity) if rate.role == "Q")
    assert value is not None
    assert value.half == pytest.approx(statistics.t_quantile(0.975, 9) * error)


def test_a_rate_is_not_below_0(activity: Activity) -> None:
    """One block with all the spikes: Student's interval would reach below."""
    neuron = activity.neurons[0]
    blocks = [
        block.model_copy(
            update={"neurons": [[0 if place else 100, 0, 128, 0, 0, 0], *block.neurons[1:]]}
        )
        for place, block in enumerate(activity.blocks)
    ]  # fmt: skip
    run = activity.model_copy(
        update={"blocks": blocks, "neurons": [neuron.model_copy(update={"spikes": 100, "updates": 1280}),
                                              *activity.neurons[1:]]}
    )  # fmt: skip
    value = rates_by_layer(run)[0].value
    assert value is not None
    assert value.low == 0
    assert value.value == 100 / 1280


@pytest.mark.parametrize(
    ("layer", "role"),
    [
        ("blocks.3.attention.q_lif", "Q"), ("blocks.3.attention.key.lif", "attention.key.lif"), ("layer.1.v", "V"),
        ("layer.1.k1", "K"), ("net.2", "net.2"), ("", "(root)"), ("blocks.3.mlp.act_query", "mlp.act_query"),
    ],
)  # fmt: skip
def test_roles_of_a_network_that_nobody_knows(layer: str, role: str, activity: Activity) -> None:
    assert neuron_role(changed(activity, model={"name": "mine"}), layer) == role


def test_roles_repeat_where_blocks_do(activity_maker: Callable[..., Activity]) -> None:
    run = changed(activity_maker("mine"), model={"name": "mine"})
    assert not roles_repeat(rates_by_role(run)), "one block"
    more = [n.model_copy(update={"layer": n.layer.replace("block.0", "block.1")}) for n in run.neurons[1:]]
    assert roles_repeat(rates_by_role(run.model_copy(update={"neurons": [*run.neurons, *more], "blocks": []})))


def test_rates_by_step(activity: Activity) -> None:
    q = next(neuron for neuron in activity.neurons if neuron.layer.endswith("q_lif"))
    rates = {rate.role: rate for rate in rates_by_step(activity)}
    values = [value.value for value in rates["Q"].values if value]
    assert values == [spikes / (q.updates / 2) for spikes in q.spikes_per_step]
    assert np.mean(values) == pytest.approx(q.rate)


def test_a_layer_that_runs_fewer_steps_counts_in_those_alone(activity: Activity) -> None:
    once = activity.neurons[-1].model_copy(update={"spikes_per_step": [10], "steps": 1, "updates": 100})
    run = activity.model_copy(update={"neurons": [*activity.neurons[:-1], once], "blocks": []})
    fc1 = run.neurons[-2]
    first, second = next(rate.values for rate in rates_by_step(run) if rate.role == "MLP")
    assert first is not None
    assert second is not None
    assert first.value == (fc1.spikes_per_step[0] + 10) / (fc1.updates / 2 + 100)
    assert second.value == fc1.spikes_per_step[1] / (fc1.updates / 2)


def test_rates_that_nobody_knows(activity: Activity) -> None:
    with pytest.raises(SnnprofError, match="no spiking neuron"):
        rates_by_role(activity.model_copy(update={"neurons": []}))
    silent = [n.model_copy(update={"spikes_per_step": [], "updates": 0}) for n in activity.neurons]
    assert rates_by_role(activity.model_copy(update={"neurons": silent, "blocks": []}))[0].value is None
    with pytest.raises(SnnprofError, match="number of time steps is unknown"):
        rates_by_step(activity.model_copy(update={"neurons": silent, "blocks": []}))


# -- attention -------------------------------------------------------------------------------------------------


def with_attention(activity: Activity, histogram: list[int], quantum: float) -> Activity:
    """The run whose attention matrix, the left operand of `attn@v`, holds these values."""
    ops = list(activity.ops)
    place = next(place for place, op in enumerate(ops) if op.op == "matmul" and op.index == 1)
    left = ops[place].operands[0].model_copy(update={"histogram": histogram, "quantum": quantum})
    ops[place] = ops[place].model_copy(update={"operands": [left, *ops[place].operands[1:]]})
    return activity.model_copy(update={"ops": ops})


def test_attention_values_and_their_shares(activity: Activity) -> None:
    (matrix,) = attention_values(with_attention(activity, [60, 0, 30, 10], 0.125))
    assert (matrix.name, matrix.values, matrix.shares) == ("block 0", (0.0, 0.25, 0.375), (0.6, 0.3, 0.1))
    assert not is_binary([matrix])
    op = next(op for op in activity.ops if op.op == "matmul" and op.index == 1)
    assert matrix.nonzero is not None
    assert matrix.nonzero.value == op.nonzero / op.elements


@pytest.mark.parametrize("histogram", [[7, 3], [10], [0, 4], [5, 0, 5]])
def test_one_value_besides_0_is_binary(histogram: list[int], activity: Activity) -> None:
    assert is_binary(attention_values(with_attention(activity, histogram, 0.5)))


def test_a_run_without_attention(activity: Activity) -> None:
    with pytest.raises(SnnprofError, match="no histogram"):
        attention_values(activity.model_copy(update={"ops": activity.ops[:1]}))


def test_maps_of_chosen_samples() -> None:
    numbers = np.arange(3 * 16, dtype=np.float32).reshape(3, 4, 4)
    kept = AttentionMaps("net", "digits", np.ones((3, 1, 8, 8), np.float32), np.array([5, 6, 7]),
                         (LayerMaps("block.0.attn", "activity", numbers),))  # fmt: skip
    chosen = overlays(kept, [2, 0, 2])
    assert chosen.labels == ("2: class 7", "0: class 5")
    assert [each[0, 0] for each in chosen.maps[0]] == [32, 0]
    assert (chosen.largest, overlays(kept, [0]).largest) == (47, 15)
    with pytest.raises(SnnprofError, match="the samples 0 to 2, not 3"):
        overlays(kept, [3])
    with pytest.raises(SnnprofError, match="no attention map"):
        overlays(AttentionMaps("net", "digits", kept.images))


@pytest.mark.parametrize(
    ("layers", "columns"),
    [
        (("block.0.attn", "block.1.attn"), ("block 0", "block 1")),
        (("stage1.0.tssa", "stage2.0.tssa", "stage3.0.ssa"), ("stage1.0", "stage2.0", "stage3.0")),
        (("encoder.a", "encoder.b"), ("encoder.a", "encoder.b")),
        (("attn",), ("attn",)),
    ],
)
def test_maps_are_named_after_their_blocks(layers: tuple[str, ...], columns: tuple[str, ...]) -> None:
    maps = tuple(LayerMaps(layer, "activity", np.ones((1, 4, 4), np.float32)) for layer in layers)
    assert overlays(AttentionMaps("net", "digits", np.ones((1, 1, 8, 8), np.float32), None, maps)).columns == columns


# -- trade-off -------------------------------------------------------------------------------------------------


def test_no_point_beats_one_on_the_front() -> None:
    """Against the definition, on points with ties."""
    rolls = random.Random(0)
    for _ in range(200):
        points = [
            Point(str(n), "d", "h", Estimate(float(rolls.randint(1, 6))), Estimate(rolls.randint(1, 6) / 10))
            for n in range(rolls.randint(1, 8))
        ]
        places = {point.place for point in points}
        beaten = {
            (x, y) for x, y in places if any(u <= x and v >= y and (u, v) != (x, y) for u, v in places)
        }  # fmt: skip
        front = [point.place for point in unbeaten(points)]
        assert sorted(front) == front
        assert set(front) == places - beaten


def test_each_data_set_has_a_front_of_its_own(activity: Activity) -> None:
    other = changed(activity, data={"source": "cifar10:/data", "fingerprint": "c"})
    chart = tradeoff_of([entry(activity, "a"), entry(activity, "b"), entry(other, "c"), row("ssa_bin-bin-cifar10")])
    assert [(point.name, point.data) for point in chart.points] == [
        ("a", "digits"), ("b", "digits"), ("c", "cifar10"), ("SSA_Bin", "cifar10"),
    ]  # fmt: skip
    assert list(chart.fronts) == [("digits", "cmos45-fp32")], "a paper's prices are no price list of ours"
    published = chart.points[-1]
    assert (published.hardware, published.published) == (PRINTED, True)
    assert published.energy.value == catalogue.published_row("ssa_bin-bin-cifar10").energy_mj * 1e9  # type: ignore[operator]


def test_energies_by_different_formulas_share_no_front() -> None:
    """0.854 mJ at 77 fJ per SOP and 11.577 mJ at 0.9 and 4.6 pJ are the same network: neither beats the other."""
    ids = ("spikformer_v1/Spikformer-8-512", "spikformer_iclr/Spikformer-8-512", "spikformer_iclr/Spikformer-6-512")
    chart = tradeoff_of([row(id) for id in ids])
    assert {key: [point.energy.value for point in front] for key, front in chart.fronts.items()} == {
        ("ImageNet-1k", "h45"): [9.418e9, 11.577e9]
    }


def test_names_of_data(activity: Activity) -> None:
    facts = [("digits", "aaaaaaaa"), ("x.npz", "bbbbbbbb"), ("x.npz", "cccccccc"), ("", "d")]
    runs = [changed(activity, data={"source": source, "fingerprint": mark}) for source, mark in facts]
    assert data_names([entry(run) for run in runs]) == ["digits", "x.npz bbbbbb", "x.npz cccccc", "unknown data"]
    assert data_names([row("ssa_bin-ssa-cifar10"), row("spikformer-8-384-imagenet")]) == ["CIFAR-10", "ImageNet-1k"]


def test_rows_of_one_title_on_other_data_keep_it(activity: Activity) -> None:
    names = [point.name for point in tradeoff_of([row("ssa_bin-ssa-cifar10"), row("ssa_bin-ssa-cifar100")]).points]
    assert names == ["SSA", "SSA"]
    twice = [row("ssa_bin-ssa-cifar10"), Entry("SSA (published) #2", published=row("ssa_bin-ssa-cifar10").published)]
    assert [point.name for point in tradeoff_of(twice).points] == ["SSA (published)", "SSA (published) #2"]


def test_what_has_no_point_is_said(activity: Activity) -> None:
    unlabelled = activity.model_copy(update={"accuracy": None})
    (left_out,) = tradeoff_of([entry(activity), entry(unlabelled, "no labels")]).left_out
    assert "no labels has no accuracy" in str(left_out)
    with pytest.raises(SnnprofError, match="no run has both"):
        tradeoff_of([entry(unlabelled)])


# -- sweep -----------------------------------------------------------------------------------------------------


def test_a_sweep_over_time_steps(activity_maker: Callable[..., Activity]) -> None:
    runs = {T: changed(activity_maker(firing=T), timesteps=T) for T in (10, 2, 4)}
    chart = sweep_of([entry(run, f"run {T}", LISTS) for T, run in runs.items()])
    assert (chart.setting, chart.values, chart.numeric) == ("timesteps", ("2", "4", "10"), True)
    (curve,) = chart.curves
    for stop in curve.stops:
        for id in LISTS:
            assert stop.energies[id].interval == estimates.energy(price(runs[int(stop.value)], id))
        assert stop.accuracy.value == 0.9  # 18 of 20: a fifth of the blocks has one wrong of two


def test_a_sweep_over_a_setting_of_the_model(activity: Activity) -> None:
    """Each threshold has weights of its own; a run that does not name it has the default."""
    runs = [changed(activity, conditions={"--set": f"depth=2 threshold={value}"}, model={"checkpoint": f"{value}.pt"})
            for value in ("1.5", "0.5")]  # fmt: skip
    plain = changed(activity, conditions={"--set": "depth=2"})
    entries = [entry(run) for run in (*runs, plain)]
    chart = sweep_of(entries)
    assert (chart.setting, chart.title) == ("threshold", "firing threshold")
    assert (chart.values, chart.numeric) == (("0.5", "1.5", "default"), False)
    assert is_sweep(entries)


def test_runs_of_one_value_are_joined(activity_maker: Callable[..., Activity]) -> None:
    runs = [changed(activity_maker(firing=f), timesteps=T, seed=s) for f, T, s in [(3, 2, 0), (4, 2, 1), (5, 4, 0)]]
    entries = [entry(run, str(place)) for place, run in enumerate(runs)]
    (curve,) = sweep_of(entries).curves
    values = [price(run).energy_pj / 20 for run in runs[:2]]  # type: ignore[operator]
    assert curve.stops[0].energies["cmos45-fp32"].value == pytest.approx(np.mean(values))
    assert curve.stops[0].energies["cmos45-fp32"].half == pytest.approx(np.std(values, ddof=1))
    assert sweep_of(entries, "seed").values == ("0", "1")


def test_curves_are_networks_on_data(activity: Activity) -> None:
    runs = [changed(activity, timesteps=T, model={"title": name}, data={"fingerprint": str(T)})
            for name in ("a", "b") for T in (1, 2)]  # fmt: skip
    chart = sweep_of([entry(run) for run in runs])
    assert [(curve.name, curve.data, len(curve.stops)) for curve in chart.curves] == [
        ("a", "digits", 2), ("b", "digits", 2),
    ]  # fmt: skip


def test_what_is_no_sweep(activity: Activity) -> None:
    same = [entry(activity), entry(activity)]
    assert not is_sweep(same)
    with pytest.raises(SnnprofError, match="do not differ in a setting"):
        sweep_of(same)
    with pytest.raises(SnnprofError, match="differ in timesteps, dtype"):
        sweep_of([entry(activity), entry(changed(activity, timesteps=9, dtype="float16"))])
    with pytest.raises(SnnprofError, match="unknown setting 'depht'"):
        sweep_of(same, "depht")
    with pytest.raises(SnnprofError, match="needs runs, not SSA_Bin"):
        sweep_of([entry(activity), row("ssa_bin-bin-cifar10")])


def test_price_lists_that_miss_something_are_named(activity: Activity) -> None:
    """Both lists miss pooling and neuron updates; with synaptic operations alone, the one has prices for all."""
    bare = activity.model_copy(update={"neurons": [], "elementwise": [], "blocks": []})
    assert price(activity, LISTS[0]).lower_bound
    assert not price(bare, LISTS[0]).lower_bound
    assert tradeoff_of([entry(activity, lists=LISTS)]).lower_bounds == set(LISTS)
    assert tradeoff_of([entry(bare), entry(bare, "b")]).lower_bounds == set()
    assert tradeoff_of([entry(bare), entry(activity, "b")]).lower_bounds == {LISTS[0]}
    assert sweep_of([entry(changed(activity, timesteps=T)) for T in (1, 2)]).lower_bounds == {LISTS[0]}
