"""A site's template changes while corrections stand: old ones stay readable, versions are kept, changes are told."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, product
from pathlib import Path
from typing import Any

import pytest

from annotate import corrections, form
from annotate.labeling_config import from_result, to_result
from annotate.recent import recent
from annotate.template_changes import changes, studio_change
from annotate.template_versions import check, next_number, open_version, raised, save, versions
from data.errors import GenbaError
from data.settings import set_value
from data.site import Site, init_site
from data.templates import Template, keep_version, load_template, parse_template
from tests.annotate.sites import fill, rows
from tests.conftest import genba

PARTS = load_template("parts")
SCRATCH = """      - id: scratch
        label: { ja: 傷, en: scratch }
        synonyms: { ja: [キズ, 擦り傷], en: [scrape] }
"""
MATERIAL_IN_CAPTIONS = (("[{material}製]", ""), ("[{material} ]", ""))


def without_scratch_and_material(text: str) -> str:
    """The parts pack as version 2: an option and a slot that old corrections used are gone."""
    assert text.count(SCRATCH) == 1
    begin, end = text.index("  - id: material"), text.index("  # A phrase may name other slots")
    text = (text[:begin] + text[end:]).replace(SCRATCH, "")
    for old, new in MATERIAL_IN_CAPTIONS:
        assert text.count(old) == 1
        text = text.replace(old, new)
    text = (
        text[: text.index("# Local words and")]
        + text[text.index("# Words in which the word of an option hides") :]
    )
    return raised(text[: text.index("examples:")], 2)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    return init_site(tmp_path / "site", [tmp_path / "photos"], "parts", "demo")


def answers() -> Iterator[dict[str, Any]]:
    """Different ones without end; half of them with the option that will go."""
    ids = {slot.id: [option.id for option in slot.options] for slot in PARTS.slots}
    others = cycle(product(ids["part"], ids["material"], ids["background"]))
    for number, (part, material, background) in enumerate(others):
        found = {"part": part, "count": number % 9 + 1, "material": material, "background": background}
        yield (
            found
            | {"defect": "scratch" if number % 2 else "none"}
            | ({"place": "left", "severity": "slight"} if number % 2 else {})
        )


def test_200_old_corrections_stay_readable_when_an_option_and_a_slot_go(site: Site, tmp_path: Path) -> None:
    fill(site, tmp_path / "photos", [f"part {number}" for number in range(200)])
    pairs = [row["pair_id"] for row in rows(site, "SELECT pair_id FROM pairs ORDER BY pair_id")]
    entries = [
        corrections.prepare(
            PARTS, ["ja", "en"], pair_id=pairs[number], annotator="佐藤", verdict="fix", slots=slots,
            active_seconds=9, source="app", simulated=False,
        )
        for number, slots in zip(range(200), answers(), strict=False)
    ]  # fmt: skip
    given = {entry.correction_id: entry.slots for entry in entries}
    keep_version(PARTS, site.folder("templates"))
    with site.connect() as db:
        for entry in entries:
            corrections.record(db, entry)
    saved = save(site, without_scratch_and_material(PARTS.source), "田中")
    site = Site.open(site.root)
    assert site.template() == saved and saved.slot("material") is None
    folder = site.root / "templates"
    captions = {row["pair_id"]: row["caption"] for row in rows(site, "SELECT pair_id, caption FROM pairs")}
    stored = rows(site, "SELECT * FROM corrections")
    assert len(stored) == 200
    for row in stored:
        template = load_template(f"{row['template']}@{row['template_version']}", folder)
        assert template.version == 1 and row["slots"] == given[row["correction_id"]]
        assert [template.caption(row["slots"], language) for language in ("ja", "en")] == [
            captions[pair_id] for pair_id in row["new_pair_ids"]
        ]
        assert from_result(template, to_result(template, "fix", row["slots"])) == ("fix", row["slots"])
    assert len(recent(site, "佐藤", 200)) == 200
    # an old answer in the new form: what the form no longer has is open, and nothing fails
    old = given[stored[1]["correction_id"]] | {"defect": "scratch"}
    assert [item.id for item in form.items(saved, old, "ja") if item.is_open] == ["defect"]
    assert "material" not in form.compiled(saved, {"part": "bolt", "material": "steel"}, ["en"])["en"]
    found = versions(site)
    assert [(one.number, one.is_in_use, one.corrections) for one in found] == [(2, True, 0), (1, False, 200)]
    assert open_version(site, 1).source == PARTS.source


def test_saving_names_the_new_version_everywhere(site: Site) -> None:
    text = without_scratch_and_material(PARTS.source)
    save(site, text, "田中")
    assert 'template = "parts@2"' in site.settings_path.read_text(encoding="utf-8")
    assert (site.root / "templates" / "parts@2.yaml").read_text(encoding="utf-8") == text
    assert (site.root / "templates" / "parts@1.yaml").read_text(encoding="utf-8") == PARTS.source
    event = rows(site, "SELECT actor, detail FROM events WHERE what = 'template.saved'")
    assert [row["actor"] for row in event] == ["田中"]
    assert event[0]["detail"]["template"] == "parts@2" and event[0]["detail"]["before"] == "parts@1"
    assert "The item “Material” goes." in event[0]["detail"]["changes"]
    assert rows(site, "SELECT * FROM jobs") == []  # nothing was ever scored
    newest = versions(Site.open(site.root))[0]
    assert newest.saved_by == "田中" and newest.saved_at is not None


def test_a_scored_site_is_ranked_anew(site: Site, tmp_path: Path) -> None:
    fill(site, tmp_path / "photos", ["a bolt"])
    save(site, raised(PARTS.source, 2), "田中")
    assert [row["name"] for row in rows(site, "SELECT name FROM jobs")] == ["score"]


def test_an_old_version_comes_back_as_a_new_one(site: Site) -> None:
    save(site, without_scratch_and_material(PARTS.source), "田中")
    site = Site.open(site.root)
    save(site, raised(open_version(site, 1).source, next_number(site, "parts")), "田中")
    site = Site.open(site.root)
    assert site.template().version == 3 and changes(PARTS, site.template()) == []
    assert [one.number for one in versions(site)] == [3, 2, 1]


def test_what_may_not_be_saved(site: Site) -> None:
    before = site.settings_path.read_bytes()
    with pytest.raises(GenbaError, match=r"says version 1, but there is version 1 already.*\(version: 2\)"):
        save(site, PARTS.source + "# changed\n", "田中")
    with pytest.raises(
        GenbaError, match=r"template\.yaml, line \d+, slots 1 \(part\), lable: unknown key 'lable'"
    ):
        save(
            site,
            PARTS.source.replace("    label: { ja: 部品, en: Part }", "    lable: { ja: 部品, en: Part }"),
            "田中",
        )
    english = parse_template(ENGLISH, "x", Template).source
    with pytest.raises(GenbaError, match=r"The site speaks ja, but the template does not: write every"):
        check(site, english)
    set_value(site.settings_path, "review", "leads", ["鈴木"])
    with pytest.raises(GenbaError, match="'田中' may not decide this"):
        save(Site.open(site.root), raised(PARTS.source, 2), "田中")
    set_value(site.settings_path, "review", "leads", [])
    assert (
        Site.open(site.root).template().version == 1
        and before.splitlines()[0] in site.settings_path.read_bytes()
    )
    assert rows(site, "SELECT * FROM events WHERE what = 'template.saved'") == []


ENGLISH = """\
id: small
version: 1
title: { en: Small }
rubric: { en: [Say it.] }
slots:
  - id: part
    type: choice
    label: { en: Part }
    required: true
    options: [{ id: bolt, label: { en: bolt } }, { id: nut, label: { en: nut } }]
caption: { en: "{part}" }
"""


def test_a_save_that_was_killed_is_completed(site: Site) -> None:
    text = raised(PARTS.source, 2)
    set_value(site.settings_path, "site", "template", "parts@1")
    (site.root / "templates" / "parts@2.yaml").write_text(text, encoding="utf-8")  # and then the power went
    site = Site.open(site.root)
    assert site.template().version == 1
    save(site, text, "田中")
    assert Site.open(site.root).template().source == text
    with pytest.raises(
        GenbaError, match="there is version 2 already"
    ):  # but a finished one is not saved twice
        save(Site.open(site.root), text, "田中")


# --- what changes, in words ----------------------------------------------------------------------------------------

EDITS: dict[str, tuple[str, str, str, str, bool]] = {
    "label": ("label: { ja: 欠陥, en: Defect }", "label: { ja: きず, en: Flaw }",
              "項目「欠陥」の名前が「きず」になります。", "The item “Defect” is now called “Flaw”.", True),
    "option gone": (SCRATCH, "",
                    "「欠陥」の選択肢「傷」がなくなります。", "“Defect” loses the answer “scratch”.", False),
    "option renamed": ("label: { ja: へこみ, en: dent }", "label: { ja: 打ち傷, en: dimple }",
                       "「欠陥」の選択肢「へこみ」の名前が「打ち傷」になります。",
                       "The answer “dent” of “Defect” is now called “dimple”.", True),
    "option stored anew": ("- id: rust\n", "- id: corroded\n",
        "「欠陥」の選択肢「錆」の記録名が rust から corroded に変わります。以前の答えは rust のままです。",
        "The answer “rust” of “Defect” is stored as corroded, before as rust: old answers keep rust.", False),
    "range": ("max: 99\n", "max: 500\n", "「個数」に入る数の範囲が 1–99 / 1 から 1–500 / 1 に変わります。",
              "“How many” takes other numbers: 1–500 / 1 in place of 1–99 / 1.", True),
    "optional": ("en: Material }\n    required: true", "en: Material }\n    required: false",
                 "「材質」が任意になります。", "“Material” may now be left open.", True),
    "wording": ("[, on the {background}]", "[ on the {background}]", "キャプションの文面が変わります。",
                "Captions are worded differently.", True),
    "glossary": ("[BT, キャップスクリュー]", "[BT]", "用語集が変わります。", "The glossary has other words.", True),
    "vague": ("{ word: いつもの,", "{ word: 例の,",
              "あいまいとみなす言葉が変わります。", "Other words count as vague.", True),
}  # fmt: skip


@pytest.mark.parametrize("edit", EDITS)
def test_a_change_is_told_in_both_languages(edit: str) -> None:
    old, new, japanese, english, is_additive = EDITS[edit]
    assert PARTS.source.count(old) == 1
    changed = parse_template(PARTS.source.replace(old, new), "x", Template)
    found = changes(PARTS, changed)
    assert japanese in [change.in_words("ja") for change in found]
    assert english in [change.in_words("en") for change in found]
    assert len(found) == 1, [change.in_words("en") for change in found]
    assert studio_change(PARTS, changed, ["ja", "en"]).is_additive == is_additive


def test_nothing_changed_is_no_change() -> None:
    again = parse_template(raised(PARTS.source, 7), "x", Template)
    assert changes(PARTS, again) == [] and studio_change(PARTS, again, ["ja", "en"]).is_same_page


def test_what_label_studio_would_lose_is_named() -> None:
    changed = parse_template(without_scratch_and_material(PARTS.source), "x", Template)
    lost = studio_change(PARTS, changed, ["ja", "en"]).lost
    assert "defect=scratch" in lost and "material (Choices)" in lost and "material=steel" in lost


def test_the_command_line(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(PARTS.source.replace("label: { ja: 欠陥, en: Defect }", "lable: {}"), encoding="utf-8")
    wrong = genba("template", str(site.root), "check", str(path))
    assert wrong.returncode == 1 and "unknown key 'lable' (did you mean 'label'?)" in wrong.stderr
    path.write_text(without_scratch_and_material(PARTS.source), encoding="utf-8")
    told = genba("template", str(site.root), "check", str(path), "--json").json()
    assert told["template"] == "parts@2" and "defect=scratch" in told["label_studio_loses"]
    assert genba("template", str(site.root), "use", str(path), "--json").json()["template"] == "parts@2"
    found = genba("template", str(site.root), "versions", "--json").json()["versions"]
    assert [(one["number"], one["is_in_use"]) for one in found] == [(2, True), (1, False)]
