"""What a template makes, before it is saved: the form, the captions, the page of Label Studio, and what changes."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import streamlit as st

from annotate import form
from annotate.labeling_config import labeling_config
from annotate.pages import inputs
from annotate.pages.elements import Opened, escaped, heading, note
from annotate.template_changes import changes, studio_change
from data.messages import LANGUAGES
from data.template_schema import Language
from data.templates import Template

HEIGHT = 360
COLORS = {"added": "green", "removed": "red", "renamed": "blue", "changed": "gray"}
ICONS = {
    "added": ":material/add:", "removed": ":material/remove:", "renamed": ":material/edit:",
    "changed": ":material/change_circle:",
}  # fmt: skip


def show(template: Template, current: Template, at: Opened) -> None:
    """Everything that can be seen beforehand; `current` is the template in use."""
    _ = at.translate
    made, words, differs, studio = st.tabs(
        [_("Form and captions"), _("Rubric and words"), _("What changes"), "Label Studio"]
    )
    with made:
        _form(template, at)
    with words:
        _words(template, at)
    with differs:
        _changes(template, current, at)
    with studio:
        _studio(template, current, at)


def _own_language(template: Template, at: Opened) -> Language:
    return template.language(at.language) if at.language in template.languages else template.languages[0]


def _form(template: Template, at: Opened) -> None:
    """The form, filled in with a good example's answers; it can be tried out."""
    _ = at.translate
    language = _own_language(template, at)
    good = template.examples[language].good if language in template.examples else ()
    chosen = st.selectbox(
        _("Filled in from"), [*good, ""], key="template-example", format_func=lambda text: text or _("nothing"),
    )  # fmt: skip
    values = _values(template, chosen or "", language)
    with st.container(border=True, gap="xsmall"):
        note(_("New caption"))
        for one, text in form.compiled(template, values, list(template.languages)).items():
            with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
                with st.container(width=inputs.LABEL_WIDTH):
                    note(LANGUAGES[one])
                st.text(text or "…", width="stretch")
    with st.container(border=True, gap="xsmall", key="template-form"):
        for item in form.items(template, values, language):
            key = f"preview-{_digest(template, chosen or '')}-{item.id}"
            with st.container(horizontal=True, vertical_alignment="center", wrap=False, gap="small"):
                with st.container(width=inputs.LABEL_WIDTH):
                    label = item.label if item.required else _("{item} (optional)").format(item=item.label)
                    st.text(label, help=escaped(item.help) if item.help else None)
                with st.container(width="stretch", gap=None):
                    inputs.WIDGETS[item.type](item, key, partial(_answered, values, item.id, key))


def _values(template: Template, example: str, language: Language) -> dict[str, Any]:
    """The answers of the form that is tried out; they begin anew with another text or another example."""
    digest = _digest(template, example)
    if st.session_state.get("template-tried") != digest:
        st.session_state["template-tried"] = digest
        st.session_state["template-values"] = form.prefill(template, example, language)
    values: dict[str, Any] = st.session_state["template-values"]
    return values


def _digest(template: Template, example: str) -> str:
    return hashlib.sha256(f"{template.source}\x00{example}".encode()).hexdigest()[:12]


def _answered(values: dict[str, Any], slot_id: str, key: str) -> None:
    values[slot_id] = st.session_state[key]


def _words(template: Template, at: Opened) -> None:
    """What staff read beside the form: the rubric, the glossary, words that say nothing."""
    _ = at.translate
    language = _own_language(template, at)
    with st.container(gap=None):
        for line in template.rubric[language]:
            st.text(f"• {line}")
    heading(_("Glossary"))
    terms = [
        {_("Term"): one.term, _("Also written"): "、".join(one.words)}
        for one in template.glossary.get(language, ())
    ]
    if terms:
        st.dataframe(terms, hide_index=True, height="content")
    else:
        note(_("No local words yet."))
    heading(_("Words that say nothing"))
    vague = [
        {_("Word"): one.word, _("Write instead"): one.instead} for one in template.vague.get(language, ())
    ]
    if vague:
        st.dataframe(vague, hide_index=True, height="content")
    else:
        note(_("None yet."))


def _changes(template: Template, current: Template, at: Opened) -> None:
    """In words, against the version in use."""
    _ = at.translate
    found = changes(current, template)
    note(_("Compared with {name}, which is in use:").format(name=f"{current.id}@{current.version}"))
    if not found:
        st.text(_("Nothing that anybody would see or read."))
    for change in found:
        with st.container(horizontal=True, wrap=False, vertical_alignment="center", gap="small"):
            st.badge(_kind(change.kind, at), icon=ICONS[change.kind], color=COLORS[change.kind])  # type: ignore[arg-type]
            st.text(change.in_words(at.language))
    note(_("Corrections made so far keep their version, their answers and their captions."))


def _kind(kind: str, at: Opened) -> str:
    _ = at.translate
    return {"added": _("new"), "removed": _("gone"), "renamed": _("renamed"), "changed": _("changed")}[kind]


def _studio(template: Template, current: Template, at: Opened) -> None:
    """The labeling page, and what a new version means there."""
    _ = at.translate
    languages = [str(one) for one in at.site.settings.site.languages]
    differs = studio_change(current, template, languages)
    if template.source == current.source:
        st.text(_("This is the page in use."))
    elif differs.is_same_page:
        st.text(_("The page looks the same."))
    elif differs.is_additive:
        st.badge(_("additive"), icon=":material/add:", color="green")
        st.text(_("Every answer of the page in use has its place on the new page."))
    else:
        st.badge(_("not additive"), icon=":material/warning:", color="orange")
        st.text(_("The new page has no place for: {items}").format(items=", ".join(differs.lost)))
    if template.source != current.source:
        note(_project_words(template, current, at))
    st.code(labeling_config(template, languages), language="xml", height=HEIGHT)


def _project_words(template: Template, current: Template, at: Opened) -> str:
    """Label Studio has one project for each version (annotate/projects.py)."""
    _ = at.translate
    with at.site.connect() as db:
        tasks = db.value("SELECT count(*) FROM tasks WHERE template = ?", [f"{current.id}@{current.version}"])
    return _(
        "In Label Studio the new version becomes a project of its own. The project of {old} stays with its {n} tasks, "
        "and answers given there still arrive; the pairs that wait are sent to the new project at the next exchange."
    ).format(old=f"{current.id}@{current.version}", n=tasks)
