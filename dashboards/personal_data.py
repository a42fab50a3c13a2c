"""Personal data and unwanted terms in a caption: pure, text in, hits out. What is found is a hint for a person.

    rules = Rules(terms=("careless",), phone_regions=("JP",), known=known_names(["佐藤", "Maria Rossi"]))
    found_in("佐藤さん 090-1234-5678", rules)
    # (Hit("phone", "090-1234-5678"), Hit("name", "佐藤"))

Texts are compared after NFKC, so that full-width digits and half-width katakana are what they look like.

    term    a term of [privacy] forbidden_terms: a whole word in Latin script, a part of the text in Japanese
    phone   a number that the library phonenumbers holds for valid in one of the regions, or anywhere with a +
    email   name@host.tld
    plate   a Japanese number plate (品川 300 あ 12-34), or letters and digits after a word for a plate
    name    somebody whom the site knows, or a name that stands with a title or a role (dashboards/personal_names.py)

Not found: a surname alone that the site does not know, a nickname, a number written in words. So an empty list never
says that a caption holds no personal data.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from dashboards.personal_names import Known, names_in

VERSION = 1  # raised when a rule changes: captions are then looked through again
KINDS = ("term", "phone", "email", "plate", "name")
FEWEST_DIGITS = 7  # of a phone number; what has fewer is not given to the library, which is slow

# The offices whose names stand on plates, by region; a word that only looks like one ("図 3 の 12-34") is none.
OFFICES = (
    "札幌|函館|旭川|室蘭|苫小牧|釧路|知床|帯広|北見|青森|弘前|八戸|岩手|盛岡|平泉|宮城|仙台|秋田|山形|"
    "庄内|福島|会津|郡山|白河|いわき|水戸|土浦|つくば|宇都宮|那須|とちぎ|日光|群馬|前橋|高崎|大宮|川口|"
    "所沢|川越|熊谷|春日部|越谷|千葉|成田|習志野|市川|船橋|袖ヶ浦|市原|野田|柏|松戸|品川|世田谷|練馬|"
    "杉並|板橋|足立|江東|葛飾|八王子|多摩|横浜|川崎|湘南|相模|山梨|富士山|新潟|長岡|上越|長野|松本|諏訪|"
    "南信州|安曇野|富山|石川|金沢|福井|岐阜|飛騨|静岡|浜松|沼津|伊豆|名古屋|豊橋|岡崎|豊田|三河|尾張小牧|"
    "一宮|春日井|三重|鈴鹿|四日市|伊勢志摩|滋賀|京都|大阪|なにわ|和泉|堺|奈良|飛鳥|和歌山|神戸|姫路|鳥取|"
    "島根|出雲|岡山|倉敷|広島|福山|山口|下関|徳島|香川|高松|愛媛|高知|福岡|北九州|久留米|筑豊|佐賀|長崎|"
    "佐世保|熊本|大分|宮崎|鹿児島|奄美|沖縄"
)
KANA = "あいうえかきくけこさすせそたちつてとなにぬねのはひふほまみむめもやゆよらりるろれわをEHKMTY"
NUMBER = r"(?:\d{2}[-‐–]\d{2}|[・･·.]{1,3}[-‐–]?\d{1,3}|\d{1,4})(?!\d)"
GAP = r"[\s　]*"
# With the office any class number; without it only what looks like nothing else: three characters, kana, 12-34.
JAPANESE_PLATE = re.compile(
    rf"(?:{OFFICES}){GAP}\d[0-9A-Z]{{0,2}}{GAP}[{KANA}]{GAP}{NUMBER}"
    rf"|(?<![0-9A-Za-z])\d[0-9A-Z]{{2}}{GAP}[{KANA}]{GAP}\d{{2}}[-‐–]\d{{2}}(?!\d)"
)
PLATE_WORD = re.compile(  # "plate no. 1234" alone may be of steel
    r"(?i:licen[cs]e plate|number plate|vehicle registration|ナンバープレート|車両番号|車番|車のナンバー)"
    r"(?i:\s(?:number|no\.?))?[\s:#=は、]*((?:[A-Z0-9]{1,4}[\s-]?){1,3}[A-Z0-9]{1,4})(?![A-Za-z0-9])"
)
EMAIL = re.compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}")
DIGIT = re.compile(r"\d")
LATIN = re.compile(r"[A-Za-zÀ-ɏ]")


@dataclass(frozen=True)
class Hit:
    """kind: one of KINDS. text: what was found, after NFKC; for a term the term as it stands in the settings."""

    kind: str
    text: str


@dataclass(frozen=True)
class Rules:
    """What to look for. terms: as given; phone_regions: ISO 3166 codes; known: people of the site."""

    terms: tuple[str, ...] = ()
    phone_regions: tuple[str, ...] = ("JP",)
    known: Known = field(default_factory=Known)


def folded(text: str) -> str:
    """NFKC: full-width letters and digits, half-width kana become the usual ones."""
    return unicodedata.normalize("NFKC", text)


def found_in(caption: str, rules: Rules) -> tuple[Hit, ...]:
    """All hits, each once, in the order of KINDS."""
    text = folded(caption)
    hits = [
        *(Hit("term", one) for one in terms_in(text, rules.terms)),
        *(Hit("phone", one) for one in phones_in(text, rules.phone_regions)),
        *(Hit("email", one) for one in EMAIL.findall(text)),
        *(Hit("plate", one) for one in plates_in(text)),
        *(Hit("name", one) for one in names_in(text, rules.known)),
    ]
    return tuple(dict.fromkeys(hits))


def terms_in(text: str, terms: Sequence[str]) -> Iterator[str]:
    """The terms that stand in a folded text. A Latin one counts as a whole word, a Japanese one wherever it stands."""
    lower = text.casefold()
    for term in terms:
        wanted = folded(term).casefold().strip()
        if not wanted or wanted not in lower:
            continue
        if not LATIN.search(wanted) or re.search(rf"(?<!\w){re.escape(wanted)}(?!\w)", lower, re.ASCII):
            yield term


def phones_in(text: str, regions: Sequence[str]) -> Iterator[str]:
    """Phone numbers, as written. What is no valid number, or is grouped like none (a part, a date), is none."""
    if sum(1 for _ in DIGIT.finditer(text)) < FEWEST_DIGITS:
        return
    from phonenumbers import Leniency, PhoneNumberMatcher

    seen: set[tuple[int, int]] = set()
    for region in regions:
        for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING):
            if (match.start, match.end) not in seen:
                seen.add((match.start, match.end))
                yield match.raw_string


def plates_in(text: str) -> Iterator[str]:
    """Number plates, as written; of letters alone, or of digits alone that no word announces, there are none."""
    found = [match.group() for match in JAPANESE_PLATE.finditer(text)]
    yield from found
    for match in PLATE_WORD.finditer(text):
        said = match.group(1).strip()
        is_new = not any(said in one or one in said for one in found)
        if is_new and DIGIT.search(said) and len(re.sub(r"[\s-]", "", said)) >= 4:
            yield said
