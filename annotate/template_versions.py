"""The versions of a site's template: listed, checked, saved, brought back. Old ones stay as they are, always.

    found = versions(site)                 # the newest first: which one is in use, who saved it, corrections made with
    template = check(site, text)           # GenbaError that lists every mistake with its line
    save(site, raised(text, next_number(site, "parts")), "田中")   # SITE/templates/parts@2.yaml, in use from now on

A version is a file and never changes (data/templates.py: keep_version). What a site uses stands in genba.toml as
`template = "parts@2"`. To bring an old version back is to save its text once more, under the next number.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from annotate.roles import require_lead
from annotate.template_changes import changes
from data import jobs
from data.errors import GenbaError
from data.settings import set_value
from data.site import Site
from data.template_file import Row, TemplateError
from data.templates import VERSION_LINE, Template, keep_version, load_template, parse_template, versions_of
from data.told import told

SAVED = "template.saved"


@dataclass(frozen=True)
class Version:
    """One version of the site's template. corrections: made with it, in whatever state."""

    number: int
    is_in_use: bool
    corrections: int
    saved_by: str | None  # None: it came with Genba, or from a file
    saved_at: datetime | None


def versions(site: Site) -> list[Version]:
    """All versions that the site can open, of the template that it uses, the newest first."""
    current = site.template()
    with site.connect() as db:
        counted = db.rows(
            "SELECT template_version AS number, count(*) AS n FROM corrections WHERE template = ? GROUP BY 1",
            [current.id],
        )
        events = db.rows("SELECT occurred_at, actor, detail FROM events WHERE what = ?", [SAVED])
    used = {row["number"]: int(row["n"]) for row in counted}
    saved = {row["detail"]["template"]: row for row in events}
    numbers = {*versions_of(current.id, site.root / "templates"), current.version}
    return [
        Version(
            number,
            number == current.version,
            used.get(number, 0),
            event.get("actor"),
            event.get("occurred_at"),
        )
        for number in sorted(numbers, reverse=True)
        for event in [saved.get(f"{current.id}@{number}", {})]
    ]


def saved(site: Site, name: str) -> tuple[str, datetime] | None:
    """Who saved a version ("parts@2") and when (UTC); None: it came with Genba, or from a file."""
    with site.connect() as db:
        row = db.one(
            "SELECT actor, occurred_at FROM events WHERE what = ? AND json_extract_string(detail, '$.template') = ? "
            "ORDER BY occurred_at DESC LIMIT 1",
            [SAVED, name],
        )
    return (row["actor"], row["occurred_at"]) if row else None


def open_version(site: Site, number: int) -> Template:
    """A version of the site's template. Raises GenbaError that names those there are."""
    current = site.template()
    if number == current.version:
        return current
    return load_template(f"{current.id}@{number}", folder=site.root / "templates")


def check(site: Site, text: str, name: str = "template.yaml") -> Template:
    """The template of a text, fit for the site. Raises GenbaError: every mistake with its line. name: of its file."""
    template = parse_template(text, name, Template)
    absent = [language for language in site.settings.site.languages if language not in template.languages]
    if absent:
        text = told(
            "The site speaks {names}, but the template does not: write every text in the site's languages, or change "
            "site.languages in genba.toml.", names=", ".join(absent),
        )  # fmt: skip
        raise TemplateError(f"{name}: {text}", [Row(1, "", text)])
    return template


def next_number(site: Site, template_id: str) -> int:
    """The number of the next version: one above all that there are, packs included."""
    known = versions_of(template_id, site.root / "templates")
    current = site.template()
    return max([*known, current.version if current.id == template_id else 0], default=0) + 1


def raised(text: str, number: int) -> str:
    """The text of a template with another version; comments and all else stay as they are."""
    return VERSION_LINE.sub(f"version: {number}", text, count=1)


def save(site: Site, text: str, person: str, name: str = "template.yaml") -> Template:
    """Keep a new version and use it from now on; the queue is ranked anew. Raises GenbaError, and then nothing changed.

    Killed in between, the version is there and not in use yet: saving the same text again completes it.
    """
    require_lead(site, person)
    old, template = site.template(), check(site, text, name)
    folder, least = site.folder("templates"), next_number(site, template.id)
    if template.version < least and not _is_half_saved(old, template, versions_of(template.id, folder)):
        raise GenbaError(
            f"The template {template.id!r} says version {template.version}, but there is version {least - 1} already.",
            next=f"raise the version in the text (version: {least})",
        )
    detail = {
        "template": f"{template.id}@{template.version}", "before": f"{old.id}@{old.version}",
        "changes": [change.in_words("en") for change in changes(old, template)],
    }  # fmt: skip
    keep_version(old, folder)  # what was in use can always be opened again, wherever it came from
    with site.connect() as db:  # before the file: a setting such as "parts" uses the newest file at once
        db.event(person, SAVED, detail)
    keep_version(template, folder)
    set_value(site.settings_path, "site", "template", f"{template.id}@{template.version}")
    with site.connect() as db:
        if db.value("SELECT count(*) FROM scores"):
            jobs.enqueue(db, "score", requested_by=person)
    return template


def _is_half_saved(old: Template, template: Template, known: dict[int, Path]) -> bool:
    """Whether a save was killed after it had written the newest version, and before that one was in use."""
    is_newest = template.version == max(known, default=0) and template.version > old.version
    return is_newest and known[template.version].read_text(encoding="utf-8") == template.source
