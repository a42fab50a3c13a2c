"""The data card that lies beside an export: what it is, who made it and when, how wrong it may be, what it lacks.

data-card.json for programs, data-card.md for people (README.md in a Hugging Face folder, where that is its place).
Names of people stand in it only where the site allows them ([review] leaderboard in genba.toml), and never of somebody
with fewer than five captions.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from annotate.review_board import FEWEST
from annotate.reviews import ANSWERED
from dashboards import figures
from dashboards.export_rows import BARRED, STATUSES, Exported
from data.messages import moment, number, translator
from data.readers import CARD
from data.site import Site
from data.store import now

SECOND_SQL = """
SELECT count(*) AS answered, count(*) FILTER (WHERE r.state = 'agreed') AS agreed
FROM reviews r JOIN corrections c ON c.correction_id = r.correction_id
WHERE c.state = 'active' AND c.verdict IN ('fix', 'ok') AND list_contains($answered, r.state)
"""
GAPS_SQL = f"""
SELECT (SELECT count(DISTINCT image_id) FROM ({BARRED})) AS barred_photos,
       (SELECT count(*) FROM pairs WHERE state = 'missing' AND pair_id NOT IN (
            SELECT old_pair_id FROM corrections WHERE state = 'active')) AS photos_without_caption,
       (SELECT count(*) FROM pairs p WHERE origin IN ('legacy', 'draft') AND state = 'captioned' AND NOT EXISTS (
            SELECT 1 FROM corrections c WHERE c.old_pair_id = p.pair_id AND c.state = 'active')) AS unjudged,
       (SELECT count(DISTINCT old_pair_id) FROM corrections WHERE state = 'conflict') AS contested
"""


@dataclass
class Tally:
    """What was written, counted while it is written."""

    captions: int = 0
    photos: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    templates: Counter[str] = field(default_factory=Counter)
    people: Counter[str] = field(default_factory=Counter)
    simulated: int = 0
    first: datetime | None = None
    last: datetime | None = None
    left_out: Counter[str] = field(default_factory=Counter)
    _photo: str = ""

    def add(self, row: Exported) -> None:
        self.captions += 1
        self.photos += row.image_id != self._photo  # rows come photo by photo
        self._photo = row.image_id
        self.statuses[row.status] += 1
        self.languages[row.language] += 1
        self.splits[row.split] += 1
        if row.template and row.status == "corrected":
            self.templates[row.template] += 1
        if row.simulated:
            self.simulated += 1
        elif row.annotator:
            self.people[row.annotator] += 1
        if row.corrected_at:
            self.first = min(self.first or row.corrected_at, row.corrected_at)
            self.last = max(self.last or row.corrected_at, row.corrected_at)


@dataclass(frozen=True)
class Rate:
    """A share in [0, 1] with its 95 % interval, from `of` captions of which `found` had it."""

    share: float
    low: float
    high: float
    found: int
    of: int


@dataclass(frozen=True)
class Card:
    """Counts are captions where nothing else is said. Times are UTC."""

    site: str
    is_demo: bool
    format: str
    exported_at: str
    captions: int
    photos: int
    photos_are: str  # copies | paths
    by_status: dict[str, int]
    by_language: dict[str, int]
    by_split: dict[str, int]
    by_template: dict[str, int]
    columns: dict[str, str]  # extra column -> its name in the export
    people: int
    by_person: dict[str, int]  # empty unless the site allows names
    simulated: int
    first_answer: str | None
    last_answer: str | None
    untouched_in_need: Rate | None  # of the site's captions that nobody has judged, exported or not
    as_they_came_in_need: (
        Rate | None
    )  # of all the site's captions before anybody corrected one; both: blind audit
    second_opinions_differ: Rate | None
    left_out: dict[str, int]
    photos_barred: int
    photos_without_caption: int
    captions_unjudged: int  # on the site, exported or not
    captions_contested: int
    licence: str


def collect(
    site: Site,
    tally: Tally,
    format: str,
    held: bool,
    columns: Mapping[str, str],
    licence: str,
) -> Card:
    """The card of what was counted, with what the store knows beside it."""
    with site.connect() as db:
        second = db.rows(SECOND_SQL, {"answered": list(ANSWERED)})[0]
        gaps = db.rows(GAPS_SQL)[0]
    left = figures.remaining(site)
    allowed = site.settings.review.leaderboard
    named = {name: n for name, n in tally.people.most_common() if n >= FEWEST} if allowed else {}
    return Card(
        site=site.settings.site.name, is_demo=site.settings.site.demo, format=format,
        exported_at=now().isoformat(timespec="seconds"), captions=tally.captions, photos=tally.photos,
        photos_are="copies" if held else "paths",
        by_status={status: tally.statuses[status] for status in STATUSES},
        by_language=_sorted(tally.languages), by_split=_sorted(tally.splits), by_template=_sorted(tally.templates),
        columns=dict(columns), people=len(tally.people), by_person=named, simulated=tally.simulated,
        first_answer=tally.first.isoformat() if tally.first else None,
        last_answer=tally.last.isoformat() if tally.last else None,
        untouched_in_need=_in_need(left), as_they_came_in_need=_before(left),
        second_opinions_differ=_differ(second["answered"], second["agreed"]),
        left_out=_sorted(tally.left_out), photos_barred=gaps["barred_photos"],
        photos_without_caption=gaps["photos_without_caption"], captions_unjudged=gaps["unjudged"],
        captions_contested=gaps["contested"], licence=licence,
    )  # fmt: skip


def _sorted(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _in_need(left: figures.Remaining | figures.Missing) -> Rate | None:
    if not isinstance(left, figures.Remaining):
        return None
    found = left.estimate
    return Rate(found.rate, found.low, found.high, found.bad, found.judged)


def _before(left: figures.Remaining | figures.Missing) -> Rate | None:
    if not isinstance(left, figures.Remaining) or not left.estimate.captions:
        return None
    found = left.estimate
    share, low, high = (n / found.captions for n in (found.before, found.before_low, found.before_high))
    return Rate(share, low, high, found.bad, found.judged)


def _differ(answered: int, agreed: int) -> Rate | None:
    """With the exact interval of Clopper and Pearson (1934)."""
    if not answered:
        return None
    from scipy.stats import binomtest

    interval = binomtest(answered - agreed, answered).proportion_ci(0.95, method="exact")
    share = (answered - agreed) / answered
    return Rate(share, float(interval.low), float(interval.high), answered - agreed, answered)


def write(card: Card, folder: Path, language: str) -> None:
    """Both files. A Hugging Face folder has its README.md, with the head that its hub reads."""
    text = json.dumps(dataclasses.asdict(card), ensure_ascii=False, indent=1)
    (folder / CARD).write_text(text, encoding="utf-8")
    if card.format == "hf":
        (folder / "README.md").write_text(_head(card) + markdown(card, language), encoding="utf-8")
    else:
        (folder / "data-card.md").write_text(markdown(card, language), encoding="utf-8")


def _head(card: Card) -> str:
    """YAML for the hub; JSON strings are YAML strings, so that nothing in a name breaks it."""
    lines = [
        "---",
        f"pretty_name: {json.dumps(card.site, ensure_ascii=False)}",
        "task_categories:",
        "- image-to-text",
    ]
    if languages := [one for one in card.by_language if one != "und"]:
        lines += ["language:", *(f"- {one}" for one in languages)]
    if card.licence:
        lines += [
            "license: other",
            f"license_name: {json.dumps(' '.join(card.licence.split()), ensure_ascii=False)}",
        ]
    return "\n".join([*lines, "---", ""])


def markdown(card: Card, language: str) -> str:
    """The card in words. What people wrote (names of sites, people, columns) is shown as text."""
    _ = translator(language)

    def count(value: float) -> str:
        return number(value, language)

    def listed(counts: Mapping[str, int]) -> str:
        return ", ".join(f"{plain(name)} {count(n)}" for name, n in counts.items()) or "—"

    statuses = {"corrected": _("corrected"), "confirmed": _("confirmed right"), "untouched": _("untouched")}
    photos = {
        "copies": _("copies: upright, without GPS, at most 1,600 px"),
        "paths": _("paths under the photo folder; the photos themselves are not in here"),
    }
    what = [
        (_("Captions"), count(card.captions)),
        *((f"– {statuses[status]}", count(n)) for status, n in card.by_status.items()),
        (_("Photos"), count(card.photos)),
        (_("Photos are"), photos[card.photos_are]),
        (_("Language"), listed(card.by_language)),
        (_("Split"), listed(card.by_split)),
        (_("Template"), listed(card.by_template)),
        (_("Extra columns"), ", ".join(map(plain, card.columns.values())) or "—"),
        (_("Format"), card.format),
    ]
    return "\n".join(
        [
            f"# {_('Data card')}: {plain(card.site)}", "",
            *([_("Made from the demo site: rendered photos, simulated corrections."), ""] if card.is_demo else []),
            f"## {_('What')}", "", *_table(what), "",
            f"## {_('Who and when')}", "", *_bullets(_who(card, language)), "",
            f"## {_('How wrong it may be')}", "", *_bullets(_errors(card, language)), "",
            f"## {_('Known gaps')}", "", *_bullets(_gaps(card, language)), "",
            f"## {_('Licence')}", "",
            plain(card.licence) or _("Not stated. Ask the owner of photos and captions before you pass it on."), "",
        ]
    )  # fmt: skip


def plain(text: str) -> str:
    """One line without anything that Markdown or HTML would take for markup."""
    line = " ".join(str(text).split())
    return "".join(f"&#{ord(c)};" if c in "\\`*_{}[]()#+!|<>&~:" else c for c in line)


def _table(rows: list[tuple[str, str]]) -> list[str]:
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)]


def _bullets(lines: list[str]) -> list[str]:
    return [f"- {line}" for line in lines]


def _who(card: Card, language: str) -> list[str]:
    _ = translator(language)
    people = _("{n} people corrected or confirmed captions.").format(n=number(card.people, language))
    lines = [people]
    if card.by_person:
        lines.append(", ".join(f"{plain(name)}: {number(n, language)}" for name, n in card.by_person.items()))
    if card.simulated:
        text = _("{n} of the captions come from a simulated crew, not from people.")
        lines.append(text.format(n=number(card.simulated, language)))
    if card.first_answer and card.last_answer:
        first, last = (
            moment(datetime.fromisoformat(at), language) for at in (card.first_answer, card.last_answer)
        )
        lines.append(_("Answers from {first} to {last}.").format(first=first, last=last))
    at = moment(datetime.fromisoformat(card.exported_at), language)
    return [*lines, _("Exported {at}.").format(at=at)]


def percent(share: float, language: str) -> str:
    """A share as per cent with one decimal."""
    return f"{number(share * 100, language, 1)} %"


def _errors(card: Card, language: str) -> list[str]:
    _ = translator(language)
    lines = []
    if rate := card.as_they_came_in_need:
        text = _("The site's captions as they came, before anybody corrected one: about {share} needed a correction "
                 "(95 % interval {low} to {high}; blind audit, {found} of {of} were wrong).")  # fmt: skip
        lines.append(text.format(**_rate(rate, language)))
    if card.by_status["untouched"]:
        if rate := card.untouched_in_need:
            text = _("Untouched captions: about {share} need a correction (95 % interval {low} to {high}; "
                     "blind audit, {found} of {of} were wrong).")  # fmt: skip
            lines.append(text.format(**_rate(rate, language)))
        else:
            lines.append(
                _("Untouched captions: not yet measurable: needs {what}.").format(what=_("a blind audit"))
            )
    if rate := card.second_opinions_differ:
        text = _(
            "Corrected and confirmed captions: of {of} second opinions {found} differed, {share} (95 % interval {low} "
            "to {high}). They are drawn more often where doubt is greater, so this is no error rate of all."
        )
        lines.append(text.format(**_rate(rate, language)))
    else:
        lines.append(_("Corrected and confirmed captions: nobody has given a second opinion yet, so how many of them "
                       "are still wrong is not known."))  # fmt: skip
    return lines


def _rate(rate: Rate, language: str) -> dict[str, str]:
    shares = {name: percent(getattr(rate, name), language) for name in ("share", "low", "high")}
    return {**shares, "found": number(rate.found, language), "of": number(rate.of, language)}


def _gaps(card: Card, language: str) -> list[str]:
    _ = translator(language)
    counted = (
        (card.captions_unjudged, _("{n} captions of the site have not been judged by anybody.")),
        (card.photos_without_caption, _("{n} photos have no caption yet and are left out.")),
        (card.photos_barred, _("{n} photos that somebody called unusable or private are left out.")),
        (card.captions_contested, _("{n} captions have two answers that differ and wait for a decision.")),
    )
    lines = [text.format(n=number(n, language)) for n, text in counted if n]
    reasons = {
        "not_found": _("the photo is gone"),
        "name_in_two_roots": _("two photo folders hold a photo of that name"),
        "outside_root": _("the photo lies outside the photo folders"),
    }
    for reason, n in card.left_out.items():
        why = reasons.get(reason, _("the photo cannot be read"))
        lines.append(_("{n} captions are left out: {why}.").format(n=number(n, language), why=why))
    return lines or [_("None that is known.")]
