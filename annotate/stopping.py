"""When to stop: what one more hundred corrections is expected to find, and what it costs.

    ahead = next_hundred(site, estimate(site))
    ahead.expected_bad, ahead.cost_jpy, ahead.advice        # 41.2, 2950.0, "weigh"
    sentences(ahead, "ja")                                  # the same in words

The next hundred of the queue are expected to hold as many bad captions as their risks add up to, times what the last
hundred corrections from the queue held for each unit of their risk (a risk that promises too much is taken at its
word no longer), and no more than the audit's upper bound of what is left. A risk that nobody has calibrated yet is an
order, no probability: the audit says how many its sum over all that waits stands for, and before there is an audit of
FEWEST_ANSWERS captions nothing is expected at all. A photo without a caption needs one for sure.
Where somebody has said what a bad caption costs that stays, only captions are counted that are worth a look at that
price; else the advice names the price at which to stop. No share of bad captions is good or bad by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from annotate import queue
from annotate.estimate import Estimate
from annotate.seconds import seconds_model
from data.messages import duration, number, translator, yen
from data.site import Site
from scoring.learned import FEWEST_ANSWERS, worth_a_look
from scoring.refit import fits

HUNDRED = 100
TRUST = 10.0  # bad captions that the risk's own word weighs against what was found
Advice = Literal["empty", "audit", "weigh", "go_on", "stop"]

LAST = """
    SELECT count(*) AS judged, count(*) FILTER (WHERE needs_correction) AS bad, coalesce(sum(risk), 0) AS risk
    FROM (SELECT l.needs_correction, s.risk
          FROM labels l JOIN scores s ON s.pair_id = l.pair_id AND s.encoder = $encoder
          WHERE l.source = 'queue' ORDER BY l.labelled_at DESC, l.pair_id LIMIT $n)
"""

ALL = f"SELECT coalesce(sum(s.risk), 0) {queue.WAITING} AND p.state = 'captioned'"


@dataclass(frozen=True)
class Ahead:
    """The next corrections in the order of the queue: a hundred, or as many as wait and are worth a look.

    `last_judged` corrections from the queue, `last_bad` of them fixes, were to hold `last_risk` by their risks.
    `cost_each_jpy`: of finding one bad caption; None where none is expected. `advice`: empty (nothing waits), audit
    (too little is known of what is left: draw or judge first; what is expected may be None), go_on, stop (against
    `worth_jpy`), weigh (nobody has said what a bad caption costs).
    """

    pairs: int
    expected_bad: float | None
    seconds: float | None
    cost_jpy: float | None
    cost_each_jpy: float | None
    worth_jpy: float | None
    last_judged: int
    last_bad: int
    last_risk: float
    advice: Advice


def next_hundred(site: Site, left: Estimate | None, worth_jpy: float | None = None) -> Ahead:
    """left: the audit's estimate. worth_jpy: what a bad caption costs that stays; None: nobody has said."""
    rows = queue.top(site, HUNDRED)
    encoder = site.queue_encoder()
    with site.connect() as db:
        last = db.rows(LAST, {"encoder": encoder, "n": HUNDRED})[0]
        all_risk = float(db.value(ALL, {"encoder": encoder}))
    missing = sum(row["state"] == "missing" for row in rows)
    scale = 1.0  # of the risk, to a probability
    if rows and not fits(site, encoder) and missing < len(rows):
        if left is None or left.judged < FEWEST_ANSWERS:
            known = (worth_jpy, last["judged"], last["bad"], last["risk"])
            return Ahead(len(rows), None, None, None, None, *known, "audit")
        scale = left.bad_left / all_risk if all_risk else 0.0
    times = seconds_model(site)
    truth = (last["bad"] + TRUST) / (scale * last["risk"] + TRUST)
    chances = [min(truth * scale * row["risk"], 1.0) for row in rows if row["state"] != "missing"]
    wage = site.settings.cost.wage_jpy_per_hour / 3600
    if worth_jpy is not None:
        line = worth_a_look(times.ok * wage, worth_jpy - (times.fix - times.ok) * wage)
        chances = [chance for chance in chances if chance >= line]
    pairs, expected = missing + len(chances), sum(chances)
    bad = missing + (min(expected, left.bad_left_high) if left else expected)
    seconds = bad * times.fix + (pairs - bad) * times.ok
    each = seconds * wage / bad if bad else None
    return Ahead(
        pairs, bad, seconds, seconds * wage, each, worth_jpy, last["judged"], last["bad"], last["risk"],
        _advice(len(rows), left, each, worth_jpy),
    )  # fmt: skip


def _advice(pairs: int, left: Estimate | None, each: float | None, worth: float | None) -> Advice:
    if not pairs:
        return "empty"
    if left is None:
        return "audit"
    if each is None:
        return "stop"
    if worth is None:
        return "weigh"
    return "go_on" if each <= worth else "stop"


def sentences(ahead: Ahead, language: str) -> list[str]:
    """What lies ahead, and the advice, in words."""
    _ = translator(language)
    if ahead.advice == "empty":
        return [_("Nothing waits in the queue.")]
    if not ahead.pairs:
        worth = yen(ahead.worth_jpy or 0.0, language)
        return [
            _("Stop: no caption that waits is worth a look at {worth} for a bad one that stays.").format(
                worth=worth
            )
        ]
    if ahead.expected_bad is None or ahead.seconds is None or ahead.cost_jpy is None:
        needed = _(
            "Not yet measurable: how many bad captions the next ones hold. That needs an audit of {n}."
        )
        words = [needed.format(n=number(FEWEST_ANSWERS, language))]
    else:
        expected = _(
            "The next {pairs} captions of the queue are expected to hold {bad} bad ones and to take {time}: {cost}."
        )
        words = [
            expected.format(
                pairs=number(ahead.pairs, language),
                bad=number(ahead.expected_bad, language),
                time=duration(ahead.seconds, language),
                cost=yen(ahead.cost_jpy, language),
            )
        ]
    if ahead.last_judged:
        words.append(
            _("Of the last {n} corrections from the queue {bad} were needed.").format(
                n=number(ahead.last_judged, language), bad=number(ahead.last_bad, language)
            )
        )
    each = yen(ahead.cost_each_jpy or 0.0, language)
    worth = yen(ahead.worth_jpy or 0.0, language)
    finding = {"each": each, "worth": worth}
    advice = {
        "audit": _("Judge a blind audit first: too little is known yet of how many are left."),
        "weigh": _("Go on as long as a bad caption that stays costs you more than {each}."),
        "go_on": _("Go on: finding one costs {each}, and one that stays costs {worth}."),
        "stop": _("Stop: finding one costs {each}, and one that stays costs {worth}."),
    }[ahead.advice]
    if ahead.cost_each_jpy is None and ahead.advice == "stop":
        advice = _("Stop: no bad caption is expected among them.")
    return [*words, advice.format(**finding)]
