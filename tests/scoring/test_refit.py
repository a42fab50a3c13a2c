"""Risk and order of a real store by what people have said, and back again when they take it back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from data.ingest import ingest
from data.site import Site, init_site
from data.store import now
from scoring import refit as module
from scoring.encoders import source_for_site
from scoring.learned import RiskFit
from scoring.measures import auroc
from scoring.priority import HELD_BACK
from scoring.refit import fits, refit, scored_pairs
from scoring.score import learn, score
from scoring.signals import SIGNALS
from tests.data.makers import photo
from tests.scoring.conftest import add_pair, scores_of
from training.worker import Worker

PAIRS = 400
PARTS = ("bolt", "nut", "washer", "gear")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Site:
    """20 photos with 20 captions each; half of the captions leave out where the parts lie."""
    folder = tmp_path_factory.mktemp("refit")
    rows = []
    for number in range(PAIRS):
        image = f"{number % 20:02d}.png"
        if number < 20:
            photo(folder / "source" / image, seed=number)
        where = " on the tray" if number // 20 % 2 else ""
        rows.append(
            json.dumps({"image": image, "caption": f"{number + 1} steel {PARTS[number % 4]}s{where}"})
        )
    (folder / "source" / "captions.jsonl").write_text("\n".join(rows))
    site = init_site(folder / "site", [folder / "source"], "parts", f"local-dir:{tiny_encoder}")
    ingest(site, folder / "source" / "captions.jsonl")
    score(site, device="cpu")
    return site


@pytest.fixture
def site(scored: Site):
    """What a test says is taken back afterwards."""
    yield scored
    with scored.connect() as db:
        for table in ("labels", "risk_fits"):
            db.execute(f"DELETE FROM {table}")
    refit(scored, source_for_site(scored))


def captions(site: Site) -> dict[str, str]:
    with site.connect() as db:
        return {
            row["pair_id"]: row["caption"]
            for row in db.rows("SELECT pair_id, caption FROM pairs ORDER BY pair_id")
        }


def say(
    site: Site, needs_correction: dict[str, bool], source: str = "audit", inclusion: float | None = 0.3
) -> None:
    with site.connect() as db:
        db.insert("labels", [
            {"pair_id": pair, "correction_id": f"c-{source}-{pair}", "needs_correction": bad, "source": source,
             "inclusion_probability": inclusion, "labelled_at": now()}
            for pair, bad in needs_correction.items()
        ])  # fmt: skip


def some_answers(site: Site, count: int = 120) -> dict[str, bool]:
    """A person holds every caption for wrong whose number is even, or that does not say where: a third are not."""
    drawn = np.random.default_rng(0).permutation(list(captions(site)))[:count]
    return {str(pair): "tray" not in captions(site)[pair] for pair in drawn}


def risks(site: Site) -> dict[str, float]:
    return {key: row["risk"] for key, row in scores_of(site).items()}


def test_answers_change_the_risk_and_taken_back_they_change_it_back(site: Site):
    before = scores_of(site)
    answers = some_answers(site)
    say(site, answers)
    result = score(site, device="cpu")
    assert (result.written, result.risk, result.answers) == (0, "learned", len(answers))
    after = scores_of(site)
    wrong = np.array(["tray" not in words for words in captions(site).values()])
    assert auroc([after[key]["risk"] for key in captions(site)], wrong) > 0.99
    mean = np.mean([row["risk"] for row in after.values()])
    assert abs(mean - wrong.mean()) < 0.1, "a probability now"
    assert all(after[key]["signals"] == row["signals"] for key, row in before.items())
    with site.connect() as db:
        db.execute("DELETE FROM labels")
    result = score(site, device="cpu")
    assert (result.written, result.risk, result.answers) == (0, "label_free", 0)
    assert scores_of(site) == before
    assert fits(site, site.queue_encoder()) == [], "what was fitted is not in use"


def test_what_was_fitted_is_kept_once_for_each_set_of_answers(site: Site):
    source = source_for_site(site)
    assert refit(site, source) is None and fits(site, source.id) == []
    answers = some_answers(site)
    say(site, answers)
    first = refit(site, source)
    assert refit(site, source) == first
    ((kept, fitted_at),) = fits(site, source.id)
    assert (
        kept == first
        and isinstance(kept, RiskFit)
        and kept.curve
        and (now() - fitted_at).total_seconds() < 60
    )
    with site.connect() as db:
        row = db.one("SELECT * FROM risk_fits")
    assert (row["kind"], row["labels"], row["encoder"]) == (first.kind, len(answers), source.id)
    assert row["fingerprint"] == source.fingerprint and row["auroc"] == first.auroc
    assert row["auroc_label_free"] == first.auroc_label_free and len(row["curve"]) == len(first.curve)
    rest = {key: "tray" not in words for key, words in captions(site).items() if key not in answers}
    say(site, dict(list(rest.items())[:30]))
    second = refit(site, source)
    assert [fit for fit, _ in fits(site, source.id)] == [second, first], "the newest first"


def test_too_few_answers_leave_the_risk_as_it_is(site: Site):
    before = scores_of(site)
    say(site, some_answers(site, 20))
    assert score(site, device="cpu").risk == "label_free" and scores_of(site) == before


def test_answers_on_pairs_that_are_gone_do_not_count(site: Site):
    answers = some_answers(site)
    say(site, answers | {f"gone-{number}": True for number in range(50)})
    assert refit(site, source_for_site(site)).answers == len(answers)


def test_where_answers_came_from_and_how_likely_they_were_drawn(site: Site):
    answers = list(some_answers(site).items())
    say(site, dict(answers[:50]), "queue", None)
    say(site, dict(answers[50:]), "audit", 0.25)
    source = source_for_site(site)
    with site.connect() as db:
        scored = scored_pairs(db, source)
        labels = db.table(module.LABELS)
    rows, found = module._answers(scored, labels)
    assert found.from_audit.sum() == len(answers) - 50 and found.everything == PAIRS
    assert set(found.inclusion[found.from_audit]) == {0.25} and set(found.inclusion[~found.from_audit]) == {
        1.0
    }
    said = dict(answers)
    pair_ids = scored.pair_id.to_pylist()
    assert [said[pair_ids[row]] for row in rows] == found.needs_correction.tolist()
    assert np.array_equal(found.group_of, scored.group_of[rows])


def test_the_order_holds_near_duplicates_apart(site: Site):
    """20 captions of one photo: the riskiest keeps its risk, the next has half of its own, …"""
    refit(site, source_for_site(site))
    with site.connect() as db:
        rows = db.rows(
            "SELECT s.risk, s.priority FROM scores s JOIN pairs p USING (pair_id) "
            "WHERE p.image_id = (SELECT min(image_id) FROM images) ORDER BY s.risk DESC, s.priority DESC"
        )
    assert len(rows) == 20
    for place, row in enumerate(rows):
        assert row["priority"] == pytest.approx(row["risk"] * HELD_BACK**place)


def test_corrections_hold_nobody_back_and_are_not_held_back(site: Site):
    before = scores_of(site)
    with site.connect() as db:
        image = db.value("SELECT min(image_id) FROM images")
    key = add_pair(site, image, "photo")
    try:
        score(site, device="cpu")
        after = scores_of(site)
        assert after[key]["priority"] == after[key]["risk"]
        assert {pair: after[pair]["priority"] for pair in before} == {
            pair: row["priority"] for pair, row in before.items()
        }
    finally:
        with site.connect() as db:
            db.execute("DELETE FROM pairs WHERE pair_id = ?", [key])
        score(site, device="cpu")


def test_scored_pairs_reads_back_what_was_written(site: Site):
    source = source_for_site(site)
    with site.connect() as db:
        found = scored_pairs(db, source)
    rows = scores_of(site)
    assert (
        found.pair_id.to_pylist() == sorted(rows) and set(found.language) == {"en"} and found.original.all()
    )
    for name in SIGNALS:
        stored = [
            np.nan if rows[key]["signals"][name] is None else rows[key]["signals"][name]
            for key in sorted(rows)
        ]
        assert np.array_equal(found.signals[name], stored, equal_nan=True)
    assert len(found.reference("en")["cosine"]) == PAIRS


def test_a_site_without_scores(tmp_path: Path, tiny_encoder: Path):
    (tmp_path / "source").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "source"], "parts", f"local-dir:{tiny_encoder}")
    assert refit(site, source_for_site(site)) is None and scores_of(site) == {}


def test_whether_people_have_said_something_since(site: Site):
    source = source_for_site(site)
    refit(site, source)
    with site.connect() as db:
        assert not module.is_due(db, source.id) and not module.is_due(db, "another encoder")
    say(site, some_answers(site, 1))
    with site.connect() as db:
        assert module.is_due(db, source.id)
    refit(site, source)
    with site.connect() as db:
        assert not module.is_due(db, source.id)


def test_the_worker_learns_from_new_answers_at_once_also_while_a_job_runs(site: Site):
    worker = Worker(site.root, {})
    worker.busy_with = "score"
    say(site, some_answers(site))
    worker._learn()
    assert fits(site, site.queue_encoder()) == [], "a scoring fits the risk at its own end"
    worker.busy_with = "retrain"
    worker._learn()
    assert fits(site, site.queue_encoder())
    assert learn(site) is False, "nothing new"
