"""Power logs: what is read out of them, and what is refused, with its line."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from snnprof.calibration import TEMPLATE, read_log
from snnprof.errors import SnnprofError

HEAD = "time,rail,watts,stretch,run,inferences\n"


def log(folder: Path, body: str, head: str = HEAD) -> Path:
    path = folder / "log.csv"
    path.write_text(head + body, encoding="utf-8")
    return path


def test_the_template_is_a_log(tmp_path: Path) -> None:
    read = read_log(log(tmp_path, TEMPLATE, ""))
    assert [(s.name, s.run, s.inferences) for s in read.stretches] == [("idle-1", "", 0), ("a-1", "a.json", 40)]
    assert [s.seconds for s in read.stretches] == pytest.approx([0.02, 0.03])
    assert read.left_out == 1
    assert read.sha256 == hashlib.sha256(TEMPLATE.encode()).hexdigest()


def test_rails_add_up_and_lines_hold_until_the_next(tmp_path: Path) -> None:
    """Rail x: 1 W for 1 s, 2 W for 3 s, 4 W for the middle step of 2 s; rail y: 0.5 W all the time."""
    body = "0,x,1,s,a,5\n0,y,.5,s,a,5\n1,x,2,s,a,5\n3,y,.5,s,a,5\n4,x,4,s,a,5\n"
    (stretch,) = read_log(log(tmp_path, body)).stretches
    assert stretch.seconds == pytest.approx(6)
    assert stretch.watts == pytest.approx((1 * 1 + 2 * 3 + 4 * 2) / 6 + 0.5)
    (stretch,) = read_log(log(tmp_path, body), ["x"]).stretches
    assert stretch.watts == pytest.approx(15 / 6)


def test_columns_may_come_in_any_order_and_with_others(tmp_path: Path) -> None:
    body = "a.json,7,s,3,v,0,hello\na.json,7,s,3,v,1,hello\n"
    (stretch,) = read_log(log(tmp_path, body, "\ufeffrun, inferences,stretch,watts,rail,time,comment\n")).stretches
    assert (stretch.run, stretch.inferences, stretch.watts) == ("a.json", 7, 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("", "no line belongs to a stretch"),
        ("0,x,1,,,\n", "no line belongs to a stretch"),
        ("0,x,1,s,,\n", "stretch 's' has 1 lines of rail 'x', not 2 or more"),
        ("0,x,nan,s,,\n", "log.csv:2: watts is 'nan', not a number"),
        ("0,x,inf,s,,\n", "log.csv:2: watts is 'inf', not a number"),
        ("0,x,,s,,\n", "log.csv:2: watts is '', not a number"),
        ('"0,5",x,1,s,,\n', "log.csv:2: time is '0,5', not a number"),
        ("0,,1,s,,\n", "log.csv:2: the line names no rail"),
        ("0,x,1,s,a,\n", "log.csv:2: a run needs a number of inferences above 0"),
        ("0,x,1,s,a,-3\n", "log.csv:2: a run needs a number of inferences above 0"),
        ("0,x,1,s,,3\n", "log.csv:2: inferences need a run"),
        ("0,x,1,s,,\n0,x,1,s,,\n", "log.csv:3: the time of rail 'x' does not go on"),
        ("0,x,1,s,a,2\n1,x,1,s,b,2\n", "log.csv:3: stretch 's' began with run 'a' and 2 inferences"),
        ("0,x,1,s,,\n1,x,1,s,,\n2,y,1,t,,\n3,y,1,t,,\n", "stretch 's' has 0 lines of rail 'y'"),
        ("0,x\n", "log.csv:2: watts is '', not a number"),
        ('0,"x,1,s,,\n', "not CSV in UTF-8"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named(body: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SnnprofError) as caught:
        read_log(log(tmp_path, body))
    assert said in str(caught.value)


def test_a_bad_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SnnprofError, match="it has no column watts and no column inferences"):
        read_log(log(tmp_path, "", "time,rail,stretch,run\n"))
    (tmp_path / "b.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SnnprofError, match="not CSV in UTF-8"):
        read_log(tmp_path / "b.csv")
    with pytest.raises(SnnprofError, match="cannot read power log"):
        read_log(tmp_path / "missing.csv")
    with pytest.raises(SnnprofError, match="has no rail 'z'"):
        read_log(log(tmp_path, "0,x,1,s,,\n1,x,1,s,,\n"), ["z"])


def test_a_gap_is_seen(tmp_path: Path) -> None:
    body = "".join(f"{time},x,1,s,,\n" for time in (0, 1, 2, 3, 54))
    assert read_log(log(tmp_path, body)).gap == ("s", 51)
