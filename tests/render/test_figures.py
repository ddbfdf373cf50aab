"""Figures: they show the run's numbers, in type that neither overlaps nor leaves the page, the same bytes twice."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.container import BarContainer, ErrorbarContainer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from snnprof import catalogue
from snnprof.activity import Activity
from snnprof.charts import KINDS
from snnprof.charts.attention import Values
from snnprof.charts.energy import energy_of_networks, energy_of_run
from snnprof.charts.maps import picture
from snnprof.charts.rates import rates_by_layer, rates_by_role, rates_by_step
from snnprof.charts.tradeoff import tradeoff_of
from snnprof.comparison import Entry
from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps, LayerMaps
from snnprof.pricing import price
from snnprof.render import plots
from snnprof.render.figures import Look, colours, encoded
from snnprof.render.figures.attention import draw_attention_bars, draw_attention_lines
from snnprof.statistics import Interval

LISTS = ("cmos45-fp32", "rolls-77fj")
HOSTILE = ("_a$b_c$%", "<script>x</script>", "long " + "n" * 200, "Größe Ω", "{0} \\frac{a}{b}")


def entry(activity: Activity, name: str = "net", *lists: str) -> Entry:
    return Entry(name, runs=(tuple(price(activity, id) for id in lists or LISTS[:1]),))


def rows(*ids: str) -> list[Entry]:
    published = [catalogue.published_row(id) for id in ids]
    return [Entry(f"{row.title} (published)", published=row) for row in published]


def at(activity: Activity, timesteps: int) -> Activity:
    """The run with another T; longer ones fire as in their first steps."""
    neurons = [n.model_copy(update={"spikes_per_step": (n.spikes_per_step * timesteps)[:timesteps], "steps": timesteps})
               for n in activity.neurons]  # fmt: skip
    run = activity.run.model_copy(update={"timesteps": timesteps})
    return activity.model_copy(update={"run": run, "neurons": neurons, "blocks": []})


def maps() -> AttentionMaps:
    """Three samples on two blocks, one with a matrix of 16 tokens."""
    numbers = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    layers = (LayerMaps("block.0.attn", "matrix", numbers), LayerMaps("x" * 200, "activity", numbers[:, :4, :4]))
    return AttentionMaps("net", "digits", numbers[:, None], np.array([3, 7, 9]), layers)


PAPERS = ("ssa_bin-ssa-cifar10", "ssa_bin-threshold-cifar10", "ssa_bin-bin-cifar10", "spikformer-8-384-imagenet")
MATRICES = [Values(name, (0.0, 0.5, 1.0), (0.9, 0.09, 0.01), Interval(0.1, 0.09, 0.12)) for name in HOSTILE]
FIGURES: dict[str, Callable[[Activity], Figure]] = {
    "energy": lambda a: plots.energy([price(a, id) for id in LISTS]),
    "energy on three lists": lambda a: plots.energy([price(a, id) for id in (*LISTS, "cmos45-fp32-mem")]),
    "energy by layer": lambda a: plots.energy([price(a, LISTS[0])], "layer"),
    "energy of several": lambda a: plots.energies([entry(a, name, *LISTS) for name in HOSTILE]),
    "rates": plots.rates,
    "rates by layer": lambda a: plots.rates(a, "layer"),
    "timesteps": plots.timesteps,
    "many timesteps": lambda a: plots.timesteps(at(a, 16)),
    "attention": lambda a: draw_attention_lines(MATRICES, Look()),
    "binary attention": lambda a: draw_attention_bars(MATRICES, Look()),
    "maps": lambda a: plots.attention_maps(maps()),
    "tradeoff": lambda a: plots.tradeoff([entry(a, "run", *LISTS), *rows(*PAPERS)]),
    "sweep": lambda a: plots.sweep([entry(at(a, T), str(T)) for T in (1, 2, 4, 8)]),
}


@pytest.mark.parametrize(
    ("name", "suffix"), [*((name, ".svg") for name in FIGURES), ("rates", ".pdf"), ("maps", ".png")]
)
def test_the_same_bytes_twice(name: str, suffix: str, activity: Activity) -> None:
    first, second = (encoded(FIGURES[name](activity), suffix) for _ in range(2))
    assert first == second


# -- type ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_type_is_small_but_readable_and_neither_overlaps_nor_leaves_the_page(
    name: str, hostile_activity: Activity, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = FIGURES[name](hostile_activity)
    boxes = drawn_texts(figure, monkeypatch)
    assert boxes
    assert figure.get_figwidth() in (3.5, 7.16)
    assert {text.get_fontsize() for text in figure.findobj(Text) if text.get_text()} <= {6.0, 7.0, 8.0}
    for text, box in boxes:
        assert box.x0 >= -1, text
        assert box.y0 >= -1, text
        assert box.x1 <= figure.bbox.x1 + 1, text
        assert box.y1 <= figure.bbox.y1 + 1, text
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        assert not a.padded(-1).overlaps(b.padded(-1)), (one, other)


def drawn_texts(figure: Figure, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Bbox]]:
    """Text and extent of all that is really drawn; ticks outside the axes exist, but are not."""
    seen: dict[int, Text] = {}
    draw = Text.draw

    def noting(self: Text, renderer: Any, *args: Any, **kwargs: Any) -> None:
        seen[id(self)] = self
        draw(self, renderer, *args, **kwargs)

    monkeypatch.setattr(Text, "draw", noting)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [text for text in seen.values() if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), extent(text, canvas.get_renderer())) for text in shown]


def extent(text: Text, renderer: Any) -> Bbox:
    """Around the text without the line to its point; of slanted text, whose box is mostly empty, around its end."""
    box = Text.get_window_extent(text, renderer)
    return box if text.get_rotation() % 90 == 0 else Bbox([[box.x1 - 8, box.y1 - 8], [box.x1, box.y1]])


def test_names_are_drawn_as_text(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [entry(activity, name) for name in HOSTILE]
    for figure in (plots.energies(entries), plots.tradeoff(entries)):
        texts = " ".join(text for text, _ in drawn_texts(figure, monkeypatch)).replace("\n", " ")
        for name in (HOSTILE[0], HOSTILE[1], HOSTILE[3], HOSTILE[4]):
            assert name in texts


def test_fonts_are_embedded_as_outlines(activity: Activity) -> None:
    content = encoded(plots.rates(activity), ".pdf")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_text_in_svg_stays_text_and_is_escaped(hostile_activity: Activity) -> None:
    text = encoded(plots.rates(hostile_activity, "layer"), ".svg").decode()
    svg = text[text.index("<svg") :]  # without the XML prologue
    assert svg.startswith("<svg")
    assert "<text" in svg
    assert "<script" not in svg


def test_no_global_state_of_matplotlib_is_touched(activity: Activity) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    encoded(plots.rates(activity, look=Look(font="DejaVu Serif", size=10)), ".png")
    assert dict(matplotlib.rcParams) == before
    code = (
        "import sys, snnprof.render.plots; from snnprof.render.figures import Look, style\n"
        "assert 'matplotlib' not in sys.modules; style.page(Look(), 3, 3)\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# -- numbers ---------------------------------------------------------------------------------------------------


def bars(axis: Axes) -> Iterator[tuple[str, Rectangle]]:
    for container in axis.containers:
        if isinstance(container, BarContainer):
            for patch in container.patches:
                yield str(container.get_label()), patch


def whiskers(axis: Axes) -> list[tuple[float, float]]:
    """Where each vertical whisker begins and ends."""
    found = [c for c in axis.containers if isinstance(c, ErrorbarContainer)]
    return [(float(line[0, 1]), float(line[1, 1])) for c in found for line in c.lines[2][0].get_segments()]


def test_bars_of_energy_are_the_run_s_picojoules(activity: Activity) -> None:
    reports = [price(activity, id) for id in LISTS]
    figure = plots.energy(reports)
    for axis, panel in zip(figure.axes, energy_of_run(reports).panels, strict=True):
        drawn = {(round(patch.get_y() + 0.37), part): float(patch.get_width()) for part, patch in bars(axis)}
        parts = {(row, part): pj for row, bar in enumerate(panel.bars) for part, pj in bar.parts.items()}
        assert drawn == pytest.approx(parts)
    said = [text.get_text() for text in figure.axes[1].texts]
    assert said.count("no price") == sum(bar.total is None for bar in energy_of_run(reports).panels[1].bars)


def test_stacks_of_networks_end_at_their_energy(activity: Activity) -> None:
    entries = [entry(activity, name, *LISTS) for name in ("a", "b")]
    figure = plots.energies(entries)
    for axis, panel in zip(figure.axes, energy_of_networks(entries).panels, strict=True):
        ends = [
            max(p.get_x() + p.get_width() for _, p in bars(axis) if round(p.get_y() + 0.37) == row) for row in (0, 1)
        ]
        assert ends == pytest.approx([bar.total.value for bar in panel.bars if bar.total])


@pytest.mark.parametrize("by", ["role", "layer"])
def test_bars_of_rates_are_the_run_s(by: Any, activity: Activity) -> None:
    axis = plots.rates(activity, by).axes[0]
    rates = rates_by_role(activity) if by == "role" else rates_by_layer(activity)
    lengths = [patch.get_height() if by == "role" else patch.get_width() for _, patch in bars(axis)]
    assert lengths == [rate.value.value for rate in rates if rate.value]
    if by == "role":
        expected = [end for rate in rates if rate.value for end in (rate.value.low, rate.value.high)]
        assert [end for ends in whiskers(axis) for end in ends] == pytest.approx(expected)


def test_lines_and_heat_map_hold_the_rates_by_step(activity: Activity) -> None:
    axis = plots.timesteps(activity).axes[0]
    for line, rate in zip(axis.lines, rates_by_step(activity), strict=True):
        assert places(line) == [(step, value.value) for step, value in enumerate(rate.values, 1) if value]
    many = at(activity, 16)
    image = plots.timesteps(many).axes[0].images[0].get_array()
    assert image is not None
    expected = [[value.value if value else None for value in rate.values] for rate in rates_by_step(many, True)]
    np.testing.assert_array_equal(np.asarray(image, float), np.array(expected, float))


def test_points_stand_at_accuracy_and_energy(activity: Activity) -> None:
    entries = [entry(activity, "run", *LISTS), *rows(*PAPERS)]
    axis = plots.tradeoff(entries).axes[0]
    chart = tradeoff_of(entries)
    marks = [line for line in axis.lines if line.get_marker() in (*colours.MARKERS, colours.PUBLISHED)]
    assert [places(line)[0] for line in marks] == [point.place for point in chart.points]
    assert [line.get_markerfacecolor() == "white" for line in marks] == [False, False, True, True, True, True]
    front = [point.place for point in chart.fronts["CIFAR-10", "fJ77"]]
    assert len(front) == 2
    assert front in [places(line) for line in axis.lines]


def places(line: Line2D) -> list[tuple[float, float]]:
    """Where a line goes."""
    return [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]


def test_a_sweep_shows_its_values(activity: Activity) -> None:
    runs = [at(activity, T) for T in (1, 2, 8)]
    accuracy, operations, energy = plots.sweep([entry(run, str(place)) for place, run in enumerate(runs)]).axes
    assert places(operations.lines[0]) == [
        (T, price(run).totals.sops / 20) for T, run in zip((1, 2, 8), runs, strict=True)
    ]
    assert places(energy.lines[0]) == [(T, price(run).energy_pj / 20) for T, run in zip((1, 2, 8), runs, strict=True)]  # type: ignore[operator]
    assert places(accuracy.lines[0]) == [(1, 0.9), (2, 0.9), (8, 0.9)]
    assert energy.get_xlabel() == "time steps T"


def test_maps_share_a_scale_and_lie_on_their_images() -> None:
    kept = maps()
    figure = plots.attention_maps(kept, [1])
    over = [axis.images[1] for axis in figure.axes[1:3]]
    largest = max(float(layer.per_token((16, 16))[1].max()) for layer in kept.layers)
    for image in over:
        assert image.get_clim() == pytest.approx((0.0, largest))
    assert {tuple(image.get_extent()) for image in over} == {(-0.5, 15.5, 15.5, -0.5)}


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (4, 2, 8, 8), (2, 8, 8)])
def test_any_input_is_made_a_picture(shape: tuple[int, ...]) -> None:
    """Grey, colour, event frames [T, C, H, W], event counts: scaled to 0 … 1."""
    image = picture(np.linspace(-1, 3, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    assert image.shape == ((8, 8, 3) if shape[0] == 3 else (8, 8))
    assert (image.min(), image.max()) == (0, 1)


@pytest.mark.parametrize("T", [2, 16])
def test_a_silent_network_has_axes_from_0_to_something(T: int, activity: Activity) -> None:
    silent = [n.model_copy(update={"spikes": 0, "spikes_per_step": [0] * T}) for n in activity.neurons]
    run = activity.model_copy(update={"neurons": silent, "blocks": []})
    for axis in (plots.timesteps(run).axes[0], plots.rates(run, "role").axes[0]):
        low, high = axis.images[0].get_clim() if axis.images else axis.get_ylim()
        assert low == 0 < high


# -- meaning ---------------------------------------------------------------------------------------------------


def test_a_colour_is_a_role_or_a_network_never_both() -> None:
    roles = {paint.colour for paint in (*colours.ROLES.values(), *colours._SPARE)}
    assert not roles & set(colours.MODELS)
    assert len(set(colours.MODELS)) == len(colours.MODELS)
    shared = [{"QKV", "QK"}, {"QK^T", "K^TV"}, {"AV", "Q(K^TV)"}, {"attention", "aggregation"}]
    for one, other in itertools.combinations(colours.ROLES, 2):
        alike = colours.ROLES[one].colour == colours.ROLES[other].colour
        assert alike == ({one, other} in shared), (one, other)


def test_bars_are_told_apart_in_grey() -> None:
    """Roles that can stand in one figure differ in lightness by a tenth, or in hatch."""
    together = ("stem", "SPS", "Q", "K", "V", "attention", "projection", "MLP", "head", "residual", "other")
    stacked = ("stem", "SPS", "QKV", "attention", "projection", "MLP", "head", "residual", "other", "static")
    for names in (together, stacked):
        for one, other in itertools.combinations([colours.ROLES[name] for name in names], 2):
            assert one.hatch != other.hatch or abs(lightness(one.colour) - lightness(other.colour)) > 0.05, (one, other)


def lightness(colour: str) -> float:
    red, green, blue = (int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_one_colour_per_role_whatever_else_is_drawn(activity: Activity) -> None:
    few = activity.model_copy(update={"ops": activity.ops[:1], "elementwise": [], "blocks": []})
    both = [plots.energies([entry(run, "a"), entry(run, "b")]).axes[0] for run in (activity, few)]
    stems = [{patch.get_facecolor() for part, patch in bars(axis) if part == "stem"} for axis in both]
    assert stems[0] == stems[1] != set()


@pytest.mark.parametrize(
    ("names", "kind"),
    [("r", "energy"), ("rr", "tradeoff"), ("rp", "tradeoff"), ("p", "tradeoff"), ("12", "sweep"), ("un", "energy")],
)
def test_what_is_drawn_without_a_kind(names: str, kind: str, activity: Activity) -> None:
    """r: a run, p: a published row, 1 and 2: runs of other time steps, u and n: without labels."""
    unlabelled = activity.model_copy(update={"accuracy": None})
    made = {"r": activity, "1": at(activity, 1), "2": at(activity, 2), "u": unlabelled, "n": unlabelled}
    entries = [rows(PAPERS[0])[0] if name == "p" else entry(made[name], name) for name in names]
    drawing = plots.drawn(None, entries)
    assert drawing.kind == kind
    assert kind in KINDS


def test_what_cannot_be_drawn_is_said(activity: Activity) -> None:
    with pytest.raises(SnnprofError, match="unknown kind of figure 'pie'"):
        plots.drawn("pie", [entry(activity)])
    with pytest.raises(SnnprofError, match="--kind rates draws one run, not 2"):
        plots.drawn("rates", [entry(activity)] * 2)
    with pytest.raises(SnnprofError, match="a published row has no layers"):
        plots.drawn("rates", rows(PAPERS[0]))
    with pytest.raises(SnnprofError, match="--by block is for the energy of one run"):
        plots.drawn("energy", [entry(activity)] * 2, by="block")


# -- looks -----------------------------------------------------------------------------------------------------


def test_labels_title_width_and_font(activity: Activity, monkeypatch: pytest.MonkeyPatch) -> None:
    look = Look(
        width=5.0, title="A title", font="DejaVu Serif", size=10, labels={"MLP": "feed-forward", "SPS": "stem 2"}
    )
    figure = plots.rates(activity, look=look)
    texts = [text for text, _ in drawn_texts(figure, monkeypatch)]
    assert {"A title", "feed-forward", "stem 2"} <= set(texts)
    assert not {"MLP", "SPS"} & set(texts)
    assert figure.get_figwidth() == 5.0
    families = {tuple(text.get_fontfamily()) for text in figure.findobj(Text) if text.get_text()}
    assert families == {("DejaVu Serif", "DejaVu Sans")}
    look.must_have_used_all_labels()


@pytest.mark.parametrize(
    ("look", "said"),
    [
        ({"width": 1.0}, "the width of a figure must be 2 to 20 inches, not 1"),
        ({"width": float("nan")}, "the width of a figure must be"),
        ({"size": 40}, "the size of its type must be 5 to 16 points, not 40"),
        ({"font": "No Such Font"}, "there is no font 'No Such Font'"),
        ({"labels": {"MPL": "x"}}, "unknown name in --label 'MPL'"),
    ],
)
def test_looks_that_no_figure_can_have(look: dict[str, Any], said: str, activity: Activity) -> None:
    with pytest.raises(SnnprofError, match=said):  # noqa: PT012
        chosen = Look(**look)
        plots.rates(activity, look=chosen)
        chosen.must_have_used_all_labels()
