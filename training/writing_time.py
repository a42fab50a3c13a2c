"""How many seconds an item of the template takes to write, from what people's corrections took. Pure but for `read`.

    times = read(site)                       # {"place": Time(seconds=4.1, low=2.2, high=6.0, …), "part": Time(None, …)}

The labour clock counts a correction as a whole. But a form begins with what the old caption says (or a draft proposes),
and only what differs has to be written: so corrections differ in which items were written, and a linear regression of
their active seconds on that, with a constant for each person, says what each item added (Seber and Lee 2003, ch. 3).
The interval is a bootstrap over corrections (95 %). An item has no time where that cannot be told: written in too few
or nearly all corrections, always together with another, or with an interval that reaches down to zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from annotate import form
from data.site import Site
from data.templates import Template, load_template

if TYPE_CHECKING:
    import numpy as np

FEWEST = 10  # corrections in which the item was written, and in which it was not
LEAST = 0.1  # seconds; an interval that reaches lower proves no time
TOO_ALIKE = 0.95  # correlation of two items' being written from which they cannot be told apart
LONGEST = 0.99  # longer corrections are cut to this quantile: somebody was called away
RESAMPLES, COVERED = 1000, 0.95
LATEST = 2000
Row = dict[str, Any]


@dataclass(frozen=True)
class Time:
    """seconds: None where it is not measurable; why says so: "" (measured), "few", "together", "uncertain".

    low, high: its 95 % interval, None where nothing was fitted. written: corrections in which the item was written,
    of n.
    """

    seconds: float | None
    low: float | None
    high: float | None
    written: int
    n: int
    why: str


CORRECTIONS_SQL = """
SELECT c.slots, c.template || '@' || c.template_version AS template, c.annotator, c.active_seconds, c.draft,
       p.caption, p.language
FROM corrections c JOIN pairs p ON p.pair_id = c.old_pair_id
WHERE c.state = 'active' AND c.verdict = 'fix' AND c.active_seconds > 0 AND (NOT c.simulated OR $demo)
ORDER BY c.created_at DESC, c.correction_id LIMIT $latest
"""


def read(site: Site) -> dict[str, Time]:
    """The times of the items of the site's template. On a demo site the simulated crew stands for people."""
    with site.connect() as db:
        rows = db.rows(CORRECTIONS_SQL, {"demo": site.settings.site.demo, "latest": LATEST})
    folder = site.root / "templates"
    known = {
        name: load_template(name, folder=folder)
        for name in {row["template"] for row in rows if row["template"]}
    }
    rows = [row for row in rows if row["template"]]
    written = [written_slots(row, known[row["template"]]) for row in rows]
    return times(
        [slot.id for slot in site.template().slots], written, [float(row["active_seconds"]) for row in rows],
        [row["annotator"] for row in rows],
    )  # fmt: skip


def written_slots(row: Mapping[str, Any], template: Template) -> set[str]:
    """The items that the answer says otherwise than the form did when it opened.

    row: slots, draft (what became of the draft it began with, or None), caption, language.
    """
    said = row["slots"] or {}
    if row["draft"]:
        return set(row["draft"].get("changed", ())) & set(said)
    before = form.prefill(template, row["caption"], row["language"]) if row["caption"] else {}
    return {slot for slot, value in said.items() if before.get(slot) != value}


def times(
    slots: Sequence[str],
    written: Sequence[set[str]],
    seconds: Sequence[float],
    people: Sequence[str],
    seed: int = 0,
) -> dict[str, Time]:
    """Each slot's time. written, seconds, people: one for each correction."""
    import numpy as np

    n = len(written)
    counts = {slot: sum(slot in one for one in written) for slot in slots}
    varied = [slot for slot in slots if FEWEST <= counts[slot] <= n - FEWEST]
    found = {slot: Time(None, None, None, counts[slot], n, "few") for slot in slots}
    if not varied:
        return found
    x = np.array([[slot in one for slot in varied] for one in written], dtype=np.float64)
    alike = np.abs(np.corrcoef(x, rowvar=False).reshape(len(varied), -1)) - np.eye(len(varied))
    y = np.minimum(seconds, np.quantile(seconds, LONGEST))
    who = np.array([[one == person for person in sorted(set(people))] for one in people], dtype=np.float64)
    rng = np.random.default_rng(seed)
    fitted = _fit(x, who, y)
    draws = np.stack([_fit(x[i], who[i], y[i]) for i in rng.integers(0, n, (RESAMPLES, n))])
    lows, highs = np.quantile(draws, [(1 - COVERED) / 2, (1 + COVERED) / 2], axis=0)
    for place, slot in enumerate(varied):
        low, high = float(lows[place]), float(highs[place])
        why = "together" if alike[place].max() > TOO_ALIKE else "uncertain" if low < LEAST else ""
        found[slot] = Time(None if why else float(fitted[place]), low, high, counts[slot], n, why)
    return found


def _fit(x: np.ndarray, who: np.ndarray, y: np.ndarray) -> np.ndarray:
    """(slots,) coefficients of least squares; where a draw cannot tell two slots apart, the smallest ones."""
    import numpy as np

    found: np.ndarray = np.linalg.lstsq(np.concatenate([x, who], axis=1), y, rcond=None)[0][: x.shape[1]]
    return found
