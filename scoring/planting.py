"""Plants wrong captions with known truth, so that a signal is measured without asking people. For the benchmark only.

    planted = plant(captions, photos, share=0.3, seed=0)
    [Planted(index=7, kind="swap", original="A dog runs.", caption="Two men sit."), …]

Nothing in the product's normal path imports this module. Four kinds of error, as people make them:
`swap` (another photo's caption), `hard_swap` (the most similar caption that another photo has), `attribute` (one word
changed: a colour, a number, a part, a place), `vague` (cut short, or replaced by words that fit any photo).
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np

from data.errors import GenbaError
from data.records import language_of, normalise_caption

KINDS = ("swap", "hard_swap", "attribute", "vague")

# Words of one set exclude each other about one thing. Plain words only: inflections would make broken sentences.
EXCLUSIVE: dict[str, tuple[tuple[str, ...], ...]] = {
    "en": (
        ("red", "blue", "green", "yellow", "black", "white", "brown", "orange", "pink", "purple", "gray"),
        ("one", "two", "three", "four", "five"), ("1", "2", "3", "4"), ("man", "woman"), ("men", "women"),
        ("boy", "girl"), ("boys", "girls"), ("dog", "cat", "horse"), ("dogs", "horses"), ("left", "right"),
        ("top", "bottom"), ("center", "edge"), ("grass", "sand", "snow", "water"),
        ("beach", "street", "park", "forest"),
        ("running", "sitting", "sleeping"), ("jumping", "standing", "lying"), ("indoors", "outdoors"),
        ("ball", "frisbee", "stick"), ("bike", "car", "skateboard"), ("shirt", "jacket", "dress"), ("hat", "helmet"),
        ("capped", "uncapped"), ("transparent", "colored"), ("open", "closed"), ("empty", "full"), ("clean", "dirty"),
        ("tray", "scale", "workbench", "rack"), ("mold", "beaker", "test tube"), ("small", "large"),
        ("bolt", "nut", "washer", "gear", "bracket", "pipe", "plate", "bearing"),
        ("steel", "brass", "copper", "aluminium", "plastic", "rubber"),
        ("scratch", "dent", "rust", "crack", "stain", "chip", "burn"), ("slight", "moderate", "severe"),
    ),
    "ja": (
        ("赤", "青", "緑", "黄", "黒", "白", "茶"), ("1個", "2個", "3個", "4個"), ("一つ", "二つ", "三つ", "四つ"),
        ("左", "右"), ("上", "下"), ("男性", "女性"), ("犬", "猫", "馬"), ("開いて", "閉じて"),
        ("軽度", "中程度", "重度"),
        ("ボルト", "ナット", "ワッシャー", "歯車", "ブラケット", "パイプ", "プレート", "ベアリング"),
        ("鋼", "真鍮", "銅", "アルミ", "プラスチック", "ゴム"), ("傷", "へこみ", "錆", "亀裂", "汚れ", "欠け", "焼け"),
        ("作業台", "トレイ", "コンベア", "コンクリート", "布"),
    ),
}  # fmt: skip
VAGUE = {
    "en": ("A photo.", "Something in the picture.", "An object.", "See picture.", "Photo taken on site."),
    "ja": ("写真", "現場の写真", "部品です", "写真参照", "記録用"),
}


@dataclass(frozen=True)
class Planted:
    """One wrong caption that was put in place of `original` at row `index`."""

    index: int
    kind: str
    original: str
    caption: str


def plant(
    captions: Sequence[str],
    photos: Sequence[Hashable],
    share: float,
    seed: int,
    kinds: Sequence[str] = KINDS,
    facts: Sequence[frozenset[str]] | None = None,
) -> list[Planted]:
    """Wrong captions for `share` of the N rows, in equal parts of `kinds`, by a seeded draw.

    photos: which photo (or group of near-duplicates) a row belongs to; no row gets a caption that its photo carries
    anywhere. facts: what each caption states; when given, a swap neither repeats, adds to nor leaves out of what is
    stated of the photo, because two wordings of one finding are no error. A row for which a kind has nothing to change
    is left alone, so `attribute` may plant fewer.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise GenbaError(f"No kind of error {unknown[0]!r}.", choices=KINDS)
    if not 0 < share < 1:
        raise GenbaError(f"The share of wrong captions must lie between 0 and 1, not {share}.")
    rng = np.random.default_rng(seed)
    rows = _Rows(captions, photos, facts)
    makers: dict[str, Callable[[int], str | None]] = {
        "swap": lambda i: _swap(i, rows, rng),
        "hard_swap": _hard_swapper(rows),
        "attribute": lambda i: change_one_word(captions[i], rng),
        "vague": lambda i: make_vague(captions[i], rng),
    }
    planted: list[Planted] = []
    wanted = round(share * len(captions))
    quota = {kind: wanted // len(kinds) + (k < wanted % len(kinds)) for k, kind in enumerate(kinds)}
    for index in (int(i) for i in rng.permutation(len(captions))):
        # Kinds take turns by what is left; one that does not fit this caption leaves it to the next.
        for kind in sorted((k for k in kinds if quota[k] > 0), key=lambda k: (-quota[k], k)):
            caption = makers[kind](index)
            if caption is not None and not rows.carries(index, caption):
                planted.append(Planted(index, kind, captions[index], caption))
                quota[kind] -= 1
                break
        if not any(quota.values()):
            break
    return sorted(planted, key=lambda one: one.index)


class _Rows:
    """The rows before anything is planted, and what is said of each photo in any of its rows."""

    def __init__(
        self,
        captions: Sequence[str],
        photos: Sequence[Hashable],
        facts: Sequence[frozenset[str]] | None,
    ) -> None:
        self.captions, self.photos, self.facts = captions, photos, facts
        self._words = [normalise_caption(caption) for caption in captions]
        self._languages = [language_of(caption) for caption in captions]
        self._said: defaultdict[Hashable, set[str]] = defaultdict(set)
        self._stated: defaultdict[Hashable, set[frozenset[str]]] = defaultdict(set)
        for row, photo in enumerate(photos):
            self._said[photo].add(self._words[row])
            if facts is not None:
                self._stated[photo].add(facts[row])

    def carries(self, i: int, caption: str) -> bool:
        """Whether the photo of row i has these words in any of its rows."""
        return normalise_caption(caption) in self._said[self.photos[i]]

    def would_be_wrong(self, i: int, j: int) -> bool:
        """Whether the caption of row j is an error on the photo of row i."""
        if self._languages[i] != self._languages[j] or self._words[j] in self._said[self.photos[i]]:
            return False
        if self.facts is None:
            return True
        other = self.facts[j]
        return not any(known <= other or other <= known for known in self._stated[self.photos[i]])


def _swap(i: int, rows: _Rows, rng: np.random.Generator) -> str | None:
    for j in rng.integers(0, len(rows.captions), size=200):
        if rows.would_be_wrong(i, int(j)):
            return rows.captions[int(j)]
    return None


def _hard_swapper(rows: _Rows) -> Callable[[int], str | None]:
    """A function of a row: the most similar other caption by TF-IDF of letter groups (so no encoder is favoured)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit_transform(
        rows.captions
    )

    def hard_swap(i: int) -> str | None:
        similarity = np.asarray((words[i] @ words.T).todense()).ravel()
        for j in np.argsort(-similarity, kind="stable")[:500]:
            if rows.would_be_wrong(i, int(j)):
                return rows.captions[int(j)]
        return None

    return hard_swap


def change_one_word(caption: str, rng: np.random.Generator) -> str | None:
    """The caption with one word of an exclusive set replaced by another of the set, or None when it has none.

    change_one_word("A red ball", rng) -> "A green ball"
    """
    language = "ja" if language_of(caption) == "ja" else "en"
    found: list[tuple[re.Match[str], tuple[str, ...]]] = []
    for words in EXCLUSIVE[language]:
        choice = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
        pattern = f"({choice})" if language == "ja" else rf"\b({choice})\b"
        found.extend((match, words) for match in re.finditer(pattern, caption, flags=re.IGNORECASE))
    if not found:
        return None
    match, words = found[int(rng.integers(len(found)))]
    others = [word for word in words if word != match.group().lower()]
    word = others[int(rng.integers(len(others)))]
    if match.group()[:1].isupper():
        word = word.capitalize()
    return caption[: match.start()] + word + caption[match.end() :]


def make_vague(caption: str, rng: np.random.Generator) -> str | None:
    """The caption cut to its first words, or (half of the time) words that fit any photo."""
    language = "ja" if language_of(caption) == "ja" else "en"
    if rng.random() < 0.5:
        choices = VAGUE[language]
        return choices[int(rng.integers(len(choices)))]
    if language == "ja":
        return caption[: max(2, len(caption) // 4)]
    words = caption.split()
    return " ".join(words[: int(rng.integers(1, 4))]) if len(words) > 3 else None
