"""One reading of one project of Label Studio: what it has seen so far, and what it has found."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from annotate.differences import Difference
from annotate.draft_record import Draft
from annotate.projects import Exchange
from data.records import Correction
from data.templates import Template


@dataclass
class Tally:
    """What a visit found: answers new, edited, deleted there, refused for the first time."""

    new: int = 0
    edited: int = 0
    deleted: int = 0
    refused: int = 0

    def add(self, other: Tally) -> None:
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


@dataclass
class Visit:
    """One reading of one project."""

    at: Exchange
    version: str
    template: Template
    project: int
    is_full: bool
    tally: Tally = field(default_factory=Tally)
    seen: dict[str, list[int]] = field(default_factory=dict)  # pair_id -> ids of its tasks
    annotations: set[int] = field(default_factory=set)  # ids seen
    unusable: list[dict[str, Any]] = field(
        default_factory=list
    )  # of the tasks read last: annotate/unusable.py
    people: dict[int, tuple[str, bool]] = field(default_factory=dict)  # user id -> annotator, simulated
    drafts: dict[str, Draft] = field(default_factory=dict)  # pair_id -> what the page of its task began with

    def see(self, task: dict[str, Any]) -> None:
        """Remember that it is there."""
        self.seen.setdefault(task["pair_id"], []).append(task["id"])
        self.annotations |= {one["id"] for one in task["annotations"]}

    def took(
        self, what: str, done: str, task: dict[str, Any], annotation: dict[str, Any], made: Correction
    ) -> None:
        """Note an answer that was taken in."""
        self.differs(what, done, task, annotation=annotation["id"], correction_id=made.correction_id)

    def differs(self, what: str, done: str, task: dict[str, Any], **more: Any) -> None:
        """Note a difference at a task (annotate/differences.py)."""
        found = Difference(what, done, pair_id=task["pair_id"], task=task["id"], version=self.version, **more)
        self.at.differences.append(found)
