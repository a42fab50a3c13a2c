"""The scan and what is decided on its findings, on a real store: incremental, resumed, one way for each action."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from PIL import Image

from annotate import queue
from annotate.corrections import submit
from dashboards import personal_findings as kept
from dashboards import personal_scan
from dashboards.export_rows import BARRED
from dashboards.personal_findings import Finding
from data.errors import GenbaError
from data.jobs import JobCancelled
from data.settings import set_value
from data.site import Site
from genba import handlers
from scoring.reasons import words
from tests.conftest import genba
from tests.dashboards.conftest import add_correction, add_image, add_pair, add_score
from tests.dashboards.test_pages import LANGUAGES, NASTY, rerun, show, texts

SCRIPT = "田中さんの部品 <script>alert(1)</script> **太字**"
CAPTIONS = (
    "鋼のボルト",
    SCRIPT,
    "careless weld, call 03-1234-5678",
    "careless weld, call 03-1234-5678",
    "普通の歯車",
)


def place(path: Path, is_there: bool, shade: int) -> None:
    image = Image.fromarray(np.full((48, 48, 3), shade, dtype=np.uint8))
    exif = Image.Exif()
    if is_there:
        exif.get_ifd(0x8825).update({1: "N", 2: (35.0, 30.0, 0.0), 3: "E", 4: (139.0, 45.0, 0.0)})
    image.save(path, exif=exif)


@pytest.fixture
def told(site: Site) -> Site:
    """Five scored captions on five photos; photo 1 has a place in it, the file of photo 4 is gone."""
    with site.connect() as db:
        for n, caption in enumerate(CAPTIONS):
            pair = add_pair(db, add_image(db, n), caption)
            add_score(db, pair, cosine=0.2, risk=0.9 - 0.1 * n)
    folder = Path(site.settings.photos.roots[0])
    for n in range(4):
        place(folder / f"{n}.jpg", n == 1, 40 + 30 * n)
    st.cache_data.clear()
    return site


def one(site: Site, what: str) -> Finding:
    (found,) = [finding for finding in kept.findings(site) if finding.what == what]
    return found


def test_a_second_scan_looks_only_at_what_could_not_be_opened(told: Site) -> None:
    before = personal_scan.progress_of(told)
    assert (before.captions, before.captions_done, before.photos_done, before.at) == (4, 0, 0, None)
    assert personal_scan.scan(told, with_photos=True) == personal_scan.Scanned(4, 5, 4, 1)
    assert personal_scan.scan(told, with_photos=True) == personal_scan.Scanned(0, 1, 0, 1)
    done = personal_scan.progress_of(told)
    assert (done.captions_done, done.photos_done, done.unreadable) == (4, 5, 1)
    found = [(x.what, x.text, x.places) for x in kept.findings(told)]
    assert found == [
        ("term", "careless", 2),
        ("name", "田中", 1),
        ("phone", "03-1234-5678", 2),
        ("gps", "", 1),
    ]
    assert one(told, "gps").detail == {"latitude": 35.5, "longitude": 139.75}
    assert kept.open_findings(kept.findings(told)) == {"term": 1, "name": 1, "phone": 1, "gps": 1}
    place(Path(told.settings.photos.roots[0]) / "4.jpg", True, 200)  # the disk is back
    assert personal_scan.scan(told, with_photos=True) == personal_scan.Scanned(0, 1, 1, 0)
    assert personal_scan.progress_of(told).unreadable == 0


def test_the_job_goes_on_where_it_was_cut_off(told: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(done: int, total: int | None = None, message: str = "") -> None:
        if message == "photos" and done == 3:
            raise JobCancelled("x")

    run = handlers()["privacy"]
    with pytest.raises(JobCancelled):
        run(told, {"photos": True}, cut)
    done = personal_scan.progress_of(told)
    assert (done.captions_done, done.photos_done, done.photos) == (4, 3, 5)
    seen: list[tuple[int, int | None]] = []
    result = run(told, {"photos": True}, lambda done, total=None, message="": seen.append((done, total)))
    assert (result["captions"], result["photos"]) == (0, 2)
    assert seen == [(0, 2), (1, 2)]
    assert personal_scan.progress_of(told).photos_done == 5


def test_other_terms_are_looked_for_again_and_a_decision_stands(told: Site) -> None:
    personal_scan.scan(told)
    kept.dismiss(told, [one(told, "name").finding_id], "佐藤")
    set_value(told.settings_path, "privacy", "forbidden_terms", ["ボルト"])
    again = Site.open(told.root)
    assert personal_scan.progress_of(again).captions_done == 0
    personal_scan.scan(again)
    assert [(x.what, x.decision) for x in kept.findings(again)] == [
        ("term", None), ("name", "dismissed"), ("phone", None),
    ]  # fmt: skip


def test_a_dismissal_stands_with_its_author_and_can_be_undone(told: Site) -> None:
    personal_scan.scan(told)
    assert kept.dismiss(told, [one(told, "name").finding_id, one(told, "term").finding_id], " 佐藤 ") == 2
    found = one(told, "name")
    assert (found.decision, found.decided_by) == ("dismissed", "佐藤") and found.decided_at
    assert kept.open_findings(kept.findings(told)) == {"phone": 1}
    kept.undo(told, str(found.decision_id), "田中")
    assert one(told, "name").decision is None and one(told, "term").decision == "dismissed"


def test_what_is_sent_comes_first_with_its_reason_until_it_is_corrected(told: Site) -> None:
    personal_scan.scan(told)
    assert kept.send(told, one(told, "phone").finding_id, "佐藤") == 2
    rows = queue.top(told, 5)
    assert [row["caption"] for row in rows[:2]] == [CAPTIONS[2]] * 2 and rows[2]["caption"] == CAPTIONS[0]
    assert "電話番号" in words(rows[0]["reasons"][0], "ja") and "phone" in words(rows[0]["reasons"][0], "en")
    assert rows[2]["reasons"] == []
    assert one(told, "phone").decision == "sent" and kept.open_findings(kept.findings(told))["phone"] == 1
    kept.undo(told, str(one(told, "phone").decision_id), "佐藤")
    assert queue.top(told, 1)[0]["caption"] == CAPTIONS[0]
    with told.connect() as db:
        pair = db.value("SELECT pair_id FROM pairs WHERE caption = ?", [SCRIPT])
        new = add_pair(db, f"{1:064x}", "鋼の部品", "correction")
        add_correction(db, pair, "fix", [new])
    assert "name" not in {finding.what for finding in kept.findings(told)}  # replaced


def test_a_judged_caption_is_opened_in_its_form_and_not_queued(told: Site) -> None:
    personal_scan.scan(told)
    with told.connect() as db:
        pair = db.value("SELECT pair_id FROM pairs WHERE caption = ?", [SCRIPT])
        add_correction(db, pair, "ok")
    found = one(told, "name")
    assert (found.waits, found.form_pair_id) == (0, pair)
    with pytest.raises(GenbaError, match="has been judged"):
        kept.send(told, found.finding_id, "佐藤")


def test_what_a_person_wrote_leads_to_the_form_of_the_old_caption(told: Site) -> None:
    with told.connect() as db:
        old = db.value("SELECT pair_id FROM pairs WHERE caption = ?", [CAPTIONS[0]])
        add_correction(db, old, "fix", [add_pair(db, f"{0:064x}", "佐々木さんのボルト", "correction")])
    personal_scan.scan(told)
    (found,) = [x for x in kept.findings(told) if x.text == "佐々木"]
    assert (found.waits, found.form_pair_id) == (0, old)


@pytest.mark.parametrize("is_judged", [False, True])
def test_an_excluded_photo_leaves_everything_until_its_author_takes_that_back(
    told: Site, is_judged: bool
) -> None:
    personal_scan.scan(told, with_photos=True)
    found = one(told, "gps")
    with told.connect() as db:
        pair = db.value("SELECT pair_id FROM pairs WHERE image_id = ?", [found.image_id])
    if is_judged:
        submit(told, pair_id=pair, annotator="山田", verdict="ok", slots={}, active_seconds=3)
    kept.exclude(told, found.finding_id, "佐藤")
    with told.connect() as db:
        assert [row["image_id"] for row in db.rows(BARRED)] == [found.image_id]
        reason = db.value("SELECT reason FROM corrections WHERE verdict = 'private'")
    assert reason == "privacy: gps"
    assert {x.what for x in kept.findings(told)} == {"term", "phone"}  # the name stood on that photo too
    (decision,) = kept.decided(told)
    assert (decision["decision"], decision["image"]) == ("excluded", "1.jpg")
    with pytest.raises(GenbaError, match="only 佐藤 can undo"):
        kept.undo(told, decision["decision_id"], "田中")
    kept.undo(told, decision["decision_id"], "佐藤")
    with told.connect() as db:
        assert db.rows(BARRED) == []
    assert one(told, "gps").decision is None and kept.decided(told) == []


def test_only_leads_decide_and_nobody_without_a_name(told: Site) -> None:
    personal_scan.scan(told)
    finding = one(told, "name").finding_id
    with pytest.raises(GenbaError, match="name"):
        kept.dismiss(told, [finding], "  ")
    with pytest.raises(GenbaError, match="No finding"):
        kept.dismiss(told, ["x"], "佐藤")
    with pytest.raises(GenbaError, match="in a photo"):
        kept.exclude(told, finding, "佐藤")
    with pytest.raises(GenbaError, match="No decision"):
        kept.undo(told, "x", "佐藤")
    set_value(told.settings_path, "review", "leads", ["佐藤"])
    with pytest.raises(GenbaError, match="may not decide"):
        kept.dismiss(Site.open(told.root), [finding], "田中")


def test_settings_that_would_find_everything_or_nothing_are_refused(told: Site) -> None:
    with pytest.raises(GenbaError, match="is empty"):
        set_value(told.settings_path, "privacy", "forbidden_terms", ["", "x"])
    with pytest.raises(GenbaError, match="two capitals"):
        set_value(told.settings_path, "privacy", "phone_regions", ["Japan"])


def test_the_command_lists_what_the_page_shows(told: Site) -> None:
    given = genba("privacy", str(told.root), "--photos", "--json").json()
    assert given["open"] == {"term": 1, "name": 1, "phone": 1, "gps": 1}
    assert given["scanned"]["photos"] == 5 and given["looked_through"]["captions_done"] == 4
    assert [x["finding_id"] for x in given["findings"]] == [x.finding_id for x in kept.findings(told)]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page(told: Site, language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("privacy", told, language, monkeypatch)
    shown = texts(at)
    assert {"ja": "まだ調べていません", "en": "Not looked through yet"}[language] in shown
    with told.connect() as db:
        add_pair(db, add_image(db, 9), f"田中さん {NASTY}")
    personal_scan.scan(told, with_photos=True)
    st.cache_data.clear()
    at = rerun(at)
    kind = next(x for x in at.button_group if x.key.startswith("privacy-kind-caption"))
    kind.set_value("name")
    at = rerun(at)
    captions = [element.value for element in at.text]
    assert SCRIPT in captions and f"田中さん {NASTY}" in captions  # as text
    at.button(key=f"dismiss-{one_named(told, SCRIPT)}").click()
    at = rerun(at)
    assert SCRIPT not in [element.value for element in at.text]
    assert one(told, "gps").decision is None
    (decided,) = kept.decided(told)
    assert (decided["decision"], decided["decided_by"]) == ("dismissed", "田中")


def one_named(site: Site, caption: str) -> str:
    return next(x.finding_id for x in kept.findings(site) if x.caption == caption and x.what == "name")
