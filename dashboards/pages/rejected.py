"""Rows of tables and label files that were not taken in: how many for each reason, which, and as CSV; on Operations."""

from __future__ import annotations

import streamlit as st

from annotate.pages.elements import Opened, heading, note
from dashboards.pages.elements import download, how
from data.messages import number
from data.rejects import REJECTS_SQL, rejects

SHOWN = 200  # rows in the table; the file has them all


def show(at: Opened) -> None:
    """Below the other parts; a short line where everything was taken in."""
    import pandas

    _ = at.translate
    heading(_("Rows that were not taken in"))
    found = rejects(at.site)
    if not found:
        note(_("Everything that was read was taken in."))
        return
    meanings = _meanings(at)
    note(_("{n} rows. They leave the list when their source is read again and they can be taken in.").format(
        n=number(len(found), at.language)))  # fmt: skip
    table = pandas.DataFrame(
        {_("Why"): meanings.get(one.reason, one.reason), _("Row or file"): one.item, _("Details"): one.detail,
         _("Source"): one.source} for one in found
    )  # fmt: skip
    counts = table[_("Why")].value_counts()
    st.text("\n".join(_("{item}: {text}").format(item=why, text=number(int(n), at.language))
                      for why, n in counts.items()))  # fmt: skip
    st.dataframe(table.head(SHOWN), hide_index=True, width="stretch", key="rejected")
    if len(found) > SHOWN:
        note(_("The first {n}; the file has them all.").format(n=number(SHOWN, at.language)))
    download(table, "not-taken-in", at)
    formula = _(
        "What genba ingest and the watched folder could not read, as it was when each source was last read."
    )
    how(_("How is this computed?"), formula, REJECTS_SQL)


def _meanings(at: Opened) -> dict[str, str]:
    """data.ingest.REASONS and data.dense_labels.REASONS for a person."""
    _ = at.translate
    return {
        "not_found": _("no such photo"),
        "empty_file": _("the file is empty"),
        "not_an_image": _("not a known image format"),
        "unsupported_format": _("a format that cannot be decoded here (HEIC)"),
        "truncated": _("the file ends before the photo does"),
        "unreadable": _("the file cannot be opened or is damaged"),
        "too_large": _("more megapixels than the settings allow"),
        "outside_root": _("the file lies under no photo folder of the site"),
        "empty_row": _("an empty row"),
        "bad_row": _("the row cannot be read"),
        "duplicate": _("the same stands earlier in the same source"),
        "caption_too_long": _("the caption is too long"),
        "ambiguous": _("several photos have this name"),
        "wrong_size": _("not the size of its photo"),
        "unknown_class": _("an unknown class"),
        "nothing_labelled": _("nothing is labelled"),
        "no_shape": _("a shape that is no mask, such as a box"),
        "damaged_shape": _("a shape that cannot be read"),
    }
