"""When retraining starts by itself: what the policy says now, and the form in which a lead sets it (page Jobs).

The values stand in [retrain] of genba.toml; the worker reads them anew each half minute.
"""

from __future__ import annotations

from typing import Any

import streamlit as st

from annotate.pages.elements import Opened, note, show_error
from annotate.roles import is_lead
from data.errors import GenbaError
from data.settings import set_values
from training.policy_words import sentences
from training.when import decide

FIELDS = ("after_corrections", "after_error_fell", "schedule", "no_start_between")
ICONS = {"due": ":material/play_circle:", "held": ":material/bedtime:", "active": ":material/model_training:",
         "waits": ":material/hourglass_empty:", "never": ":material/block:"}  # fmt: skip


def show(at: Opened) -> None:
    """The panel: when the next one starts and why, and for leads the rules."""
    _ = at.translate
    with st.container(border=True):
        try:
            decision = decide(at.site)
        except GenbaError as error:  # the store is busy
            show_error(error)
            return
        first, *others = sentences(decision, at.language)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(_("Next retraining"), icon=ICONS[decision.state], color="blue")
            st.text(first)
        if others:
            note(" ".join(others))
        if is_lead(at.site, at.person):
            with st.expander(_("Change the rules"), icon=":material/tune:"):
                _form(at)
        else:
            note(_("A lead may change these rules."))


def _form(at: Opened) -> None:
    _ = at.translate
    rules = at.site.settings.retrain
    with st.form("policy", border=False):
        left, right = st.columns(2)
        asked: dict[str, Any] = {
            "after_corrections": left.number_input(
                _("After so many fixed captions"), 0, 1_000_000, rules.after_corrections, step=10,
                help=_("Counted since the last retraining. 0: this rule is off."),
            ),
            "after_error_fell": right.number_input(
                _("When the audited error fell by (%)"), 0.0, 99.0, 100 * rules.after_error_fell, step=5.0,
                format="%.0f",
                help=_("Bad captions still left by the audit, as a share of all the site's captions, against the last "
                       "retraining: 25 means that a quarter of them is gone. 0: this rule is off."),
            ),
            "schedule": left.text_input(
                _("On a schedule (cron)"), rules.schedule, placeholder="0 3 * * 6", max_chars=100,
                help=_("Minute, hour, day, month, weekday, by this machine's clock: 0 3 * * 6 is Saturday at three. "
                       "Only when something was fixed since the last retraining. Empty: this rule is off."),
            ),
            "no_start_between": right.text_input(
                _("Never start between"), rules.no_start_between, placeholder="08:00-18:00", max_chars=20,
                help=_("What is due in these hours waits until they are over. A retraining that a person asks for "
                       "starts all the same. Empty: any hour."),
            ),
        }  # fmt: skip
        saved = st.form_submit_button(_("Save the rules"), type="primary", icon=":material/save:")
    if saved:
        save(at, asked)


def save(at: Opened, asked: dict[str, Any]) -> None:
    """Write what changed into genba.toml, and an event; a value that cannot be read is told, and nothing written."""
    _ = at.translate
    before = at.site.settings.retrain
    asked = {**asked, "after_error_fell": round(asked["after_error_fell"] / 100, 4)}
    changed = {key: value for key, value in asked.items() if value != getattr(before, key)}
    try:
        set_values(at.site.settings_path, "retrain", changed)
    except GenbaError as error:
        show_error(error)
        return
    if changed:
        with at.site.connect() as db:
            db.event(
                at.person,
                "retrain.rules",
                {"before": {key: getattr(before, key) for key in changed}, **changed},
            )
        st.toast(_("Saved."), icon=":material/check:")
        st.rerun()
