"""Annotations that no answer can be made of: named on every page where somebody looks, until they are mended."""

from __future__ import annotations

import ast
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from annotate.differences import table
from annotate.labeling_config import from_result
from annotate.projects import studio_of
from annotate.since_yesterday import last_day
from annotate.sync import pull, push, sync
from annotate.unusable import reasons, standing
from data.errors import GenbaError
from data.messages import catalogue
from data.site import Site
from data.templates import load_template
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.exchange import SLOTS, in_page, task_of
from tests.annotate.sites import pair_of, site_beside
from tests.annotate.test_labeling_config import page_of
from tests.conftest import CHECKOUT
from training.doctor import examine


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return site_beside(label_studio)


def found_by_doctor(site: Site) -> list[str]:
    return [f"{one.what} {one.next}" for one in examine(site) if "do not count" in one.what]


def test_they_are_named_until_they_are_mended_there(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    push(site, 4)
    silent = in_page(site, 0, page_of(**SLOTS)[:-1])
    half = in_page(site, 1, page_of(**{key: value for key, value in SLOTS.items() if key != "part"}))
    assert pull(site).unusable == 2 and pull(site).unusable == 2, "also on a later visit"
    with site.connect() as db:
        told = {one.annotation: one for one in standing(db)}
    assert (told[silent].pair_id, told[silent].photo) == (pair_of(site, 0), "0.jpg")
    assert told[silent].why == {"en": "No verdict is chosen.", "ja": "判定が選ばれていません。"}
    assert told[half].why == {"en": "Part: an answer is needed", "ja": "部品：回答が必要です"}
    [finding] = found_by_doctor(site)
    assert "0.jpg" in finding and "Part: an answer" in finding and f"task={task_of(site, 0)}" in finding
    assert last_day(site).unusable == 2 and last_day(site).has_problem and last_day(site).problems == 0
    lines = table(sync(site, full=True).differences, "ja")
    assert "判定が選ばれていません" in lines and "No verdict" not in lines

    def shown() -> AppTest:
        monkeypatch.setenv("GENBA_SITE", str(site.root))
        page = AppTest.from_function(panel, default_timeout=60)
        page.session_state["language"] = "ja"
        return page.run()

    page = shown()
    assert any("2件" in one.value for one in page.markdown), page.markdown
    assert any("判定が選ばれていません" in one.value for one in page.caption)
    links: list[Any] = page.get("link_button")
    assert [one.url.rsplit("=")[-1] for one in links] == [str(task_of(site, number)) for number in (0, 1)]

    studio = studio_of(site)
    studio.sdk.annotations.update(id=silent, result=page_of(verdict="ok"), lead_time=5.0)
    studio.delete_annotation(half)
    found = pull(site)
    assert (found.new, found.unusable) == (1, 0) and last_day(site).unusable == 0
    assert found_by_doctor(site) == [] and not shown().main.children


def panel() -> None:
    """What the pages Queue, Operations and Jobs show of them."""
    from annotate.pages import unusable
    from annotate.pages.elements import opened

    unusable.show(opened())


def test_every_reason_is_there_in_japanese() -> None:
    told = {
        node.args[0].value
        for path in (CHECKOUT / "annotate").glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Refused"
        and isinstance(node.args[0], ast.Constant)
    }  # fmt: skip
    assert len(told) > 5 and told - set(catalogue("ja")) == set()
    template = load_template("parts")
    with pytest.raises(GenbaError) as refused:
        from_result(template, page_of(verdict="nonsense"))
    assert "nonsense" in reasons(refused.value, template)["ja"]
    plain = GenbaError("These answers say nothing: the caption would be empty.")
    assert reasons(plain, template)["ja"] == "この回答では、キャプションが空になります。"
