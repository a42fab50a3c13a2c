"""Corrected data out and back in: the same pairs, nothing that is barred, nothing half, nothing that a program runs."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from annotate.corrections import submit
from dashboards.commands import FORMATS as NAMED
from dashboards.export import Choice, export
from dashboards.export_formats import FORMATS, Columns
from dashboards.export_rows import Exported
from data.errors import GenbaError
from data.ingest import clean_caption, ingest
from data.readers import READERS, BadRow, find_table
from data.records import language_of, pair_id
from data.settings import set_value
from data.site import Site
from data.spreadsheet import guarded, unguarded
from tests.conftest import CHECKOUT, genba
from tests.data import makers
from tests.data.makers import exif, photo

NASTY = [
    '=HYPERLINK("http://x","y")', "+1+1", "-2", "@SUM(A1)", "＝1+1", "'=1+1", "''-x", "'quoted' \"twice\"", "a,b;c\td",
    "line\nbreak\r\nand\rmore", "🔩✨ 傷👨‍🔧", "ＡＢＣ１２３　全角", "مسمار صدئ \u200fRTL", "<script>x</script>",
    "\\N\\n\\",
    "{'a': 1}", "[]", "null", "NaN", "3.0", "#REF!", "'", '"', "é e\u0301 ﬁ",
]  # fmt: skip
SLOTS = {
    "part": "bolt",
    "count": 2,
    "material": "steel",
    "defect": "scratch",
    "place": "left",
    "severity": "slight",
    "background": "concrete",
}
PATHS = [name for name, format in FORMATS.items() if not format.holds_photos]


def test_the_command_line_names_every_format() -> None:
    assert tuple(FORMATS) == NAMED and set(FORMATS) - {"csv", "parquet"} <= set(READERS)


@given(st.text())
def test_the_guard_against_formulas_comes_off_again(text: str) -> None:
    assert unguarded(guarded(text)) == text
    assert not guarded(text).startswith(tuple("=+-@\t\r\n＝＋－＠"))


# --- any caption, any extra column: written and read back ----------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=40) | st.sampled_from(NASTY)
CAPTION = TEXT.map(clean_caption).filter(bool)
EXTRA = st.dictionaries(
    TEXT.map(str.strip).filter(bool)
    | st.sampled_from(["caption", "caption_en", "image", "lang", "=x", "genba_x"]),
    TEXT.filter(bool),
    max_size=3,
)


def row(number: int, caption: str, extra: dict[str, Any], split: str = "train") -> Exported:
    image_id = f"{number:064x}"
    return Exported(
        pair_id=pair_id(image_id, caption), image_id=image_id, root=0, uri=f"写真 {number}+.jpg", width=96, height=72,
        split=split, caption=caption, language=language_of(caption), origin="correction", status="corrected",
        verdict="fix", slots='{"part": "bolt"}', template="parts@1", correction_id="c", old_pair_id="o",
        old_caption="=old", annotator="佐藤", simulated=False, source="app", corrected_at=None, extra=extra,
    )  # fmt: skip


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo(tmp_path_factory.mktemp("copy") / "copy.jpg")


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(st.integers(0, 3), CAPTION, EXTRA, st.sampled_from(["test", "train", "val"])),
                     min_size=1, max_size=6, unique_by=lambda r: pair_id(str(r[0]), r[1])))  # fmt: skip
def test_what_is_written_is_read_back(
    format: str, rows: list[Any], copy: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    split_of = {number: split for number, _, _, split in rows}
    given = sorted(
        (row(number, caption, extra, split_of[number]) for number, caption, extra, _ in rows),
        key=lambda r: (r.split, r.image_id),
    )
    folder = tmp_path_factory.mktemp(format)
    columns = Columns.of(sorted({name for one in given for name in one.extra}))
    held = FORMATS[format].holds_photos
    writer = FORMATS[format].writer(folder, columns)
    for one in given:
        writer.write(one, one.uri, copy if held else None)
    writer.close()
    source, kind = find_table(folder, None)
    assert kind == format
    found = list(READERS[kind](source, None, None))
    assert not [one for one in found if isinstance(one, BadRow)]
    names = [one.uri if format != "hf" else f"{one.image_id}.jpg" for one in given]
    assert [Path(one.image).name for one in found] == names
    for back, one in zip(found, given, strict=True):
        assert clean_caption(back.caption) == one.caption
        assert (back.language or language_of(back.caption)) == one.language
        assert back.extra == {columns.names[name].strip(): value for name, value in one.extra.items()}
    if held:  # the photos are in it, whole
        assert all(content == copy.read_bytes() for content in photos_in(folder))


def photos_in(folder: Path) -> Iterator[bytes]:
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".tar":
            with tarfile.open(path) as tar:
                members = [tar.extractfile(one) for one in tar if one.name.endswith(".jpg")]
                yield from (one.read() for one in members if one)
        elif path.suffix == ".jpg":
            yield path.read_bytes()


# --- a real site, through the command line and back ----------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Photos with nasty captions, GPS in each: people fixed, confirmed, doubted, barred some."""
    root = tmp_path_factory.mktemp("real")
    rows = []
    for number, caption in enumerate(NASTY):
        name = f"棚 {number % 9}/{number}.jpg"
        photo(root / "photos" / name, number, exif=exif(gps=True))
        rows.append({"image": name, "caption": caption, "ライン": f"={number}", "shift": number})
    table = root / "photos" / "t.jsonl"
    table.write_text("\n".join(json.dumps(one) for one in rows), encoding="utf-8")
    made = makers.site(root / "site", [root / "photos"])
    assert ingest(made, table).added == len(NASTY)
    with made.connect() as db:
        pairs = db.rows("SELECT pair_id, uri FROM pairs JOIN images USING (image_id)")
    by_number = {int(Path(pair["uri"]).stem): pair["pair_id"] for pair in pairs}
    for number, verdict in [
        (0, "fix"),
        (1, "fix"),
        (2, "ok"),
        (3, "unusable"),
        (4, "private"),
        (5, "not_sure"),
    ]:
        submit(made, pair_id=by_number[number], annotator=f"佐藤 {number % 2}", verdict=verdict,
               slots=SLOTS if verdict == "fix" else {}, active_seconds=9.0)  # fmt: skip
    submit(made, pair_id=by_number[1], annotator="山田", verdict="private", slots={}, active_seconds=1.0)
    return made


def pairs_of(of: Site) -> set[tuple[str, str, str, str]]:
    with of.connect() as db:
        rows = db.rows("SELECT image_id, caption, language, extra FROM pairs")
    return {(r["image_id"], r["caption"], r["language"], r["extra"].get("ライン", "")) for r in rows}


def best_of(site: Site) -> set[tuple[str, str, str, str]]:
    """What should come out: all but photo 3 (unusable), 4 and 1 (private), and the caption that 0 had."""
    with site.connect() as db:
        rows = db.rows("SELECT p.*, uri FROM pairs p JOIN images USING (image_id)")
    return {
        (r["image_id"], r["caption"], r["language"], r["extra"]["ライン"])
        for r in rows
        if (number := int(Path(r["uri"]).stem)) not in (1, 3, 4)
        and (number != 0 or r["origin"] == "correction")
    }


@pytest.mark.parametrize("format", FORMATS)
def test_an_export_is_ingested_as_the_same_pairs(site: Site, tmp_path: Path, format: str) -> None:
    out = tmp_path / "out"
    result = export(site, out, Choice(format, untouched=True))
    assert (result.captions, result.corrected, result.confirmed) == (len(NASTY) - 4 + 2, 2, 1)
    assert not result.left_out and list(tmp_path.iterdir()) == [out]
    roots = [site.settings.photos.roots[0]] if format != "hf" else [out]
    back = makers.site(tmp_path / "back", roots)
    read = ingest(back, out)
    assert read.added == result.captions and not read.rejected
    expected = best_of(site)
    if format == "hf":  # the photos are copies: known by the name that the file bears
        with back.connect() as db:
            of = {r["image_id"]: Path(r["uri"]).stem for r in db.rows("SELECT image_id, uri FROM images")}
        assert {(of[i], *rest) for i, *rest in pairs_of(back)} == expected
    else:
        assert pairs_of(back) == expected
    for content in photos_in(out):
        (tmp_path / "one.jpg").write_bytes(content)
        with Image.open(tmp_path / "one.jpg") as image:
            assert not image.getexif()


def test_unpacked_tars_need_no_other_photos(site: Site, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(site, out, Choice("webdataset"))
    for tar in out.glob("*.tar"):
        subprocess.run(["tar", "xf", tar.name], cwd=out, check=True)
    back = makers.site(tmp_path / "back", [out])
    assert ingest(back, out, "webdataset").added == 3
    assert {one[1:] for one in pairs_of(back)} == {
        one[1:] for one in best_of(site) if one[1] in captions(out / "data-card.json", site)
    }


def captions(card: Path, site: Site) -> set[str]:
    """The captions that people corrected or confirmed."""
    assert json.loads(card.read_text(encoding="utf-8"))["by_status"]["untouched"] == 0
    with site.connect() as db:
        rows = db.rows("""SELECT p.caption FROM corrections c JOIN pairs p
            ON list_contains(CAST(c.new_pair_ids AS VARCHAR[]), p.pair_id)
            WHERE c.state = 'active' AND c.verdict IN ('fix', 'ok')""")
    return {one["caption"] for one in rows}


@pytest.mark.parametrize("format", PATHS)
def test_with_photos_an_export_stands_alone(site: Site, tmp_path: Path, format: str) -> None:
    export(site, tmp_path / "out", Choice(format, with_photos=True))
    back = makers.site(tmp_path / "back", [tmp_path / "out"])
    assert ingest(back, tmp_path / "out", format).added == 3
    assert len(list((tmp_path / "out" / "photos").rglob("*.jpg"))) == 2


def test_a_spreadsheet_finds_no_formula(site: Site, tmp_path: Path) -> None:
    export(site, tmp_path / "out", Choice("csv", untouched=True))
    with (tmp_path / "out" / "captions.csv").open(encoding="utf-8-sig", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert {"'-2", "''=1+1", "'''-x", "'=2"} <= set(cells)  # captions as they came, and an extra column
    assert not [cell for cell in cells if cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))]


def test_a_dropped_column_stays_here(site: Site, tmp_path: Path) -> None:
    export(site, tmp_path / "out", Choice("csv", left_out=("ライン",)))
    text = (tmp_path / "out" / "captions.csv").read_text(encoding="utf-8-sig")
    assert "ライン" not in text and "shift" in text
    with pytest.raises(GenbaError, match=r"no column 'shfit'.*shift, ライン"):
        export(site, tmp_path / "x", Choice("csv", left_out=("shfit",)))


# --- the data card -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", ["ja", "en"])
def test_the_card_says_what_who_when_how_wrong_and_what_is_missing(
    site: Site, tmp_path: Path, language: str
) -> None:
    out = tmp_path / "out"
    export(site, out, Choice("csv", untouched=True, licence="CC BY 4.0 <script>|x", language=language))
    card = json.loads((out / "data-card.json").read_text(encoding="utf-8"))
    assert card["by_status"] == {"corrected": 2, "confirmed": 1, "untouched": len(NASTY) - 5}
    assert (card["people"], card["by_person"], card["photos_barred"]) == (1, {}, 3)
    assert card["captions_contested"] == 1 and card["untouched_in_need"] is None
    text = (out / "data-card.md").read_text(encoding="utf-8")
    assert "佐藤" not in text and "<script>" not in text and "CC BY 4.0" in text
    needs = {"ja": "まだ測定できません", "en": "not yet measurable"}
    assert needs[language] in text


def test_names_stand_on_the_card_only_where_the_site_allows_them(site: Site, tmp_path: Path) -> None:
    with site.connect() as db:
        pairs = db.rows("SELECT pair_id FROM pairs p WHERE origin = 'legacy' AND pair_id NOT IN "
                        "(SELECT old_pair_id FROM corrections) ORDER BY pair_id LIMIT 5")  # fmt: skip
    made = [submit(site, pair_id=one["pair_id"], annotator="鈴木", verdict="ok", slots={}, active_seconds=1.0)
            for one in pairs]  # fmt: skip
    try:
        for allowed in (False, True):
            set_value(site.settings_path, "review", "leaderboard", allowed)
            out = tmp_path / str(allowed)
            export(Site.open(site.root), out, Choice("csv"))
            card = json.loads((out / "data-card.json").read_text(encoding="utf-8"))
            assert card["people"] == 2
            assert card["by_person"] == ({"鈴木": 5} if allowed else {})  # 佐藤 0 has fewer than five
    finally:
        set_value(site.settings_path, "review", "leaderboard", False)
        with site.connect() as db:
            db.execute("DELETE FROM corrections WHERE correction_id IN (SELECT unnest(?::VARCHAR[]))",
                       [[one.correction_id for one in made]])  # fmt: skip


# --- what goes wrong -----------------------------------------------------------------------------------------


def test_a_folder_that_is_not_empty_is_refused(site: Site, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "empty").mkdir()
    with pytest.raises(GenbaError, match="not an empty folder, so nothing was written"):
        export(site, tmp_path / "full", Choice("csv"))
    export(site, tmp_path / "empty", Choice("csv"))
    assert (tmp_path / "empty" / "captions.csv").exists()
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]
    inside = Path(site.settings.photos.roots[0]) / "out"
    with pytest.raises(GenbaError, match="where Genba never writes"):
        export(site, inside, Choice("csv"))
    with pytest.raises(GenbaError, match=r"No format 'exel'\. Known: webdataset, csv"):
        export(site, tmp_path / "x", Choice("exel"))


def test_nothing_to_export_says_so(tmp_path: Path) -> None:
    photo(tmp_path / "photos" / "a.jpg")
    (tmp_path / "photos" / "a.txt").write_text("a bolt")
    empty = makers.site(tmp_path / "site", [tmp_path / "photos"])
    with pytest.raises(GenbaError, match="no caption to export"):
        export(empty, tmp_path / "out", Choice("csv", untouched=True))
    ingest(empty, tmp_path / "photos")
    with pytest.raises(GenbaError, match=r"Nobody has corrected or confirmed a caption yet.*--untouched"):
        export(empty, tmp_path / "out", Choice("csv"))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photos", "site"]


def test_a_photo_that_is_gone_is_counted_and_told(tmp_path: Path) -> None:
    for seed, name in enumerate("ab"):
        photo(tmp_path / "photos" / f"{name}.jpg", seed)
        (tmp_path / "photos" / f"{name}.txt").write_text(f"bolt {name}")
    made = makers.site(tmp_path / "site", [tmp_path / "photos"])
    ingest(made, tmp_path / "photos")
    (tmp_path / "photos" / "a.jpg").unlink()
    for format in ("csv", "webdataset"):
        result = export(made, tmp_path / format, Choice(format, untouched=True, language="en"))
        assert (result.captions, result.left_out) == (1, {"not_found": 1})
        assert (
            "1 captions are left out: the photo is gone" in (tmp_path / format / "data-card.md").read_text()
        )


def test_the_same_name_under_two_roots_is_never_read_as_the_other_photo(tmp_path: Path) -> None:
    for number in (0, 1):
        photo(tmp_path / f"root{number}" / "a.jpg", number)
    made = makers.site(tmp_path / "site", [tmp_path / "root0", tmp_path / "root1"])
    (tmp_path / "root1" / "a.txt").write_text("a nut")
    ingest(made, tmp_path / "root1")
    assert export(made, tmp_path / "csv", Choice("csv", untouched=True)).left_out == {"name_in_two_roots": 1}
    assert export(made, tmp_path / "alone", Choice("csv", untouched=True, with_photos=True)).captions == 1


# The limit holds for the export alone: the store may grow as it likes.
SMALL = """
import resource
import genba, dashboards.export as export
real = export.FORMATS[{format!r}].writer
def limited(*given):
    resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY))
    return real(*given)
export.FORMATS[{format!r}] = export.FORMATS[{format!r}].__class__(limited, export.FORMATS[{format!r}].holds_photos)
genba.main()
"""


@pytest.mark.parametrize("format", ["webdataset", "csv"])
def test_a_full_disk_is_told_and_leaves_nothing(site: Site, tmp_path: Path, format: str) -> None:
    """No room is played by a limit on the size of files, which makes a real write fail."""
    warm = tmp_path / "warm"
    export(site, warm, Choice(format, untouched=True))  # the served copies are there: only the export writes
    largest = max(path.stat().st_size for path in warm.iterdir())
    code = SMALL.format(limit=largest // 2, format=format)
    done = subprocess.run([sys.executable, "-c", code, "export", str(site.root), str(tmp_path / "out"), "--format",
                           format, "--untouched"], cwd=CHECKOUT, capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "no room for" in done.stderr and "Traceback" not in done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["warm"]


def test_a_killed_export_leaves_nothing_under_the_name_and_the_next_sweeps(
    site: Site, tmp_path: Path
) -> None:
    slow = "import dashboards.export as e, time\nreal = e._put\n" \
           "e.FORMATS  # the real verb, held at the first row\n" \
           "e._put = lambda *a: time.sleep(60)\nimport genba; genba.main()"  # fmt: skip
    out = tmp_path / "out"
    process = subprocess.Popen([sys.executable, "-c", slow, "export", str(site.root), str(out), "--format",
                                "csv", "--with-photos"], cwd=CHECKOUT)  # fmt: skip
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.*.part/rows.part")) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not out.exists() and len(list(tmp_path.glob(".out.*.part"))) == 1
    export(site, out, Choice("csv"))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_the_verb_tells_in_words_and_in_json(site: Site, tmp_path: Path) -> None:
    told = genba("export", str(site.root), str(tmp_path / "a"), "--format", "hf", "--json").json()
    assert (told["captions"], told["corrected"], told["confirmed"]) == (3, 2, 1)
    assert told["captions_per_second"] > 0
    again = genba("export", str(site.root), str(tmp_path / "a"), "--format", "csv")
    assert again.returncode == 1 and "not an empty folder" in again.stderr
