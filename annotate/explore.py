"""The photos of a site as points: where each stands on the map, what colours it, which of them a selection holds.

    photos = read(site, found_map, encoder)                  # Photos: arrays, one row a photo
    colouring = by_state(photos)                             # Colouring: a label for each code, a code for each photo
    rows = inside(photos.xy, polygon)                        # rows of the photos in a lasso

One photo is one point. A photo with several captions shows the one that needs a person most, else the one in force. A
pair under audit is judged blind: its point has no risk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from annotate.slices import place_in_extra

if TYPE_CHECKING:
    import pyarrow

    from data.site import Site
    from scoring.site_map import SiteMap, Stated

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Codes = NDArray[np.uint8]

DRAWN = 100_000  # points sent to a browser; a selection counts the others too
STATES = ("missing", "waiting", "under_audit", "not_sure", "corrected", "right", "audited", "lot", "aside")
RISK_EDGES = (0.2, 0.4, 0.6, 0.8)
MOST_VALUES = 7  # of a column; the rest are "others"
NONE, OTHERS = "", "\x00others"  # labels that the page puts into words

# Told apart by people who see colours differently: Okabe and Ito 2008, and grey; the risk in steps of cividis (Nuñez et
# al. 2018). Indigo is of Tol 2021.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#b8a400", "#000000", "#8a949a",
)  # fmt: skip
STATE_PALETTE = (  # of STATES: what waits is warm, what is done is blue or green
    "#000000", "#e69f00", "#d55e00", "#cc79a7", "#0072b2", "#56b4e9", "#009e73", "#332288", "#8a949a",
)  # fmt: skip
RISK_PALETTE = ("#00204d", "#414d6b", "#7c7b78", "#b9ac70", "#ffd93d", "#d5dade")
GREY = "#c3cbd0"

# One caption a photo: what needs a person first (the riskiest of it), then what is in force, then what was replaced.
PHOTOS = """
    WITH in_force AS (
        SELECT DISTINCT unnest(from_json(new_pair_ids, '["VARCHAR"]')) AS pair_id FROM corrections
        WHERE state = 'active' AND verdict = 'fix'),
    aside AS (
        SELECT DISTINCT o.image_id FROM corrections c JOIN pairs o ON o.pair_id = c.old_pair_id
        WHERE c.state = 'active' AND c.verdict IN ('unusable', 'private')),
    answered AS (
        SELECT old_pair_id AS pair_id, any_value(verdict) AS verdict FROM corrections
        WHERE state = 'active' GROUP BY old_pair_id),
    pairs_now AS (
        SELECT p.image_id, p.pair_id, p.caption_id, s.risk,
               CASE WHEN d.image_id IS NOT NULL THEN 'aside'
                    WHEN f.pair_id IS NOT NULL THEN CASE WHEN old.pair_id IS NULL THEN 'corrected' ELSE 'audited' END
                    WHEN p.origin = 'lot_approved' THEN 'lot'
                    WHEN p.origin = 'correction' OR w.verdict = 'fix' THEN 'replaced'
                    WHEN w.verdict = 'ok' THEN CASE WHEN a.pair_id IS NULL THEN 'right' ELSE 'audited' END
                    WHEN w.verdict = 'not_sure' THEN 'not_sure'
                    WHEN a.pair_id IS NOT NULL THEN 'under_audit'
                    WHEN p.state = 'missing' THEN 'missing'
                    ELSE 'waiting' END AS state
        FROM pairs p
        LEFT JOIN scores s ON s.pair_id = p.pair_id AND s.encoder = $encoder
        LEFT JOIN audits a ON a.pair_id = p.pair_id
        LEFT JOIN answered w ON w.pair_id = p.pair_id
        LEFT JOIN in_force f ON f.pair_id = p.pair_id
        LEFT JOIN aside d ON d.image_id = p.image_id
        LEFT JOIN (SELECT DISTINCT unnest(from_json(c.new_pair_ids, '["VARCHAR"]')) AS pair_id
                   FROM corrections c JOIN audits x ON x.pair_id = c.old_pair_id
                   WHERE c.state = 'active' AND c.verdict = 'fix') old ON old.pair_id = p.pair_id)
    SELECT image_id, pair_id, caption_id, state,
           CASE WHEN state IN ('under_audit', 'missing') THEN NULL ELSE risk END AS risk
    FROM pairs_now WHERE state <> 'replaced'
    QUALIFY row_number() OVER (
        PARTITION BY image_id
        ORDER BY list_position(['missing', 'under_audit', 'waiting', 'not_sure', 'corrected', 'audited', 'lot',
                                'right', 'aside'], state), risk DESC NULLS LAST, pair_id) = 1
"""


@dataclass(frozen=True)
class Photos:
    """N photos, one row each, in the order of the map; pairs are null where a photo has no caption in force."""

    image_ids: pyarrow.Array
    pair_ids: pyarrow.Array
    caption_ids: pyarrow.Array
    xy: Floats  # (N, 2) in [-1, 1]
    risk: Floats  # (N,) in [0, 1], NaN where there is none, or where it must not be shown
    state: NDArray[np.int8]  # (N,) place in STATES, -1 = none
    drawn: Ints  # (M,) rows that a browser gets, in a fixed random order: the first ones are a fair sample

    def __len__(self) -> int:
        return len(self.image_ids)

    def rows_of(self, image_ids: Sequence[str]) -> Ints:
        """(n,) rows, those that are not on the map left out."""
        import pyarrow
        import pyarrow.compute

        asked = pyarrow.array(list(image_ids), pyarrow.string())
        found = pyarrow.compute.index_in(asked, value_set=self.image_ids)  # type: ignore[attr-defined]
        rows: Ints = found.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return rows[rows >= 0]

    def waiting(self, rows: Ints, most: int) -> list[str]:
        """Pairs of these photos that wait for a person, the riskiest first (no caption before all), at most so many."""
        is_missing = self.state[rows] == STATES.index("missing")
        waits = is_missing | (self.state[rows] == STATES.index("waiting"))
        rows, worth = rows[waits], np.where(is_missing, 2, np.nan_to_num(self.risk[rows]))[waits]
        kept = rows[np.argsort(-worth, kind="stable")[:most]]
        return [str(one) for one in self.pair_ids.take(kept).to_pylist()]


def read(site: Site, found: SiteMap, encoder: str) -> Photos:
    """All photos of the map with what is known of them now. encoder: whose risk counts."""
    import pyarrow
    import pyarrow.compute

    with site.connect() as db:
        table = db.table(PHOTOS, {"encoder": encoder})
    place = pyarrow.compute.index_in(found.keys, value_set=table["image_id"])  # type: ignore[attr-defined]
    table = table.select(["pair_id", "caption_id", "risk", "state"]).take(place)
    names = pyarrow.array(STATES)
    state = pyarrow.compute.index_in(table["state"], value_set=names).fill_null(-1)  # type: ignore[attr-defined]
    risk = table["risk"].cast(pyarrow.float32()).fill_null(float("nan"))
    return Photos(
        found.keys, table["pair_id"].combine_chunks(), table["caption_id"].combine_chunks(), found.xy,
        risk.to_numpy().astype(np.float32), state.to_numpy().astype(np.int8), drawn_rows(len(found)),
    )  # fmt: skip


def drawn_rows(count: int, most: int = DRAWN) -> Ints:
    """All rows, or a part of them, in a fixed random order: what draws slowly may draw the first ones first."""
    return np.random.default_rng(0).permutation(count)[:most]


@dataclass(frozen=True)
class Colouring:
    """codes: (N,) what each photo is coloured by, a place in `labels`; colours: "#rrggbb" of each label."""

    labels: tuple[str, ...]
    colours: tuple[str, ...]
    codes: Codes

    def counts(self) -> list[int]:
        return [int(n) for n in np.bincount(self.codes, minlength=len(self.labels))]


def by_state(photos: Photos) -> Colouring:
    """Review state: the labels are STATES and NONE."""
    codes = np.where(photos.state < 0, len(STATES), photos.state)
    return Colouring((*STATES, NONE), (*STATE_PALETTE, GREY), codes.astype(np.uint8))


def by_risk(photos: Photos) -> Colouring:
    """Risk in steps: the labels are "0", "1", … for the steps from the lowest on, and NONE."""
    steps = np.digitize(np.nan_to_num(photos.risk), RISK_EDGES)
    codes = np.where(np.isnan(photos.risk), len(RISK_EDGES) + 1, steps)
    return Colouring((*map(str, range(len(RISK_EDGES) + 1)), NONE), RISK_PALETTE, codes.astype(np.uint8))


def by_values(values: Any) -> Colouring:
    """The most frequent values of a column (N texts as an Arrow array, null = none), the others, and none."""
    import pyarrow.compute as pc

    encoded = values.dictionary_encode()
    names = encoded.dictionary.to_pylist()
    places: Ints = pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    counts = np.bincount(places[places >= 0], minlength=len(names)).tolist()
    ranked = sorted(range(len(names)), key=lambda place: (-counts[place], names[place]))
    kept = ranked[:MOST_VALUES]
    labels = tuple(names[place] for place in kept) + ((OTHERS,) if len(ranked) > len(kept) else ())
    code_of = np.full(len(names) + 1, len(kept), dtype=np.uint8)  # of what is not kept: others
    code_of[kept] = np.arange(len(kept))
    code_of[-1] = len(labels)
    colours = (*PALETTE[: len(kept)], *(("#8a949a",) if len(labels) > len(kept) else ()), GREY)
    return Colouring((*labels, NONE), colours, code_of[places])


def by_column(site: Site, photos: Photos, column: str) -> Colouring:
    """An extra column of the captions, such as the line."""
    with site.connect() as db:
        table = db.table(
            "SELECT pair_id, json_extract_string(extra, $place) AS value FROM pairs "
            "WHERE json_extract_string(extra, $place) IS NOT NULL",
            {"place": place_in_extra(column)},
        )
    return by_values(_aligned(photos.pair_ids, table["pair_id"], table["value"]))


def by_slot(site: Site, photos: Photos, slot: str, stated: Stated) -> Colouring:
    """A choice of the template: as a person gave it, else as it was read in the caption."""
    import pyarrow.compute as pc

    read_there = _aligned(photos.caption_ids, stated.keys, stated.values[slot])
    with site.connect() as db:
        table = db.table(
            "SELECT pair_id, json_extract_string(slots, $place) AS value FROM pairs "
            "WHERE json_extract_string(slots, $place) IS NOT NULL",
            {"place": place_in_extra(slot)},
        )
    given = _aligned(photos.pair_ids, table["pair_id"], table["value"])
    return by_values(pc.coalesce(given, read_there))  # type: ignore[attr-defined]


def _aligned(keys: Any, known: Any, values: Any) -> Any:
    """For each key its value, null where it is not known."""
    import pyarrow
    import pyarrow.compute as pc

    if not len(known):
        return pyarrow.nulls(len(keys), pyarrow.string())
    place = pc.index_in(keys, value_set=known)  # type: ignore[attr-defined]
    found = values.take(place)
    return found.combine_chunks() if isinstance(found, pyarrow.ChunkedArray) else found


def inside(xy: Floats, polygon: Sequence[Sequence[float]]) -> NDArray[np.bool_]:
    """(N,) which points lie in a polygon of at least three corners, by the even-odd rule."""
    found = np.zeros(len(xy), dtype=bool)
    corners = np.asarray(polygon, dtype=np.float64)
    if corners.ndim != 2 or len(corners) < 3:
        return found
    low, high = corners.min(axis=0), corners.max(axis=0)
    near = np.flatnonzero(((xy >= low) & (xy <= high)).all(axis=1))
    x, y = xy[near, 0].astype(np.float64), xy[near, 1].astype(np.float64)
    is_in = np.zeros(len(near), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            is_in ^= crosses & (x < x0 + (y - y0) / (y1 - y0) * (x1 - x0))
    found[near] = is_in
    return found


def riskiest_first(photos: Photos, rows: Ints) -> Ints:
    """The order of the grid: no caption first, then by risk, photos without one last."""
    is_missing = photos.state[rows] == STATES.index("missing")
    worth = np.where(is_missing, 2, np.nan_to_num(photos.risk[rows], nan=-1))
    return rows[np.argsort(-worth, kind="stable")]


DETAILS = """
    SELECT p.pair_id, p.image_id, i.uri AS image, p.caption, p.language, p.state, p.extra
    FROM pairs p JOIN images i ON i.image_id = p.image_id WHERE p.pair_id IN (SELECT unnest(?))
"""


def details(site: Site, photos: Photos, rows: Ints) -> list[dict[str, Any]]:
    """What stands under each photo, in the order of the rows; photos that were removed meanwhile are left out."""
    ids = photos.pair_ids.take(rows).to_pylist()
    with site.connect() as db:
        found = {row["pair_id"]: row for row in db.rows(DETAILS, [[one for one in ids if one]])}
    return [
        {**found[pair_id], "row": int(row), "review": STATES[photos.state[row]],
         "risk": None if np.isnan(photos.risk[row]) else float(photos.risk[row])}
        for pair_id, row in zip(ids, rows.tolist(), strict=True)
        if pair_id in found
    ]  # fmt: skip


def as_table(rows: Sequence[Mapping[str, Any]], photos: Photos) -> list[dict[str, Any]]:
    """For a file: one flat row a photo."""
    return [
        {"pair_id": row["pair_id"], "image": row["image"], "caption": row["caption"], "language": row["language"],
         "review": row["review"], "risk": row["risk"], "map_x": round(float(photos.xy[row["row"], 0]), 4),
         "map_y": round(float(photos.xy[row["row"], 1]), 4), "extra": row["extra"]}
        for row in rows
    ]  # fmt: skip
