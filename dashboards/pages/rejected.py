"""Rows of tables and label files that were not taken in: how many for each reason, which, and as CSV; on Operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from annotate.pages.elements import Opened, heading, note
from dashboards.pages.elements import download, how
from data import dense_labels, ingest
from data.messages import number
from data.rejects import COUNTS_SQL, REJECTS_SQL, counts, printable, rejects
from data.rows import place
from data.told import in_words

if TYPE_CHECKING:
    import pandas

MEANINGS = {**dense_labels.REASONS, **ingest.REASONS}
SHOWN = 200  # rows in the table; the file has them all


def show(at: Opened) -> None:
    """Below the other parts; a short line where everything was taken in."""
    with st.container(border=True, gap="small"):
        _show(at)


def _show(at: Opened) -> None:
    _ = at.translate
    heading(_("Rows that were not taken in"))
    counted = counts(at.site)
    if not counted:
        note(_("Everything that was read was taken in."))
        return
    n = sum(counted.values())
    note(_("{n} rows. They leave the list when their source is read again and they can be taken in.").format(
        n=number(n, at.language)))  # fmt: skip
    lines = [
        (in_words(MEANINGS.get(why, why), at.language), number(rows, at.language))
        for why, rows in counted.items()
    ]
    st.text("\n".join(_("{item}: {text}").format(item=why, text=rows) for why, rows in lines))
    widths = {_("Why"): 210, _("Row or file"): 110, _("Details"): 440}  # px, so that the details are in sight
    columns = {name: st.column_config.TextColumn(width=width) for name, width in widths.items()}
    st.dataframe(_table(at, SHOWN), hide_index=True, width="stretch", key="rejected", column_config=columns)
    if n > SHOWN:
        note(_("The first {n}; the file has them all.").format(n=number(SHOWN, at.language)))
    download(lambda: _table(at), "not-taken-in", at)
    formula = _(
        "What genba ingest and the watched folder could not read, as it was when each source was last read."
    )
    how(_("How is this computed?"), formula, COUNTS_SQL, REJECTS_SQL)


def _table(at: Opened, first: int | None = None) -> pandas.DataFrame:
    """All rows, or the first ones, in the reader's language."""
    import pandas

    _ = at.translate
    return pandas.DataFrame(
        {
            _("Why"): in_words(MEANINGS.get(one.reason, one.reason), at.language),
            _("Row or file"): printable(in_words(place(one.item), at.language)),
            _("Details"): printable(in_words(one.detail, at.language)),
            _("Source"): printable(one.source),
        }
        for one in rejects(at.site, first)
    )
