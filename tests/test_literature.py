"""Published rows: every one is there, its verdict is worked out, and it is found by what one would type."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pytest

from snnprof import catalogue, literature
from snnprof.errors import SnnprofError
from snnprof.literature import DIFFERS, FOLLOWS, UNCHECKED, Published

ROOT = Path(__file__).parent.parent
ROWS = literature.rows()
with (ROOT / "tests" / "data" / "published_rows.csv").open(encoding="utf-8", newline="") as stream:
    EXPECTED = list(csv.DictReader(stream))


@pytest.mark.parametrize("row", EXPECTED, ids=lambda row: row["id"])
def test_each_row_and_its_verdict(row: dict[str, str]) -> None:
    """The expectations were made by another program, from rows that were read independently of the file."""
    found = ROWS[row["id"]]
    assert found.verdict == row["verdict"]
    assert (found.dataset, str(found.timesteps or "")) == (row["dataset"], row["T"])
    assert str(found.resolution or "") == row["resolution"]
    figures = {
        "params_M": found.parameters_m, "acc": found.accuracy, "energy_mJ": found.energy_mj,
        "ops_G": found.flops_g if found.kind == "ann" else found.sops_g,
    }  # fmt: skip
    for name, figure in figures.items():
        if row[name]:
            assert figure == pytest.approx(float(row[name]), rel=2e-5), name
    if row["recomputed_mJ"]:
        assert found.recomputed_mj == pytest.approx(float(row["recomputed_mJ"]), rel=2e-3)


def test_how_many_follow() -> None:
    of_file = [ROWS[row["id"]].verdict for row in EXPECTED]
    assert (len(of_file), of_file.count(FOLLOWS), of_file.count(DIFFERS)) == (128, 62, 16)


def test_the_formulas_by_hand() -> None:
    """Prices × counts, as each source states them; millijoules."""
    by_hand = {
        "spikformer_v1/Spikformer-8-512@224/T4": 77e-6 * 11.09e9 * 1e-6,
        "spikformer_iclr/Spikformer-8-512@224/T4": 0.9 * 11.09 + 4.6 * 4 * (224 * 224 * 64 * 27) / 1e9,
        "spikformer_iclr/SEW-ResNet-34@224/T4": 0.9 * 3.88 + 4.6 * 112 * 112 * 64 * 147 / 1e9,
        "spikingformer/Spikingformer-8-512@224/T4": 0.9 * 6.52 + 4.6 * (4 * 224 * 224 * 64 * 27 + 512 * 1000) / 1e9,
        "srf/SpikingResformer-Ti@224/T4": 0.9 * 2.73,
        "qkformer/DeiT-B (ANN)@224/T1": 4.6 * 17.5,
        "syops/SEW-ResNet-18@224/T4": 0.9 * 0.50 + 4.6 * 2.75,
    }
    for id, energy in by_hand.items():
        assert ROWS[id].recomputed_mj == pytest.approx(energy, rel=1e-9), id
        assert ROWS[id].follows is True


def test_the_table_of_sdt_by_hand() -> None:
    """Table S1 by the stated formula: N = 196 tokens, D = 512, T = 4, per block rates of q, k, v, SDSA, MLP."""
    row = ROWS["sdt/SDT-8-512@224/T4"]
    macs = {layer.layer: layer.macs_m for layer in row.layer_table}
    assert macs["block0.q"] == 196 * 512 * 512 / 1e6
    assert macs["block0.mlp1"] == 196 * 512 * 2048 / 1e6
    assert macs["block0.sdsa.q"] == 196 * 512 / 1e6
    spikes = sum(
        layer.macs_m * 1e6 * (layer.output_rate if layer.role == "qkv" else layer.rate)  # type: ignore[operator]
        for layer in row.layer_table if layer.role != "first"
    )  # fmt: skip
    energy = 4 * (4.6 * 86_704_128 + 0.9 * spikes) / 1e9
    assert energy == pytest.approx(5.35, abs=0.005)
    assert row.recomputed_mj == pytest.approx(energy, rel=1e-6)
    assert (row.verdict, row.energy_mj and row.energy_mj.text) == (DIFFERS, "4.50")


def test_rounding_of_both_figures_counts() -> None:
    """1.32 G at 77 fJ is 0.10164 mJ, printed 0.101: 1.315 G gives 0.10126, 0.101 is up to 0.1015."""
    row = ROWS["ssabin/SSA@CIFAR-100/T4"]
    assert row.check.energy is not None
    assert row.check.energy.low == pytest.approx(1.315 * 77e6)
    assert row.follows is True
    changed = row.model_copy(update={"energy_mj": type(row.energy_mj)("0.1010")})  # type: ignore[misc,arg-type]
    assert Published.model_validate(changed.model_dump()).verdict == UNCHECKED  # no formula travels with the figures


def test_rows_have_sources_and_presets_that_exist() -> None:
    for row in ROWS.values():
        assert len(row.source) > 10
        assert row.year
        if row.preset:
            model, preset = catalogue.split(row.preset)
            assert row.preset == f"{model}:{preset}"


@pytest.mark.parametrize(
    ("name", "id"),
    [
        ("spikformer_iclr/Spikformer-8-512@224/T4", "spikformer_iclr/Spikformer-8-512@224/T4"),
        ("ssa_bin-bin-cifar10", "ssabin/SSA_Bin@CIFAR-10/T4"),
        ("spikformer-8-512-imagenet", "spikformer_iclr/Spikformer-8-512@224/T4"),
        ("SPIKFORMER_ICLR/spikformer-8-512", "spikformer_iclr/Spikformer-8-512@224/T4"),
        ("ssabin/w-shift@cifar10", "ssabin/w/ shift@CIFAR-10/T4"),
        ("ssabin/SSA@CIFAR-10", "ssabin/SSA@CIFAR-10/T4"),
        ("SDT-8-768@288", "sdt/SDT-8-768@288/T4"),
        ("spikeyolo", "spikeyolo/SpikeYOLO 23M (the authors' sheet)@640/T1"),
    ],
)
def test_a_row_is_found_by_what_one_types(name: str, id: str) -> None:
    assert catalogue.published_row(name).id == id


def test_near_misses_are_suggested() -> None:
    with pytest.raises(SnnprofError, match="unknown published row") as caught:
        catalogue.published_row("spikformer_iclr/Spikformer-8-513@224/T4")
    assert "spikformer_iclr/Spikformer-8-512@224/T4" in caught.value.hint
    with pytest.raises(SnnprofError, match="rows begin so") as caught:
        catalogue.published_row("sdt/SDT-8-512")
    assert "sdt/SDT-8-512@224/T1, sdt/SDT-8-512@224/T4" in caught.value.hint
    for empty in ("", "  ", "@", "/"):
        with pytest.raises(SnnprofError):
            catalogue.published_row(empty)


def test_figures_are_written_as_tables_print_them() -> None:
    names = ("parameters_m", "accuracy", "sops_g", "flops_g", "macs_g", "energy_mj")
    figures = [figure for row in ROWS.values() for name in names if (figure := getattr(row, name)) is not None]
    assert max(len(figure.text) for figure in figures) <= len("0.099334")


def test_ids_and_aliases_name_one_row_each() -> None:
    names = [name for row in ROWS.values() for name in (row.id, *row.aliases)]
    assert len(names) == len(set(names))


def test_filters() -> None:
    def chosen(**asked: object) -> set[str]:
        return {row.id for row in literature.chosen(ROWS.values(), **asked)}  # type: ignore[arg-type]

    assert chosen(dataset="imagenet") == chosen(dataset="ImageNet-1k")
    assert all("CIFAR10-DVS" in id for id in chosen(dataset="cifar10-dvs", source="ssabin"))
    assert chosen(dataset="(") == set()
    assert not any("CIFAR-100" in id for id in chosen(dataset="cifar10"))
    assert all("Spikformer" in id for id in chosen(model="spikformer"))
    assert chosen(model="HST", year=2024) == {id for id in ROWS if id.startswith("qkformer/HST")}
    assert chosen(source="spikformer, iclr", verdict=DIFFERS) == {
        "spikformer_iclr/Spikformer-8-384@224/T4", "spikformer_iclr/Spikformer-8-768@224/T4",
    }  # fmt: skip


def test_other_packages_may_state_constants() -> None:
    """0.9 pJ · 2 G + 4.6 pJ · 0.5 G = 4.1 mJ; what their files say about following is not read."""
    facts = {"id": "a", "title": "t", "source": "s", "sops_g": 2.0, "energy_mj": 4.1, "follows": False,
             "arithmetic": {"sop_pj": 0.9, "mac_pj": 4.6, "macs_g": 0.5}}  # fmt: skip
    row = Published.model_validate(facts)
    assert (row.verdict, row.recomputed_mj) == (FOLLOWS, pytest.approx(4.1))
    assert Published.model_validate({**facts, "energy_mj": 9.9}).verdict == DIFFERS


def test_a_broken_file_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "rows.yaml"
    for text in ("rows: [", "schema: other\n", "[]"):
        path.write_text(text)
        with pytest.raises(SnnprofError, match="file of published rows"):
            literature.load(path)


def test_the_page_is_current() -> None:
    """Make it anew with: python docs/make_literature.py"""
    done = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_literature.py"), "--check"], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
