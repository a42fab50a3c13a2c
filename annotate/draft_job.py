"""The verb `genba draft` and the worker's job "draft": what they share."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from annotate import drafts, lots
from annotate.alarms import alarms
from annotate.draft_words import alarm_words, lot_words, plan_words
from data.errors import GenbaError
from data.jobs import Progress, silent
from data.site import Site

Outcome = tuple[dict[str, Any], str]


def job(site: Site, given: Mapping[str, Any], progress: Progress = silent) -> dict[str, Any]:
    """Draft the top of the queue; lots that were accepted and not finished are finished first."""
    lots.settle(site)
    options = {key: given[key] for key in ("model", "device", "prompt") if given.get(key)}
    return dataclasses.asdict(drafts.make(site, given.get("drafters"), given.get("top"), options, progress))


def run(site: Site, action: str, lot_id: str | None, given: Mapping[str, Any], progress: Progress) -> Outcome:
    """One action of the verb: what --json prints, and what a person reads."""
    done: dict[str, Callable[[], Outcome]] = {
        "make": lambda: _made(job(site, given, progress), site),
        "status": lambda: _status(site),
        "lots": lambda: _lots(site),
        "lot-open": lambda: _opened(
            lots.open_lot(site, str(given["by"]), int(given.get("size") or lots.MOST))
        ),
        "lot-accept": lambda: _decided(site, lot_id, True, given),
        "lot-reject": lambda: _decided(site, lot_id, False, given),
        "lot-withdraw": lambda: _opened(lots.withdraw(site, _named(lot_id, site), str(given["by"]))),
    }
    return done[action]()


def _made(made: dict[str, Any], site: Site) -> Outcome:
    lines = [f"{made['pairs']} pairs asked, {made['missing']} of them without a caption."]
    for name, one in made["drafters"].items():
        lines.append(f"{name} ({one['version']}): {one['offered']} of {one['drafted']} drafts offered.")
        if one["compared"]:
            lines.append(
                f"  whole drafts right: {one['right']} of {one['compared']} that people had answered"
            )
        shares = {slot: f"{right}/{of}" for slot, (right, of) in sorted(one["slots"].items())}
        lines.append(
            "  by item: " + (", ".join(f"{slot} {text}" for slot, text in shares.items()) or "no answers yet")
        )
        if not one["calibrated"]:
            lines.append(
                "  Not calibrated: too few answers, so its numbers are no probabilities and no lot is formed."
            )
    return made, "\n".join([*lines, f"Next: genba draft {site.root} lot-open"])


def _status(site: Site) -> Outcome:
    found = drafts.status(site)
    with site.connect() as db:
        found["above_line"] = len(lots.candidates(site, db))
    states = ", ".join(f"{state} {n}" for state, n in found["states"].items()) or "nothing is drafted yet"
    line = site.settings.drafts.line
    return found, f"{states}\nabove the line ({line:.0%}): {found['above_line']}"


def _lots(site: Site) -> Outcome:
    rows = lots.lots(site)
    seen = alarms(site)
    lines = [f"{lot.lot_id}  {lot_words(lot, 'en')}" for lot in rows] or ["No lot yet."]
    lines += [f"ALARM {alarm_words(one, 'en')}" for one in seen]
    fields = [dataclasses.asdict(lot) for lot in rows]
    return {"lots": fields, "alarms": [dataclasses.asdict(one) for one in seen]}, "\n".join(lines)


def _opened(lot: lots.Lot) -> Outcome:
    told = [f"Lot {lot.lot_id}: {lot_words(lot, 'en')}", *plan_words(lot.plan, "en")]
    if lot.planted:
        told.append(
            f"{lot.planted} drafts that are known to be wrong are mixed in; say so to whoever checks."
        )
    return dataclasses.asdict(lot), "\n".join(told)


def _decided(site: Site, lot_id: str | None, accept: bool, given: Mapping[str, Any]) -> Outcome:
    lot = lots.decide(site, _named(lot_id, site), accept, str(given["by"]), bool(given.get("despite_alarms")))
    return dataclasses.asdict(lot), f"Lot {lot.lot_id}: {lot_words(lot, 'en')}"


def _named(lot_id: str | None, site: Site) -> str:
    if not lot_id:
        raise GenbaError("Which lot?", next=f"genba draft {site.root} lots")
    return lot_id


def model_name(folder: str | None) -> str | None:
    """A folder as an absolute path, so that the worker finds it too; a hub name as it is."""
    return str(Path(folder).resolve()) if folder and Path(folder).is_dir() else folder
