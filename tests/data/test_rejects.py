"""Why rows were left out, in the language of whoever looks; rows of an older version; every text has its Japanese."""

from __future__ import annotations

import ast
import json
import re
import string
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from data import dense_labels, ingest
from data.dense_labels import ingest_labels
from data.messages import catalogue
from data.records import Reject
from data.rejects import kept, left_out, printable, rejects
from data.rows import place
from data.site import Site
from data.store import now
from data.told import Told, in_words, restored, stored, told
from genba import cli
from tests.conftest import CHECKOUT
from tests.data import makers

KANA = re.compile("[ぁ-んァ-ヶ一-龠]")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (32, 24), "red").save(tmp_path / "photos" / "a.jpg")
    return makers.site(tmp_path / "site", [tmp_path / "photos"])


def bad_table(site: Site) -> Path:
    """One row that is right, then: no photo, the same again with another line, two cells too many, too long, empty."""
    path = Path(site.settings.photos.roots[0]) / "table.csv"
    (path.parent / "cut.jpg").write_bytes((path.parent / "a.jpg").read_bytes()[:300])
    rows = ["file,caption,line", "a.jpg,bolt,A", "b.jpg,bolt,A", "a.jpg,bolt,B", "a.jpg,nut,A,x,y",
            f"a.jpg,{'x' * 2001},A", ",nut,A", "cut.jpg,bolt,A", ",,", "a.jpg,nut,A"]  # fmt: skip
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_each_reads_the_reasons_in_the_own_language(site: Site) -> None:
    ingest.ingest(site, bad_table(site))
    found = {one.item: one.detail for one in rejects(site)}
    assert {item: in_words(detail, "en") for item, detail in found.items()} == dict(found)
    japanese = {in_words(place(item), "ja"): in_words(detail, "ja") for item, detail in found.items()}
    assert set(japanese) == {f"{n}行目" for n in (3, 4, 5, 6, 7, 8, 9)}
    assert japanese["3行目"] == "「b.jpg」は写真フォルダーの中にも、読み込み元と同じ場所にもありません。"
    same = "「2行目」と同じ写真、同じキャプションです（ほかの列の値が違います。先にあるほうの値を使います）"
    assert japanese["4行目"] == same
    assert japanese["5行目"].startswith("セルが5個ありますが、列は3個です。")
    assert japanese["7行目"] == "列「file」が空なので、写真がありません"
    assert str(found["line 4"]) == (
        "the same photo and caption as line 2; other columns differ, and those of the first count"
    )


def test_a_row_of_an_older_version_stays_readable_and_a_name_that_is_no_text_is_kept(site: Site) -> None:
    row = {"source": "/x", "item": "line 3", "reason": "bad_row", "detail": "only 1 cells for 2 columns",
           "rejected_at": now()}  # fmt: skip
    odd = Reject("/x", "\udcff.jpg", "not_found", told("There is no photo {path}.", path="\udcff.jpg"))
    with site.connect() as db:
        db.insert("rejects", [row])
        db.insert("rejects", [kept(odd, now())])
    old, new = rejects(site)
    assert (old.detail, in_words(old.detail, "ja")) == ("only 1 cells for 2 columns",) * 2
    assert in_words(new.detail, "ja") == "写真 \\udcff.jpg がありません。" and new.item == "\\udcff.jpg"


def test_the_command_line_speaks_the_sites_language_or_the_one_asked_for(site: Site) -> None:
    table = str(bad_table(site))
    said = CliRunner().invoke(cli, ["ingest", str(site.root), table]).output
    assert "取り込まなかったもの 2件：読めない行です" in said
    assert "  3行目：「b.jpg」は" in said
    asked = CliRunner().invoke(cli, ["ingest", str(site.root), table, "--words", "en"]).output
    assert "Not taken in, 1: no such photo (not_found)" in asked
    assert "  line 3: 'b.jpg' is neither under a photo root nor beside the source." in asked


def test_more_rows_than_are_shown_are_counted(site: Site) -> None:
    path = Path(site.settings.photos.roots[0]) / "t.csv"
    path.write_text("file,caption\n" + "".join(f"no{n}.jpg,x\n" for n in range(5)), encoding="utf-8")
    found = ingest.ingest(site, path)
    assert "ほか2件：" in left_out(site, path, found.rejected, ingest.REASONS, "ja")
    assert left_out(site, path, {}, ingest.REASONS, "ja") == ""


def test_labels_are_left_out_in_the_own_language_too(site: Site, tmp_path: Path) -> None:
    ingest.ingest(site, bad_table(site))
    (tmp_path / "masks").mkdir()
    for name, size in (("a", (32, 30)), ("z", (32, 24))):
        Image.new("L", size, 1).save(tmp_path / "masks" / f"{name}.png")
    found = ingest_labels(site, tmp_path / "masks", "masks")
    said = left_out(site, tmp_path / "masks", found.rejected, dense_labels.REASONS, "ja")
    assert (
        "ラベルは 32 × 30、写真は（正しい向きで）32 × 24 です。" in said
        and "「z」という写真はありません" in said
    )


@pytest.mark.parametrize(
    "item", ["line 7.jpg", "photos/row 1 (2).jpg", "a line 3", "task x", "line", "ライン 3"]
)
def test_a_files_name_is_no_place(item: str) -> None:
    assert place(item) == item and not isinstance(place(item), Told)


def test_places_of_every_kind() -> None:
    items = ("line 7", "train/line 7", "row 3 (caption_en)", "task 5: a/b.jpg", "annotation 12", "image 9")
    assert [place(item) for item in items] == list(items)
    assert [in_words(place(item), "ja") for item in items] == [
        "7行目", "train/7行目", "3行目 (caption_en)", "タスク 5: a/b.jpg", "アノテーション 12", "画像 9",
    ]  # fmt: skip


def test_what_is_stored_comes_back_as_it_was() -> None:
    inner = told("the same photo and caption as {item}", item=place("line 2"))
    text = told("{text}; other columns differ, and those of the first count", text=inner)
    back = restored(json.loads(json.dumps(stored(text))))
    assert back == text and back.in_words("ja") == text.in_words("ja") and KANA.search(back.in_words("ja"))
    assert (
        stored("plain") is None and in_words("no text of the catalogue", "ja") == "no text of the catalogue"
    )


def test_every_text_has_its_japanese_with_the_same_places() -> None:
    def places(text: str) -> set[str]:
        return {name for _before, name, _spec, _conversion in string.Formatter().parse(text) if name}

    texts = {str(getattr(one, "text", one)) for one in {**dense_labels.REASONS, **ingest.REASONS}.values()}
    for path in (CHECKOUT / "data").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "told":
                texts |= {one.value for one in node.args if isinstance(one, ast.Constant) and one.value}
            is_why = isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("BadRow", "PhotoError")
            assert not is_why or not any(isinstance(one, ast.JoinedStr) for one in node.args), (
                path.name,
                node.lineno,
            )
    japanese = catalogue("ja")
    assert len(texts) > 100
    assert {text for text in texts if text not in japanese} == set()
    assert [text for text in texts if places(text) != places(japanese[text])] == []


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_first_rows_come_first_and_no_name_commands_a_terminal(site: Site, language: str) -> None:
    path = Path(site.settings.photos.roots[0]) / "table.csv"
    names = [*(f"none{n}.jpg" for n in range(2, 12)), "\x1b[31mred\x07.jpg"]
    path.write_text("\n".join(["file,caption", *(f"{name},bolt" for name in names)]), encoding="utf-8")
    found = ingest.ingest(site, path)
    assert [one.item for one in rejects(site)] == [f"line {n}" for n in range(2, 13)]
    told_first = left_out(site, path, found.rejected, ingest.REASONS, language)
    assert [f"none{n}.jpg" in told_first for n in (2, 3, 4, 5)] == [True, True, True, False]
    last = printable(in_words(rejects(site)[-1].detail, language))
    assert "\x1b" not in last and "\x07" not in last and "[31mred" in last
