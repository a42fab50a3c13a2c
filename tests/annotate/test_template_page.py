"""The page on which a template is changed: what it makes, its mistakes and what changes, before it is saved."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from annotate.pages import template_editor
from annotate.template_versions import raised
from data.messages import catalogue
from data.settings import set_value
from data.site import Site, init_site
from data.templates import load_template
from tests.annotate.sites import rows
from tests.conftest import CHECKOUT

PARTS = load_template("parts")
DENT = "label: { ja: へこみ, en: dent }"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")


def show(site: Site, monkeypatch: pytest.MonkeyPatch, language: str = "ja", name: str = "田中") -> AppTest:
    monkeypatch.setenv("GENBA_SITE", str(site.root))
    at = AppTest.from_string(
        "from annotate.pages import template_editor\ntemplate_editor.page()\n", default_timeout=60
    )
    at.session_state["language"], at.session_state["name"] = language, name
    return run(at)


def run(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def write(at: AppTest, text: str) -> AppTest:
    at.text_area(key=template_editor.TEXT).set_value(text)
    return run(at)


def said(at: AppTest) -> str:
    """All that stands on the page."""
    parts = [*at.text, *at.caption, *at.markdown, *at.code, *at.title, *at.button]
    return "\n".join(
        str(getattr(one, "value", None) or getattr(one, "label", "")) for one in parts
    ) + "\n".join(button.label for button in at.button)


def test_the_form_and_both_captions_of_an_example_are_shown(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = show(site, monkeypatch)
    words = said(at)
    assert PARTS.examples["ja"].good[0] in words and PARTS.examples["en"].good[0] in words
    assert '<Choices name="defect"' in words  # the page of Label Studio
    assert "使用中の画面です。" in words and "見た目や読み取りに関わる違いはありません。" in words
    pills = next(group for group in at.button_group if group.label == "材質")
    pills.set_value("brass")
    assert "真鍮製ボルト2個" in said(run(at)) and "brass bolts" in said(at)  # the form can be tried out


def test_a_mistake_is_told_with_its_line_and_the_choices(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = write(show(site, monkeypatch), PARTS.source.replace(DENT, "lable: { ja: へこみ, en: dent }"))
    line = PARTS.source[: PARTS.source.index(DENT)].count("\n") + 1
    words = said(at)
    assert f"{line}" in words and "lable: { ja: へこみ, en: dent }" in words and "id, label, phrase" in words
    assert at.button(key="template-save").disabled
    with_yaml = said(write(at, "id: [oops"))
    assert "YAML" in with_yaml and not at.exception


@pytest.mark.parametrize(("language", "told", "loses", "project"), [
    ("ja", "「欠陥」の選択肢「へこみ」がなくなります。", "新しい画面に入らないもの：defect=dent", "別のプロジェクト"),
    ("en", "“Defect” loses the answer “dent”.", "The new page has no place for: defect=dent", "a project of its own"),
])  # fmt: skip
def test_what_changes_is_told_before_it_is_saved(
    site: Site, monkeypatch: pytest.MonkeyPatch, language: str, told: str, loses: str, project: str
) -> None:
    begin = PARTS.source.index("      - id: dent\n")
    changed = PARTS.source[:begin] + PARTS.source[PARTS.source.index("      - id: rust\n") :]
    at = write(show(site, monkeypatch, language), changed)
    words = said(at)
    assert told in words and loses in words and project in words
    assert (
        site.template().version == 1
        and rows(site, "SELECT * FROM events WHERE what = 'template.saved'") == []
    )


def test_a_version_is_raised_saved_and_brought_back(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = PARTS.source.replace(DENT, "label: { ja: 打ち傷, en: dimple }")
    at = write(show(site, monkeypatch), changed)
    assert at.button(key="template-save").disabled  # version 1 is there already
    at.button(key="template-raise").click()
    run(at)
    assert at.text_area(key=template_editor.TEXT).value == raised(changed, 2)
    at.button(key="template-save").click()
    run(at)
    assert "これからは parts@2 を使います。" in said(at)
    assert Site.open(site.root).template().source == raised(changed, 2)
    event = rows(site, "SELECT actor, detail FROM events WHERE what = 'template.saved'")
    assert [(row["actor"], row["detail"]["template"]) for row in event] == [("田中", "parts@2")]
    at.button(key="template-restore-1").click()
    run(at)
    assert at.text_area(key=template_editor.TEXT).value == raised(PARTS.source, 3)
    at.button(key="template-save").click()
    run(at)
    assert Site.open(site.root).template().version == 3


def test_half_done_text_survives_a_reload_and_is_one_persons(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(show(site, monkeypatch), PARTS.source + "# half")
    again = show(site, monkeypatch)
    assert again.text_area(key=template_editor.TEXT).value == PARTS.source + "# half"
    assert show(site, monkeypatch, name="鈴木").text_area(key=template_editor.TEXT).value == PARTS.source
    again.button(key="template-discard").click()
    run(again)
    assert show(site, monkeypatch).text_area(key=template_editor.TEXT).value == PARTS.source


def test_only_leads_save(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    set_value(site.settings_path, "review", "leads", ["鈴木"])
    at = write(show(site, monkeypatch), raised(PARTS.source, 2))
    assert at.button(key="template-save").disabled and "鈴木 だけです。" in said(at)
    assert (
        not write(show(site, monkeypatch, name="鈴木"), raised(PARTS.source, 2))
        .button(key="template-save")
        .disabled
    )
    nobody = write(show(site, monkeypatch, name=""), raised(PARTS.source, 2))
    assert nobody.button(key="template-save").disabled and "名前を入れてください" in said(nobody)


def test_every_text_has_its_japanese() -> None:
    japanese = catalogue("ja")
    folder = CHECKOUT / "annotate"
    pages = [folder / "pages" / "template_editor.py", folder / "pages" / "template_preview.py"]
    found = {text for path in pages for text in constants(path, is_translation)}
    found |= {
        text for text in constants(folder / "template_changes.py") if text.endswith(".") and " " in text
    }
    assert len(found) > 70 and {text for text in found if text not in japanese} == set()


def is_translation(call: ast.Call) -> bool:
    return getattr(call.func, "id", getattr(call.func, "attr", "")) in ("_", "translate")


def constants(path: Path, wanted: Callable[[ast.Call], bool] | None = None) -> Iterator[str]:
    """The texts in the calls that are wanted; without one all texts but docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        ast.get_docstring(node, clean=False)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
    }
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    for node in [call for call in calls if wanted(call)] if wanted else [tree]:
        for part in ast.walk(node):
            if (
                isinstance(part, ast.Constant)
                and isinstance(part.value, str)
                and part.value not in docstrings
            ):
                yield part.value
