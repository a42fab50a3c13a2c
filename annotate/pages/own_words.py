"""Streamlit's own words (labels for screen readers, hints in fields, toolbars of charts and tables) in Japanese.

Streamlit has them in English alone and no setting for them. A small script puts our words in their place as the browser
draws them: whole labels that are in the list, never a part of what the page or a person has written.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

from annotate.pages import keys
from data.messages import translator


def show(language: str) -> None:
    """Once on every page. Nothing for English, which is what Streamlit speaks."""
    if language != "en":
        keys.component("own_words", "own-words", _data(language))


@functools.cache
def _data(language: str) -> dict[str, Any]:
    """exact: English and ours of whole labels. patterns: expressions with one group, and ours with {} for it."""
    english, _ = translator("en"), translator(language)
    patterns = [
        [re.escape(there).replace(re.escape("{name}"), "(.+)"), ours.replace("{name}", "{}")]
        for there, ours in zip(_patterns(english), _patterns(_), strict=True)
    ]
    patterns.append([".+ icon", _("icon")])  # its English name says nothing here
    return {"exact": list(zip(_words(english), _words(_), strict=True)), "patterns": patterns}


def _words(_: Callable[[str], str]) -> list[str]:
    return [
        _("Autosize"), _("Choose an option"), _("Choose options"), _("Add options"), _("Clear all"),
        _("Clear value"), _("Close"), _("Close fullscreen"), _("Collapse sidebar"), _("Copied"),
        _("Copy to clipboard"), _("Copy Vega-Lite spec"), _("Decrement"), _("Dismiss"), _("Download as CSV"),
        _("Download as PNG"), _("Drag and drop file here"), _("Expand sidebar"), _("Format"), _("Fullscreen"),
        _("Help"), _("Hide column"), _("Increment"), _("Link to heading"), _("Navigate to home page"),
        _("Next page"), _("No results"), _("Open"), _("Pagination"), _("Pin column"),
        _("Press Ctrl+Enter to apply"), _("Press Ctrl+Enter to submit form"), _("Press Enter to apply"),
        _("Press Enter to submit form"), _("Previous page"), _("progress"), _("Search"), _("Select all"),
        _("Selected values"), _("Skip to main content"), _("Show chart"), _("Show data"), _("Show/hide columns"),
        _("Sidebar"),
        _("Sort ascending"), _("Sort descending"), _("Statistics"), _("Unpin column"), _("Upload"),
        _("Vega visualization"),
    ]  # fmt: skip


def _patterns(_: Callable[[str], str]) -> list[str]:
    return [
        _("Copy Vega-Lite spec: {name}"), _("Download as PNG: {name}"), _("Fullscreen: {name}"),
        _("Help for {name}"), _("Page {name}"), _("Remove {name}"), _("Show data: {name}"), _("{name} per file"),
        _("{name} options available."),
    ]  # fmt: skip
