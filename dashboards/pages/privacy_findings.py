"""The findings of the page "Fairness and privacy": what was looked through, what was found, what may be done with each.

Captions and names are shown by st.text alone: nothing in them is read as Markdown or HTML.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from annotate.pages.elements import (
    Opened,
    empty,
    escaped,
    go_to,
    heading,
    note,
    opened,
    photo_url,
    show_error,
)
from annotate.pages.jobs_strip import live_strip
from annotate.roles import is_lead
from dashboards import personal_findings as kept
from dashboards import personal_scan, privacy_words
from dashboards.pages.elements import download, how
from dashboards.personal_findings import SENT, Finding
from dashboards.personal_scan import CAPTION, PHOTO, Done
from data import jobs
from data.errors import GenbaError
from data.messages import moment, number

PAGE_ROWS = 6
PHOTO_WIDTH = 112


def show(found: Sequence[Finding], done: Done, at: Opened) -> None:
    """Counts, the scan, then captions and photos."""
    _scan(found, done, at)
    may = _may_decide(at)
    left, right = st.columns([3, 2], gap="small")
    for column, kind, title in (
        (left, CAPTION, at.translate("In captions")),
        (right, PHOTO, at.translate("In photos")),
    ):
        with column, st.container(border=True, height="stretch", gap="small"):
            heading(title)
            _list([one for one in found if one.kind == kind], kind, done, may, at)
    _decided(may, at)


def _scan(found: Sequence[Finding], done: Done, at: Opened) -> None:
    _ = at.translate

    def share(part: int, whole: int) -> str:
        return f"{number(part, at.language)} / {number(whole, at.language)}"

    in_captions = sum(kept.open_findings([one for one in found if one.kind == CAPTION]).values())
    in_photos = sum(kept.open_findings([one for one in found if one.kind == PHOTO]).values())
    with st.container(border=True, gap="small"):
        columns = st.columns([1, 1, 1.3, 1.3], gap="small")
        columns[0].metric(_("Open in captions"), number(in_captions, at.language) if done.at else "—")
        columns[1].metric(_("Open in photos"), number(in_photos, at.language) if done.photos_done else "—")
        columns[2].metric(_("Different captions looked through"), share(done.captions_done, done.captions))
        columns[3].metric(_("Photos looked at"), share(done.photos_done, done.photos))
        if done.unreadable:
            text = _("{n} of the photos could not be opened; the next look at the photos tries them again.")
            note(text.format(n=number(done.unreadable, at.language)))
        with st.container(horizontal=True, vertical_alignment="center"):
            _buttons(at)
            if done.at:
                note(_("Last looked: {when}").format(when=moment(done.at, at.language)))
        live_strip()
        with st.expander(_("What is looked for, and what is not found"), icon=":material/help:"):
            for sentence in privacy_words.limits(at.language):
                st.text(sentence)
        how(
            _("How is this computed?"),
            _(
                "A finding counts while its caption is in force and its photo is not excluded. Open: nobody has "
                "decided, or it waits in the queue for its correction."
            ),
            kept.FINDINGS_SQL, personal_scan.DONE_SQL,
        )  # fmt: skip


def _buttons(at: Opened) -> None:
    """Start the scan, or stop the one that runs."""
    _ = at.translate
    with at.site.connect() as db:
        active = [one for one in jobs.jobs(db, 20) if one.name == "privacy" and one.state in jobs.ACTIVE]
    if active:
        if st.button(_("Stop looking"), icon=":material/stop_circle:", key="privacy-stop"):
            with at.site.connect() as db:
                for one in active:
                    jobs.cancel(db, one.job_id)
            st.rerun()
        _waits()
        return
    for key, photos, label, icon in (
        ("captions", False, _("Look through the captions"), ":material/text_snippet:"),
        ("photos", True, _("Captions and photos"), ":material/image_search:"),
    ):
        if st.button(label, icon=icon, key=f"privacy-scan-{key}"):
            with at.site.connect() as db:
                jobs.enqueue(db, "privacy", {"photos": photos}, at.person)
            st.rerun()


@st.fragment(run_every=2)
def _waits() -> None:
    """Says so until the worker takes the scan up; then the strip below tells how far it is."""
    at = opened()
    with at.site.connect() as db:
        is_queued = any(one.name == "privacy" and one.state == "queued" for one in jobs.jobs(db, 20))
    if is_queued:
        note(at.translate("Waits for the worker"))


def _may_decide(at: Opened) -> bool:
    _ = at.translate
    if not st.session_state.get("name"):
        note(_("Enter your name on the left: every decision stands with a name."))
        return False
    if not is_lead(at.site, at.person):
        names = ("、" if at.language == "ja" else ", ").join(at.site.settings.review.leads)
        note(_("Leads decide: {names}").format(names=names))
        return False
    return True


def _list(found: list[Finding], kind: str, done: Done, may: bool, at: Opened) -> None:
    _ = at.translate
    undecided = [one for one in found if one.decision in (None, SENT)]
    seen = done.captions_done if kind == CAPTION else done.photos_done
    if not undecided:
        _nothing(kind, bool(seen), bool(found), at)
        return
    counts = kept.open_findings(undecided)
    names = {
        what: f"{privacy_words.what_name(what, at.language)} ({number(n, at.language)})"
        for what, n in counts.items()
    }
    chosen = st.segmented_control(
        _("Kind"), list(names), default=next(iter(names)), format_func=names.__getitem__, required=True,
        key=f"privacy-kind-{kind}-{'-'.join(names)}", label_visibility="collapsed",
    )  # fmt: skip
    what = chosen if chosen in names else next(iter(names))
    group = [one for one in undecided if one.what == what]
    pages = -(-len(group) // PAGE_ROWS)
    key = f"privacy-page-{kind}-{what}"
    number_now = min(st.session_state.get(key, 1), pages)
    for one in group[(number_now - 1) * PAGE_ROWS : number_now * PAGE_ROWS]:
        _row(one, may, at)
    if pages > 1:
        st.pagination(pages, default=number_now, key=key)
    with st.container(horizontal=True, vertical_alignment="center"):
        fresh = [one.finding_id for one in group if one.decision is None]
        if may and len(fresh) > 1:
            _dismiss_all(fresh, what, at)
        download(_table(group, at), f"privacy-{kind}-{what}", at)


def _nothing(kind: str, is_seen: bool, has_found: bool, at: Opened) -> None:
    _ = at.translate
    if not is_seen:
        empty(
            _("Not looked through yet"),
            _("What is found appears here."),
            ":material/search:",
        )
    elif has_found:
        empty(
            _("All findings are decided"),
            _("Decisions stand below and can be undone."),
            ":material/task_alt:",
        )
    else:
        empty(
            _("Nothing was found"),
            _("That does not mean that nothing is there: see what is not found."),
            ":material/search_off:",
        )


def _row(one: Finding, may: bool, at: Opened) -> None:
    _ = at.translate
    with st.container(border=True, key=f"finding-{one.finding_id[:16]}"):
        photo, text = st.columns([1, 3.4], vertical_alignment="center")
        url = photo_url(at.site, one.image_id)
        photo.image(url, width=PHOTO_WIDTH, link=url, alt=_("Photo {name}").format(name=one.image))
        with text, st.container(gap="xsmall"):
            _said(one, at)
            if one.decision == SENT:
                _sent(one, may, at)
            elif may:
                _actions(one, at)


def _said(one: Finding, at: Opened) -> None:
    _ = at.translate
    if one.kind == CAPTION:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(escaped(one.text), color="orange")
            note(_("Photos: {n}").format(n=number(one.places, at.language)))
        st.text(one.caption or "")
        return
    note(one.image)
    if one.what == personal_scan.FACE:
        st.text(_("Likely faces: {n}").format(n=number(len(one.detail["boxes"]), at.language)))
    else:
        st.text(f"{one.detail['latitude']:.4f}, {one.detail['longitude']:.4f}")


def _sent(one: Finding, may: bool, at: Opened) -> None:
    _ = at.translate
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(_("Waits at the head of the queue"), icon=":material/vertical_align_top:", color="blue")
        note(_by(one.decided_by or "", one.decided_at, at))
        if may and st.button(
            _("Undo"), key=f"undo-{one.finding_id}", type="tertiary", icon=":material/undo:"
        ):
            _do(lambda: kept.undo(at.site, str(one.decision_id), at.person))


def _by(name: str, when: Any, at: Opened) -> str:
    return f"{name} · {moment(when, at.language)}"


def _actions(one: Finding, at: Opened) -> None:
    _ = at.translate
    key = one.finding_id
    with st.container(horizontal=True, vertical_alignment="center"):
        if one.kind == PHOTO:
            if st.button(_("Exclude the photo"), key=f"exclude-{key}", icon=":material/block:"):
                _do(lambda: kept.exclude(at.site, key, at.person))
        elif one.waits:
            if st.button(_("Send to correction"), key=f"send-{key}", icon=":material/edit_note:"):
                _do(lambda: kept.send(at.site, key, at.person))
        elif st.button(_("Open in the form"), key=f"form-{key}", icon=":material/edit:"):
            st.session_state["open_pair"] = one.form_pair_id
            go_to("correct")
        label = _("May stay") if one.what in ("term", "gps", "face") else _("Not personal")
        if st.button(label, key=f"dismiss-{key}", type="tertiary", icon=":material/check:"):
            _do(lambda: kept.dismiss(at.site, [key], at.person))


def _dismiss_all(finding_ids: list[str], what: str, at: Opened) -> None:
    _ = at.translate
    label = _("All {n} may stay").format(n=number(len(finding_ids), at.language))
    with st.popover(label, icon=":material/done_all:", type="tertiary"):
        note(_("Each can be undone below."))
        if st.button(_("Yes, all of them"), key=f"dismiss-all-{what}"):
            _do(lambda: kept.dismiss(at.site, finding_ids, at.person))


def _do(action: Callable[[], object]) -> None:
    try:
        action()
    except GenbaError as error:
        show_error(error)
        return
    st.rerun()


def _table(group: list[Finding], at: Opened) -> object:
    """A pandas.DataFrame, one row for each finding."""
    import pandas

    _ = at.translate
    return pandas.DataFrame(
        {
            _("Kind"): privacy_words.what_name(one.what, at.language), _("Found"): one.text,
            _("Photos"): one.places, _("Photo"): one.image, _("Caption"): one.caption or "",
        }
        for one in group
    )  # fmt: skip


def _decided(may: bool, at: Opened) -> None:
    """The decisions that stand, with their authors, to undo."""
    _ = at.translate
    rows = kept.decided(at.site)
    if not rows:
        return
    with st.expander(
        _("Decisions ({n})").format(n=number(len(rows), at.language)), icon=":material/history:"
    ):
        for row in rows[: 2 * PAGE_ROWS]:
            with st.container(horizontal=True, vertical_alignment="center"):
                st.badge(privacy_words.decision_name(row["decision"], at.language), color="gray")
                st.text(f"{privacy_words.what_name(row['what'], at.language)}: {row['text'] or row['image']}")
                note(_by(row["decided_by"], row["decided_at"], at))
                if may and st.button(
                    _("Undo"),
                    key=f"undo-decision-{row['decision_id']}",
                    type="tertiary",
                    icon=":material/undo:",
                ):
                    decision = row["decision_id"]
                    _do(lambda decision=decision: kept.undo(at.site, decision, at.person))  # type: ignore[misc]
        if len(rows) > 2 * PAGE_ROWS:
            note(_("The newest {n} are shown.").format(n=number(2 * PAGE_ROWS, at.language)))
