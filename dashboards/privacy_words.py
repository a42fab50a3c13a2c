"""Findings in words: what was found, what was decided, and what the detectors can and cannot find."""

from __future__ import annotations

from dashboards.personal_findings import DISMISSED, EXCLUDED, SENT
from data.messages import translator

# Measured on a hand-looked sample: docs/LOG.md, 2026-11-26. Faces: photos of 192 px, boxes right of boxes drawn, faces
# found of faces that a person recognises.
FACE_BOXES, FACE_BOXES_RIGHT = 17, 14
FACES_SEEN, FACES_FOUND = 41, 14
FACE_PHOTOS = 60


def what_name(what: str, language: str) -> str:
    """A kind of finding in words."""
    _ = translator(language)
    return {
        "term": _("Unwanted term"),
        "name": _("Name of a person"),
        "phone": _("Phone number"),
        "email": _("E-mail address"),
        "plate": _("Number plate"),
        "face": _("Face"),
        "gps": _("Location (GPS)"),
    }.get(what, what)


def decision_name(decision: str, language: str) -> str:
    """A decision in words."""
    _ = translator(language)
    return {
        DISMISSED: _("May stay"),
        SENT: _("Sent to correction"),
        EXCLUDED: _("Photo excluded"),
    }.get(decision, decision)


def limits(language: str) -> list[str]:
    """What each detector can and cannot find."""
    _ = translator(language)
    return [
        _(
            "Terms: those of [privacy] forbidden_terms in genba.toml. Latin script as whole words, Japanese "
            "wherever it stands."
        ),
        _(
            "Phone numbers: what is valid in the countries of [privacy] phone_regions, or anywhere with a +. "
            "Number plates: Japanese ones, others only after a word such as “number plate”."
        ),
        _(
            "Names: people whom the site knows (authors, staff, leads), and names with a title, role or given name. "
            "A surname alone that the site does not know is not found."
        ),
        _(
            "Faces: of {photos} everyday photos looked at by hand, {right} of {boxes} boxes were faces, and {found} of "
            "{seen} recognisable faces were found. Small, covered and turned faces are missed."
        ).format(
            photos=FACE_PHOTOS,
            right=FACE_BOXES_RIGHT,
            boxes=FACE_BOXES,
            found=FACES_FOUND,
            seen=FACES_SEEN,
        ),
        _(
            "GPS: read from the photo file. Photos that Genba shows, sends to Label Studio or writes into an export "
            "carry no location; the files in the photo folder keep theirs."
        ),
        _("Nothing found never means that nothing is there."),
    ]
