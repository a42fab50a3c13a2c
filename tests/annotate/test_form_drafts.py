"""Half-typed answers on a real store: one for each person and pair, gone once the answer is saved."""

from __future__ import annotations

from pathlib import Path

import pytest

from annotate import corrections, form_drafts
from annotate.form_drafts import Draft
from data.site import Site, init_site
from tests.annotate import sites
from tests.annotate.sites import BOLT


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    made = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo", demo=True)
    sites.fill(made, tmp_path / "photos", sites.CAPTIONS)
    return made


def test_a_draft_comes_back_for_its_person_and_pair_alone(site: Site) -> None:
    form_drafts.save(site, "p1", "佐藤", {"part": "bolt"}, 3.5)
    form_drafts.save(site, "p1", "佐藤", {"part": "nut", "material": None}, 7.25, "parts@2")
    kept = Draft({"part": "nut", "material": None}, 7.25, "parts@2")
    assert form_drafts.load(site, "p1", "佐藤") == kept
    form_drafts.flush(site)
    assert form_drafts.load(site, "p1", "佐藤") == kept
    assert form_drafts.load(site, "p1", "Smith") is None and form_drafts.load(site, "p2", "佐藤") is None


def test_a_saved_answer_ends_its_draft(site: Site) -> None:
    pair_id = sites.pair_of(site, 1)
    form_drafts.save(site, pair_id, "佐藤", {"part": "bolt"}, 1.0)
    corrections.submit(site, pair_id=pair_id, annotator="佐藤", verdict="fix", slots=BOLT, active_seconds=9.0)
    assert form_drafts.load(site, pair_id, "佐藤") is None
