"""Names of people in a caption: those whom the site knows, and those that stand with a title or a role. Pure.

    names_in("田中さんが交換", Known())                       # ["田中"]
    names_in("checked by Mr. Smith", Known())                # ["Mr. Smith"]
    names_in("佐藤が撮影", known_names(["佐藤"]))             # ["佐藤"]

Japanese surnames are words of places and of things too (石川県, 谷口の錆, 森の中). A dictionary alone flags those, so a
surname counts only with a title (さん, 様, 班長), with a given name, or where somebody does something (田中が撮影).
What is a surname says SudachiPy with its small dictionary: docs/decisions/0013-names-in-captions.md.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sudachipy import Morpheme, Tokenizer

TITLES = (
    "さん", "サン", "様", "さま", "氏", "君", "くん", "ちゃん", "殿", "先生", "社長", "専務", "常務",
    "部長", "課長", "係長", "主任", "班長", "組長", "職長", "工場長", "所長", "主査", "次長", "室長", "監督", "作業員",
    "運転手", "検査員", "技師", "主幹",
)  # fmt: skip
DOES = (
    "撮影",
    "点検",
    "確認",
    "検査",
    "記入",
    "担当",
    "作業",
    "交換",
    "修理",
    "施工",
    "立会",
    "立会い",
    "報告",
    "作成",
)
BETWEEN = ("が", "は", "による", "にて", "も")
LABELS = (
    "撮影者",
    "担当者",
    "担当",
    "記入者",
    "検査者",
    "検査員",
    "作業者",
    "点検者",
    "報告者",
    "確認者",
    "作成者",
)
# After a name of the site these make a place or a firm of it: 川崎工場, 石川県.
PLACES = re.compile(
    r"[都道府県市区郡町村港駅橋川山島湾]|工場|工業|建設|製作所|支店|営業所|事業所|倉庫|商店|鉄工"
)
CAPITAL = r"[A-ZÀ-Þ][A-Za-zÀ-ÿ'’-]+"
PERSON = rf"(?:[A-Z]\.\s?)*{CAPITAL}(?:\s(?:[A-Z]\.\s?)?{CAPITAL})?"
TITLED = re.compile(rf"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof|Sir|Madam)\.?\s{PERSON}")
SAN = re.compile(rf"\b({CAPITAL})[\s-](?:san|sama|kun|sensei)\b")
BY = re.compile(
    rf"\b(?:taken|photographed|inspected|checked|signed|repaired|replaced|welded|reported|photo|picture)\s[Bb]y\s({PERSON})"
)
JAPANESE = re.compile(r"[぀-ヿ㐀-鿿]")
KANJI = re.compile(r"[㐀-鿿々]")


@dataclass(frozen=True)
class Known:
    """Names of people whom the site knows, folded; Latin ones as they are written."""

    japanese: frozenset[str] = frozenset()
    latin: frozenset[str] = frozenset()


def known_names(names: Iterable[str]) -> Known:
    """What can be looked for among the names of authors and staff: codes ("crew-1"), addresses, single letters are
    left out."""
    japanese, latin = set(), set()
    for name in names:
        text = " ".join(unicodedata.normalize("NFKC", name).split())
        text = text.split("(")[0].split("<")[0].strip()
        if re.search(r"[\d@_/]", text):
            continue
        if JAPANESE.search(text) and len(text) >= 2:
            japanese.add(text)
        elif len(text) >= 3 and re.fullmatch(r"[A-Za-zÀ-ÿ'’. -]+", text):
            latin.add(text)
    return Known(frozenset(japanese), frozenset(latin))


def names_in(text: str, known: Known) -> list[str]:
    """text: folded. Each name once, as it is written; one inside a longer one is left out."""
    found = [*_titled(text), *_known_latin(text, known.latin)]
    if KANJI.search(text):
        found += [*_japanese(text), *_known_japanese(text, known.japanese)]
    unique = list(dict.fromkeys(found))
    return [one for one in unique if not any(one != other and one in other for other in unique)]


def _titled(text: str) -> Iterator[str]:
    for match in TITLED.finditer(text):
        yield re.sub(r"['’]s$", "", match.group())
    for pattern in (SAN, BY):
        for match in pattern.finditer(text):
            yield match.group(1)


def _known_latin(text: str, names: Iterable[str]) -> Iterator[str]:
    """A first name alone must be capitalised inside the sentence: "Mark on the left" is no person. After "by" it may
    be written anyhow."""
    for name in sorted(names):
        is_full = " " in name
        for match in re.finditer(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text, re.IGNORECASE):
            said = re.search(r"\bby\s+$", text[: match.start()], re.IGNORECASE)
            begins = not re.search(r"[^.!?:\s]\s*$", text[: match.start()])
            if (
                is_full
                or said
                or (match.group()[0].isupper() and (not begins or text[match.end() :].startswith("'s")))
            ):
                yield match.group()
                break


def _known_japanese(text: str, names: Iterable[str]) -> Iterator[str]:
    """A name that is part of a place or a firm, or of a longer word, is none."""
    for name in sorted(names):
        place = text.find(name)
        if place < 0:
            continue
        after = text[place + len(name) :]
        inside = len(name) < 3 and _is_inside(text, place, place + len(name))
        if not PLACES.match(after) and not inside:
            yield name


def _is_inside(text: str, start: int, end: int) -> bool:
    """Whether a word of the text reaches over the edges of this part of it."""
    return any(
        one.begin() < end and one.end() > start and (one.begin() < start or one.end() > end)
        for one in _tokenizer().tokenize(text)
    )


def _japanese(text: str) -> Iterator[str]:
    """A surname with a title, a given name, or what somebody does; or after a label (撮影者: 鈴木)."""
    words = [one for one in _tokenizer().tokenize(text) if one.surface().strip()]
    at = 0
    while at < len(words):
        end = at
        while end < len(words) and end - at < 2 and _is_person(words[end], end > at):
            end += 1
        if end == at:
            at += 1
            continue
        start, stop = words[at].begin(), words[end - 1].end()
        if end - at == 2 or _is_addressed(text[:start], text[stop:]):
            yield text[start:stop]
        at = end


def _is_person(word: Morpheme, is_given: bool) -> bool:
    """POS 固有名詞-人名. Katakana and Latin words are none: the dictionary reads ギア and "fine" as names."""
    pos = word.part_of_speech()
    kind = "名" if is_given else None
    return (
        pos[1:3] == ("固有名詞", "人名")
        and (kind is None or pos[3] == kind)
        and KANJI.search(word.surface()) is not None
    )


def _is_addressed(before: str, after: str) -> bool:
    label = re.search(rf"(?:{'|'.join(LABELS)})\s*[::=は]?\s*$", before)
    # さん of さんかく (triangle) is a word's beginning, not a title
    title = re.match(rf"\s*(?:{'|'.join(sorted(TITLES, key=len, reverse=True))})(?!かく|角)", after)
    does = re.match(rf"\s*(?:{'|'.join(BETWEEN)})?\s*(?:{'|'.join(DOES)})", after)
    return any((label, title, does))


@functools.cache
def _tokenizer() -> Tokenizer:
    """25 µs a caption; the dictionary is loaded once, 0.1 s."""
    from sudachipy import Dictionary, SplitMode

    return Dictionary(dict="small").tokenizer(SplitMode.C)
