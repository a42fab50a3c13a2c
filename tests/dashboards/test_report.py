"""The meeting report: the dashboard's numbers, no claim beyond the intervals, markup shown as text, one page."""

from __future__ import annotations

import dataclasses
import html as htmllib
import io
import re
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pypdfium2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright
from pptx import Presentation
from pptx.util import Emu
from streamlit.testing.v1 import AppTest

from annotate.estimate import Estimate
from dashboards import assumptions, roi
from dashboards import report as module
from dashboards.assumptions import KEYS, Assumptions, Range
from dashboards.effects import Effect, main_effect, same_contrast
from dashboards.figures import Cost, Counted, Missing, Remaining, Work
from dashboards.report import ENDINGS, Facts, Report, compose, gather, render, write
from dashboards.report_html import html
from dashboards.report_money import Money
from dashboards.report_pdf import pdf
from dashboards.report_pptx import SMALLEST, Line, fitting, needed, pptx
from dashboards.report_spans import axes, by_unit, spans
from dashboards.roi import Change, Evidence
from dashboards.standing import Standing
from data.errors import GenbaError
from data.messages import translator
from data.settings import set_value
from data.site import Site
from tests.browser import ARGUMENTS, chromium
from tests.conftest import genba
from tests.dashboards.conftest import START, add_effect, add_run
from tests.dashboards.test_figures import draw
from tests.dashboards.test_pages import metric, show
from tests.dashboards.test_words import runs_of_effects

LANGUAGES = ["ja", "en"]
NASTY = "<script>alert(1)</script>&amp; <b>**x**"
STANDING = Standing("s", 500, 500, 100, 50, 10, 0, 50, "r", None, (), 0)
COST = Cost(Counted(2.0, 1.0), 2500.0, True, 0.5, 100.0, True)
WORK = Work(Counted(40, 20), Counted(5, 2), Counted(1, 0), Counted(2.0, 1.0))
ESTIMATE = Estimate(60, 6, 0.1, 0.04, 0.2, 450, 45.0, 18.0, 90.0, 40, 500, 85.0, 58.0, 130.0, 60, 0)


def money(*draws: float, claim: str = "none") -> Money:
    """The sum with one priced effect on search of these draws, the point first; without draws nothing is measured."""
    nothing = Missing("a finished retraining with a control arm")
    change = Change("retrieval", "recall_at_1_text_to_image", np.array(draws), claim, 9, 2)  # type: ignore[arg-type]
    changes = dict.fromkeys(roi.KINDS, nothing) | ({"search": change} if draws else {})
    values = {key: value for key, (value, _unit) in KEYS.items()} | {"searches": 1000.0}
    hours = {role: np.zeros(len(draws) or 3) for role in roi.ROLES}
    assumed = Assumptions("", "", {key: Range(value, value, value) for key, value in values.items()})
    return Money(roi.roi(Evidence(hours, 0.0, changes), values), assumed)


MONEY = money()


def facts(found: list[Effect], **other: object) -> Facts:
    given = Facts("第一工場", START, False, WORK, COST, Remaining(ESTIMATE, 0, 0), "r" if found else None, found,
                  (0, 40), STANDING, MONEY)  # fmt: skip
    return dataclasses.replace(given, **other)  # type: ignore[arg-type]


def texts(report: Report) -> list[str]:
    """Every text of a report."""
    plain = [
        getattr(report, f.name)
        for f in dataclasses.fields(report)
        if isinstance(getattr(report, f.name), str)
    ]
    listed = [*report.marks, *report.money, *report.assumptions, *report.risks, *report.sentences]
    shown = [text for one in report.figures for text in (one.label, one.value, one.simulated, *one.notes)]
    rows = [text for one in report.evidence for text in (one.metric, one.change, one.interval, one.verdict)]
    return [*plain, *listed, *shown, *rows]


# --- no claim beyond the intervals ---------------------------------------------------------------------------

GAIN = {"en": r"gain\b(?! is measured)|gain .*is measured|\bbetter\b|proven gain|improve", "ja": r"向上|改善"}
HARMLESS = {  # say "gain" or "better" of nothing measured
    "en": (
        "so no gain is measured",
        "no gain is claimed",
        "No gain is proven",
        "real staff may do better or worse",
    ),
    "ja": ("向上とは言えません",),
}


def claims(report: Report) -> list[str]:
    found = []
    for text in texts(report):
        for phrase in HARMLESS[report.language]:
            text = text.replace(phrase, "")
        if re.search(GAIN[report.language], text):
            found.append(text)
    return found


@st.composite
def with_reworded(draw: st.DrawFn) -> list[Effect]:
    """Effects of a run, some of them measured against the reworded captions too."""
    found = draw(runs_of_effects)
    mains = [e for e in found if (e.arm, e.versus) == ("corrected", "original")]
    low, value, high = sorted(draw(st.tuples(*[st.floats(-1, 1)] * 3)))
    more = [dataclasses.replace(e, versus="reworded", value=value, low=low, high=high) for e in mains]
    return [*found, *(more if draw(st.booleans()) else [])]


@settings(max_examples=60, deadline=None)
@given(with_reworded(), st.sampled_from(LANGUAGES), st.booleans())
def test_no_gain_is_claimed_whose_interval_includes_zero(
    found: list[Effect], language: str, simulated: bool
) -> None:
    report = compose(facts(found, simulated=(9, 40) if simulated else (0, 40)), language)
    main = main_effect(found)
    shown = same_contrast(found)
    carried = [e for e in shown if (e.low > 0 if e.higher_is_better else e.high < 0)]
    if not carried:
        assert claims(report) == []
    beyond = [
        e for e in found if main and e.versus == "reworded" and (e.metric, e.arm) == (main.metric, main.arm)
    ]
    is_gain = main in carried and any(e.low > 0 if e.higher_is_better else e.high < 0 for e in beyond)
    headline = {"en": "A gain from", "ja": "による向上が測定"}[language]
    assert (headline in report.headline) == is_gain
    verdict = {"en": "proven gain", "ja": "向上を確認"}[language]
    assert (verdict in report.figures[0].notes) == is_gain
    assert [e.verdict == {"en": "gain", "ja": "向上"}[language] for e in report.evidence] == [
        e.effect in carried for e in report.evidence
    ]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_test_above_can_fail(language: str) -> None:
    effect = Effect("r", "retrieval", "recall_at_1_text_to_image", "corrected", "original", 0.1, 0.05, 0.15, "fraction",
                    True, 100, 3, is_primary=True)  # fmt: skip
    assert claims(compose(facts([effect]), language))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(-1, 1), min_size=4, max_size=9), st.sampled_from(["gain", "loss", "none", "style"]),
       st.sampled_from(LANGUAGES))  # fmt: skip
def test_it_is_said_to_pay_only_where_the_interval_of_the_net_lies_above_zero(
    draws: list[float], claim: str, language: str
) -> None:
    _, given = translator(language), money(*draws, claim=claim)
    net = given.result.net
    assert not isinstance(net, Missing)
    report = compose(facts([], money=given), language)
    pays = _(
        "It pays: over {months} months the benefit exceeds the cost by {value} (95 % interval {interval})."
    )
    pattern = "".join(
        ".+" if part[0] == "{" else re.escape(part) for part in re.findall(r"\{\w+\}|[^{]+", pays)
    )
    for text in (report.money[-1], report.sentences[3]):
        assert bool(re.search(pattern, text)) == (net.low > 0)


@given(runs_of_effects)
def test_bars_lie_as_their_numbers_do(found: list[Effect]) -> None:
    drawn = spans(found)
    assert len({span.zero for span in drawn}) <= 1, "one line for all units"
    for one, span in zip(found, drawn, strict=True):
        assert 0 <= span.low <= span.value <= span.high <= 1 and 0 < span.zero < 1
        assert (span.low > span.zero) == (one.low > 0) and (span.high < span.zero) == (one.high < 0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_without_evidence_there_is_no_number(language: str) -> None:
    report = compose(facts([], remaining=Missing("a blind audit", "x")), language)
    assert [one.value for one in report.figures[:2]] == ["—", "—"]
    assert not report.evidence and claims(report) == []
    needs = {"en": "not yet measurable", "ja": "まだ測定できません"}[language]
    assert needs in report.sentences[1] and any(needs in one for one in report.money)


@pytest.mark.parametrize("language", LANGUAGES)
def test_simulated_work_is_marked_and_never_added(language: str) -> None:
    report = compose(facts([]), language)
    fixed = report.figures[2]
    assert (fixed.value, fixed.simulated) == ("40", "20")
    assert report.marks and not any("60" in text for text in texts(report) if text != report.subtitle and "60" in text
                                    and {"en": "captions and", "ja": "件を修正"}[language] in text)  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_measure_that_got_worse_is_a_risk_even_where_it_is_not_shown(language: str) -> None:
    found = [Effect("r", "retrieval", f"recall_at_{k}_image_to_text", "corrected", "original", -0.1, -0.2, -0.05,
                    "fraction", True, 9, 2) for k in range(2, 16)]  # fmt: skip
    report = compose(facts(found), language)
    assert len(report.evidence) == module.EFFECTS_SHOWN and "6" in report.more, "none that the chart shows"
    assert any("14" in risk for risk in report.risks)
    first = dataclasses.replace(
        found[0], metric="miss_rate", higher_is_better=False, low=-0.2, value=-0.1, high=0.05
    )
    places = dataclasses.replace(
        found[0], metric="median_rank_text_to_image", unit="rank", value=0.0, low=-0.5
    )
    report = compose(facts([*found, places, first]), language)
    (only,) = report.evidence
    assert only.effect == first, "of all measures the one that the overview's chart shows"
    assert "15" in report.more
    kinds = [
        dataclasses.replace(found[0], metric=f"recall_at_1_{way}", task=f"retrieval{kind}")
        for kind in ("", "_legacy", "_template") for way in ("text_to_image", "image_to_text")
    ]  # fmt: skip
    others = [
        dataclasses.replace(first, metric=name)
        for name in ("miou", "rmse", "accuracy", "macro_f1", "miss_rate")
    ]
    of_slots = dataclasses.replace(first, task="slots", metric="macro_f1")
    probes = [
        dataclasses.replace(first, task="classification", metric=name) for name in ("accuracy", "macro_f1")
    ]
    more = compose(facts([*kinds[:2], *probes, *others[:4], of_slots]), language).evidence
    assert of_slots in [row.effect for row in more], "the linear probe pushes out no task"
    evidence = [row.effect for row in compose(facts([*kinds, *others]), language).evidence]
    assert set(evidence[:-1]) == {*kinds[:2], *others}, "kinds of captions push out no other task"
    assert evidence[-1] in kinds[2:]


@pytest.mark.parametrize("language", LANGUAGES)
def test_units_and_colons_are_those_of_the_language(language: str) -> None:
    ranks = Effect(
        "r", "retrieval", "median_rank_text_to_image", "corrected", "original", 0.0, -0.5, 1.0, "rank", False, 9, 2
    )  # fmt: skip
    (row,) = compose(facts([ranks]), language).evidence
    assert (row.change, row.interval) == {"ja": ("±0位", "−0.5〜+1"), "en": ("±0 places", "−0.5 to +1")}[
        language
    ]
    (row,) = compose(
        facts([dataclasses.replace(ranks, metric="recall_at_1_text_to_image")]), language
    ).evidence
    assert (
        row.metric
        == {"ja": "文から写真を検索（上位1件）", "en": "Photo found from words, top\N{NO-BREAK SPACE}1"}[
            language
        ]
    )
    if language == "ja":
        report = compose(facts([ranks]), language)
        for text in (*slide_texts(pptx(report)), re.sub(r"<style>.*</style>|<[^>]+>", "", html(report))):
            assert not re.search(r"[ぁ-んァ-ヶ一-龠]: ", text), text
    below = slide_texts(pptx(compose(facts([ranks], remaining=Remaining(ESTIMATE, 2, 0)), language)))
    joined = {"ja": "件が誤り、模擬 2件を含む", "en": "were wrong; includes 2 simulated"}[language]
    assert any(joined in text for text in below), [text for text in below if "95" in text]


# --- the dashboard's numbers ---------------------------------------------------------------------------------


def badges(at: AppTest) -> str:
    """All texts, without the backslashes that keep Markdown from reading them."""
    kinds = (at.text, at.caption, at.markdown, at.metric)
    return re.sub(r"\\(.)", r"\1", "\n".join(str(element.value) for kind in kinds for element in kind))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_numbers_are_those_of_the_overview(
    worked: Site, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(worked, {"fix": 2, "ok": 8})
    draw(worked, {"fix": 1}, simulated=True)
    at = show("overview", worked, language, monkeypatch)
    shown, report = badges(at), compose(gather(worked), language)
    assert len(report.figures) == 5
    for one in report.figures:
        assert metric(at, one.label) == one.value
        assert not one.simulated or one.simulated in [str(element.value) for element in at.text]
        for note in one.notes:
            assert note.replace("\N{NO-BREAK SPACE}", " ") in shown, note
    assert report.conclusion in shown
    assert report.next_what in shown and report.next_why in shown


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_file_holds_every_text(worked: Site, language: str) -> None:
    report = compose(gather(worked), language)
    page = htmllib.unescape(re.sub(r"<[^>]+>", "", html(report)))
    document = pypdfium2.PdfDocument(pdf(report))
    printed = document[0].get_textpage().get_text_range()
    slides = "\n".join(slide_texts(pptx(report)))
    for text in (
        *report.sentences,
        report.headline,
        *report.risks,
        *report.money,
        *(f.value for f in report.figures),
    ):
        for file in (page, printed, slides):
            assert squeezed(text) in squeezed(file), text


def squeezed(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).replace("−", "-").split()).replace("\ufffe", "")


def slide_texts(content: bytes) -> list[str]:
    return [shape.text_frame.text for slide in Presentation(io.BytesIO(content)).slides for shape in slide.shapes
            if shape.has_text_frame]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_proven_falls_of_the_model_to_be_promoted_are_a_risk(worked: Site, language: str) -> None:
    """Its gain never stands alone: the step says that there are falls too, the risks say which."""
    fell = {"task": "slots", "metric": "accuracy_part", "arm": "candidate", "versus": "base", "value": -0.09,
            "low": -0.147, "high": -0.04, "unit": "fraction", "higher_is_better": True, "n": 99,
            "seeds": 1}  # fmt: skip
    for gate in ("sign", "open"):
        at = dataclasses.replace(
            STANDING, gate=gate, candidate="m", falls=(fell,), template=worked.template()
        )
        report = compose(facts([], standing=at), language)
        assert any("−9.0" in risk and "−14.7" in risk for risk in report.risks), report.risks
        assert {"en": "are proven too: 1", "ja": "低下も1件"}[language] in report.next_why
        assert report.next_why in report.sentences[-1]
        assert not any("accuracy" in risk and "_part" in risk for risk in report.risks)
    without = compose(facts([], standing=dataclasses.replace(STANDING, gate="open", candidate="m")), language)
    assert not any("−9.0" in risk for risk in without.risks)


@pytest.mark.parametrize("language", LANGUAGES)
def test_each_unit_has_its_own_axis_under_its_rows(language: str) -> None:
    metres = Effect(
        "r", "depth", "rmse", "corrected", "original", -0.00004, -0.00033, 0.00025, "m", False, 9, 2
    )
    points = Effect(
        "r", "slots", "accuracy", "corrected", "original", 0.05, -0.01, 0.12, "fraction", True, 9, 2
    )
    found = by_unit([points, metres, points])
    assert found == [points, points, metres]
    under = axes(found, language)
    assert sorted(under) == [1, 2] and under[2].title.count("m") and under[1].title != under[2].title
    drawn = spans(found)
    for place, axis in under.items():
        scale = {text: share for share, text in axis.ticks}
        assert len(scale) == len(axis.ticks) >= 2 and all(0 <= share <= 1 for share in scale.values())
        factor = 100 if found[place].is_fraction else 1
        (text, share) = next((text, share) for text, share in scale.items() if text[0] in "+−")
        signed = float(text.replace("−", "-")) / factor
        per_unit = (drawn[place].high - drawn[place].zero) / found[place].high
        assert share == pytest.approx(drawn[place].zero + signed * per_unit)
    report = compose(facts(found), language)
    printed = pypdfium2.PdfDocument(pdf(report))[0].get_textpage().get_text_range()
    for axis in under.values():
        assert axis.title in html(report) and axis.ticks[0][1] in html(report)
        assert squeezed(axis.title) in squeezed(printed)
        assert any(axis.title in text for text in slide_texts(pptx(report)))


# --- the files -----------------------------------------------------------------------------------------------


@pytest.fixture
def nasty(worked: Site) -> Site:
    """Markup in everything that people write and the report shows."""
    set_value(worked.settings_path, "site", "name", f"{NASTY} 🔩")
    with worked.connect() as db:
        run = add_run(db, "run-2", at=START.replace(day=28))
        add_effect(db, run, f"m{NASTY}", -0.2, -0.3, -0.1, task=NASTY)
        add_effect(db, run, f"n{NASTY}", 3.0, 2.0, 4.0, task=NASTY, unit=f"u{NASTY}")
    name, author = f"set {NASTY}", f"author {NASTY}"
    assumptions.save(worked, name, assumptions.in_use(worked).ranges, [], author)
    return Site.open(worked.root)


@pytest.mark.parametrize("language", LANGUAGES)
def test_markup_is_text_in_every_file(nasty: Site, language: str) -> None:
    report = compose(gather(nasty), language)
    page = html(report)
    assert "<script" not in page.lower() and "<b>**" not in page
    assert all(htmllib.escape(f"{what}{NASTY}") in page for what in ("", "set ", "author "))
    assert "m&lt;script&gt;" in page
    assert NASTY in pypdfium2.PdfDocument(pdf(report))[0].get_textpage().get_text_range().replace("\r\n", "")
    content = pptx(report)
    assert any(NASTY in text for text in slide_texts(content))
    with zipfile.ZipFile(io.BytesIO(content)) as deck:
        assert not any(b"<script" in deck.read(name) for name in deck.namelist())


def test_the_html_needs_nothing_from_outside(worked: Site) -> None:
    page = html(compose(gather(worked), "en"))
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')>\s]+)""", page)
    assert all(address.startswith("#") for address in addresses), addresses
    assert "<svg" in page and "http-equiv" in page
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))


def fullest(language: str) -> Report:
    """More than there can be: every risk, long names, every effect, large numbers."""
    found = [Effect("r", f"a task of our own with quite a long name 長い名前の課題 {k}", "accuracy_of_everything",
                    "corrected", "original", (-1) ** k * 0.1, -0.3, 0.3, "fraction", True, 999, 5)
             for k in range(12)]  # fmt: skip
    huge = Counted(1_234_567.0, 7_654_321.0)
    return compose(
        facts(found, site="第一工場の検査ライン " * 8, is_demo=True, simulated=(654_321, 1_234_567),
              work=Work(huge, huge, huge, huge), cost=Cost(huge, 1e5, True, 1e6, 1e5, True),
              remaining=Missing("verdicts on the drawn audit captions", "x")),
        language,
    )  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "make", [lambda language: compose(facts([]), language), fullest], ids=["empty", "fullest"]
)
def test_the_pdf_is_one_page_of_a4(language: str, make: Callable[[str], Report]) -> None:
    document = pypdfium2.PdfDocument(pdf(make(language)))
    assert len(document) == 1
    assert [round(side) for side in document[0].get_size()] == [595, 842]
    picture = document[0].render(scale=1).to_numpy()
    assert (picture < 250).any()
    edge = 25  # points of white all around: nothing runs off the page
    for part in (picture[:edge], picture[-edge:], picture[:, :edge], picture[:, -edge:]):
        assert (part > 250).all()


def test_the_html_prints_on_one_page_of_a4(worked: Site, tmp_path: Path) -> None:
    """In both languages, with eight measures of two units and simulated work."""
    with worked.connect() as db:
        for name, task in (("accuracy", "slots"), ("macro_f1", "slots"), ("accuracy", "classification"),
                           ("macro_f1", "classification"), ("miss_rate", "inspection")):  # fmt: skip
            add_effect(db, "run-1", name, 0.01, -0.03, 0.07, task=task)
    path = chromium()
    assert path, "no Chromium: python -m tests.browser"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        for language in LANGUAGES:
            report = compose(dataclasses.replace(gather(worked), is_demo=True), language)
            assert len(report.evidence) == 8
            (tmp_path / "r.html").write_text(html(report), encoding="utf-8")
            page = browser.new_page()
            asked: list[str] = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto((tmp_path / "r.html").as_uri())
            printed = page.pdf(prefer_css_page_size=True, print_background=True)
            assert len(pypdfium2.PdfDocument(printed)) == 1
            assert asked == [(tmp_path / "r.html").as_uri()]
        browser.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_three_slides_whose_texts_fit_their_boxes(language: str) -> None:
    told = fullest(language)
    deck = Presentation(io.BytesIO(pptx(told)))
    sizes = {
        one.text: one.runs[0].font.size.pt
        for shape in deck.slides[2].shapes if shape.has_text_frame for one in shape.text_frame.paragraphs if one.runs
    }  # fmt: skip
    assert sizes[told.footer] >= 10, "also what says where the numbers come from can be read"
    assert translator(language)("ROI") in told.footer
    assert len(deck.slides) == 3 and all(slide.shapes.title.text_frame.text for slide in deck.slides)
    for slide in deck.slides:
        assert slide.notes_slide.notes_text_frame.text.count("\n") == 4
        for shape in slide.shapes:
            assert shape.left >= 0 and shape.left + shape.width <= deck.slide_width
            assert shape.top >= 0 and shape.top + shape.height <= deck.slide_height
            if shape.has_text_frame and shape.text_frame.text:
                taken = height_of(shape)
                assert taken <= Emu(shape.height).inches + 0.02, (shape.text_frame.text, taken)


def height_of(shape: object) -> float:
    """Inches that the text of a shape takes, measured with a real font."""
    from PIL import ImageFont

    path = next(iter(Path("/usr/share/fonts").rglob("NotoSansCJK-Regular.ttc")), None)
    if path is None:
        pytest.skip("needs the font Noto Sans CJK")
    frame = shape.text_frame  # type: ignore[attr-defined]
    room, total = Emu(shape.width).inches - 0.2, 0.1  # type: ignore[attr-defined]
    for paragraph in frame.paragraphs:
        size = paragraph.runs[0].font.size.pt
        font = ImageFont.truetype(str(path), 100)
        rows, used = 1, 0.0
        for piece in re.findall(r"[\u2e80-\uffef]|[^\u2e80-\uffef\s]+\s*|\s+", paragraph.text):
            width = font.getlength(piece) / 100 * size / 72
            if used and used + width > room:
                rows, used = rows + 1, 0.0
            used += width
        total += rows * size * 1.2 * 1.1 / 72
    return total


def test_the_largest_size_that_fits_is_taken() -> None:
    short, long = [Line("a bolt")], [Line("漢字" * 120)]
    assert fitting(short, 5, 1, 20) == 20 and fitting([Line("漢字" * 999)], 5, 1, 20) == SMALLEST
    size = fitting(long, 5, 1.5, 20)
    assert 9 <= size < 20 and needed(long, 5, size) <= 1.5 < needed(long, 5, size + 0.5)


# --- the verb ------------------------------------------------------------------------------------------------


def test_the_verb_writes_every_kind_whole(worked: Site, tmp_path: Path) -> None:
    for ending in ENDINGS:
        write(worked, tmp_path / f"r{ending.upper()}", "ja")
        assert (tmp_path / f"r{ending.upper()}").stat().st_size > 4000
    told = genba(
        "report", str(worked.root), "-o", str(tmp_path / "v.html"), "--language", "en", "--json"
    ).json()
    assert told == {"report": str(tmp_path / "v.html"), "language": "en"}
    assert sorted(p.name for p in tmp_path.glob("*")) == [
        "photos",
        "r.HTML",
        "r.PDF",
        "r.PPTX",
        "site",
        "v.html",
    ]
    with pytest.raises(GenbaError, match=r"cannot be written as 'r\.docx'\. Known: \.html, \.pdf, \.pptx"):
        write(worked, tmp_path / "r.docx", "ja")
    with pytest.raises(GenbaError, match="There is no folder"):
        write(worked, tmp_path / "no" / "r.pdf", "ja")
    (tmp_path / "d.pdf").mkdir()
    with pytest.raises(GenbaError, match="cannot be written"):
        write(worked, tmp_path / "d.pdf", "ja")
    assert not list(tmp_path.glob(".*"))


def test_the_button_gives_what_the_verb_writes(worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    at = show("overview", worked, "ja", monkeypatch)
    labels = [one.proto.label for one in at.get("download_button") if "CSV" not in one.proto.label]
    assert len(labels) == len(ENDINGS) and any("PowerPoint" in label for label in labels)
    assert render(worked, ".pdf", "ja").startswith(b"%PDF")
