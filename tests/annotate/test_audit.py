"""The blind draw, on a real store: who is drawn, with which chance, for whom, and that nobody sees a score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from annotate import audit, queue
from annotate.strata import FEW, parse
from data.errors import GenbaError
from data.site import Site
from tests.annotate.piles import NEVER, Sure, audits, judge, pair_name, pile

BLIND = {"risk", "reasons", "signals", "priority", "cosine"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """500 pairs, the risks 0.0 to 0.9, two of five on held-out photos, three lines of which C is rare."""
    return pile(
        tmp_path, 500, split=lambda n: "test" if n % 5 < 2 else "train",
        extra=lambda n: {"line": "C" if n < 5 else "AB"[n // 250], "shift": 1 + n % 2},
    )  # fmt: skip


def test_every_stratum_is_drawn_with_its_own_chance(site: Site) -> None:
    assert audit.draw(site, 60, seed=1) == 60
    rows = audits(site)
    assert len({row["draw"] for row in rows}) == 1 and {row["kind"] for row in rows} == {"drawn"}
    with site.connect() as db:
        facts = {
            row["pair_id"]: row
            for row in db.rows(
                "SELECT pair_id, split, risk FROM pairs JOIN images USING (image_id) JOIN scores USING (pair_id)"
            )
        }  # fmt: skip
    assert {facts[row["pair_id"]]["split"] for row in rows} == {"test"}
    by_stratum: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_stratum.setdefault(row["stratum"], []).append(row)
    strata = {text: parse(text) for text in by_stratum}
    # the held-out pairs have the risks 0.0, 0.1, 0.5 and 0.6, fifty of each
    assert sum(one.pile for one in strata.values() if one) == 500
    assert sum(one.frame for one in strata.values() if one) == 200
    for text, members in by_stratum.items():
        stratum = strata[text]
        assert stratum and stratum.risk
        assert {row["inclusion_probability"] for row in members} == {len(members) / stratum.frame}
        assert all(stratum.risk[0] <= facts[row["pair_id"]]["risk"] <= stratum.risk[1] for row in members)
        assert len(members) == pytest.approx(60 * stratum.pile / 500, abs=1), "in proportion to the pile"


def test_horvitz_thompson_finds_the_pile_again(site: Site) -> None:
    """The weights 1 / inclusion probability add up to the held-out pairs."""
    audit.draw(site, 73, seed=2, by="line")
    assert sum(1 / row["inclusion_probability"] for row in audits(site)) == pytest.approx(200)


def test_a_slice_makes_strata_too_and_its_rare_values_share_one(site: Site) -> None:
    audit.draw(site, 40, seed=1, by="line")
    strata = [parse(row["stratum"]) for row in audits(site)]
    drawn = {value: sum(1 for one in strata if one and one.value == value) for value in ("A", "B", "C")}
    assert drawn["A"] >= FEW and drawn["B"] >= FEW and all(one and one.by == "line" for one in strata)
    with site.connect() as db:
        db.execute("DELETE FROM audits")
    audit.draw(site, 3 * FEW - 1, seed=1, by="line")  # too few for three values
    assert {one.value for row in audits(site) if (one := parse(row["stratum"]))} == {"A", None} or {
        one.value for row in audits(site) if (one := parse(row["stratum"]))
    } == {"B", None}


def test_an_unknown_slice_names_those_there_are(site: Site) -> None:
    with pytest.raises(GenbaError, match="no column 'factory'; they have line, shift"):
        audit.draw(site, 10, by="factory")
    assert audits(site) == []


def test_it_is_random_seeded_and_never_draws_twice(site: Site) -> None:
    assert audit.draw(site, 150, seed=3) == 150
    first = {row["pair_id"] for row in audits(site)}
    assert audit.draw(site, 100, seed=3) == 50, "fewer when fewer are left"
    assert len(audits(site)) == 200 and audit.waiting(site) == 200
    with pytest.raises(GenbaError, match="No unjudged caption of a held-out photo is left"):
        audit.draw(site, 1)
    with site.connect() as db:
        db.execute("DELETE FROM audits")
    audit.draw(site, 150, seed=3)
    assert {row["pair_id"] for row in audits(site)} == first
    with pytest.raises(GenbaError, match="An audit of 0 pairs is none"):
        audit.draw(site, 0)


def test_what_is_judged_or_in_somebodys_hands_is_not_drawn(tmp_path: Path) -> None:
    site = pile(tmp_path, 12)
    judge(site, [pair_name(0)])
    claimed = queue.claim(site, "佐藤", rng=Sure(NEVER))
    assert claimed and audit.draw(site, 100, seed=1) == 10
    assert not {pair_name(0), claimed["pair_id"]} & {row["pair_id"] for row in audits(site)}


def test_captions_that_are_not_scored_are_a_stratum_of_their_own(tmp_path: Path) -> None:
    site = pile(tmp_path, 40, risk=lambda n: None if n < 10 else n / 40)
    audit.draw(site, 20, seed=1)
    unscored = [row for row in audits(site) if (one := parse(row["stratum"])) and one.risk is None]
    assert len(unscored) == 5 and all(row["pair_id"] < pair_name(10) for row in unscored)


def test_an_audit_is_assigned_in_equal_parts_and_given_to_nobody_else(tmp_path: Path) -> None:
    site = pile(tmp_path, 9)
    audit.draw(site, 9, seed=1, assigned_to=["佐藤", " Smith ", "佐藤"])
    by_person = {name: audits(site, f"assigned_to = '{name}'") for name in ("佐藤", "Smith")}
    assert sorted(len(rows) for rows in by_person.values()) == [4, 5]
    assert audit.waiting(site, "佐藤") == len(by_person["佐藤"]) and audit.waiting(site) == 9
    mine, theirs = ({row["pair_id"] for row in by_person[name]} for name in ("佐藤", "Smith"))
    for _ in range(len(mine)):
        claimed = queue.claim(site, "佐藤")
        assert claimed and claimed["pair_id"] in mine
        judge(site, [claimed["pair_id"]], "ok")
    assert queue.claim(site, "佐藤") is None, "the rest is Smith's"
    assert queue.claim(site, "佐藤", pair_id=min(theirs)) is None, "also when asked for by name"
    assert queue.claim(site, "鈴木") is None and queue.claim(site, "Smith") is not None


def test_a_name_that_is_none_is_refused(site: Site) -> None:
    with pytest.raises(GenbaError, match="assigned to a name of 1 to 150 characters"):
        audit.draw(site, 5, assigned_to=[" "])


def test_nobody_sees_a_score_of_an_audit_pair_in_any_row(tmp_path: Path) -> None:
    site = pile(tmp_path, 30)
    audit.draw(site, 10, seed=1)
    drawn = {row["pair_id"] for row in audits(site)}
    assert not drawn & {row["pair_id"] for row in queue.top(site, 100)}
    claimed = queue.claim(site, "佐藤", audit_every=1, rng=Sure(NEVER))
    by_name = queue.claim(site, "佐藤", pair_id=min(drawn))
    for row in (claimed, by_name, *(queue.pair(site, one) for one in drawn)):
        assert row and row["audit"] and row["pair_id"] in drawn and row["caption"]
        assert not BLIND & set(row)
    judge(site, [min(drawn)], "ok")
    assert not BLIND & set(queue.pair(site, min(drawn)) or {}), "nor afterwards: it may be taken back"
