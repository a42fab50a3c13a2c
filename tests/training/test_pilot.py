"""The pilot: what each item brings, what it takes to write, and where the site stands."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from data.errors import GenbaError
from data.settings import set_value
from data.settings_retrain import RetrainSection
from data.site import Site
from data.snapshots import collect
from data.templates import load_template
from tests.training.conftest import Made
from training import pilot as room
from training.arm_runs import lock
from training.pilot import arms_without, last_pilot, pilot, proposed, proven, set_stage, stage
from training.writing_time import Time, times, written_slots

Small = Callable[..., Made]
MAIN = ("retrieval", "recall_at_1_text_to_image")


def test_a_pilot_measures_each_item_on_each_task(small_site: Small) -> None:
    made = small_site(retrain=RetrainSection(seeds=3, steps=40, batch=16, learning_rate=3e-3))
    seen: list[str] = []
    run_id = pilot(made.site, progress=lambda done, total=None, message="": seen.append(message))
    found = last_pilot(made.site)
    assert found is not None and (found.run_id, found.seeds) == (run_id, 2)
    assert [item.slot for item in found.items] == ["part", "material"]  # in the template's order
    with made.site.connect() as db:
        run = db.rows("SELECT * FROM runs")[0]
        assert db.value("SELECT count(*) FROM effects") == 0 and db.value("SELECT count(*) FROM models") == 0
        arms = {row["arm"] for row in db.rows("SELECT DISTINCT arm FROM metrics")}
    assert (run["kind"], run["state"]) == ("pilot", "done") and run["config"]["plan"]["steps"] == 20
    assert arms == {"base", "corrected", "without:part", "without:material"}
    said = next(place for place, message in enumerate(seen) if message.startswith("can detect"))
    assert said < next(place for place, message in enumerate(seen) if "loss" in message)
    tasks = {row["task"] for item in found.items for row in item.effects}
    assert tasks >= {"retrieval", "slots", "classification"}
    for item in found.items:
        assert (
            item.time is not None and item.time.seconds is None and item.time.why == "uncertain"
        )  # all took 20 s
        for row in item.effects:
            assert row["low"] <= row["high"] and row["seconds"] is None and row["gain_per_second"] is None
            assert 0 < row["p_value"] <= 1
            assert row["detectable"] is None or row["detectable"] > 0, "stated before: never zero"
        assert item.proposal == proposed(item.effects, MAIN)


def test_arms_leave_one_item_out(small_site: Small) -> None:
    made = small_site(photos={"train": 48})
    arms = arms_without(made.site, collect(made.site))
    assert list(arms) == ["corrected", "without:part", "without:material"]
    rows = [row for row in collect(made.site).train if row["verdict"] == "fix"]
    template = load_template("parts")
    for row in rows:
        slots = {key: value for key, value in json.loads(row["slots"]).items() if key == "material"}
        expected = {template.caption(slots, language) for language in ("ja", "en")}
        assert set(arms["without:part"][row["image_id"]]) == expected
    fixed = {row["image_id"] for row in rows}
    assert all(
        arms["without:part"][photo] == texts
        for photo, texts in arms["corrected"].items()
        if photo not in fixed
    )


def test_a_pilot_without_enough_corrections_or_beside_a_retraining_is_refused(small_site: Small) -> None:
    made = small_site(photos={"train": 6, "test": 30})
    with pytest.raises(GenbaError, match="training photos have a corrected caption"):
        pilot(made.site)
    other = small_site(name="other")
    with (
        lock(other.site),
        pytest.raises(GenbaError, match="A retraining or pilot of this site is running already"),
    ):
        pilot(other.site)
    with other.site.connect() as db:
        db.execute("UPDATE corrections SET slots = '{}'")
    with pytest.raises(GenbaError, match="No item of the template is said in 10 corrected training captions"):
        pilot(other.site)


def test_writing_times_are_found_again() -> None:
    """400 corrections: 12 s, and 6 s for the part, 2 s for the count where they had to be written; people differ."""
    rng = np.random.default_rng(0)
    written, seconds, people = [], [], []
    for number in range(400):
        one = {
            slot for slot, share in (("part", 0.5), ("count", 0.4), ("rare", 0.01)) if rng.random() < share
        }
        one |= {"place", "severity"} if rng.random() < 0.3 else set()
        person = f"p{number % 3}"
        written.append(one)
        people.append(person)
        seconds.append(12 + 3 * (number % 3) + 6 * ("part" in one) + 2 * ("count" in one) + rng.normal(0, 2))
    found = times(["part", "count", "rare", "place", "severity"], written, seconds, people)
    assert found["part"].seconds == pytest.approx(6, abs=0.7) and found["part"].why == ""
    assert found["count"].low < 2 < found["count"].high  # type: ignore[operator]
    assert (found["rare"].seconds, found["rare"].why) == (None, "few")
    assert {found[slot].why for slot in ("place", "severity")} == {"together"}  # always written together
    noise = times(["part"], written, rng.lognormal(3, 0.5, 400).tolist(), people)
    assert (noise["part"].seconds, noise["part"].why) == (None, "uncertain") and noise["part"].low < 0  # type: ignore[operator]
    assert times(["part"], [], [], []) == {"part": Time(None, None, None, 0, 0, "few")}


def test_what_had_to_be_written_is_what_the_form_did_not_begin_with() -> None:
    template = load_template("parts")
    row = {"slots": {"part": "bolt", "count": 2, "material": "brass"}, "draft": None, "language": "en",
           "caption": "2 steel bolts"}  # fmt: skip
    assert written_slots(row, template) == {"material"}
    assert written_slots({**row, "caption": ""}, template) == {"part", "count", "material"}
    assert written_slots({**row, "draft": {"changed": ["count", "gone"]}}, template) == {"count"}


@pytest.mark.parametrize(
    ("low", "high", "unit", "is_higher_better", "expected"),
    [
        (0.01, 0.2, "fraction", True, "keep"),
        (-0.2, -0.01, "fraction", True, "leave_out"),
        (-0.1, 0.1, "fraction", True, "undecided"),
        (-0.02, 0.005, "fraction", True, "leave_out"),  # next to nothing, at most
        (-0.2, -0.01, "m", False, "keep"),
        (-0.02, 0.005, "m", False, "undecided"),
    ],
)
def test_what_is_proposed(low: float, high: float, unit: str, is_higher_better: bool, expected: str) -> None:
    row: dict[str, Any] = {
        "slot": "part", "task": "t", "metric": "m", "value": (low + high) / 2, "low": low, "high": high, "unit": unit,
        "higher_is_better": is_higher_better, "n": 50, "seeds": 2, "p_value": 0.04,
    }  # fmt: skip
    assert proposed([row], ("t", "m")) == expected
    helps = {**row, "metric": "other", "low": 0.1, "high": 0.2, "unit": "fraction", "higher_is_better": True,
             "p_value": 0.0005}  # fmt: skip
    assert proposed([row, helps], ("t", "m")) == "keep"


def test_of_many_measures_one_that_is_off_zero_by_chance_proves_nothing() -> None:
    """Forty measures of an item without effect: one interval lies above zero, with p = 0.02. Were it the primary one,
    chosen beforehand, it would count; and 40 x 0.0005 would hold among the others too."""
    none = {"slot": "part", "task": "t", "value": 0.0, "low": -0.1, "high": 0.1, "unit": "fraction", "n": 50,
            "seeds": 2, "higher_is_better": True, "p_value": 0.5}  # fmt: skip
    rows = [{**none, "metric": f"m{number}"} for number in range(39)]
    lucky = {**none, "metric": "lucky", "value": 0.05, "low": 0.01, "p_value": 0.02}
    assert proposed([*rows, lucky], MAIN) == "undecided" and proven([*rows, lucky], MAIN) == []
    assert proposed([*rows, lucky], ("t", "lucky")) == "keep"
    strong = {**lucky, "metric": "strong", "p_value": 0.0005}
    assert [row["metric"] for row in proven([*rows, lucky, strong], MAIN)] == ["strong"]


def test_a_person_decides_where_the_site_stands(small_site: Small) -> None:
    site = small_site(photos={"train": 1}).site
    assert stage(site).name == "pilot" and stage(site).by is None
    made = set_stage(site, "template", "佐藤", "run-1", ["part", "defect"])
    assert stage(site) == made and made.slots == ("part", "defect") and made.at is not None
    with site.connect() as db:
        event = db.rows("SELECT actor, detail FROM events WHERE what = ?", [room.EVENT])[0]
    assert event["actor"] == "佐藤" and event["detail"]["before"] == "pilot"
    with pytest.raises(GenbaError, match=r"No stage 'done'. Known: pilot, template, automation"):
        set_stage(site, "done", "佐藤")
    with pytest.raises(GenbaError, match="The template has no item 'colour'"):
        set_stage(site, "template", "佐藤", slots=["colour"])
    with pytest.raises(GenbaError, match="needs a name"):
        set_stage(site, "template", " ")
    set_value(site.settings_path, "review", "leads", ["田中"])
    with pytest.raises(GenbaError, match="may not decide"):
        set_stage(Site.open(site.root), "automation", "佐藤")
    assert stage(site) == made
