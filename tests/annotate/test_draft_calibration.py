"""Confidence becomes a probability by people's answers, and stays what it is without enough of them."""

from __future__ import annotations

import numpy as np
import pytest

from annotate.draft_calibration import FEWEST, agreed, fit_slots, is_right
from annotate.draft_record import Draft, edit_distance
from annotate.draft_view import Case, Proposal
from annotate.draft_weigh import weigh
from data.templates import load_template

TEMPLATE = load_template("parts")


def cases(n: int, share_right: float, raw: float) -> tuple[list[Case], list[Proposal]]:
    """A drafter that says `raw` of every answer and is right in a fixed share of them; the old captions say nothing."""
    right = np.arange(n) < share_right * n
    asked = [
        Case(str(at), "i", "", "en", "missing", {"part": "bolt" if ok else "nut"}, True)
        for at, ok in enumerate(right)
    ]
    return asked, [Proposal({"part": "bolt"}, {"part": raw})] * n


def test_an_overconfident_drafter_is_brought_down_to_its_share() -> None:
    asked, proposals = cases(200, 0.6, raw=0.99)
    found = fit_slots(TEMPLATE, asked, proposals)
    assert found.of(asked[0], proposals[0])["part"] == pytest.approx(0.6, abs=0.02)
    assert found.covers(proposals[0])


def test_too_few_answers_or_all_alike_leave_it_unmeasured() -> None:
    for asked, proposals in (cases(FEWEST - 1, 0.6, 0.9), cases(200, 1.0, 0.9)):
        found = fit_slots(TEMPLATE, asked, proposals)
        assert found.of(asked[0], proposals[0]) == {"part": 0.9}
        assert not found.covers(proposals[0])


def test_what_is_compared() -> None:
    whole = Case("p", "i", "", "en", "missing", {"part": "bolt", "count": 2}, True)
    assert agreed(whole, {"part": "bolt", "defect": "rust"}) == {
        "part": True,
        "count": False,
        "defect": False,
    }
    confirmed = Case("p", "i", "two bolts", "en", "captioned", {"part": "bolt", "count": 2}, False)
    assert agreed(confirmed, {"part": "bolt", "defect": "rust"}) == {"part": True}
    assert is_right(TEMPLATE, confirmed, {"part": "bolt"}) is None
    assert is_right(TEMPLATE, whole, {"part": "bolt", "count": 2.0}) is True
    assert agreed(Case("p", "i", "", "en", "missing"), {"part": "bolt"}) == {}


def test_weights_learn_how_far_the_old_caption_can_be_believed() -> None:
    """The photo says nothing; the old caption names answer 1 and is right in nine of ten."""
    nothing = np.full((200, 3), 1 / 3)
    said = np.ones(200, dtype=np.int64)
    truth = np.where(np.arange(200) % 10 == 0, 2, 1)
    assert weigh([nothing], said, truth)[:, 1] == pytest.approx(0.9, abs=0.05)
    unknown = np.full(200, -1, dtype=np.int64)
    assert weigh([nothing], said, unknown)[:, 1] == pytest.approx(0.8)  # assumed before anybody has answered
    assert weigh([nothing], unknown, unknown) == pytest.approx(1 / 3)  # an old caption that says nothing


def test_edit_distance_and_provenance() -> None:
    assert [
        edit_distance(*pair) for pair in (("kitten", "sitting"), ("", "abc"), ("鋼のボルト", "鋼のボルト"))
    ] == [3, 3, 0]
    draft = Draft(
        "d",
        "p",
        "zero-shot",
        "1",
        {"part": "bolt", "count": 1},
        {},
        {"en": "a bolt", "ja": "ボルト"},
        0.8,
        True,
    )
    told = draft.provenance({"en": "a nut", "ja": "ナット"}, {"part": "nut", "count": 1}, 12.345, "佐藤")
    assert told["edit_distance"] == {"en": 3, "ja": 2}
    assert (told["changed"], told["seconds"], told["approver"]) == (["part"], 12.35, "佐藤")
