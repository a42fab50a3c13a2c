"""A person chooses a slice on the queue's page and works in it; in both languages, on a real store."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from annotate import queue
from annotate.pages.narrowed import Narrowed
from data.messages import translator
from data.site import Site
from tests.annotate.piles import NEVER, Sure, judge, pair_name, pile
from tests.annotate.test_pages import LANGUAGES, click, rerun, show, texts


@pytest.fixture(autouse=True)
def nothing_mixed_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page's own chance is real; here it must not come up."""
    monkeypatch.setattr(random, "SystemRandom", lambda: Sure(NEVER))
    yield


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Forty pairs: the riskier half is line A's, three of line B's have the evil name's shift."""
    return pile(tmp_path, 40, risk=lambda n: 1 - n / 40, split=lambda n: "train",
                extra=lambda n: {"line": "AB"[n // 20], "shift": "**夜**" if 20 <= n < 23 else "day"})  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slice_is_chosen_and_the_work_stays_in_it(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    at = show("queue", site, language, monkeypatch)
    assert _("Waiting: {n}").format(n=40) in texts(at) and "caption 0" in texts(at)
    assert [one.label for one in at.selectbox] == ["line", "shift"]
    at.selectbox(key="queue-extra-line").set_value("B")
    rerun(at)
    assert _("Waiting: {n}").format(n=20) in texts(at) and "caption 0" not in texts(at).split("\n")
    click(at, "start")
    assert at.session_state["slice"] == Narrowed(extra={"line": "B"})
    at = show("correct", site, language, monkeypatch, slice=at.session_state["slice"])
    assert at.session_state["work"].row["extra"]["line"] == "B"
    assert _("Slice: {what}").format(what="line: B") in texts(at) and _("Waiting: {n}").format(n=20) in texts(
        at
    )
    click(at, "ok")
    assert at.session_state["work"].row["extra"]["line"] == "B"
    click(at, "leave-slice")
    assert at.session_state["slice"] == Narrowed()
    assert at.session_state["work"].pair_id == pair_name(21), "what is in hand stays there"
    click(at, "ok")
    assert at.session_state["work"].pair_id == pair_name(0), "then the riskiest of all"


def test_columns_and_words_narrow_together_and_stay_when_one_comes_back(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = {"queue-extra": {"shift": "**夜**"}}
    at = show("queue", site, "en", monkeypatch, **chosen)
    assert "Waiting: 3" in texts(at) and at.selectbox(key="queue-extra-shift").value == "**夜**"
    at.text_input[0].set_value("caption 21")
    rerun(at)
    assert "Waiting: 1" in texts(at)
    at.selectbox(key="queue-extra-shift").set_value("")
    at.text_input[0].set_value("")
    rerun(at)
    assert "Waiting: 40" in texts(at)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_slice_in_which_nothing_waits_says_so_and_lets_one_out(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _ = translator(language)
    judge(site, [pair_name(n) for n in (20, 21, 22)], "ok")
    at = show("correct", site, language, monkeypatch, slice=Narrowed(extra={"shift": "**夜**"}))
    assert _("Nothing waits in this slice") in texts(at) and "work" not in at.session_state
    click(at, "leave-slice")
    assert at.session_state["work"].pair_id == pair_name(0)


def test_the_pair_in_hand_goes_back_when_another_slice_is_started(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show("correct", site, "en", monkeypatch)
    assert at.session_state["work"].pair_id == pair_name(0)
    at = show("queue", site, "en", monkeypatch, **{"queue-extra": {"line": "B"}})
    click(at, "start")
    at = show("correct", site, "en", monkeypatch, slice=at.session_state["slice"])
    assert at.session_state["work"].pair_id == pair_name(20)
    assert queue.claim(site, "Smith", pair_id=pair_name(0), rng=Sure(NEVER)) is not None


def test_a_slice_in_words() -> None:
    assert Narrowed("ja", "bolt", {"line": "A"}).text == "日本語 · line: A · “bolt”"
    assert not Narrowed() and Narrowed(words="x")
