"""The records that pass between the rooms. Frozen; one type for each thing (docs: the way of one pair, README).

Ids are content hashes where the thing has content, so that the same photo or caption is the same record however often
and from wherever it is ingested.
"""

from __future__ import annotations

import hashlib
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Split = Literal["train", "val", "test"]
Origin = Literal["legacy", "draft", "correction", "lot_approved"]
Verdict = Literal["fix", "ok", "not_sure", "unusable", "private"]
VERDICTS: tuple[Verdict, ...] = ("fix", "ok", "not_sure", "unusable", "private")


@dataclass(frozen=True)
class Image:
    """A photo. `image_id` is the sha256 of the file's bytes, `uri` its path relative to root number `root`."""

    image_id: str
    uri: str
    root: int
    width: int  # after EXIF rotation
    height: int
    taken_at: datetime | None
    group_id: str  # near-duplicates share one; the split is drawn by group
    split: Split


@dataclass(frozen=True)
class Pair:
    """A photo with one caption, or with none yet (`state` "missing", caption "")."""

    pair_id: str
    image_id: str
    caption: str
    language: str  # "ja", "en" or "und"
    origin: Origin
    state: Literal["captioned", "missing"]
    slots: dict[str, Any] | None = None
    extra: dict[str, Any] = field(default_factory=dict)  # site, line, shift, author, ...: kept for slicing


@dataclass(frozen=True)
class Correction:
    """One person's verdict on one pair, with the time it took. The only place where lineage stands."""

    correction_id: str
    old_pair_id: str
    new_pair_ids: list[str]  # the old pair itself when the verdict is "ok"
    verdict: Verdict
    template: str | None
    template_version: int | None
    slots: dict[str, Any]
    annotator: str
    simulated: bool
    active_seconds: float
    source: Literal["app", "label-studio", "crew", "lot"]
    created_at: datetime


@dataclass(frozen=True)
class Metric:
    """One number of one arm and seed of a run."""

    run_id: str
    arm: str
    seed: int
    task: str
    metric: str
    value: float
    unit: str
    n: int  # test items behind the value


@dataclass(frozen=True)
class Reject:
    """A row or file that was not taken in, and why."""

    source: str
    item: str  # file name or row number
    reason: str
    detail: str


def normalise_caption(caption: str) -> str:
    """NFKC, outer and repeated white space removed: what makes two captions the same caption."""
    return " ".join(unicodedata.normalize("NFKC", caption).split())


def pair_id(image_id: str, caption: str) -> str:
    """Hash of the photo and the normalised caption (16 bytes, hex)."""
    return hashlib.sha256(f"{image_id}\x00{normalise_caption(caption)}".encode()).hexdigest()[:32]


def caption_id(caption: str) -> str:
    """Hash of the normalised caption alone: one embedding serves all pairs that carry the same words."""
    return hashlib.sha256(normalise_caption(caption).encode()).hexdigest()[:32]


def language_of(caption: str) -> str:
    """ "ja" when kana or kanji stand in it, "en" when Latin letters do, else "und"."""
    if any(
        "\u3040" <= c <= "\u30ff" or "\u4e00" <= c <= "\u9fff" or "\uff66" <= c <= "\uff9f" for c in caption
    ):
        return "ja"
    return "en" if any("a" <= c <= "z" for c in caption.lower()) else "und"
