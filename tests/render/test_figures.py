"""Figures: the same bytes twice, fonts embedded, labels that neither overlap nor leave the page."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from snnprof.activity import Activity
from snnprof.comparison import Entry
from snnprof.errors import SnnprofError
from snnprof.maps import AttentionMaps, LayerMaps
from snnprof.pricing import price
from snnprof.render import plots
from snnprof.render.figures import SUFFIXES, encoded, inline_svg
from snnprof.workload import catalogue


def maps() -> AttentionMaps:
    """Three samples on two blocks, one with a matrix of 16 tokens."""
    numbers = np.random.default_rng(0).random((3, 16, 16), dtype=np.float32)
    layers = (LayerMaps("block.0.attn", "matrix", numbers), LayerMaps("x" * 200, "activity", numbers[:, :4, :4]))
    return AttentionMaps("net", "digits", numbers[:, None], np.array([3, 7, 9]), layers)


KINDS: dict[str, Callable[[Activity], Figure]] = {
    "energy": lambda a: plots.energy([price(a, "cmos45-fp32"), price(a, "rolls-77fj")], "layer"),
    "rates": plots.rates,
    "timesteps": plots.timesteps,
    "attention": plots.attention,
    "maps": lambda a: plots.attention_maps(maps()),
    "tradeoff": lambda a: plots.tradeoff(
        [Entry("run", runs=((price(a),),)), *(Entry(row.title, published=row) for row in published())]
    ),
}


def published() -> list[catalogue.Published]:
    return [row for row in catalogue.published().values() if row.accuracy and row.energy_mj][:6]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_bytes_twice(kind: str, suffix: str, activity: Activity) -> None:
    first, second = (encoded(KINDS[kind](activity), suffix) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("kind", KINDS)
def test_labels_neither_overlap_nor_leave_the_page(
    kind: str, hostile_activity: Activity, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = KINDS[kind](hostile_activity)
    boxes = drawn_texts(figure, monkeypatch)
    assert boxes
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
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    shown = [text for text in seen.values() if text.get_visible() and text.get_text().strip()]
    return [(text.get_text(), text.get_window_extent(canvas.get_renderer())) for text in shown]


def test_fonts_are_embedded_as_outlines(activity: Activity) -> None:
    content = encoded(plots.rates(activity), ".pdf")
    assert b"/FontFile2" in content
    assert b"/Type3" not in content


def test_text_in_svg_stays_text_and_is_escaped(hostile_activity: Activity) -> None:
    svg = inline_svg(plots.rates(hostile_activity))
    assert svg.startswith("<svg")
    assert "<text" in svg
    assert "<script" not in svg


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 8), (4, 2, 8, 8), (2, 8, 8)])
def test_any_input_is_made_a_picture(shape: tuple[int, ...]) -> None:
    """Grey, colour, event frames [T, C, H, W], event counts: scaled to 0 … 1."""
    image = plots._picture(np.linspace(-1, 3, int(np.prod(shape)), dtype=np.float32).reshape(shape))
    assert image.shape == ((8, 8, 3) if shape[0] == 3 else (8, 8))
    assert (image.min(), image.max()) == (0, 1)


def test_no_global_state_of_matplotlib_is_touched(activity: Activity) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    encoded(plots.rates(activity), ".png")
    assert dict(matplotlib.rcParams) == before
    code = "import sys, snnprof.render.plots; assert 'matplotlib.pyplot' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_one_colour_per_term_whatever_else_is_drawn(activity: Activity) -> None:
    without_spikes = activity.model_copy(update={"ops": activity.ops[:1], "blocks": []})
    colours = [_colour(plots.energy([price(a)], "layer"), "multiply-accumulates") for a in (activity, without_spikes)]
    assert colours[0] == colours[1]


def _colour(figure: Figure, name: str) -> tuple[float, ...]:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    return tuple(dict(zip(labels, handles, strict=True))[name][0].get_facecolor())


def test_what_cannot_be_drawn_is_said(activity: Activity) -> None:
    untold = [n.model_copy(update={"spikes_per_step": []}) for n in activity.neurons]
    with pytest.raises(SnnprofError, match="time steps"):
        plots.timesteps(activity.model_copy(update={"neurons": untold}))
    with pytest.raises(SnnprofError, match="no spiking neuron"):
        plots.rates(activity.model_copy(update={"neurons": []}))
    with pytest.raises(SnnprofError, match="no histogram"):
        plots.attention(activity.model_copy(update={"ops": activity.ops[:1]}))
    with pytest.raises(SnnprofError, match="no attention map"):
        plots.attention_maps(AttentionMaps("net", "digits", np.zeros((1, 1, 2, 2))))
    with pytest.raises(SnnprofError, match="no side has both"):
        plots.tradeoff([Entry("run", runs=((price(activity.model_copy(update={"accuracy": None})),),))])


def test_runs_on_other_data_say_on_which(activity: Activity) -> None:
    def labels(*sources: str) -> list[str]:
        entries = []
        for source in sources:
            data = activity.run.data.model_copy(update={"source": source})
            run = activity.model_copy(update={"run": activity.run.model_copy(update={"data": data})})
            entries.append(Entry(f"net {len(entries)}", runs=((price(run),),)))
        legend = plots.tradeoff(entries).legends or [axis.get_legend() for axis in plots.tradeoff(entries).axes]
        return [text.get_text() for each in legend if each is not None for text in each.get_texts()]

    assert labels("digits", "digits") == ["net 0", "net 1"]
    assert labels("digits", "cifar10") == ["net 0 on digits", "net 1 on cifar10"]
