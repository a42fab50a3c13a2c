"""The guides: complete in both languages, true to the words and keys of the app, shown by it with their pictures."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from annotate.pages import guide
from annotate.pages.guide import FOLDER, Picture, Section, audiences, read
from annotate.pages.keys import KEYS
from dashboards.roi import PRICE_NEEDED
from data.errors import GenbaError
from data.messages import LANGUAGES, catalogue
from data.site import Site, init_site
from tests.conftest import CHECKOUT
from tests.screenshots import MOST_BYTES, SCENES

FILES = sorted(FOLDER.glob("*/*.md"))
# Keys of the form that no button answers to (annotate/pages/keys.js), by what the guides call them.
MOVING = {"↑": "ArrowUp", "↓": "ArrowDown", "←": "ArrowLeft", "→": "ArrowRight", "Space": '" "', "Esc": "Escape",
          "Shift": "shiftKey"}  # fmt: skip


def text(audience: str, language: str) -> str:
    return (FOLDER / audience / f"{language}.md").read_text(encoding="utf-8")


def section(audience: str, language: str, anchor: str) -> Section:
    return next(one for one in read(audience, language).sections if one.anchor == anchor)


def words_of(one: Section) -> str:
    return "\n".join(part for part in one.parts if isinstance(part, str))


def test_staff_and_managers_have_a_guide() -> None:
    assert audiences() == ["staff", "manager"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_every_link_and_picture_is_there(path: Path) -> None:
    targets = re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8"))
    assert targets
    for target in targets:
        assert (path.parent / target).is_file(), target


@pytest.mark.parametrize("audience", audiences())
def test_both_languages_have_the_same_sections_and_pictures(audience: str) -> None:
    shapes = {}
    for language in LANGUAGES:
        sections = read(audience, language).sections
        assert len({one.title for one in sections}) == len(sections)
        shapes[language] = [
            (one.anchor, [part.path.name.removesuffix(f"-{language}.png") for part in one.parts
                          if isinstance(part, Picture)])
            for one in sections
        ]  # fmt: skip
    assert shapes["ja"] == shapes["en"]
    shown = {name for _anchor, names in shapes["en"] for name in names}
    assert shown == set(SCENES[audience]), "python -m tests.screenshots SITE --guide takes exactly these"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*/pictures/*")), ids=lambda path: path.name)
def test_pictures_are_small_and_all_are_used(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    with Image.open(path) as picture:
        assert picture.format == "PNG" and picture.width <= 1280
    language = path.stem.rpartition("-")[2]
    assert f"pictures/{path.name}" in text(path.parent.parent.name, language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_keys_of_the_guide_are_those_of_the_form(language: str) -> None:
    table = [line for line in words_of(section("staff", language, "the-keyboard-alone")).splitlines()
             if line.startswith("| `")]  # fmt: skip
    named = [key for line in table for key in re.findall(r"`([^`]+)`", line)]
    digits = {key for key in named if key.isdigit()}
    assert digits == {"0", "1", "9"}
    letters = {key for key in named if key not in digits and key not in MOVING}
    assert letters == set(KEYS.values()), "each key of the form, and no other"
    script = (CHECKOUT / "annotate" / "pages" / "keys.js").read_text(encoding="utf-8")
    assert {key for key in named if key in MOVING} == set(MOVING)
    assert all(MOVING[key] in script for key in MOVING)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_each_key_does_is_what_the_button_says(language: str) -> None:
    """The verdicts stand in the table in the words of their buttons."""
    spoken = dict(re.findall(r"^\| `([A-Z])` \| (.+?) \|$", text("staff", language), flags=re.MULTILINE))
    said = {"A": "Already right", "N": "Not sure", "X": "Unusable photo", "P": "Private content"}
    assert {key: spoken[key] for key in said} == {
        key: catalogue(language).get(words, words) for key, words in said.items()
    }


@pytest.mark.parametrize("audience", audiences())
@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_bold_is_called_so_in_the_app(audience: str, language: str) -> None:
    bold = set(re.findall(r"\*\*([^*]+)\*\*", text(audience, language)))
    assert bold
    known = set(catalogue("ja").values()) if language == "ja" else set(catalogue("ja"))
    assert bold <= known


@pytest.mark.parametrize("audience", audiences())
def test_both_languages_speak_of_the_same_buttons(audience: str) -> None:
    japanese = catalogue("ja")
    english = section_labels(audience, "en")
    assert [{japanese[label] for label in labels} for labels in english] == section_labels(audience, "ja")


def section_labels(audience: str, language: str) -> list[set[str]]:
    """The bold words of each section."""
    return [set(re.findall(r"\*\*([^*]+)\*\*", words_of(one))) for one in read(audience, language).sections]


def test_every_page_stands_in_a_guide() -> None:
    """By the name that it has at the left; the guides themselves need none."""
    shell = ast.parse((CHECKOUT / "app.py").read_text(encoding="utf-8"))
    pages = next(one for one in ast.walk(shell) if isinstance(one, ast.FunctionDef) and one.name == "_pages")
    titles = {str(call.args[0].value) for call in calls(pages, "_") if isinstance(call.args[0], ast.Constant)}
    assert len(titles) > 15
    named = set().union(*(labels for audience in audiences() for labels in section_labels(audience, "en")))
    assert titles - named == {"Guide"}


def test_whatever_is_not_yet_measurable_stands_in_the_managers_guide() -> None:
    """Each "needs ..." that a page can show has its row, with what to do."""
    asked = set(PRICE_NEEDED.values())
    for path in (CHECKOUT / "dashboards").rglob("*.py"):
        for call in calls(ast.parse(path.read_text(encoding="utf-8")), "Missing"):
            asked |= {str(one.value) for one in call.args[:1] if isinstance(one, ast.Constant)}
    assert len(asked) > 15
    rows = re.findall(r"^\| \*\*(.+?)\*\* \| .+ \|$", text("manager", "en"), flags=re.MULTILINE)
    assert asked <= set(rows)


def calls(tree: ast.AST, name: str) -> list[ast.Call]:
    """Calls of a function by its plain name, with an argument."""
    return [one for one in ast.walk(tree) if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)
            and one.func.id == name and one.args]  # fmt: skip


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_page_shows_each_guide_with_its_pictures(
    site: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That for staff first; the choice "For whom" leads to that for managers."""
    monkeypatch.setenv("GENBA_SITE", str(site.root))
    at = AppTest.from_string("from annotate.pages import guide\nguide.page()\n", default_timeout=60)
    at.session_state["language"] = language
    for audience in ("staff", "manager"):
        if audience == "manager":
            at.session_state["guide-audience"] = audience
        at.run()
        assert not at.exception
        shown = read(audience, language)
        assert [one.value for one in at.title] == [shown.title]
        assert [one.value for one in at.header] == [one.title for one in shown.sections]
        assert len(at.get("image")) == len(SCENES[audience])


def test_a_guide_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(GenbaError, match="No guide 'visitors'") as told:
        read("visitors", "en")
    assert told.value.choices == audiences()


def test_a_picture_from_elsewhere_and_html_stay_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file outside the guide's folder is ever read as a picture."""
    folder = tmp_path / "staff"
    folder.mkdir()
    outside = "![secret](../../genba.toml)\n\n<script>alert(1)</script>"
    for language in LANGUAGES:
        (folder / f"{language}.md").write_text(f"# Title\n\n## One\n\n{outside}\n", encoding="utf-8")
    monkeypatch.setattr(guide, "FOLDER", tmp_path)
    assert read("staff", "en").sections[0].parts == (outside,)
