"""The pilot: which items of the template matter, for which task, and what they cost to write.

    genba pilot SITE                 run_id = pilot(site)
    found = last_pilot(site)         # Pilot: effects by item, writing times, the proposed template

With what has been corrected so far, one arm is trained on the corrected captions and one for each item on the same
captions without that item: compiled again by the template, so that what is asked only because of it goes too. An item's
effect is the metric with it minus the metric without it, with its interval (training/compare.py); the test captions say
everything, as always. Its writing time comes from what corrections took (training/writing_time.py).

Settings are cheap: half the steps, two seeds, linear probes, one blend for all arms (chosen on the full one).
A site stands at one of three stages, which a person sets: pilot, template, automation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from annotate.roles import require_lead
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site
from data.snapshots import Contents
from data.store import now
from data.templates import Template, load_template
from training import runs, writing_time
from training.arm_runs import Run, carried_out, measure_arm, measure_base, train_arm
from training.arms import Captions, captions_of, chosen_captions
from training.blend import choose_share
from training.compare import CORRECTED, Comparison, effects
from training.compare import verdict as verdict_of
from training.dense_plan import PROBE
from training.writing_time import Time

STAGES = ("pilot", "template", "automation")
LEVEL = 0.05
STATE, EVENT = "stage", "stage.changed"
WITHOUT = "without:"
SEEDS = 2
FEWEST_ANSWERED = 10  # training captions that say the item; fewer could show nothing
NEGLIGIBLE = 0.01  # an item whose interval lies below this in every measure in [0, 1] is shown to bring next to nothing
Row = dict[str, Any]


@dataclass(frozen=True)
class Item:
    """What the pilot says of one item. effects: rows of the table slot_effects. proposal: "keep" (proven useful),
    "leave_out" (proven harmful, or shown to bring next to nothing), "undecided". with_it: items that go with it.
    proven: the effects that the proposal rests on, see the function."""

    slot: str
    effects: list[Row]
    time: Time | None
    proposal: str
    with_it: list[str]
    proven: list[Row]


@dataclass(frozen=True)
class Pilot:
    """A finished pilot."""

    run_id: str
    finished_at: datetime
    seeds: int
    corrected: int  # training photos with a corrected caption
    items: list[Item]


@dataclass(frozen=True)
class Stage:
    """Where the site stands, who said so (None: nobody yet), when, on which pilot, with which items."""

    name: str
    by: str | None = None
    at: str | None = None
    run_id: str | None = None
    slots: tuple[str, ...] = ()


def pilot(site: Site, seeds: int | None = None, device: str = "auto", progress: Progress = silent) -> str:
    """Train, measure, compare, store; returns the run's id. Raises GenbaError as a retraining does, and where no item
    is said in enough corrected captions."""
    steps = max(1, site.settings.retrain.steps // 2)
    asked = {"seeds": seeds or SEEDS, "device": device, "plan": {"steps": steps}, "dense": PROBE}

    def arms_of(contents: Contents) -> dict[str, Captions]:
        return arms_without(site, contents)

    return carried_out(site, "pilot", asked, arms_of, progress, _carry_out)


def arms_without(site: Site, contents: Contents) -> dict[str, Captions]:
    """The corrected arm, and one arm for each item that enough of its captions say."""
    folder = site.root / "templates"
    names = {row["template"] for row in contents.train if row["verdict"] == "fix" and row["template"]}
    templates = {name: load_template(name, folder=folder) for name in names}
    full = captions_of(contents.train, CORRECTED)
    found = {CORRECTED: full}
    for slot in site.template().slots:
        without = chosen_captions(contents.train, lambda row, slot=slot: _without(row, slot.id, templates))  # type: ignore[misc]
        if sum(without[photo] != full[photo] for photo in full) >= FEWEST_ANSWERED:
            found[WITHOUT + slot.id] = without
    if len(found) == 1:
        raise GenbaError(
            f"No item of the template is said in {FEWEST_ANSWERED} corrected training captions.",
            next=f"genba queue {site.root} --top 20",
        )
    return found


def _without(row: Row, slot: str, templates: Mapping[str, Template]) -> list[str]:
    """A row's captions in the arm without an item; what the item is not said in stays as it is."""
    full = [one["caption"] for one in row["new_captions"]] or [row["caption"]]
    slots = json.loads(row["slots"] or "{}")
    if row["verdict"] != "fix" or slot not in slots or row["template"] not in templates:
        return full
    template = templates[row["template"]]
    known = {name: value for name, value in slots.items() if name != slot and template.slot(name) is not None}
    written = [template.caption(known, one["language"]) for one in row["new_captions"]]
    return [text for text in written if text] or full


def _carry_out(run: Run) -> None:
    pairs = [(CORRECTED, arm) for arm in run.arms if arm != CORRECTED]
    run.bench = replace(run.bench, plan=replace(run.bench.plan, way=PROBE))
    measure_base(run, pairs)
    train_arm(run, CORRECTED)
    choice = choose_share(run.encoder, run.base, run.tuned(CORRECTED), run.val, run.val_photos)
    for arm in run.arms:
        train_arm(run, arm)
        measure_arm(run, arm, choice.share)
    found = effects(run.measured, pairs, stated=run.stated_by_contrast())
    times = writing_time.read(run.site)
    rows = [_row(one, times) for one in found]
    config = {**run.resolved(), "blend": {"share": choice.share, "chosen_on": choice.chosen_on},
              "times": {slot: asdict(one) for slot, one in times.items()}}  # fmt: skip
    runs.complete(run.site, run.run_id, config, run.measured, [], more={"slot_effects": rows})


def _row(one: Comparison, times: Mapping[str, Time]) -> Row:
    """A row of the table slot_effects, without the run. gain_per_second: the better, the higher."""
    slot = one.versus.removeprefix(WITHOUT)
    seconds = times[slot].seconds if slot in times else None
    gain = one.value if one.higher_is_better else -one.value
    kept = (
        "task",
        "metric",
        "value",
        "low",
        "high",
        "unit",
        "higher_is_better",
        "n",
        "seeds",
        "p_value",
        "detectable",
    )
    return {
        "slot": slot, **{name: getattr(one, name) for name in kept}, "seconds": seconds,
        "gain_per_second": gain / seconds if seconds else None,
    }  # fmt: skip


PILOT_SQL = """
SELECT run_id, finished_at, config FROM runs WHERE kind = 'pilot' AND state = 'done' ORDER BY finished_at DESC LIMIT 1
"""
EFFECTS_SQL = "SELECT * FROM slot_effects WHERE run_id = ? ORDER BY slot, task, metric"


def last_pilot(site: Site) -> Pilot | None:
    """The newest finished pilot, its items by what they bring, or None."""
    with site.connect() as db:
        run = db.one(PILOT_SQL)
        rows = db.rows(EFFECTS_SQL, [run["run_id"]]) if run else []
    if run is None:
        return None
    template, times = site.template(), run["config"]["times"]
    primary = site.settings.retrain.primary_metric
    by_slot: dict[str, list[Row]] = {}
    for row in rows:
        by_slot.setdefault(row["slot"], []).append(row)
    items = [
        Item(
            slot, of_slot, Time(**times[slot]) if slot in times else None, proposed(of_slot, primary),
            [other.id for other in template.slots if other.show_when and other.show_when.slot == slot],
            proven(of_slot, primary),
        )
        for slot, of_slot in by_slot.items()
    ]  # fmt: skip
    order = {slot.id: place for place, slot in enumerate(template.slots)}
    items.sort(key=lambda item: (order.get(item.slot, len(order)), item.slot))
    counts = run["config"]["counts"]
    return Pilot(run["run_id"], run["finished_at"], run["config"]["seeds"], counts["corrected_photos"], items)


def proposed(rows: Sequence[Row], primary: tuple[str, str]) -> str:
    """What the effects of an item speak for. An interval that includes zero speaks for nothing by itself."""
    verdicts = {verdict_of(_comparison(row)) for row in proven(rows, primary)}
    if "better" in verdicts:
        return "keep"
    if "worse" in verdicts:
        return "leave_out"
    shares = [row for row in rows if row["unit"] == "fraction"]
    best = [row["high"] if row["higher_is_better"] else -row["low"] for row in shares]
    return "leave_out" if best and max(best) < NEGLIGIBLE else "undecided"


def proven(rows: Sequence[Row], primary: tuple[str, str]) -> list[Row]:
    """The effects of an item that prove something, the primary metric's first.

    The primary metric was chosen beforehand, so its interval is enough. Of the dozens of others a few lie off zero by
    chance alone: each must also hold among all of the item's measures (Holm 1979: the k-th smallest p-value times the
    number of measures less k - 1, at the 5 % level).
    """
    ordered = sorted(
        (row for row in rows if row["p_value"] is not None), key=lambda row: float(row["p_value"])
    )
    holds: list[tuple[str, str]] = []
    for place, row in enumerate(ordered):
        if row["p_value"] * (len(rows) - place) > LEVEL:
            break
        holds.append((row["task"], row["metric"]))
    found = [
        row
        for row in rows
        if (row["task"], row["metric"]) in (primary, *holds) and verdict_of(_comparison(row)) != "undecided"
    ]
    return sorted(found, key=lambda row: (row["task"], row["metric"]) != primary)


def _comparison(row: Row) -> Comparison:
    names = ("task", "metric", "value", "low", "high", "unit", "higher_is_better", "n", "seeds")
    return Comparison(arm=CORRECTED, versus=WITHOUT + row["slot"], **{name: row[name] for name in names})


def stage(site: Site) -> Stage:
    """Where the site stands; a new site stands at the pilot."""
    with site.connect() as db:
        found = db.get_state(STATE)
    return Stage(**{**found, "slots": tuple(found["slots"])}) if found else Stage(STAGES[0])


def set_stage(
    site: Site, name: str, person: str, run_id: str | None = None, slots: Sequence[str] = ()
) -> Stage:
    """Decide where the site stands. slots: the items to go on with. Raises GenbaError for whoever may not decide."""
    require_lead(site, person)
    if not person.strip():
        raise GenbaError("A decision needs a name.")
    if name not in STAGES:
        raise GenbaError(f"No stage {name!r}.", choices=STAGES)
    known = [slot.id for slot in site.template().slots]
    unknown = [slot for slot in slots if slot not in known]
    if unknown:
        raise GenbaError(f"The template has no item {unknown[0]!r}.", choices=known)
    found = Stage(name, person, now().isoformat(), run_id, tuple(slots))
    with site.connect() as db:
        before = db.get_state(STATE)
        db.set_state(STATE, asdict(found))
        db.event(person, EVENT, {**asdict(found), "before": before["name"] if before else STAGES[0]})
    return found
