"""The page Pilot in both languages: what each item brings, what cannot be measured, and the manager's decision."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Any

import pytest

from data import jobs
from data.messages import translator
from data.settings import set_value
from data.site import Site
from tests.dashboards.conftest import START
from tests.dashboards.test_pages import LANGUAGES, NASTY, rerun, show, texts
from training.pilot import set_stage, stage
from training.writing_time import Time

EFFECTS = {  # slot -> low, value, high
    "part": (0.02, 0.08, 0.14), "count": (-0.05, 0.01, 0.07), "defect": (-0.03, -0.01, 0.004)
}  # fmt: skip


def add_pilot(site: Site) -> None:
    times = {
        "part": Time(4.25, 3.0, 5.5, 40, 90, ""), "count": Time(None, -0.4, 2.0, 40, 90, "uncertain"),
        "defect": Time(None, None, None, 2, 90, "few"),
    }  # fmt: skip
    config: dict[str, Any] = {
        "seeds": 2, "counts": {"corrected_photos": 238}, "times": {slot: asdict(one) for slot, one in times.items()}
    }  # fmt: skip
    with site.connect() as db:
        db.insert("runs", [{"run_id": "p1", "kind": "pilot", "state": "done", "base_encoder": "demo", "config": config,
                            "created_at": START, "finished_at": START}])  # fmt: skip
        db.insert("slot_effects", [
            {"run_id": "p1", "slot": slot, "task": "retrieval", "metric": "recall_at_1_text_to_image", "value": value,
             "low": low, "high": high, "unit": "fraction", "higher_is_better": True, "n": 240, "seeds": 2,
             "p_value": 0.2, "detectable": 0.081, "seconds": times[slot].seconds,
             "gain_per_second": value / times[slot].seconds if times[slot].seconds else None}
            for slot, (low, value, high) in EFFECTS.items()
        ])  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_site_without_a_pilot_can_start_one(
    site: Site, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    _ = translator(language)
    at = show("pilot", site, language, monkeypatch)
    assert _("Pilot") in texts(at) and _("The site stands here") in texts(at)
    at.button(key="pilot-start").click()
    rerun(at)
    with site.connect() as db:
        assert [(job.name, job.requested_by) for job in jobs.jobs(db)] == [("pilot", "田中")]


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_each_item_brings_and_what_nobody_can_say(
    site: Site, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    _ = translator(language)
    add_pilot(site)
    at = show("pilot", site, language, monkeypatch)
    template = site.template()
    labels = {slot.id: slot.label[language] for slot in template.slots}  # type: ignore[index]
    said = texts(at)
    assert _("Proven useful in at least one measure: {items}.").format(items=labels["part"]) in said
    assert (
        _("Proven harmful, or shown to bring next to nothing: {items}.").format(items=labels["defect"])
        in said
    )
    assert _("Nothing is shown either way for: {items}.").format(
        items=labels["count"]) in said  # fmt: skip
    table = at.dataframe[0].value.set_index(_("Item"))
    assert list(table.index) == [labels[slot] for slot in EFFECTS]
    assert "8.0" in table.loc[labels["part"], _("Change by this item")]
    assert table.loc[labels["part"], _("Seconds to write")] == _("{value} s ({low} to {high})").format(
        value="4.2", low="3.0", high="5.5")  # fmt: skip
    assert table.loc[labels["count"], _("Seconds to write")] == _("not measurable")
    for slot, why in (("count", _("not measurable: the interval reaches down to zero")),
                      ("defect", _("not measurable: written in too few or nearly all corrections"))):  # fmt: skip
        assert f"{labels[slot]}" in said and why in said.replace("\\", "")
    proof = _("{item}, proven by: {measures}")
    shown = said.replace("\\", "")
    assert re.search(proof.format(item=labels["part"], measures=r".*\+8\.0"), shown)
    assert proof.format(item=labels["count"], measures="") not in shown
    assert table.loc[labels["count"], _("Gain per second")] == "—"
    gone = {labels[slot.id] for slot in template.slots if slot.show_when and slot.show_when.slot == "defect"}
    assert all(label in table.loc[labels["defect"], _("Goes with it")] for label in gone) and gone


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_manager_decides_and_the_page_shows_who(
    site: Site, monkeypatch: pytest.MonkeyPatch, language: str
) -> None:
    _ = translator(language)
    add_pilot(site)
    at = show("pilot", site, language, monkeypatch)
    slots = at.multiselect(key="pilot-slots")
    assert "defect" not in slots.value and "part" in slots.value  # as proposed
    at.session_state["pilot-stage"] = "template"
    next(button for button in at.button if button.label == _("Decide")).click()
    rerun(at)
    found = stage(site)
    assert (found.name, found.by, found.run_id) == ("template", "田中", "p1") and "defect" not in found.slots
    with site.connect() as db:
        assert db.value("SELECT actor FROM events WHERE what = 'stage.changed'") == "田中"
    defect = next(slot for slot in site.template().slots if slot.id == "defect")
    assert _("To be taken out of the template: {items}.").split("{")[0] in texts(at).replace("\\", "")
    assert defect.label[language] in texts(at)  # type: ignore[index]


def test_only_leads_decide_and_names_are_shown_as_written(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_stage(site, "automation", NASTY)
    set_value(site.settings_path, "review", "leads", ["山田"])
    at = show("pilot", site, "en", monkeypatch)
    assert next(button for button in at.button if button.label == "Decide").disabled
    assert "Only a lead decides" in texts(at).replace("\\", "")
    assert "<script>" not in texts(at).replace("\\<", "")  # escaped where Markdown is read
