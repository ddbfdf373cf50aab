"""Hardware profiles: the built-in ones, what is wrong with a broken one, look-up and inheritance."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from snnprof.__main__ import main
from snnprof.errors import SnnprofError
from snnprof.hardware import DEFAULT, check, json_schema, load_hardware, lookup, names, picojoules, stubs

ROOT = Path(__file__).parent.parent
BROKEN = Path(__file__).parent / "data" / "broken_hardware"

PRICES = {  # id: (MAC, AC or SOP) in picojoules
    "cmos45-fp32": (4.6, 0.9),
    "cmos45-fp16": (1.5, 0.4),
    "cmos45-int8": (0.23, 0.03),
    "cmos45-int8-acc32": (0.30, 0.10),
    "cmos45-int32": (3.2, 0.1),
    "cmos45-fp32-mem": (4.6, 0.9),
    "cmos45-fp32-reuse-ws": (4.6, 0.9),
    "cmos45-fp32-reuse-os": (4.6, 0.9),
    "cmos45-fp32-reuse-rs": (4.6, 0.9),
    "lemaire2022-int32": (3.2, 0.1),
    "cmos7-fp32": (1.69, 0.38),
    "cmos7-fp16": (0.50, 0.16),
    "cmos7-int8": (0.077, 0.007),
    "yan2024-22nm": (None, 0.05448),
    "rolls-77fj": (None, 0.077),
    "truenorth-allin": (None, 26),
    "truenorth-linear": (None, 2.2965631),
    "loihi1-davies2018": (None, 23.6),
    "loihi1-sanafe": (None, 35.5),
    "odin-allin": (None, 12.7),
    "odin-incremental": (None, 8.43),
    "morphic-0v8": (None, 30),
    "reckon-0v5": (None, 5.3),
    "darwin3-incremental": (None, 5.47),
    "seneca-22nm": (None, 2.8),
    "spinnaker1": (None, 13_300),
    "spinnaker2-testchip": (None, 450),
    "speck-yao2024": (None, 16.98),
    "loihi2-bound-pilotnet": (None, None),
    "tpuv4i-int8-mem": (0.084, 0.007),
}


def test_the_built_in_profiles():
    assert set(names()) == set(PRICES)
    assert names()[0] == DEFAULT
    assert set(stubs()) == {
        "loihi2", "akida", "speck", "xylo", "brainscales2", "northpole", "tianjic", "dynap-se",
    }  # fmt: skip


@pytest.mark.parametrize("id", PRICES)
def test_each_profile_is_sound_and_has_its_published_prices(id):
    profile = load_hardware(id)
    mac, sop = PRICES[id]
    assert (profile.sop and profile.sop.value) == (sop and pytest.approx(sop))
    assert (profile.energy.mac.value if profile.energy.mac else None) == mac
    assert all(source.citation for source in profile.sources)
    assert check(ROOT / "hardware_profiles" / f"{id}.yaml") == []


@pytest.mark.parametrize("id", [id for id in PRICES if id.startswith("cmos")])
def test_a_mac_is_a_multiplication_and_an_addition(id):
    energy = load_hardware(id).energy
    assert energy.mac.value == pytest.approx(energy.mul.value + energy.add.value)
    assert energy.ac.value == energy.add.value


def test_figures_that_nobody_checked_are_marked():
    for id in names():
        profile = load_hardware(id)
        for path in profile.unverified:
            target = profile
            for key in path.split("."):
                target = getattr(target, key)
            assert target is not None, f"{id}: {path}"
    assert "technology.vdd_v" in load_hardware("rolls-77fj").unverified
    for id in names():
        profile, chip = load_hardware(id), id.partition("-")[0]
        if not chip.startswith(("cmos", "lemaire2022", "rolls")):
            assert "precision" in profile.unverified, id
        if profile.technology.process:
            assert "technology.process" in profile.unverified, id


@pytest.mark.parametrize("id", ["loihi2", "northpole"])
def test_a_stub_says_why_it_has_no_prices(id):
    with pytest.raises(SnnprofError) as error:
        load_hardware(id)
    assert stubs()[id] in str(error.value)


# -- broken files -----------------------------------------------------------------------------------------------

EXPECTED = {  # file: (line, key, words)
    "alias-bomb": (1, "", "anchors and aliases"),
    "all-in-with-neurons": (10, "energy.neuron_update", "all_in figure already covers|scope all_in already covers"),
    "all-in-without-point": (5, "scope", "operating_point"),
    "boolean": (9, "energy.mac", "must be a number, not True"),
    "borrowed-provenance": (3, "", "state scope, evidence, precision, sources anew"),
    "circle-a": (3, "", "circle-a > circle-b > circle-a"),
    "circle-b": (3, "", "circle-b > circle-a > circle-b"),
    "empty": (1, "", "must be a mapping"),
    "empty-range": (9, "energy.mac", "low <= value <= high"),
    "id-of-a-built-in": (2, "id", "already has the id 'rolls-77fj'"),
    "in-and-out": (11, "excludes", "both included and excluded"),
    "infinite": (9, "energy.mac", "must be finite"),
    "measured-without-doi": (12, "sources", "doi"),
    "measured-without-vdd": (7, "technology", "vdd_v"),
    "memory-order": (16, "memory.levels", "must grow"),
    "memory-without-coefficients": (14, "memory.interpolate", "linear needs coefficients"),
    "missing-precision": (None, "precision", "is missing"),
    "missing-schema": (None, "schema", "is missing"),
    "negative": (9, "energy.mac", "must not be negative"),
    "nested": (2, "", "nested deeper than"),
    "no-price": (9, "energy", "at least one of mac, ac, sop"),
    "no-sources": (12, "sources", "must not be empty"),
    "no-unit": (9, "energy.mac", "a text with a unit such as '77 fJ'"),
    "not-a-mapping": (1, "", "must be a mapping"),
    "not-a-number": (9, "energy.mac", "must be finite"),
    "not-yaml": (3, "", "not valid YAML"),
    "other-schema": (1, "schema", "snnprof.hardware/1"),
    "sop-is-not-ac": (9, "energy.sop", "differs from energy.ac"),
    "stub-parent": (3, "", "'loihi2' has no prices"),
    "twice": (4, "", "the key 'title' appears twice"),
    "two-documents": (2, "", "not valid YAML"),
    "unknown-component": (11, "excludes.0", "should be 'arithmetic'"),
    "unknown-energy-key": (9, "energy.macs", "did you mean 'mac'"),
    "unknown-key": (6, "evidance", "did you mean 'evidence'"),
    "unknown-parent": (3, "", "unknown hardware profile 'cmos45-fp33'"),
    "unknown-reference": (9, "reference_ann", "no hardware profile 'cmos45-fp33'"),
    "unknown-scope": (5, "scope", "should be 'compute'"),
    "unknown-source": (9, "energy.mac", "source 'b' is not in sources"),
    "unknown-unit": (9, "energy.mac", "unknown energy unit 'PJ'"),
    "wrong-id": (2, "id", "must be the file's name"),
    "zero-without-note": (9, "energy.mac", "0 claims that it is free"),
}


def test_every_broken_file_has_an_expectation():
    assert {path.stem for path in BROKEN.glob("*.yaml")} == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_broken_file_is_explained_with_line_and_key(name, monkeypatch):
    monkeypatch.setenv("SNNPROF_HARDWARE", str(BROKEN))
    line, key, words = EXPECTED[name]
    problems = check(BROKEN / f"{name}.yaml")
    wanted = [p for p in problems if (p.line, p.key) == (line, key) and re.search(words, p.text)]
    assert wanted, problems
    assert "\n" not in str(wanted[0])
    assert str(wanted[0]).startswith(f"{BROKEN / name}.yaml" + (f":{line}: " if line else ": "))
    with pytest.raises(SnnprofError):
        load_hardware(BROKEN / f"{name}.yaml")


def test_missing_unreadable_and_oversized_files(tmp_path):
    assert "cannot be read" in str(check(tmp_path / "none.yaml")[0])
    assert "cannot be read" in str(check(tmp_path)[0])
    (tmp_path / "bytes.yaml").write_bytes(b"id: \xff\xfe")
    assert "not UTF-8" in str(check(tmp_path / "bytes.yaml")[0])
    (tmp_path / "big.yaml").write_text("# " + "x" * (1 << 20))
    assert "larger than" in str(check(tmp_path / "big.yaml")[0])
    (tmp_path / "control.yaml").write_bytes(b"id: a\x00b")
    assert "not valid YAML" in str(check(tmp_path / "control.yaml")[0])


# -- reading ----------------------------------------------------------------------------------------------------


def write(folder: Path, id: str, energy: str = "{mac: 4.6, ac: 0.9}", **replaced: str) -> Path:
    text = (BROKEN / "wrong-id.yaml").read_text().replace("id: another-id", f"id: {id}")
    text = text.replace("{mac: 4.6, ac: 0.9}", energy)
    for old, new in replaced.items():
        text = re.sub(rf"^{old}:.*$", new, text, flags=re.MULTILINE)
    path = folder / f"{id}.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("77 fJ", 0.077),
        ("0.9pJ", 0.9),
        ("13.3 nJ", 13_300),
        ("2 uJ", 2e6),
        ("2 µJ", 2e6),
        ("2 μJ", 2e6),
        ("1e-3 J", 1e9),
    ],
)
def test_units(text, expected):
    assert picojoules(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["77", "fJ", "77 FJ", "77 fj", "1,5 pJ", "77 pJ pJ", "", "4.6"])
def test_not_a_quantity(text):
    with pytest.raises(ValueError, match="unit"):
        picojoules(text)


@pytest.mark.parametrize("number", ["1e9", "1.0e9", "3.33e8", "1.0e+9"])
def test_yaml_takes_an_unsigned_exponent_for_text(tmp_path, number):
    path = write(tmp_path, "fast", technology=f"technology: {{node_nm: 45, clock_hz: {number}}}")
    assert load_hardware(path).technology.clock_hz == float(number)


def test_a_price_can_carry_its_range_and_source(tmp_path):
    energy = "{ac: {value: 900 fJ, low: 0.8, high: 1 pJ, source: a, evidence: measured, note: why}}"
    price = load_hardware(write(tmp_path, "rich", energy)).sop
    assert (price.value, price.low, price.high, price.evidence) == (0.9, 0.8, 1.0, "measured")


def test_unknown_is_none_and_extensions_are_allowed(tmp_path):
    path = write(tmp_path, "open", "{ac: 0.9, mac: null, x-own: 3}", title="title: Open\nx-lab: anything")
    profile = load_hardware(path)
    assert profile.energy.mac is None
    assert profile.energy.neuron_update is None


def test_sop_falls_back_to_ac_and_never_the_other_way_round(tmp_path):
    assert load_hardware(write(tmp_path, "ac-only", "{ac: 0.9}")).sop.value == 0.9
    assert load_hardware(write(tmp_path, "both", "{ac: 0.9, sop: {value: 2, note: with fetch}}")).sop.value == 2
    profile = load_hardware(write(tmp_path, "sop-only", "{sop: 23.6}"))
    assert (profile.energy.ac, profile.add) == (None, None)


# -- inheritance ------------------------------------------------------------------------------------------------


def test_a_child_changes_what_it_names(tmp_path):
    path = tmp_path / "child.yaml"
    path.write_text(
        "schema: snnprof.hardware/1\nid: child\nextends: cmos45-fp32\ntitle: Cooler\n"
        "technology: {temperature_c: 5}\nexcludes: [host]\nincludes: [arithmetic]\n"
    )
    child, parent = load_hardware(path), load_hardware("cmos45-fp32")
    assert (child.technology.node_nm, child.technology.temperature_c) == (45, 5)
    assert child.excludes == ["host"]
    assert (child.energy, child.sources) == (parent.energy, parent.sources)


def test_null_deletes_what_was_inherited(tmp_path):
    path = tmp_path / "child.yaml"
    path.write_text(
        "schema: snnprof.hardware/1\nid: child\nextends: cmos45-fp32\ntitle: No multiplier\nscope: compute\n"
        "evidence: derived\nprecision: {weight: fp32, activation: binary, accumulator: fp32}\n"
        "energy: {mac: null, mul: null}\nsources: [{id: me, citation: own, access: read}]\n"
    )
    assert load_hardware(path).energy.mac is None
    assert load_hardware(path).energy.ac.value == 0.9


@pytest.mark.parametrize("missing", ["precision", "evidence", "scope", "sources"])
def test_changed_figures_need_their_own_provenance(tmp_path, missing):
    own = {
        "scope": "scope: compute\n",
        "evidence": "evidence: derived\n",
        "precision": "precision: {weight: int4, activation: int4, accumulator: int8}\n",
        "sources": "sources: [{id: me, citation: own, access: read}]\n",
    }
    path = tmp_path / "child.yaml"
    head = "schema: snnprof.hardware/1\nid: child\nextends: cmos45-fp32\ntitle: Mine\nenergy: {mac: 1.0}\n"
    path.write_text(head + "".join(text for key, text in own.items() if key != missing))
    (problem,) = check(path)
    assert re.search(f"state {missing} anew", problem.text)
    path.write_text(head + "".join(own.values()))
    assert check(path) == []


def test_an_inherited_price_is_known_as_well_as_its_parent_says(tmp_path):
    path = tmp_path / "child.yaml"
    path.write_text(
        "schema: snnprof.hardware/1\nid: child\nextends: cmos45-fp32\ntitle: Mine\nscope: compute\n"
        "evidence: simulated\nprecision: {weight: int4, activation: int4, accumulator: int8}\n"
        "energy: {mac: 1.0}\nsources: [{id: me, citation: own, access: read}]\n"
    )
    child, parent = load_hardware(path), load_hardware("cmos45-fp32")
    assert child.evidence_of(child.energy.mac) == "simulated"
    assert child.energy.ac.value == parent.energy.ac.value
    assert child.evidence_of(child.energy.ac) == parent.evidence_of(parent.energy.ac) == "arithmetic"


# -- look-up ----------------------------------------------------------------------------------------------------


def test_unknown_names_get_a_hint():
    with pytest.raises(SnnprofError, match="unknown hardware profile 'rols-77fj'") as error:
        load_hardware("rols-77fj")
    assert "rolls-77fj" in error.value.hint


def test_the_users_own_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("SNNPROF_HARDWARE", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "snnprof" / "hardware"
    folder.mkdir(parents=True)
    write(folder, "mine")
    assert "mine" in names()
    assert load_hardware("mine").title == "A profile"


def test_two_profiles_of_one_name_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("SNNPROF_HARDWARE", str(tmp_path))
    shutil.copy(ROOT / "hardware_profiles" / "cmos45-fp32.yaml", tmp_path)
    with pytest.raises(SnnprofError, match="two hardware profiles have the id 'cmos45-fp32'"):
        load_hardware("cmos45-fp32")


@pytest.mark.parametrize("as_function", [False, True])
def test_plug_ins(tmp_path, monkeypatch, as_function):
    path = write(tmp_path, "theirs")
    (tmp_path / "lab.py").write_text(f"PATH = {str(path)!r}\ndef find():\n    return PATH\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = EntryPoint("theirs", "lab:find" if as_function else "lab:PATH", lookup.ENTRY_POINTS)
    monkeypatch.setattr(lookup, "entry_points", lambda group: [entry])
    assert load_hardware("theirs").id == "theirs"
    assert "theirs" in names()


def test_a_broken_plug_in_is_one_sentence(monkeypatch):
    entry = EntryPoint("theirs", "no_such_module:PATH", lookup.ENTRY_POINTS)
    monkeypatch.setattr(lookup, "entry_points", lambda group: [entry])
    said = "hardware profile 'theirs' of the package 'no_such_module': its entry point no_such_module:PATH failed"
    with pytest.raises(SnnprofError, match=said) as caught:
        load_hardware("theirs")
    assert caught.value.hint == "update or uninstall no_such_module"


def test_broken_files_in_the_users_folder_hide_no_good_one(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNNPROF_HARDWARE", str(tmp_path))
    write(tmp_path, "mine")
    write(tmp_path, "odd", kind="kind: quantum")
    (tmp_path / "cut\x1b.yaml").write_text("id: [", encoding="utf-8")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "folder.yaml").mkdir()
    shutil.copy(ROOT / "hardware_profiles" / "rolls-77fj.yaml", tmp_path)
    assert main(["hardware", "list", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert {line.partition(",")[0] for line in out.splitlines()[1:]} == {*PRICES, "mine"} - {"rolls-77fj"}
    warnings = [line for line in err.splitlines() if line.startswith("warning: left out: ")]
    for named in (
        "cut\\x1b.yaml:1: not valid YAML",
        "odd.yaml:4: kind",
        "folder.yaml: cannot be read: is a directory",
        "loop.yaml: cannot be read: too many levels",
        "two hardware profiles have the id 'rolls-77fj'",
    ):
        assert sum(named in line for line in warnings) == 1, named
    assert len(warnings) == 5
    assert f"hint: see 'snnprof hardware check {tmp_path / 'odd.yaml'}'" in err
    assert main(["hardware", "show", "mine"]) == 0
    assert "odd" not in capsys.readouterr().err
    assert main(["hardware", "show", "odd"]) == 2
    assert f"error: {tmp_path / 'odd.yaml'}:4: kind: should be 'digital'" in capsys.readouterr().err


def _permission_denied(folder, monkeypatch):
    folder.mkdir()
    listed = Path.iterdir

    def refuse(path):
        if path == folder:
            raise PermissionError(13, "Permission denied", str(path))
        return listed(path)

    monkeypatch.setattr(Path, "iterdir", refuse)


def _a_file(folder, _):
    folder.write_text("id: mine\n")


def _a_dangling_link(folder, _):
    folder.symlink_to("nowhere")


def _a_loop(folder, _):
    folder.symlink_to(folder.name)


UNREADABLE = {
    _permission_denied: "permission denied", _a_file: "not a directory", _a_dangling_link: "no such file or directory",
    _a_loop: "too many levels of symbolic links",
}  # fmt: skip


@pytest.mark.parametrize(("breaks", "reason"), UNREADABLE.items(), ids=[each.__name__ for each in UNREADABLE])
def test_an_unreadable_folder_hides_no_built_in_profile(breaks, reason, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "own"
    monkeypatch.setenv("SNNPROF_HARDWARE", str(folder))
    breaks(folder, monkeypatch)
    assert main(["hardware", "list", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert {line.partition(",")[0] for line in out.splitlines()[1:]} == set(PRICES)
    said = f"warning: left out: your hardware profiles in {folder}, which cannot be read: {reason}"
    assert err.splitlines() == [
        said,
        "hint: make it a folder that you can read, or name another one in SNNPROF_HARDWARE",
    ]
    assert load_hardware("cmos45-fp32").id == "cmos45-fp32"
    assert set(names()) == set(PRICES)
    with pytest.raises(SnnprofError, match="unknown hardware profile 'mine'"):
        load_hardware("mine")


def test_no_folder_and_no_home_are_nothing_wrong(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNNPROF_HARDWARE", str(tmp_path / "none"))
    assert main(["hardware", "list", "--format", "csv"]) == 0
    assert capsys.readouterr().err == ""
    monkeypatch.delenv("SNNPROF_HARDWARE")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lambda: (_ for _ in ()).throw(RuntimeError("no home")))
    assert set(names()) == set(PRICES)


def _not_utf8(path):
    path.write_bytes(b"id: \xff\xfe\n")


def _no_yaml(path):
    path.write_text("id: [")


NAMESAKES = {Path.mkdir: "is a directory", _not_utf8: "is not UTF-8 text", _no_yaml: "not valid YAML"}


@pytest.mark.parametrize(("makes", "reason"), NAMESAKES.items(), ids=[each.__name__ for each in NAMESAKES])
def test_a_broken_file_takes_no_built_in_profiles_place(makes, reason, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SNNPROF_HARDWARE", str(tmp_path))
    makes(tmp_path / "cmos45-fp32.yaml")
    (tmp_path / "link.yaml").symlink_to("nowhere.yaml")
    assert load_hardware("cmos45-fp32").id == "cmos45-fp32"
    assert main(["hardware", "list", "--format", "csv"]) == 0
    out, err = capsys.readouterr()
    assert {line.partition(",")[0] for line in out.splitlines()[1:]} == set(PRICES)
    warnings = [line for line in err.splitlines() if line.startswith("warning: left out: ")]
    assert len(warnings) == 2
    assert "cmos45-fp32.yaml" in warnings[0]
    assert reason in warnings[0]
    assert "link.yaml: cannot be read: no such file" in warnings[1]


# -- generated files, start-up ----------------------------------------------------------------------------------


def test_generated_files_are_current():
    """Make them anew with: python docs/make_hardware.py"""
    made = subprocess.run(
        [sys.executable, str(ROOT / "docs" / "make_hardware.py"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr


def test_the_json_schema_is_the_one_in_the_package():
    stored = json.loads((ROOT / "snnprof" / "hardware.schema.json").read_text(encoding="utf-8"))
    assert stored == json_schema()
    assert {"schema", "id", "energy", "sources", "extends"} <= stored["properties"].keys()


def test_listing_profiles_loads_nothing_heavy():
    code = (
        "import sys; from snnprof.hardware import names, load_hardware; names(); load_hardware('cmos45-fp32');"
        "print([m for m in ('torch', 'numpy', 'pandas', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
