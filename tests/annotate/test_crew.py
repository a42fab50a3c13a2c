"""The simulated crew: through the real Label Studio, marked everywhere, once however often, and it leaves work over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from annotate import crew, queue
from annotate.crew import CREW, FEWEST_LEFT, Answer, answer_of
from data.errors import GenbaError
from data.site import Site, init_site
from data.store import now
from data.templates import load_template
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.sites import site_beside

FACT = {
    "part": "bolt", "count": 2, "material": "steel", "defect": "rust", "place": "left", "severity": "severe",
    "background": "tray",
}  # fmt: skip


def row(number: int, caption: str = "錆あり") -> dict[str, Any]:
    return {"pair_id": f"{number * 7919:032x}", "caption": caption, "uri": f"{number}.jpg"}


def truth(numbers: range, error: str = "vague") -> dict[str, Any]:
    return {f"{number}.jpg": {"slots": FACT, "error": error} for number in numbers}


def answers(error: str, caption: str = "錆あり") -> list[Answer]:
    """Answers to 2,000 pairs whose ids are spread as hashes are."""
    import hashlib

    template = load_template("parts")
    rows = [
        row(n, caption) | {"pair_id": hashlib.sha256(str(n).encode()).hexdigest()[:32]} for n in range(2000)
    ]
    facts = truth(range(2000), error)
    return [answer_of(template, one, facts) for one in rows]


def test_answers_are_plausible_and_have_mistakes() -> None:
    given = answers("vague")
    fixes = [one for one in given if one.verdict == "fix"]
    wrong = [one for one in fixes if one.slots != FACT]
    assert 0.02 < len(wrong) / len(given) < 0.06
    assert 0.01 < sum(one.verdict == "not_sure" for one in given) / len(given) < 0.03
    assert all(sum(one.slots[key] != FACT[key] for key in FACT) == 1 for one in wrong)
    seconds = sorted(one.seconds for one in fixes)
    assert 20 < seconds[len(seconds) // 2] < 28 and seconds[0] > 3 and seconds[-1] < 180
    assert {one.annotator for one in given} == set(CREW)


def test_a_right_caption_is_called_right_and_a_missing_one_is_written() -> None:
    assert {one.verdict for one in answers("none")} == {"ok", "not_sure"}
    assert {one.verdict for one in answers("none", caption="")} == {"fix", "not_sure"}


def test_the_same_pair_gets_the_same_answer() -> None:
    template = load_template("parts")
    assert answer_of(template, row(3), truth(range(5))) == answer_of(template, row(3), truth(range(5)))


def test_a_real_site_has_no_crew(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "ViT-B-32/laion2b_s34b_b79k")
    with pytest.raises(GenbaError, match="no demo site"):
        crew.work(site, tmp_path / "truth.jsonl")


def test_an_unscored_site_is_not_chosen_from(label_studio: RunningLabelStudio, tmp_path: Path) -> None:
    site = site_beside(label_studio, [])
    (tmp_path / "truth.jsonl").write_text("")
    with pytest.raises(GenbaError, match="Nothing waits in the queue"):
        crew.work(site, tmp_path / "truth.jsonl")
    with site.connect() as db:
        assert db.get_state(crew.STATE) is None


@pytest.fixture
def site(label_studio: RunningLabelStudio, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Sixty pairs, ten of them drawn for the audit."""
    made = site_beside(label_studio, [f"部品 {number}" for number in range(60)])
    with made.connect() as db:
        pairs = [one["pair_id"] for one in db.rows("SELECT pair_id FROM pairs ORDER BY pair_id LIMIT 10")]
        db.insert("audits", [{"pair_id": pair, "draw": "1", "stratum": "test", "inclusion_probability": 0.5,
                              "drawn_at": now()} for pair in pairs])  # fmt: skip
    lines = [json.dumps({"image": f"photos/{n}.jpg", "slots": FACT, "error": "vague"}) for n in range(60)]
    (made.root.parent / f"{made.root.name}.jsonl").write_text("\n".join(lines))
    monkeypatch.setattr(crew, "CHUNK", 7)
    return made


def corrections(site: Site) -> list[dict[str, Any]]:
    with site.connect() as db:
        return db.rows("SELECT * FROM corrections ORDER BY correction_id")


def test_its_work_comes_back_marked_as_simulated_and_leaves_some_over(site: Site) -> None:
    file = site.root.parent / f"{site.root.name}.jsonl"
    done = crew.work(site, file)
    assert (done.from_queue, done.from_audit) == (50 - FEWEST_LEFT, 10)
    assert done.answered == done.from_queue + done.from_audit == len(corrections(site))
    assert done.left_in_queue == queue.count(site) == FEWEST_LEFT
    for one in corrections(site):
        assert (one["simulated"], one["source"]) == (True, "crew") and one["annotator"] in CREW
        assert one["ls_annotation_id"] and one["active_seconds"] > 0
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM outbox WHERE done_at IS NULL") == 0
        assert db.value("SELECT count(*) FROM labels WHERE source = 'audit'") >= 8
    before = corrections(site)
    assert crew.work(site, file) == done and corrections(site) == before


def test_a_killed_crew_goes_on_where_it_was(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between sending answers and taking them in: nobody answers twice."""
    file = site.root.parent / f"{site.root.name}.jsonl"
    take_in = crew.incoming.take_in

    def killed(*_given: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(crew.incoming, "take_in", killed)
    with pytest.raises(KeyboardInterrupt):
        crew.work(site, file)
    assert corrections(site) == []
    monkeypatch.setattr(crew.incoming, "take_in", take_in)
    done = crew.work(site, file)
    found = corrections(site)
    assert done.answered == len(found) == len({one["old_pair_id"] for one in found})
    assert {one["state"] for one in found} == {"active"}
