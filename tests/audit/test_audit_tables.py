"""Tables to audit: CSV and YAML of many looks, and what is refused in one sentence."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from snnprof.audit import audit
from snnprof.audit.tables import AuditTable, read_table
from snnprof.errors import SnnprofError
from snnprof.render.audit import result


def table(tmp_path: Path, text: str, name: str = "t.csv") -> AuditTable:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return read_table(path)


@pytest.mark.parametrize("kind", ["csv", "yaml"])
def test_the_template_works_as_it_is(kind: str, tmp_path: Path) -> None:
    text = (files("snnprof.audit") / f"template.{kind}").read_text(encoding="utf-8")
    found = table(tmp_path, text, f"t.{kind}")
    assert [figures.timesteps for figures in found.figures] == [4, 4, None, 4]
    assert (found.left_out, found.unused) == ((), ())
    assert all(audit(figures).plain_matching for figures in found.figures)
    assert len(found.figures[3].layers) == 8


@pytest.mark.parametrize(
    "text",
    [
        "model,T,energy_mJ,sops_G,first_layer_macs_M\na,4,11.577,11.09,86.704128\n",
        "Method;Time steps;Power (mJ);OPs (G);First layer FLOPs [G]\na;4;11.577;11.09;0.086704128\n",
        "network\ttimesteps\tenergy\tSOPs\tstem_macs\na\t4\t11577 uJ\t11.09 G\t86704128\n",
        "\ufeff# a comment\n\nModel , T , energy_uJ , SOPs_M , conv1_flops_k , acc\n"
        " a , 4 , 11577 , 11090 , 86704.128 , 73.38 \n",
        'model,T,energy_mJ,sops_G,first_layer_macs_M\n"a, ours",4,11.577 mJ,11.09 G,86.704128M\n',
    ],
)
def test_tables_of_many_looks(tmp_path: Path, text: str) -> None:
    """0.9 · 11.09 + 4.6 · 4 · 0.086704128 = 11.576."""
    (figures,) = table(tmp_path, text).figures
    (reading,) = audit(figures).plain_matching
    assert {axis: reading.choices[axis].key for axis in ("ac", "mac", "first")} == {
        "ac": "0.9", "mac": "4.6", "first": "mac_each_step",
    }  # fmt: skip


def test_a_rate_with_flops_and_an_ann(tmp_path: Path) -> None:
    """0.25 · 4 · 2 G · 0.9 pJ = 1.8 mJ; 8.33 G · 4.6 pJ = 38.32 mJ."""
    found = table(tmp_path, "model,kind,T,energy_mJ,flops_G,rate\na,snn,4,1.80,2.00,0.2500\nb,ann,,38.32,8.33,\n")
    spiking, dense = (audit(figures) for figures in found.figures)
    assert spiking.plain_matching[0].choices["ac"].key == "0.9"
    assert dense.plain_matching[0].choices["mac"].key == "4.6"


def test_layers_in_csv_belong_to_the_model_above(tmp_path: Path) -> None:
    """T = 2: 4.6 · 2 · 100 M + 0.9 · 2 · 0.5 · 1000 M = 1.82 mJ."""
    text = (
        "model,T,energy_mJ,layer,role,macs_M,rate\nnet,2,1.820,,,,\n"
        ",,,conv1,first,100.00,\n,,,conv2,conv,1000.0,0.5000\nother,2,5.0,,,,\n"
    )
    found = table(tmp_path, text)
    (figures,) = found.figures
    assert len(figures.layers) == 2
    assert audit(figures).plain_matching[0].choices["first"].key == "mac_each_step"
    assert "other has no operations" in str(found.left_out[0])


def test_rows_that_cannot_be_audited_are_listed_and_columns_that_are_not_used(tmp_path: Path) -> None:
    found = table(tmp_path, "model,acc,energy_mJ,sops_G\na,90,1.0,1.0\nb,91,,2.0\nc,92,3.0,\na,93,2.0,1.0\n")
    assert [figures.name for figures in found.figures] == ["a", "a, line 5"]
    assert len(found.left_out) == 2
    assert found.unused == ("acc",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("model,energy_mJ,sops_G\n", "has no rows"),
        ("model,energy,sops_G\na,4.5,1.0\n", "needs a unit"),
        ("model,energy_mJ,sops\na,4.5,1.09\n", "needs a unit"),
        ("model,energy_mJ,sops_G\na,nan,1.0\n", "is not a number"),
        ("model,energy_mJ,sops_G\na,-1,1.0\n", "is not a number"),
        ("model,energy_mJ,sops_G\na,inf,1.0\n", "is not a number"),
        ("model,energy_J,sops_G\na,1e999,1.0\n", "is not a number"),
        ("model,energy_mJ,sops_G\na,0,1.0\n", "energy of 0"),
        ("model,energy_mJ,sops_G\na,4.5 kWh,1.0\n", "unknown unit"),
        ("model,energy_mJ,sops_G\na,4,5,1,0\n", "5 cells under 3 columns"),
        ("model,energy_mJ,sops_G\na,=1+1,1.0\n", "is not a number"),
        ("model,energy_mJ,energy_mJ\na,1,1\n", "appears twice"),
        ("model,energy_mJ,power_mJ,sops_G\na,1,1,1\n", "two columns give the energy"),
        ("model,T,energy_mJ,sops_G\na,4.5,1.0,1.0\n", "T must be a whole number"),
        ("model,T,energy_mJ,sops_G\na,0,1.0,1.0\n", "T must be a whole number"),
        ("model,T,energy_mJ,sops_G\na,999999999999,1.0,1.0\n", "T must be a whole number"),
        ("model,sops_G\na,1.0\n", "has no energy"),
        ("model;energy_mJ;sops_G\na;0,523;1,186\n", "write a decimal point"),
        ("model,energy_mJ\na,1.0\n", "no operations"),
        ("model,energy_mJ,flops_G,rate\na,1.0,1.0,0.5\n", "needs T"),
        ("model,energy_mJ,sops_G,stated\na,1.0,1.0,h46\n", "unknown formula 'h46'"),
        ("model,kind,energy_mJ,sops_G\na,gnn,1.0,1.0\n", "kind must be snn or ann"),
        ("model,energy_mJ,T,layer,macs_M\na,1.0,4,,\na,,,fc,1.0\n", "needs a rate"),
        ("model,energy_mJ,T,layer,macs_M,rate,role\na,1.0,4,,,,\na,,,fc,1.0,0.5,mpl\n", "unknown role"),
        ("model,energy_mJ,layer,macs_M,rate\na,1.0,,,\na,,fc,1.0,0.5\n", "no T"),
        ('model,energy_mJ,sops_G\n"a,1.0,1.0\n', "is not CSV"),
        ("model,energy_mJ,SOPs (G)\na,9.98,11.09\nb,9.98,11.09e9\n",
         r"t.csv, line 3: sops: '11.09e9' has an exponent, and the unit G, too"),
        ("model,energy_mJ,sops\na,9.98,11.09E9 G\n", "'11.09E9 G' has an exponent, and the unit G, too"),
        ("model,Energy (mJ),sops_G\na,9.98e-3,11.09\n", "line 2: energy: '9.98e-3' has an exponent, and the unit mJ"),
        ("model,T,energy_mJ,flops_G,rate (%)\na,4,1.0,1.0,2.5e1\n", "line 2: rate: '2.5e1' has an exponent"),
        ("model,T,energy_mJ,layer,macs_M,rate\na,4,1.0,,,\n,,,fc,1e6,0.5\n", "layer fc: macs: '1e6' has an exponent"),
        ("model,energy_mJ,SOPs (G)\na,9.98,11090000000\n", r"sops '11090000000 G' would be 1.11e\+19 operations"),
    ],
)  # fmt: skip
def test_bad_csv_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SnnprofError, match=words):
        table(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n", "must be a mapping"),
        ("rows: a\n", "no list of rows"),
        ("rows: []\n", "has no rows"),
        ("rows: [a]\n", "no list of rows"),
        ("rows:\n- {energy_mJ: [1], sops_G: 1}\n", "must be one figure"),
        ("rows:\n- {energy_mJ: 1.0, T: 4, layers: {a: 1}}\n", "must be a list of layers"),
        ("rows:\n- {energy_mJ: 1.0, T: 4, layers: [{layer: a}]}\n", "needs macs"),
        ("rows: [&a {energy_mJ: 1.0}, *a]\n", "anchors"),
        ("rows:\n- energy_mJ: 1.0\n  energy_mJ: 2.0\n", "appears twice"),
        ("rows:\n- {energy_mJ: .inf, sops_G: 1}\n", "is not a number"),
        ("rows:\n- {energy_mJ: true, sops_G: 1}\n", "is not a number"),
    ],
)
def test_bad_yaml_is_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(SnnprofError, match=words):
        table(tmp_path, text, "t.yaml")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x01")
    (tmp_path / "big.csv").write_text("model,energy_mJ\n" + "a,1\n" * 400_000)
    (tmp_path / "long.csv").write_text("model,energy_mJ,sops_G\n" + "a,1.0,1.0\n" * 3000)
    for name, words in (
        ("binary.csv", "UTF-8"),
        ("big.csv", "larger"),
        ("no.csv", "no such file"),
        ("long.csv", "3000 rows"),
    ):
        with pytest.raises(SnnprofError, match=words):
            read_table(tmp_path / name)


def test_yaml_keeps_the_last_digit(tmp_path: Path) -> None:
    (figures,) = table(tmp_path, "rows:\n- {model: a, energy_mJ: 4.50, sops_G: 5.00}\n", "t.yml").figures
    assert figures.printed.between == "4.495 to 4.505 mJ"


@pytest.mark.parametrize(
    "header",
    [
        "Model,T,Energy (mJ),SOPs (G),FLOPs of the first layer (M)",
        "Network,Time steps,Power (mJ/image),GSOPs,First conv MFLOPs",
        "Method,Timesteps,Energy consumption [mJ],Synaptic OPs [G],Stem MACs (MMACs)",
        "name,t,energy_mJ,ACs_G,first_layer_MACs_M",
    ],
)
def test_headings_in_other_words(tmp_path: Path, header: str) -> None:
    (figures,) = table(tmp_path, f"{header}\na,4,11.577,11.09,86.704\n").figures
    assert {term.name for term in figures.sheet.terms} == {"SOPs", "first layer"}
    assert audit(figures).plain_matching


def test_an_exponent_needs_no_unit(tmp_path: Path) -> None:
    """0.9 · 11.09e9 pJ = 9.98 mJ = 9.98e-3 J; J has no prefix that an exponent could repeat."""
    (figures,) = table(tmp_path, "model,Energy (J),SOPs\na,9.98e-3,11.09e9\n").figures
    (reading,) = audit(figures).plain_matching
    assert reading.choices["ac"].key == "0.9"


def test_rates_in_percent(tmp_path: Path) -> None:
    """T = 2: 0.9 · 2 · 0.25 · 1 G = 0.45 mJ."""
    for header, rate in (("rate (%)", "25.00"), ("rate", "25.00 %"), ("Firing rate", "0.2500")):
        (figures,) = table(tmp_path, f"model,T,energy_mJ,flops_G,{header}\na,2,0.450,1.000,{rate}\n").figures
        assert audit(figures).plain_matching, header


def test_energies_of_single_layers(tmp_path: Path) -> None:
    """Two cells of a sheet: 0.9 · 4.6 · 0.2408 G = 0.997 mJ for the first layer, 0.9 · 0.5 · 2 G = 0.9 mJ."""
    text = (
        "model,T,layer,role,macs_M,rate,energy_mJ\n"
        "net,1,conv1,first,240.8,,0.997\n,,conv2,conv,2000.0,0.5000,0.900\n,,conv3,conv,10.0,0.5,\n"
    )
    first, second = table(tmp_path, text).figures
    assert (first.name, second.name) == ("net, conv1", "net, conv2")
    assert [reading.choices["first"].key for reading in audit(first).plain_matching] == ["product_each_step"]
    assert audit(second).plain_matching[0].choices["ac"].key == "0.9"


def test_one_network_needs_no_list(tmp_path: Path) -> None:
    (figures,) = table(tmp_path, "model: a\nenergy_mJ: 0.854\nsops_G: 11.09\n", "t.yaml").figures
    assert audit(figures).plain_matching[0].choices["ac"].key == "0.077"


def test_several_first_layers_and_roles_in_other_words(tmp_path: Path) -> None:
    """T = 2: 4.6 · 2 · (100 + 50) M + 0.9 · 2 · 0.5 · 300 M = 1.65 mJ."""
    text = (
        "model: a\nT: 2\nenergy_mJ: 1.650\nlayers:\n- {layer: a, role: stem, macs_M: 100.0, rate: 0.9}\n"
        "- {layer: b, role: Encoder, macs_M: 50.00}\n- {layer: q, role: Q, macs_M: 300.0, rate: 0.5000}\n"
    )
    (figures,) = table(tmp_path, text, "t.yaml").figures
    assert [layer.role for layer in figures.layers] == ["first", "first", "qkv"]
    assert "mac_at_rate" not in {choice.key for choice in figures.sheet.axes["first"]}
    assert audit(figures).plain_matching[0].choices["first"].key == "mac_each_step"


def test_a_stated_formula_that_needs_t(tmp_path: Path) -> None:
    (figures,) = table(tmp_path, "model,energy_mJ,sops_G,first_layer_macs_M,stated\na,1.0,1.0,100,h45\n").figures
    assert "cannot be tried: it needs T" in result(audit(figures))


def test_misspelt_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(SnnprofError, match="has no energy") as caught:
        table(tmp_path, "model,enregy_mJ,sops_G\na,1.0,1.0\n")
    assert "columns that are not known: enregy_mJ" in caught.value.hint
