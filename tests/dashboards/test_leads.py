"""What only leads start or set, page by page: everybody sees the button, and who may press it."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from data.messages import translator
from data.settings import set_value
from data.site import Site
from tests.dashboards.test_pages import rerun, show, texts

BUTTONS = {
    "runs": ["Start now"],
    "pilot": ["Start a pilot now"],
    "roi": ["Edit and save as a set"],
    "finder": ["Draw the audit", "Set the price"],
    "overview": ["Confirm the rates"],
}


def locked(at: AppTest, label: str) -> bool:
    return next(bool(button.disabled) for button in at.button if button.label == label)


@pytest.mark.parametrize("page", BUTTONS)
def test_only_leads_start_and_set(page: str, worked: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [translator("ja")(label) for label in BUTTONS[page]]
    assert not any(locked(show(page, worked, "ja", monkeypatch), label) for label in labels), (
        "no leads: anybody"
    )
    set_value(worked.settings_path, "review", "leads", ["佐藤", "鈴木"])
    at = show(page, worked, "ja", monkeypatch)
    assert all(locked(at, label) for label in labels)
    assert "リーダーだけが実行できます（佐藤、鈴木）" in texts(at).replace("\\", "")
    at.session_state["name"] = "佐藤"
    rerun(at)
    assert not any(locked(at, label) for label in labels)
