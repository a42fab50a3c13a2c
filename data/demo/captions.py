"""Captions of a scene as field staff wrote them over the years: right ones, and six kinds of wrong ones.

    legacy_caption(scene, "ja", rng)                       # 作業台の上に鋼製ボルト2本、中央に重度の傷あり
    wrong_caption("stale", scene, other_scenes, "en", rng)

A right caption names every fact. A wrong one of any kind but `typo` says something else, or less, than the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from data.demo.scenes import (
    BACKGROUNDS,
    COUNTS,
    DEFECTS,
    MATERIALS,
    NEW_DEFECTS,
    NEW_MATERIALS,
    PARTS,
    PLACES,
    RUSTING,
    SEVERITIES,
    Scene,
    slots,
)
from data.demo.words import COUNTERS, MISCONVERSIONS, SOUND, VAGUE, WORDS

LANGUAGES = ("ja", "en")
Slots = Mapping[str, str | int]
OPTIONS: dict[str, tuple[str | int, ...]] = {
    "part": PARTS, "material": MATERIALS + NEW_MATERIALS, "defect": DEFECTS[1:] + NEW_DEFECTS, "place": PLACES,
    "severity": SEVERITIES, "background": BACKGROUNDS, "count": COUNTS,
}  # fmt: skip


def legacy_caption(scene: Scene, language: str, rng: np.random.Generator) -> str:
    """A right caption in free style, "ja" or "en"; another draw gives other words and another order."""
    return write_caption(slots(scene), language, rng)


def wrong_caption(
    kind: str, scene: Scene, other_scenes: Sequence[Scene], language: str, rng: np.random.Generator
) -> str:
    """A caption with an error of a kind in WRONG_KINDS. `swapped` takes the caption of one of `other_scenes`."""
    return WRONG_KINDS[kind](scene, other_scenes, language, rng)


def plain_caption(found: Slots, language: str) -> str:
    """The caption with the plainest words, in the style of the `parts` template."""
    word = {slot: WORDS[language][slot][str(value)][0] for slot, value in found.items() if value != "none"}
    if language == "ja":
        head = f"{word['background']}の上の{word['material']}製{word['part']}{found['count']}個。"
        tail = (
            f"{word['place']}に{word['severity']}{word['defect']}があります。"
            if "defect" in word
            else "欠陥はありません。"
        )
        return head + tail
    things = f"{found['count']} {word['material']} {_plural(word['part'], int(found['count']))}"
    if "defect" not in word:
        return f"{things} with no defect, on the {word['background']}"
    return f"{things} with {word['severity']} {word['defect']} at the {word['place']}, on the {word['background']}"


def write_caption(found: Slots, language: str, rng: np.random.Generator) -> str:
    """Free-style caption of slots; a slot that is absent is not spoken of. defect "none" is said in words."""
    return (_japanese if language == "ja" else _english)(found, rng)


def _pick(rng: np.random.Generator, values: Sequence[str]) -> str:
    """One of the values; the first is as likely as all others together, as people mostly use the plain word."""
    if len(values) == 1 or rng.random() < 0.5:
        return values[0]
    return values[int(rng.integers(1, len(values)))]


def _word(found: Slots, slot: str, language: str, rng: np.random.Generator) -> str:
    return _pick(rng, WORDS[language][slot][str(found[slot])]) if slot in found else ""


def _join(rng: np.random.Generator, patterns: Sequence[str], **pieces: str) -> str:
    return _pick(rng, patterns).format(**pieces)


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else noun + "s"


def _japanese(found: Slots, rng: np.random.Generator) -> str:
    things, ground, flaw = (
        _japanese_things(found, rng),
        _word(found, "background", "ja", rng),
        _japanese_flaw(found, rng),
    )
    order: tuple[str, ...]
    if ground and flaw:
        order = (
            "{g}の上に{t}、{f}",
            "{g}に{t}。{f}",
            "{t}（{g}）。{f}",
            "{t}、{f}。{g}にて",
            "{f}。{g}上の{t}",
            "{g}：{t}、{f}",
        )
    elif ground:
        order = ("{g}の上に{t}", "{t}（{g}）", "{g}：{t}")
    else:
        order = ("{t}、{f}", "{t}。{f}", "{f}。{t}") if flaw else ("{t}",)
    end = "。" if rng.random() < 0.3 else ""
    return _join(rng, order, t=things, g=ground, f=flaw) + end


def _japanese_things(found: Slots, rng: np.random.Generator) -> str:
    part, material = _word(found, "part", "ja", rng), _word(found, "material", "ja", rng)
    made = _join(rng, ("{m}製{p}", "{m}{p}", "{m}の{p}"), m=material, p=part) if material else part
    if "count" not in found:
        return made
    unit = COUNTERS.get(str(found["part"]), "個") if rng.random() < 0.6 else "個"
    number = _word(found, "count", "ja", rng)
    return _join(rng, ("{m}{n}{u}", "{n}{u}の{m}", "{m}×{n}"), m=made, n=number, u=unit)


def _japanese_flaw(found: Slots, rng: np.random.Generator) -> str:
    if "defect" not in found:
        return ""
    if found["defect"] == "none":
        return _pick(rng, SOUND["ja"])
    defect, place = _word(found, "defect", "ja", rng), _word(found, "place", "ja", rng)
    severity = _word(found, "severity", "ja", rng)
    at, of = (f"{place}に", f"{place}の") if place else ("", "")
    stem = severity[:-1] if severity.endswith(("の", "な")) else severity
    tails = ["{a}{s}{d}あり", "{a}{s}{d}がある", "{a}{s}{d}", "{a}{s}{d}があります"]
    if severity:
        tails += ["{o}{d}（{k}）", "{a}{d}、{k}"]
    return _join(rng, tails, a=at, o=of, s=severity, d=defect, k=stem)


def _english(found: Slots, rng: np.random.Generator) -> str:
    things, flaw = _english_things(found, rng), _english_flaw(found, rng)
    ground = _word(found, "background", "en", rng)
    on = _join(rng, ("on the {g}", "on {g}", "lying on the {g}"), g=ground) if ground else ""
    order: tuple[str, ...]
    if on and flaw:
        order = (
            "{t} {on}, {f}",
            "{t} with {f}, {on}",
            "{f}: {t} {on}",
            "{on}: {t}, {f}",
            "{t}, {f}. {g}",
            "{t} ({g}), {f}",
        )
    elif on:
        order = ("{t} {on}", "{on}: {t}", "{t} ({g})")
    else:
        order = ("{t}, {f}", "{t} with {f}", "{f}: {t}") if flaw else ("{t}",)
    text = _join(rng, order, t=things, on=on, g=ground, f=flaw)
    text = text[0].upper() + text[1:] if rng.random() < 0.4 else text
    return text + ("." if rng.random() < 0.3 else "")


def _english_things(found: Slots, rng: np.random.Generator) -> str:
    count = int(found.get("count", 1))
    part = _plural(_word(found, "part", "en", rng), count)
    made = f"{_word(found, 'material', 'en', rng)} {part}".strip()
    if "count" not in found:
        return made
    return _join(
        rng,
        ("{n} {m}", "{m} x{c}", "{c} pcs {m}", "{m}, {c} pcs"),
        n=_word(found, "count", "en", rng),
        m=made,
        c=str(count),
    )


def _english_flaw(found: Slots, rng: np.random.Generator) -> str:
    if "defect" not in found:
        return ""
    if found["defect"] == "none":
        return _pick(rng, SOUND["en"])
    defect, place = _word(found, "defect", "en", rng), _word(found, "place", "en", rng)
    severity = _word(found, "severity", "en", rng)
    where = _join(rng, (" in the {p}", " at the {p}", ", {p}", " on the {p}"), p=place) if place else ""
    if not severity:
        return defect + where
    return _join(rng, ("{s} {d}{w}", "{d}{w} ({s})", "{s} {d}{w}"), s=severity, d=defect, w=where)


def changed(found: Slots, slot: str, rng: np.random.Generator) -> dict[str, str | int]:
    """The same slots with another value in one slot; a severity changes by two steps where it can."""
    choices = [value for value in OPTIONS[slot] if value != found[slot]]
    if slot == "severity" and found[slot] != "moderate":
        choices = ["severe" if found[slot] == "slight" else "slight"]
    return {**found, slot: choices[int(rng.integers(len(choices)))]}


def _swapped(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    different = [other for other in others if other.facts != scene.facts]
    return legacy_caption(different[int(rng.integers(len(different)))], language, rng)


def _vague(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    if rng.random() < 0.35:  # no more than the part's name
        part = _word(slots(scene), "part", language, rng)
        return _join(
            rng,
            ("{p}の写真", "{p}", "{p}、要確認")
            if language == "ja"
            else ("photo of a {p}", "{p}", "{p}, check"),
            p=part,
        )
    return VAGUE[language][int(rng.integers(len(VAGUE[language])))]


def _wrong_attribute(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    found = slots(scene)
    known = [slot for slot in found if not (slot == "defect" and found[slot] == "none")]
    return write_caption(changed(found, known[int(rng.integers(len(known)))], rng), language, rng)


def _missing_item(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    """One or two items are left out; without its defect a place or a severity says nothing, so those go too."""
    found = slots(scene)
    droppable = [slot for slot in found if slot != "part"]
    gone = set(rng.choice(droppable, size=int(rng.integers(1, 3)), replace=False).tolist())
    if "defect" in gone:
        gone |= {"place", "severity"}
    return write_caption({slot: value for slot, value in found.items() if slot not in gone}, language, rng)


def _typo(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    text = legacy_caption(scene, language, rng)
    return mistype_japanese(text, rng) if language == "ja" else mistype_english(text, rng)


def mistype_japanese(text: str, rng: np.random.Generator) -> str:
    """Two or three words wrongly converted, longest words first where several would fit."""
    present = [word for word in MISCONVERSIONS if word in text]
    present = [w for w in present if not any(w != other and w in other for other in present)]
    for index in rng.permutation(len(present))[: int(rng.integers(2, 4))]:
        word = present[index]
        text = text.replace(word, MISCONVERSIONS[word][int(rng.integers(len(MISCONVERSIONS[word])))], 1)
    return text


def mistype_english(text: str, rng: np.random.Generator) -> str:
    """Three or four letters of longer words lost, doubled or exchanged with their neighbour."""
    words = text.split(" ")
    long = [index for index, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for index in rng.permutation(long)[: int(rng.integers(3, 5))]:
        word, at = words[index], int(rng.integers(1, len(words[index]) - 1))
        forms = [word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]]
        if word[at] != word[at + 1]:
            forms.append(word[:at] + word[at + 1] + word[at] + word[at + 2 :])
        words[index] = forms[int(rng.integers(len(forms)))]
    return " ".join(words)


def _stale(scene: Scene, others: Sequence[Scene], language: str, rng: np.random.Generator) -> str:
    """Written before the damage, before the repair, or when other pieces lay elsewhere."""
    found = slots(scene)
    if rng.random() < 0.4:
        found = changed(changed(found, "count", rng), "background", rng)
    elif found["defect"] == "none":
        known = [defect for defect in OPTIONS["defect"] if defect != "rust" or scene.material in RUSTING]
        for slot, values in (("defect", known), ("place", PLACES), ("severity", SEVERITIES)):
            found[slot] = values[int(rng.integers(len(values)))]
    else:
        found = {slot: value for slot, value in found.items() if slot not in ("place", "severity")}
        found["defect"] = "none"
    return write_caption(found, language, rng)


WRONG_KINDS: dict[str, Callable[[Scene, Sequence[Scene], str, np.random.Generator], str]] = {
    "swapped": _swapped, "vague": _vague, "wrong_attribute": _wrong_attribute, "missing_item": _missing_item,
    "typo": _typo, "stale": _stale,
}  # fmt: skip
