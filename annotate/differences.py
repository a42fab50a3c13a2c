"""What a comparison of the store with Label Studio found, what was done about each thing, and the words for both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data.messages import translator

# What differed -> the words. The first half came from Label Studio, the second goes there.
WORDS = {
    "answer-new": "An answer in Label Studio that the store did not have",
    "answer-edited": "An answer that was changed in Label Studio",
    "answer-deleted": "An answer that was deleted in Label Studio",
    "answer-refused": "An annotation that cannot be an answer",
    "answer-missing": "An answer that Label Studio did not have",
    "answer-surplus": "An answer in Label Studio that no longer counts",
    "task-missing": "A task that was gone",
    "task-moved": "A task under another number",
    "task-doubled": "A pair with more than one task",
    "task-changed": "A task that showed something else than its pair",
    "page": "A labeling page that was not as the template has it",
    "photos": "The storage that shows the photos, which was gone",
    "hook": "The webhook, which was gone or changed",
    "project": "A project that was gone",
}
# What was done -> the words.
DONE = {
    "taken in": "taken into the store",
    "new version": "taken into the store as a new version",
    "marked": "marked as deleted; its pair waits again",
    "left": "left where it is",
    "sent again": "sent to Label Studio again",
    "deleted there": "deleted in Label Studio",
    "made again": "made again",
    "number kept": "its number is kept in the store",
    "one kept": "the surplus ones were deleted",
    "put back": "put back",
}


@dataclass(frozen=True)
class Difference:
    """One thing that differed. what: a key of WORDS, done: a key of DONE. Ids where there are any."""

    what: str
    done: str
    pair_id: str = ""
    task: int | None = None
    annotation: int | None = None
    correction_id: str = ""
    version: str = ""  # of the template, "parts@1"
    why: str = ""


def table(found: Sequence[Difference], language: str, most: int = 50) -> str:
    """The differences for a person: how many of each kind, then one line each, at most `most`."""
    _ = translator(language)
    if not found:
        return _("The store and Label Studio agree.")
    counts = Counter((one.what, one.done) for one in found)
    lines = [f"{number:>6}  {_(WORDS[what])}: {_(DONE[done])}" for (what, done), number in counts.items()]
    lines += [f"        {_line(one, language)}" for one in found[:most]]
    if len(found) > most:
        lines.append("        " + _("and {n} more; --json lists all").format(n=len(found) - most))
    return "\n".join(lines)


def _line(one: Difference, language: str) -> str:
    _ = translator(language)
    where = {
        _("pair"): one.pair_id, _("task"): one.task, _("annotation"): one.annotation,
        _("correction"): one.correction_id, _("template"): one.version,
    }  # fmt: skip
    told = ", ".join(f"{name} {value}" for name, value in where.items() if value)
    return f"{_(WORDS[one.what])} ({told}){': ' + one.why if one.why else ''}"
