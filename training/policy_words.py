"""When the next retraining starts by itself and why, in words: `genba retrain SITE --when`, the page of jobs, the log.

sentences(decision, "ja")        # the first says when; the others what it waits for
"""

from __future__ import annotations

from data.messages import moment, number, translator
from data.schedule import last_due
from data.store import now
from training.policy import Decision, Rule


def sentences(decision: Decision, language: str) -> list[str]:
    """One to five sentences."""
    _ = translator(language)
    because = [_because(rule, decision, language) for rule in decision.met]
    when = moment(decision.at, language) if decision.at else ""
    if decision.state == "due":
        return [_("The next retraining starts now."), *because]
    if decision.state == "held":
        return [
            _("The next retraining starts at {time}.").format(time=when),
            *because,
            *_hours(decision, language),
        ]
    if decision.state == "active":
        return [_("A retraining waits or runs now. What comes next is decided once it has ended.")]
    if decision.state == "never":
        return [_("No retraining starts by itself: no rule is set.")]
    return [_("No retraining is due now."), *_waits(decision, language), *_hours(decision, language)]


def _because(rule: Rule, decision: Decision, language: str) -> str:
    """Why it is due, with the setting that says so."""
    _ = translator(language)
    settings, standing = decision.settings, decision.standing
    if rule == "corrections":
        return _("{n} captions were fixed since the last retraining; the rule asks for {m}.").format(
            n=number(standing.fixed_since, language), m=number(settings.after_corrections, language)
        )
    if rule == "error" and standing.audited:
        return _("By today's audit, the bad captions still left fell from {then} of all the site's captions at the "
                 "last retraining to {now}, by {fell} of that; the rule asks for {asked}.").format(
            then=_percent(standing.audited.then), now=_percent(standing.audited.now),
            fell=_percent(standing.audited.fell), asked=_percent(settings.after_error_fell),
        )  # fmt: skip
    return _("It was planned for {time} (schedule {line}).").format(
        time=moment(last_due(settings.schedule, now()), language), line=settings.schedule
    )


def _waits(decision: Decision, language: str) -> list[str]:
    """What each rule that is set waits for."""
    _ = translator(language)
    settings, standing = decision.settings, decision.standing
    found = []
    if settings.after_corrections:
        left = max(settings.after_corrections - standing.fixed_since, 1)
        text = _("It starts after {k} more fixed captions: {n} of {m} since the last retraining.")
        counts = {"k": left, "n": standing.fixed_since, "m": settings.after_corrections}
        found.append(text.format(**{name: number(count, language) for name, count in counts.items()}))
    if settings.after_error_fell:
        found.append(_error_waits(decision, language))
    if decision.at:
        text = (
            _("It starts at {time} (schedule {line}).")
            if standing.fixed_since
            else _("It starts at {time} (schedule {line}), if a caption is fixed by then.")
        )
        found.append(text.format(time=moment(decision.at, language), line=settings.schedule))
    return found


def _error_waits(decision: Decision, language: str) -> str:
    _ = translator(language)
    audited, asked = decision.standing.audited, decision.settings.after_error_fell
    if audited is None:
        return _("The rule on the audited error waits for an audit with answers.")
    return _(
        "It starts once the bad captions still left are {goal} or less of all the site's captions; by today's audit "
        "they are {now}, and at the last retraining they were {then}."
    ).format(
        goal=_percent(audited.then * (1 - asked)), now=_percent(audited.now), then=_percent(audited.then)
    )


def _hours(decision: Decision, language: str) -> list[str]:
    hours = decision.hours
    if hours is None:
        return []
    _ = translator(language)
    return [
        _("Between {start} and {end} none starts by itself.").format(
            start=f"{hours.start:%H:%M}", end=f"{hours.end:%H:%M}"
        )
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
