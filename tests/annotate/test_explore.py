"""The map's points: what is in a lasso, what colours them, what a selection becomes; hand-made cases, a real store."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas
import pyarrow
import pytest

from annotate import audit, explore, explore_held, queue, selection_audit
from annotate.explore import NONE, OTHERS, STATES, Photos
from annotate.explore_words import label_words
from annotate.pages.explore_actions import exported
from annotate.pages.narrowed import Narrowed
from data.errors import GenbaError
from data.site import Site
from scoring.site_map import SiteMap, Stated
from tests.annotate.piles import NEVER, Sure, audits, judge, pair_name, pile

SQUARE = [[0, 0], [2, 0], [2, 2], [0, 2]]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Forty pairs, one a photo, the first the riskiest; line A, then B."""
    return pile(tmp_path, 40, risk=lambda n: 1 - n / 40, extra=lambda n: {"line": "AB"[n // 20]})


def photos_of(site: Site) -> Photos:
    """All photos of a pile on a line from left to right."""
    keys = pyarrow.array([f"{number:064x}" for number in range(40)])
    xy = np.column_stack([np.linspace(-1, 1, 40), np.zeros(40)]).astype(np.float32)
    return explore.read(site, SiteMap(keys, xy, "pca"), "demo")


def states(photos: Photos) -> list[str]:
    return [STATES[state] if state >= 0 else "" for state in photos.state]


def test_a_lasso_holds_what_lies_in_it() -> None:
    points = np.array([[1, 1], [3, 1], [-0.1, 1], [1.99, 0.01], [1, 2.5]], dtype=np.float32)
    assert explore.inside(points, SQUARE).tolist() == [True, False, False, True, False]
    bow = [[0, 0], [2, 2], [2, 0], [0, 2]]  # crosses itself: two triangles
    asked = np.array([[1.8, 1], [0.2, 1], [1, 0.2], [1, 1.8]], dtype=np.float32)
    assert explore.inside(asked, bow).tolist() == [True, True, False, False]
    assert not explore.inside(points, SQUARE[:2]).any() and not explore.inside(points, []).any()


def test_a_lasso_agrees_with_one_point_at_a_time() -> None:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (200, 2)).astype(np.float32)
    turn = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    polygon = (np.column_stack([np.cos(turn), np.sin(turn)]) * rng.uniform(0.3, 0.9, (40, 1))).tolist()
    alone = [bool(explore.inside(point[None], polygon)[0]) for point in points]
    assert explore.inside(points, polygon).tolist() == alone and 20 < sum(alone) < 180


def test_the_most_frequent_values_have_a_colour_the_rest_are_others() -> None:
    values = [name for place, name in enumerate("abcdefghij") for _ in range(10 - place)] + [None]
    found = explore.by_values(pyarrow.array(values))
    assert found.labels == (*"abcdefg", OTHERS, NONE) and len(found.colours) == len(found.labels)
    assert found.counts() == [10, 9, 8, 7, 6, 5, 4, 3 + 2 + 1, 1]
    few = explore.by_values(pyarrow.array(["x", None, "x", "y"]))
    assert few.labels == ("x", "y", NONE) and few.codes.tolist() == [0, 2, 0, 1]
    nothing = explore.by_values(pyarrow.nulls(3, pyarrow.string()))
    assert nothing.labels == (NONE,) and nothing.counts() == [3]


def test_every_colour_of_a_legend_is_another_one() -> None:
    assert len(set(explore.STATE_PALETTE)) == len(STATES) and explore.GREY not in explore.STATE_PALETTE
    assert len(set(explore.RISK_PALETTE)) == len(explore.RISK_EDGES) + 2


def test_the_review_state_follows_the_answers(site: Site) -> None:
    assert states(photos_of(site)) == ["waiting"] * 40
    audit.draw(site, 4, seed=1)
    drawn = [int(row["pair_id"][1:]) for row in audits(site)]
    free = [number for number in range(40) if number not in drawn]
    judge(site, [pair_name(free[0])], "ok")
    judge(site, [pair_name(free[1])], "not_sure")
    judge(site, [pair_name(free[2])], "private")
    judge(site, [pair_name(drawn[0])], "ok")
    with site.connect() as db:
        db.execute("UPDATE pairs SET state = 'missing', caption = '' WHERE pair_id = ?", [pair_name(free[3])])
    photos = photos_of(site)
    found = states(photos)
    assert [found[place] for place in (*free[:4], *drawn[:2])] == [
        "right", "not_sure", "aside", "missing", "audited", "under_audit",
    ]  # fmt: skip
    assert np.isnan(photos.risk[drawn[1:]]).all(), "judged blind: no risk of it leaves the store"
    assert not np.isnan(photos.risk[free[4:]]).any()
    assert photos.waiting(np.arange(40), 3)[0] == pair_name(free[3]), "no caption first"
    assert set(photos.waiting(np.arange(40), 99)) == {pair_name(free[3]), *map(pair_name, free[4:])}


def test_a_corrected_photo_shows_its_new_caption(site: Site) -> None:
    with site.connect() as db:
        db.execute(
            "INSERT INTO pairs BY NAME SELECT 'new' AS pair_id, image_id, 'better' AS caption, 'c' AS caption_id, "
            "language, 'correction' AS origin, state, extra, added_at FROM pairs WHERE pair_id = ?", [pair_name(3)],
        )  # fmt: skip
    judge(site, [pair_name(3)], "fix")
    with site.connect() as db:
        db.execute("UPDATE corrections SET new_pair_ids = '[\"new\"]'")
    photos = photos_of(site)
    assert states(photos)[3] == "corrected" and photos.pair_ids[3].as_py() == "new"
    row = explore.details(site, photos, np.array([3]))[0]
    assert (row["caption"], row["review"], row["risk"]) == ("better", "corrected", None)


def test_columns_slots_and_risk_colour_the_photos(site: Site) -> None:
    photos = photos_of(site)
    by_line = explore.by_column(site, photos, "line")
    assert by_line.labels == ("A", "B", NONE) and by_line.counts() == [20, 20, 0]
    risk = explore.by_risk(photos)
    assert risk.counts() == [7, 8, 8, 8, 9, 0] and risk.codes[0] == 4 and risk.codes[39] == 0
    assert label_words(risk, "risk", site.template(), "en")[:2] == ["0–20 %", "20–40 %"]
    keys = photos.caption_ids.slice(0, 2)
    stated = Stated(keys, {"defect": pyarrow.array(["crack", "rust"])})
    with site.connect() as db:
        db.execute("""UPDATE pairs SET slots = '{"defect": "dent"}' WHERE pair_id = ?""", [pair_name(1)])
    by_defect = explore.by_slot(site, photos, "defect", stated)
    assert [by_defect.labels[code] for code in by_defect.codes[:3]] == ["crack", "dent", NONE], (
        "a person's word counts"
    )
    assert label_words(by_defect, "slot:defect", site.template(), "ja")[-1] == "記載なし"


def test_a_selection_narrows_the_queue(site: Site) -> None:
    pairs = tuple(photos_of(site).waiting(np.array([30, 5, 12]), 2))
    assert pairs == (pair_name(5), pair_name(12)), "the riskiest of them"
    slice_ = Narrowed(pairs=pairs, name="picked")
    assert slice_ and slice_.text == "picked"
    assert queue.count(site, **slice_.arguments) == 2
    assert [row["pair_id"] for row in queue.top(site, 9, **slice_.arguments)] == list(pairs)
    claimed = queue.claim(site, "佐藤", rng=Sure(NEVER), **slice_.arguments)
    assert claimed is not None and claimed["pair_id"] == pair_name(5)
    judge(site, pairs)
    assert queue.claim(site, "鈴木", rng=Sure(NEVER), **slice_.arguments) is None


def test_an_audit_of_a_selection_says_nothing_of_the_site(site: Site) -> None:
    picked = [pair_name(number) for number in range(20)]
    assert selection_audit.draw(site, picked, 10, "  the   left half ", actor="田中", seed=3) == 10
    drawn = audits(site)
    assert {row["pair_id"] for row in drawn} < set(picked) and {row["kind"] for row in drawn} == {"selection"}
    assert all(row["pair_id"] not in {r["pair_id"] for r in queue.top(site, 40)} for row in drawn), "blind"
    assert selection_audit.estimates(site)[0].bad is None
    judge(site, [row["pair_id"] for row in drawn[:4]], "fix")
    judge(site, [row["pair_id"] for row in drawn[4:]], "ok")
    found = selection_audit.estimates(site)[0]
    assert (found.name, found.size, found.drawn, found.judged, found.bad) == ("the left half", 20, 10, 10, 8)
    assert found.low is not None and found.high is not None and 4 <= found.low < 8 < found.high <= 14
    assert audit.estimate(site) is None
    rest = selection_audit.draw(site, picked, 99, "again")
    assert rest == 10
    with pytest.raises(GenbaError, match="No caption of this selection can be drawn"):
        selection_audit.draw(site, picked, 5, "more")


def test_an_answer_to_a_selection_audit_teaches_the_risk_like_the_queue(site: Site) -> None:
    from annotate import corrections

    pair_id = pair_name(2)
    selection_audit.draw(site, [pair_id], 1, "one")
    corrections.submit(
        site, pair_id=pair_id, annotator="佐藤", verdict="ok", slots={}, active_seconds=3.0, source="app",
    )  # fmt: skip
    with site.connect() as db:
        assert db.rows("SELECT source, inclusion_probability FROM labels") == [
            {"source": "queue", "inclusion_probability": None}
        ]


def test_a_selection_goes_into_a_file(site: Site) -> None:
    photos = photos_of(site)
    rows = np.array([7, 2])
    frame = pandas.read_csv(io.BytesIO(exported(site, photos, rows, ".csv")))
    assert frame["pair_id"].tolist() == [pair_name(7), pair_name(2)] and frame["caption"][1] == "caption 2"
    assert json.loads(frame["extra"][0]) == {"line": "A"} and frame["risk"][1] == pytest.approx(0.95)
    table = pandas.read_parquet(io.BytesIO(exported(site, photos, rows, ".parquet")))
    assert table["review"].tolist() == ["waiting"] * 2 and table["map_x"].is_monotonic_decreasing


def test_what_slowly_drawn_maps_draw_first_is_a_fair_sample() -> None:
    rows = explore.drawn_rows(1000, most=300)
    assert len(set(rows.tolist())) == 300 and np.array_equal(rows, explore.drawn_rows(1000, most=300))
    assert sorted(explore.drawn_rows(5).tolist()) == [0, 1, 2, 3, 4]
    assert 350 < rows[:100].mean() < 650


def test_addresses_of_the_map_are_signed(site: Site) -> None:
    def query(address: str) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(address).query))

    good = query(explore_held.address(site, "points", v="1"))
    assert good["v"] == "1"
    with pytest.raises(PermissionError):
        explore_held.part(site, "points", {**good, "s": "0" * 32})
    with pytest.raises(PermissionError):
        explore_held.part(site, "photo", {"at": "1"})
    with pytest.raises(GenbaError, match="has no part 'points' now"):
        explore_held.part(site, "points", good)  # nothing is embedded: there is no map


def test_a_random_part_of_the_work_stays_random(site: Site) -> None:
    """Whoever works in a selection still judges some pairs that nobody picked."""
    found = queue.claim(site, "佐藤", pairs=[pair_name(1)], rng=Sure(0.0, seed=random.randrange(1 << 30)))
    assert found is not None and found["audit"]
