"""Template: the form of the site as text, with what it makes of it before it is saved; versions, old ones too.

The text that somebody is at stands in the store, so that a reload loses nothing.
"""

from __future__ import annotations

import difflib

import streamlit as st

from annotate import template_versions
from annotate.pages import template_preview
from annotate.pages.elements import Opened, heading, note, opened, show_error, shows_errors
from annotate.roles import is_lead
from annotate.template_changes import changes
from annotate.template_versions import Version, next_number, raised, versions
from data.errors import GenbaError
from data.messages import moment
from data.template_file import TemplateError
from data.templates import Template

HEIGHT = 560
SHOWN = 160  # characters of a line with a mistake
TEXT = "template-text"  # the widget's key
DRAFTS = "template_drafts"  # in the store: person -> text


@shows_errors
def page() -> None:
    """Text at the left, what it makes at the right, versions below."""
    at = opened()
    _ = at.translate
    current, found = at.site.template(), versions(at.site)
    if TEXT not in st.session_state:
        st.session_state[TEXT] = _draft(at) or current.source
    st.title(_("Template"), anchor=False)
    note(
        _(
            "One text makes the form, the captions and the page of Label Studio. Nothing changes until you save."
        )
    )
    _saved(at)
    template, failure = _read(st.session_state[TEXT], at)
    left, right = st.columns([6, 7], gap="medium")
    with left:
        _editor(current, template, at)
    with right:
        if failure is not None:
            _mistakes(failure, at)
        elif template is not None:
            template_preview.show(template, current, at)
    _versions(found, current, at)


def _read(text: str, at: Opened) -> tuple[Template | None, GenbaError | None]:
    try:
        return template_versions.check(at.site, text), None
    except GenbaError as error:
        return None, error


def _name() -> str:
    """Of the person, "" while nobody has said who they are: then nothing is kept, and nothing saved."""
    return str(st.session_state.get("name") or "")


def _draft(at: Opened) -> str | None:
    with at.site.connect() as db:
        return (db.get_state(DRAFTS) or {}).get(_name())


def _keep_draft(text: str | None, at: Opened) -> None:
    """None: there is none any more."""
    if not _name():
        return
    with at.site.connect() as db:
        drafts = dict(db.get_state(DRAFTS) or {})
        drafts.pop(_name(), None)
        db.set_state(DRAFTS, drafts | ({_name(): text} if text is not None else {}))


def _put(text: str, at: Opened) -> None:
    """Into the editor; runs before the page is drawn again."""
    st.session_state[TEXT] = text
    _keep_draft(None if text == at.site.template().source else text, at)


def _saved(at: Opened) -> None:
    name = st.session_state.pop("template-saved", None)
    if name:
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            st.badge(at.translate("Saved"), icon=":material/check_circle:", color="green")
            st.text(at.translate("{name} is in use from now on.").format(name=name))


def _editor(current: Template, template: Template | None, at: Opened) -> None:
    """The text, and what may be done with it."""
    _ = at.translate
    st.text_area(
        _("Template as YAML"), key=TEXT, height=HEIGHT, on_change=lambda: _put(st.session_state[TEXT], at),
        help=_("Ctrl+Enter checks it. Every key is explained in data/template_schema.py."),
    )  # fmt: skip
    text = st.session_state[TEXT]
    is_changed = text != current.source
    number = next_number(at.site, template.id) if template else None
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        if template and number and is_changed and template.version < number:
            st.button(
                _("Raise the version to {n}").format(n=number), icon=":material/arrow_upward:", key="template-raise",
                on_click=_put, args=(raised(text, number), at),
            )  # fmt: skip
        name = f"{template.id}@{template.version}" if template else ""
        is_next = template is not None and number is not None and template.version >= number
        can_save = is_changed and is_next and bool(_name()) and is_lead(at.site, at.person)
        if st.button(
            _("Save as {name}").format(name=name) if template else _("Save"), type="primary", key="template-save",
            icon=":material/save:", disabled=not can_save,
        ):  # fmt: skip
            _save(text, at)
        if is_changed:
            st.button(
                _("Discard the changes"), type="tertiary", icon=":material/undo:", key="template-discard",
                on_click=_put, args=(current.source, at),
            )  # fmt: skip
    if is_changed and template and not is_next:
        note(_("Version {n} is there already: a version never changes.").format(n=template.version))
    if is_changed and not _name():
        note(_("Enter your name at the left to save: it stands with the version."))
    elif not is_lead(at.site, at.person):
        leads = ", ".join(at.site.settings.review.leads)
        note(_("Only {leads} may save a template.").format(leads=leads))


def _save(text: str, at: Opened) -> None:
    try:
        saved = template_versions.save(at.site, text, at.person)
    except GenbaError as error:
        show_error(error)
        return
    _keep_draft(None, at)
    st.session_state["template-saved"] = f"{saved.id}@{saved.version}"
    st.rerun()


def _mistakes(failure: GenbaError, at: Opened) -> None:
    """Each with its line, the key, and what may stand there."""
    _ = at.translate
    with st.container(border=True, key="template-mistakes"):
        st.badge(_("Not a template yet"), icon=":material/error:", color="red")
        lines = st.session_state[TEXT].splitlines()
        rows = failure.rows if isinstance(failure, TemplateError) else []
        for row in rows:
            st.text(row.in_words(at.language))
            if lines[row.line - 1 :]:
                line = lines[row.line - 1].strip()
                st.code(line if len(line) <= SHOWN else f"{line[:SHOWN]} …", language="yaml")
        if not rows:
            st.text(failure.what)
        if failure.choices:
            note(", ".join(failure.choices))
        note(_("The preview comes back once this is mended."))


def _versions(found: list[Version], current: Template, at: Opened) -> None:
    """All versions; an old one can be compared with the text above, and brought back as a new one."""
    _ = at.translate
    heading(_("Versions"))
    note(_("Old versions stay as they are: each correction names the one it was made with."))
    for version in found:
        with st.container(
            border=True, horizontal=True, vertical_alignment="center", key=f"template-{version.number}"
        ):
            st.text(f"{current.id}@{version.number}")
            if version.is_in_use:
                st.badge(_("in use"), icon=":material/check_circle:", color="green")
            note(_("{n} corrections").format(n=version.corrections))
            note(
                _history(version, at),
            )
            if not version.is_in_use:
                _old(version, current, at)


def _history(version: Version, at: Opened) -> str:
    if version.saved_by is None or version.saved_at is None:
        return at.translate("came with Genba or from a file")
    said = at.translate("saved by {name}, {time}")
    return said.format(name=version.saved_by, time=moment(version.saved_at, at.language))


def _old(version: Version, current: Template, at: Opened) -> None:
    _ = at.translate
    old = template_versions.open_version(at.site, version.number)
    with st.popover(_("Compare"), icon=":material/difference:", type="tertiary"):
        note(_("What would change if this version came back in place of the one in use:"))
        for change in changes(current, old):
            st.text("• " + change.in_words(at.language))
        lines = difflib.unified_diff(
            current.source.splitlines(), old.source.splitlines(), f"{current.id}@{current.version}",
            f"{old.id}@{old.version}", n=1, lineterm="",
        )  # fmt: skip
        st.code("\n".join(lines), language="diff", height=320)
    number = next_number(at.site, current.id)
    st.button(
        _("Bring back as version {n}").format(n=number), icon=":material/restore:", type="tertiary",
        key=f"template-restore-{version.number}", on_click=_put, args=(raised(old.source, number), at),
    )  # fmt: skip
