"""Arms of a retraining: which captions each training photo carries. Pure: rows of a snapshot in, captions out.

    captions_of(snapshot.contents.train, "corrected")     # {image_id: ["steel bolt with …", "鋼の…"]}

    original   the captions as they are, right or wrong: the control
    corrected  a person's captions where somebody fixed one
    reworded   captions that nobody called wrong, in the template's words and the site's languages; no error is mended.
               Always trained: captions of the test that share the template's words reward its style, whatever it says
    dropped    bad captions are left out and nothing is written
    drafts     the newest draft of a machine where somebody found a caption bad; no person's words
    random     as many answers as may be, on pairs that a blind audit drew; all other captions as they are
    ranked     the same number of answers on pairs of the queue: what `random` is compared with

Every arm trains on the same photos in the same order, steps and seeds; only the captions differ. A photo that an arm
leaves without any caption (`dropped`) keeps its places in the batches: in each stands another photo of the arm with its
captions, always the same one (`stand_ins`), so that all other places are what they are in the other arms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from data.errors import GenbaError
from data.records import normalise_caption

if TYPE_CHECKING:
    import numpy as np

ALWAYS = "reworded"
FEWEST_RANDOM = 10  # judged pairs that a blind audit drew; fewer teach nothing that could be seen
Row = dict[str, Any]
Choose = Callable[[Row], list[str]]  # a row of the snapshot -> its captions in one arm
Captions = dict[str, list[str]]  # image_id -> captions, in order of image_id; [] where the arm has none


def _original(row: Row) -> list[str]:
    return [row["caption"]]


def _said(row: Row, of: str) -> list[str]:
    return [one["caption"] for one in row[of]] or _original(row)


def _corrected(row: Row) -> list[str]:
    return _said(row, "new_captions")


def _reworded(row: Row) -> list[str]:
    return _said(row, "reworded")


def _dropped(row: Row) -> list[str]:
    return [] if row["verdict"] == "fix" else _original(row)


def _drafts(row: Row) -> list[str]:
    return _said(row, "draft_captions") if row["verdict"] == "fix" else _original(row)


def _random(rows: Sequence[Row]) -> Choose:
    chosen = _spent(rows)[0]
    return lambda row: _corrected(row) if row["pair_id"] in chosen else _original(row)


def _ranked(rows: Sequence[Row]) -> Choose:
    chosen = _spent(rows)[1]
    return lambda row: _corrected(row) if row["pair_id"] in chosen else _original(row)


def _spent(rows: Sequence[Row]) -> tuple[set[str], set[str]]:
    """Equally many answers ("ok" or "fix") on pairs that a blind audit drew, and on pairs that the queue offered.

    Which ones, where there are more of a kind, is decided by the pairs' ids, which are hashes. Raises GenbaError.
    """
    answered = sorted(
        (row for row in rows if row["verdict"] in ("ok", "fix")), key=lambda row: str(row["pair_id"])
    )
    drawn = [row["pair_id"] for row in answered if row["inclusion"] is not None]
    offered = [row["pair_id"] for row in answered if row["inclusion"] is None]
    count = min(len(drawn), len(offered))
    if count < FEWEST_RANDOM:
        raise GenbaError(
            f"The arm 'random' takes at least {FEWEST_RANDOM} training captions that a blind draw chose and somebody "
            f"judged, and as many from the queue; there are {len(drawn)} and {len(offered)}.",
            next="correct on: the queue mixes random captions in; or leave the arm out",
        )
    return set(drawn[:count]), set(offered[:count])


def _simple(choose: Choose) -> Callable[[Sequence[Row]], Choose]:
    return lambda rows: choose


ARMS: dict[str, Callable[[Sequence[Row]], Choose]] = {
    "original": _simple(_original), "corrected": _simple(_corrected), "reworded": _simple(_reworded),
    "dropped": _simple(_dropped), "drafts": _simple(_drafts), "random": _random, "ranked": _ranked,
}  # fmt: skip


def require_arms(arms: Sequence[str]) -> list[str]:
    """The arms, each once, in the given order, and those that always go with them. GenbaError for an unknown one."""
    for arm in arms:
        if arm not in ARMS:
            raise GenbaError(
                f"No arm {arm!r}.", choices=ARMS, next="genba retrain SITE --arms original,corrected"
            )
    return list(dict.fromkeys([*arms, *(["ranked"] if "random" in arms else []), ALWAYS]))


def captions_of(rows: Sequence[Row], arm: str) -> Captions:
    """The captions of an arm, no caption twice. Raises GenbaError for `random` without a blind draw, for `drafts`
    without a draft."""
    if arm == "drafts" and not any(row["draft_captions"] for row in rows if row["verdict"] == "fix"):
        raise GenbaError("The arm 'drafts' has no draft of any bad caption.", next="genba draft SITE make")
    return chosen_captions(rows, ARMS[arm](rows))


def chosen_captions(rows: Iterable[Row], choose: Choose) -> Captions:
    """The captions that `choose` gives to each row, by photo."""
    found: dict[str, dict[str, None]] = {}
    for row in rows:
        photo = found.setdefault(row["image_id"], {})
        photo.update(dict.fromkeys(text for text in map(normalise_caption, choose(row)) if text))
    return {image_id: list(found[image_id]) for image_id in sorted(found)}


def check_arms(arms: Mapping[str, Captions]) -> None:
    """Raises GenbaError where arms cannot be compared or trained: no photo in common, one caption for all photos."""
    kept = {arm: {photo for photo, texts in captions.items() if texts} for arm, captions in arms.items()}
    if len(set.intersection(*kept.values())) < 2:
        counts = ", ".join(f"{arm} {len(photos)}" for arm, photos in kept.items())
        raise GenbaError(
            f"The arms have no two photos in common that carry a caption in each of them (photos: {counts}).",
            next="leave out the arm with too few photos, e.g. --arms original,corrected",
        )
    for arm, captions in arms.items():
        texts = {text for one in captions.values() for text in one}
        if len(texts) == 1:
            raise GenbaError(
                f"All {len(kept[arm])} photos of the arm {arm!r} carry one and the same caption, {texts.pop()[:60]!r}: "
                "nothing can be learned from it.",
                next="check the caption column of what was read in: genba ingest SITE SOURCE --caption-column NAME",
            )


def stand_ins(captions: Captions, seed: int = 0) -> np.ndarray:
    """(photos,) the place of the photo that stands at each place: itself, or another where it has no caption."""
    import numpy as np

    has = np.array([bool(texts) for texts in captions.values()])
    place = np.arange(len(has))
    drawn = np.random.default_rng(seed).choice(np.flatnonzero(has), size=len(has))
    found: np.ndarray = np.where(has, place, drawn)
    return found


def changed(arms: Mapping[str, Captions], original: Captions) -> dict[str, int]:
    """How many photos carry other captions than in the control, by arm."""
    return {
        arm: sum(set(texts) != set(original[photo]) for photo, texts in captions.items())
        for arm, captions in arms.items()
    }


def with_original(
    captions: Captions, original: Captions, share: float
) -> tuple[list[list[str]], list[list[float]]]:
    """Captions and the chance of each: in `share` of its turns a photo shows what it showed in the control arm.

    A photo that the arm leaves as it is, and one without a caption in the arm, is as in `captions`.
    """
    texts, chances = [], []
    for photo, own in captions.items():
        old = [text for text in original[photo] if text not in own] if own else []
        kept = share if old and share else 0.0
        texts.append([*own, *old] if kept else own)
        chances.append(
            [(1 - kept) / max(len(own), 1)] * len(own) + ([kept / len(old)] * len(old) if kept else [])
        )
    return texts, chances
