"""What a reader must know: weightiest first, each sentence once, numbers that differ as a range."""

from __future__ import annotations

from collections.abc import Callable

from snnprof.activity import Activity, Finding
from snnprof.pricing import price
from snnprof.render import notes
from snnprof.render.notes import Remark
from snnprof.render.table import Notes

HARDWARE = ("cmos45-fp32", "rolls-77fj")


def texts(activity: Activity, *hardware: str) -> dict[str, tuple[str, ...]]:
    reports = [price(activity, id) for id in hardware or HARDWARE]
    return {part.topic: part.texts for part in notes.topics(notes.remarks(reports), hardware or HARDWARE)}


def finding(activity: Activity, *findings: Finding) -> Activity:
    return activity.model_copy(update={"findings": list(findings)})


def test_topics_stand_in_order_of_weight(activity: Activity) -> None:
    silent = finding(activity, Finding(code="C06", text="nearly silent"), Finding(code="C03", text="flips"))
    found = texts(silent)
    assert list(found) == [topic for topic in notes.TOPICS if topic in found]
    assert found[notes.FIRST] == ("nearly silent. (C06)",)
    assert "flips. (C03)" in found[notes.COUNTED]


def test_what_holds_for_all_machines_is_said_once(activity: Activity) -> None:
    every = [text for part in texts(activity).values() for text in part]
    assert sum("neuron updates" in text for text in every) == 1
    assert sum("excludes static power" in text for text in every) == 1


def test_what_concerns_one_machine_names_it() -> None:
    remark = Remark(notes.MISSING, "the total has no memory accesses", hardware=("mine",))
    assert notes.topics([remark], ["mine", "other"]) == (
        Notes(notes.MISSING, ("mine: the total has no memory accesses.",)),
    )
    assert notes.topics([remark], ["mine"]) == (Notes(notes.MISSING, ("the total has no memory accesses.",)),)


def test_layers_that_differ_in_a_number_share_a_sentence(activity: Activity) -> None:
    found = finding(activity, *(Finding(code="C99", layer=f"l{i}", text=f"reads up to {n}, not 1") for i, n in
                                enumerate((10, 2, 4, 2))))  # fmt: skip
    assert "l0, l1, l3 and 1 more: reads up to 2–10, not 1. (C99)" in texts(found)[notes.COUNTED]


def test_numbers_inside_names_are_no_range() -> None:
    several = [Remark(notes.COUNTED, f"x: see cmos{n}-fp32", models=(str(n),)) for n in (45, 7)]
    assert len(notes.together([several])) == 2


def test_models_share_a_sentence_with_a_range(activity_maker: Callable[..., Activity]) -> None:
    runs = {name: activity_maker(name, firing=firing) for name, firing in (("a", 2), ("b", 4))}
    each = [notes.remarks([price(run)], name) for name, run in runs.items()]
    said = [text for part in notes.topics(notes.together(each), ["cmos45-fp32"], list(runs)) for text in part.texts]
    assert len(said) == len(set(said))
    assert sum("neuron updates" in text for text in said) == 1
    assert not any(text.startswith(("a: ", "b: ")) and "static power" in text for text in said)
    only = [Remark(notes.FIRST, "silent", models=("a",))]
    assert notes.topics(only, [], ["a", "b"]) == (Notes(notes.FIRST, ("a: silent.",)),)


def test_units_decide_which_number_is_larger() -> None:
    one, other = (Remark(notes.MISSING, f"{n} updates", models=(n,)) for n in ("1.115 G", "887.1 M"))
    (both,) = notes.together([[one], [other]])
    assert both.text == "887.1 M–1.115 G updates"


def test_random_data_interruptions_and_reconstructions_come_first(activity: Activity) -> None:
    run = activity.run.model_copy(deep=True, update={"complete": False})
    run.data.kind, run.model.note = "random", "A reconstruction."
    first = texts(activity.model_copy(update={"run": run}))[notes.FIRST]
    assert first[0].startswith("The input is random data")
    assert first[1].startswith("The run was interrupted")
    assert first[2] == "A reconstruction."
