"""What drafters look at: the pairs that are asked, and what the site's captions and people say of other photos.

    view = View.of(site, template, encoder, cases)
    view.vectors(view.place)               # (M, D) of the photos of the pairs asked
    view.examples.values[3]                # {"part": "bolt", …}: what is said of another photo
    view.examples.trusted[3]               # True: a person has said or confirmed it

What a person has answered counts in place of the old caption. An example of the asked photo's own group (itself or a
near-duplicate) is never used for it: see FOLDS and `groups`.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.errors import GenbaError
from data.site import Site
from data.store import Database
from data.templates import Slot, Template
from scoring.vectors import Vectors, VectorStore

if TYPE_CHECKING:
    from scoring.encoders import Encoder

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Vectors2D = NDArray[np.float32]

MOST_EXAMPLES = 20_000  # captions nobody has checked, drawn by a seed
FOLDS = 5


@dataclass(frozen=True)
class Case:
    """A pair that is asked. `truth`: what a person has answered for it without having seen a draft; None: nobody has.

    is_whole: the answer says all that is required (a correction, or a confirmed caption that lacks no item).
    """

    pair_id: str
    image_id: str
    caption: str
    language: str
    state: str
    truth: dict[str, Any] | None = None
    is_whole: bool = False
    is_simulated: bool = False


@dataclass(frozen=True)
class Proposal:
    """What a drafter proposes for one case. raw: its own confidence by slot, in (0, 1): no probability yet."""

    slots: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Drafted:
    """The proposals of one drafter, one for each case, in their order; version: of all that decides on them."""

    version: str
    proposals: list[Proposal]


@dataclass(frozen=True)
class Examples:
    """E captions of photos. place: (E,) row of the photo in the view's vectors."""

    place: Ints
    values: list[dict[str, Any]]
    trusted: NDArray[np.bool_]  # (E,)


@dataclass(frozen=True)
class View:
    """See the module."""

    site: Site
    template: Template
    encoder: Encoder
    images: Vectors  # all photos of the site
    groups: Ints  # (U,) of each photo: near-duplicates share a number
    cases: list[Case]
    place: Ints  # (M,) row of each case's photo
    examples: Examples
    options: Mapping[str, Any] = field(default_factory=dict)  # of the drafter: model, device, prompt

    @classmethod
    def of(
        cls,
        site: Site,
        template: Template,
        encoder: Encoder,
        cases: Sequence[Case],
        options: Mapping[str, Any] | None = None,
    ) -> View:
        """Cases whose photo has no vector (not scored yet, unreadable) are left out."""
        images = VectorStore.of(site, encoder.source).load("images", remove=False)
        if not len(images):
            raise GenbaError("The site has no vectors yet.", next=f"genba score {site.root}")
        rows = images.rows([case.image_id for case in cases])
        kept = [case for case, row in zip(cases, rows, strict=True) if row >= 0]
        with site.connect() as db:
            groups = _groups(db, images)
            examples = _examples(db, template, images)
        return cls(site, template, encoder, images, groups, kept, rows[rows >= 0], examples, options or {})

    def vectors(self, rows: Ints) -> Vectors2D:
        """(n, D) float32, unit length."""
        return np.asarray(self.images.array[rows], dtype=np.float32)

    def said(self, slot: Slot, answers: Sequence[Any], rows: Ints) -> Ints:
        """(n,) which of the answers the old caption of these cases states; -1: none of them."""
        return _places(answers, [self._stated[row].get(slot.id) for row in rows])

    def truth(self, slot: Slot, answers: Sequence[Any], rows: Ints) -> Ints:
        """(n,) which of the answers a person has given; -1: nobody has, or none of them."""
        return _places(answers, [(self.cases[row].truth or {}).get(slot.id) for row in rows])

    @cached_property
    def _stated(self) -> list[dict[str, Any]]:
        return [old_values(self.template, case) for case in self.cases]

    @property
    def language(self) -> str:
        """The one in which the encoder is asked: the site's first that it reads. Raises GenbaError without one."""
        wanted = [str(one) for one in self.site.settings.site.languages]
        for one in wanted:
            if one in self.template.languages and self.encoder.source.reads(one):
                return one
        raise GenbaError(
            f"The encoder {self.encoder.id!r} reads none of the site's languages ({', '.join(wanted)}).",
            choices=self.encoder.languages,
            next="genba encoders",
        )


def _places(answers: Sequence[Any], values: Sequence[Any]) -> Ints:
    place = {_key(answer): at for at, answer in enumerate(answers)}
    return np.array([place.get(_key(plain(value)), -1) for value in values], dtype=np.int64)


def _key(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def old_values(template: Template, case: Case) -> dict[str, Any]:
    """What the old caption states."""
    return template.parse(case.caption, case.language) if case.caption else {}


def _groups(db: Database, images: Vectors) -> Ints:
    found = db.table("SELECT image_id, group_id FROM images ORDER BY image_id")
    codes = found["group_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    rows = images.rows(found["image_id"].combine_chunks())
    groups = np.full(len(images), -1, dtype=np.int64)
    groups[rows[rows >= 0]] = codes[rows >= 0]
    return groups


EXAMPLES_SQL = """
SELECT p.pair_id, p.image_id, p.caption, p.language, c.verdict, c.slots
FROM pairs p LEFT JOIN corrections c ON c.old_pair_id = p.pair_id AND c.state = 'active'
WHERE p.origin IN ('legacy', 'draft') AND (p.state = 'captioned' OR c.verdict = 'fix')
  AND (c.verdict IS NULL OR (c.verdict IN ('ok', 'fix') AND c.source <> 'lot'))
  AND NOT EXISTS (
      SELECT 1 FROM corrections b JOIN pairs o ON o.pair_id = b.old_pair_id
      WHERE o.image_id = p.image_id AND b.state = 'active' AND b.verdict IN ('unusable', 'private'))
ORDER BY p.pair_id
"""


def _examples(db: Database, template: Template, images: Vectors) -> Examples:
    rows = db.rows(EXAMPLES_SQL)
    checked = [row for row in rows if row["verdict"]]
    others = [row for row in rows if not row["verdict"]]
    if len(others) > MOST_EXAMPLES:
        drawn = np.random.default_rng(0).permutation(len(others))[:MOST_EXAMPLES]
        others = [others[at] for at in np.sort(drawn)]
    said = [(row, stated(template, row)) for row in (*checked, *others)]
    said = [(row, values) for row, values in said if values]
    place = images.rows([row["image_id"] for row, _ in said])
    at = np.flatnonzero(place >= 0)
    return Examples(
        place[at],
        [said[one][1] for one in at],
        np.array([bool(said[one][0]["verdict"]) for one in at], dtype=bool),
    )


def stated(template: Template, row: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of a photo: by the correction, else by the caption. Values of slots that the template has not go."""
    if row["verdict"] == "fix":
        known = {slot.id for slot in template.slots}
        return {key: plain(value) for key, value in row["slots"].items() if key in known}
    return {key: plain(value) for key, value in template.parse(row["caption"], row["language"]).items()}


def plain(value: Any) -> Any:
    """Numbers and lists as they are compared: 2.0 is 2, the order of several options does not matter."""
    if isinstance(value, float) and value == int(value):
        return int(value)
    return sorted(value) if isinstance(value, (list, tuple)) else value


def fold_of(group: int) -> int:
    """In [0, FOLDS), equal for a group."""
    return zlib.crc32(str(group).encode()) % FOLDS
