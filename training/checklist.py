"""What a lead puts their name to before a model is promoted for the first time, and before every edge export.

    sign(site, "20261126-…-corrected", "promotion", answers, by="佐藤")
    genba models SITE sign MODEL --purpose promotion --answers answers.json

answers: {"gaps": {"answer": "yes", "note": "day and night within two points"}, …}, one for each of QUESTIONS. Each
question is put so that "yes" is the safe answer; every answer has a note, so that nobody clicks it through. A "no" can
be signed: it is kept, and stands against the model. A signature belongs to one model; one for an export is used up by
the next export of that model.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from annotate.roles import require_lead
from data.errors import GenbaError
from data.messages import translator
from data.site import Site
from data.store import Database, now
from training.gate import CANDIDATE
from training.slices import shown_gaps

PURPOSES = ("promotion", "export")
ANSWERS = ("yes", "no", "not_applicable")
ExportState = Literal["ready", "unsigned", "used", "refused"]
LONGEST_NOTE = 2000
SHOWN_GAPS = 5
Row = dict[str, Any]


@dataclass(frozen=True)
class Question:
    """key: its name in the answers. part: fairness, privacy or safety."""

    key: str
    part: str
    text: str


def questions(language: str) -> list[Question]:
    """All questions in a language, in the order in which they are asked."""
    _ = translator(language)
    asked = (
        ("gaps", "fairness",
         _("I have looked at the gaps between sites, lines, shifts, authors and languages, and they are acceptable.")),
        ("coverage", "fairness",
         _("The held-out photos come from all sites, lines and shifts on which the model will be used.")),
        ("people", "fairness", _("Nobody is judged, ranked or paid by what this model says.")),
        ("personal", "privacy",
         _("The training captions and photos hold no names, phone numbers, plates or faces that should not be there.")),
        ("private", "privacy", _("Photos that somebody marked as private are not in the training data.")),
        ("recipients", "privacy",
         _("Everybody who will get the model or its results may know what it was trained on.")),
        ("use", "safety",
         _("It is agreed what the model is used for; a person decides wherever a wrong answer could hurt somebody.")),
        ("misses", "safety", _("I have looked at what the model misses, and it is acceptable for that use.")),
        ("way_back", "safety", _("It is known who may roll the model back, and how.")),
    )  # fmt: skip
    return [Question(*one) for one in asked]


def question_names() -> list[str]:
    """The questions' names, in order."""
    return [one.key for one in questions("en")]


def sign(site: Site, model_id: str, purpose: str, answers: Mapping[str, Any], by: str) -> str:
    """Keep a lead's answers; returns the checklist's id. What the lead was shown of the slice gaps is kept with them.

    Raises GenbaError: an unknown model or purpose, somebody who is no lead, an answer that is missing or is none.
    """
    if purpose not in PURPOSES:
        raise GenbaError(f"No purpose {purpose!r}.", choices=PURPOSES)
    name = " ".join(by.split())
    if not name:
        raise GenbaError(
            "Nobody signs this: a checklist needs a name.", next="genba models SITE sign --by NAME"
        )
    require_lead(site, name)
    complete = require_complete(answers)
    with site.connect() as db:
        model = db.one("SELECT run_id, arm FROM models WHERE model_id = ?", [model_id])
        if model is None:
            known = [row["model_id"] for row in db.rows("SELECT model_id FROM models ORDER BY model_id")]
            raise GenbaError(f"No model {model_id!r}.", choices=known, next=f"genba models {site.root}")
        shown = {"gaps": gaps_to_look_at(site, db, model_id)[0]}
        checklist_id = uuid.uuid4().hex
        row = {"checklist_id": checklist_id, "model_id": model_id, "purpose": purpose, "answers": complete,
               "shown": shown, "signed_by": name, "signed_at": now()}  # fmt: skip
        db.insert("checklists", [row])
        db.event(
            name, "checklist.signed", {"model": model_id, "purpose": purpose, "no": objections(complete)}
        )
    return checklist_id


GAPS_SQL = "SELECT * FROM slice_gaps WHERE run_id = ? ORDER BY task, metric, slice, part, arm"


def gaps_to_look_at(site: Site, db: Database, model_id: str) -> tuple[list[Row], bool]:
    """What a lead is shown before signing: the widest gaps of the model itself, few authors held back; and whether its
    run measured any."""
    model = db.one("SELECT run_id, arm FROM models WHERE model_id = ?", [model_id])
    rows = db.rows(GAPS_SQL, [model["run_id"]]) if model else []
    if not model or not rows:
        return [], False
    shown = shown_gaps(rows, site.settings.review.show_names)
    return largest_gaps(shown, model["arm"], SHOWN_GAPS), True


def largest_gaps(gaps: Sequence[Row], arm: str, most: int) -> list[Row]:
    """The parts with enough items that the model serves worst against the rest, the widest gap first. Pure.

    arm: the one that the model was made from; its rows stand where the run did not measure the model itself."""
    of_model = CANDIDATE if any(row["arm"] == CANDIDATE for row in gaps) else arm
    behind = [row for row in gaps if row["is_enough"] and row["arm"] == of_model and _shortfall(row) > 0]
    return sorted(behind, key=lambda row: -_shortfall(row))[:most]


def _shortfall(gap: Row) -> float:
    return float(-gap["gap"] if gap["higher_is_better"] else gap["gap"])


def require_complete(answers: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Every question answered with yes, no or not_applicable and a note. Raises GenbaError that names the first gap."""
    known = question_names()
    unknown = [key for key in answers if key not in known]
    if unknown:
        raise GenbaError(f"The checklist has no question {unknown[0]!r}.", choices=known)
    found = {}
    for key in known:
        given = answers.get(key)
        if not isinstance(given, Mapping):
            raise GenbaError(f"The question {key!r} of the checklist is not answered.", choices=ANSWERS)
        answer, note = given.get("answer"), " ".join(str(given.get("note") or "").split())
        if answer not in ANSWERS:
            raise GenbaError(f"The answer {answer!r} to {key!r} is none.", choices=ANSWERS)
        if not note:
            raise GenbaError(f"The answer to {key!r} has no note: say in a few words what it rests on.")
        if len(note) > LONGEST_NOTE:
            raise GenbaError(f"The note to {key!r} has {len(note)} characters; {LONGEST_NOTE} are kept.")
        found[key] = {"answer": str(answer), "note": note}
    return found


def objections(answers: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The questions that were answered "no"."""
    return [key for key in question_names() if answers.get(key, {}).get("answer") == "no"]


def latest(db: Database, model_id: str, purpose: str) -> Row | None:
    """The checklist that counts for a model: the one signed last, or None."""
    return db.one(
        "SELECT * FROM checklists WHERE model_id = ? AND purpose = ? ORDER BY signed_at DESC, checklist_id LIMIT 1",
        [model_id, purpose],
    )


def for_export(site: Site, model_id: str) -> tuple[ExportState, Row | None]:
    """How the checklist stands under which a model would be exported now, and the checklist: "ready"; "unsigned";
    "used" by an earlier export; "refused", with a "no" in it."""
    with site.connect() as db:
        found = latest(db, model_id, "export")
        last = db.value("SELECT max(exported_at) FROM edge_exports WHERE model_id = ?", [model_id])
    if found is None:
        return "unsigned", None
    if last is not None and found["signed_at"] <= last:
        return "used", found
    return ("refused" if objections(found["answers"]) else "ready"), found


def require_for_export(site: Site, model_id: str) -> str:
    """The id of the checklist under which a model may be exported now. Raises GenbaError: not signed, or used up by an
    earlier export, or with a "no" in it."""
    state, found = for_export(site, model_id)
    sign_next = f"genba models {site.root} sign {model_id} --purpose export --interactive"
    if found is None or state == "used":
        earlier = "" if found is None else " The last one was used for an earlier export."
        raise GenbaError(
            f"Every export needs a checklist that a lead has signed for it.{earlier}", next=sign_next
        )
    if state == "refused":
        refused = ", ".join(objections(found["answers"]))
        raise GenbaError(
            f"The checklist that {found['signed_by']} signed says no to: {refused}.", next=sign_next
        )
    return str(found["checklist_id"])


def read_answers(path: Path) -> Row:
    """A file of answers. Raises GenbaError when it is not there or no JSON object."""
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise GenbaError(f"The answers {path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise GenbaError(f"{path} is no JSON: {error}.") from None
    if not isinstance(answers, dict):
        raise GenbaError(f"{path} holds no answers: a JSON object by question.", choices=question_names())
    return answers
