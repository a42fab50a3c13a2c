"""Personal data in captions: each rule against cases made by hand, in both languages, false friends among them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dashboards.personal_data import KINDS, Hit, Rules, found_in
from dashboards.personal_names import known_names
from data.settings_privacy import FORBIDDEN_TERMS

RULES = Rules(
    terms=FORBIDDEN_TERMS,
    phone_regions=("JP",),
    known=known_names(["佐藤", "川崎", "森", "Maria Rossi", "mark", "crew-1", "a@b.jp"]),
)
# Caption -> what stands in it. Half of them hold nothing, though a word looks like it.
CORPUS: dict[str, list[tuple[str, str]]] = {
    "田中さんが交換したポンプ": [("name", "田中")],
    "佐藤の指が写っている銘板": [("name", "佐藤")],
    "山本班長の確認済み": [("name", "山本")],
    "高橋 一郎が点検したバルブ": [("name", "高橋 一郎")],
    "撮影者：伊藤": [("name", "伊藤")],
    "小林作業員のヘルメット": [("name", "小林")],
    "checked by Mr. Smith on site": [("name", "Mr. Smith")],
    "Tanaka-san holds the gauge": [("name", "Tanaka")],
    "weld inspected by John Smith": [("name", "John Smith")],
    "bolt replaced by mark": [("name", "mark")],
    "連絡先 03-1234-5678 の銘板": [("phone", "03-1234-5678")],
    "０９０－１２３４－５６７８": [("phone", "090-1234-5678")],
    "call +44 20 7946 0958": [("phone", "+44 20 7946 0958")],
    "mail to yamada.t@example.co.jp": [("email", "yamada.t@example.co.jp")],
    "品川 300 あ 12-34 のトラック": [("plate", "品川 300 あ 12-34")],
    "荷台に横浜５８０さ・・・１": [("plate", "横浜580さ・・・1")],
    "車番 12-34 のダンプ": [("plate", "12-34")],
    "truck, number plate AB12 CDE": [("plate", "AB12 CDE")],
    "不注意による傷": [("term", "不注意")],
    "Careless work on the flange": [("term", "careless")],
    "ひびさんかく形の欠け": [],
    "お客様用の階段の錆": [],
    "川崎工場のバルブ": [],
    "石川県の橋": [],
    "谷口の錆": [],
    "森の中の鉄塔": [],
    "岡本建設の重機": [],
    "トレーの上にアルミのギア": [],
    "上側に中土のへこみ": [],
    "図3の12-34": [],
    "部品番号 0312-345-678": [],
    "2026-11-26 10:30 撮影": [],
    "ロット番号 1234567890123": [],
    "Mark on the left side of the plate": [],
    "steel plate no. 12 34": [],
    "name plate reads 500V": [],
    "M12x1.75 bolts x 8, looks fine": [],
    "carelessness is no careful word": [],
    "serial 0901-23-45678-9": [],
    "v2.0@site": [],
}


def test_what_is_found_in_the_corpus_and_nothing_else() -> None:
    """Precision and recall of each kind on the corpus; it was made by hand, so the figures speak of its cases alone."""
    right: dict[str, int] = dict.fromkeys(KINDS, 0)
    found_of: dict[str, int] = dict.fromkeys(KINDS, 0)
    there: dict[str, int] = dict.fromkeys(KINDS, 0)
    wrong: list[tuple[str, Hit]] = []
    for caption, expected in CORPUS.items():
        hits = found_in(caption, RULES)
        for kind, _text in expected:
            there[kind] += 1
        for hit in hits:
            found_of[hit.kind] += 1
            is_right = (hit.kind, hit.text) in expected
            right[hit.kind] += is_right
            wrong += [] if is_right else [(caption, hit)]
    assert wrong == []
    assert right == there == found_of == {"term": 2, "phone": 3, "email": 1, "plate": 4, "name": 10}


def test_one_caption_may_hold_several() -> None:
    hits = found_in("佐藤さん 090-1234-5678、佐藤さん", RULES)
    assert hits == (Hit("phone", "090-1234-5678"), Hit("name", "佐藤"))


def test_a_latin_term_is_a_whole_word_and_a_japanese_one_is_not() -> None:
    rules = Rules(terms=("ass", "ｆｏｏ", "手抜き", " "))
    assert found_in("assembly, brass", rules) == ()
    assert found_in("an ASS; Foo!", rules) == (Hit("term", "ass"), Hit("term", "ｆｏｏ"))
    assert found_in("ass。手抜き工事", rules) == (Hit("term", "ass"), Hit("term", "手抜き"))


def test_other_countries_numbers_need_their_country_or_a_plus() -> None:
    text = "(415) 555-2671 office"
    assert found_in(text, Rules()) == ()
    assert found_in(text, Rules(phone_regions=("JP", "US"))) == (Hit("phone", "(415) 555-2671"),)


def test_names_that_cannot_be_looked_for_are_left_out() -> None:
    known = known_names(["山", "佐藤 (sato@example.jp)", "crew-12", "Jo", "Ann  Lee", "", "user_7"])
    assert (known.japanese, known.latin) == ({"佐藤"}, {"Ann Lee"})


def test_a_known_name_inside_a_place_or_a_longer_word_is_none() -> None:
    rules = Rules(known=known_names(["川崎", "大和"]))
    assert found_in("川崎市の橋、川崎工場", rules) == ()
    assert found_in("川崎の弁当", rules) == (Hit("name", "川崎"),)
    assert found_in("大和田橋の錆", rules) == ()


@given(st.text(max_size=60))
def test_any_text_can_be_looked_through(text: str) -> None:
    assert all(hit.kind in KINDS and hit.text for hit in found_in(text, RULES))
