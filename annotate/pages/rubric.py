"""What a good caption is: the template's own words, beside the form. The audit judges by the same ones."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from annotate.pages.elements import Opened, guide_link, note
from data.template_schema import Examples, GlossaryTerm


def show(at: Opened) -> None:
    """The points, always in sight; examples one click away."""
    _ = at.translate
    template = at.site.template()
    one = template.language(at.language) if at.language in template.languages else template.languages[0]
    with st.container(border=True, gap="xxsmall", key="rubric-box"):
        with st.container(horizontal=True, vertical_alignment="center", horizontal_alignment="distribute"):
            note(_("What is a good caption?"))
            if one in template.examples:
                with (
                    st.container(key="rubric", width="content"),
                    st.popover(_("Examples"), icon=":material/menu_book:", type="tertiary"),
                ):
                    _examples(template.examples[one], at)
                    _glossary(template.glossary.get(one, ()), at)
                    guide_link()  # what scrolls needs something that can be focused
        with st.container(gap=None, key="rubric-points"):
            for line in template.rubric[one]:
                note(f"• {line}")


def _glossary(terms: Sequence[GlossaryTerm], at: Opened) -> None:
    """Local words and abbreviations, with the standard term to write."""
    if terms:
        note(at.translate("Write the standard term:"))
        with st.container(gap=None):
            for one in terms:
                note(f"{'、'.join(one.words)} → {one.term}")


def _examples(examples: Examples, at: Opened) -> None:
    _ = at.translate
    for good in examples.good:
        with st.container(horizontal=True, wrap=False):
            st.badge(_("good"), icon=":material/check:", color="green")
            st.text(good)
    for bad in examples.bad:
        with st.container(horizontal=True, wrap=False):
            st.badge(_("poor"), icon=":material/close:", color="red")
            with st.container(gap=None):
                st.text(bad.caption)
                note(bad.why)
