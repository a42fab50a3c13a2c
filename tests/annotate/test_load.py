"""Twenty simulated people for 45 seconds in every run, for five minutes in `make test-long` (tests/load_people.py)."""

from __future__ import annotations

import pytest

from tests.annotate.conftest import RunningLabelStudio
from tests.load_people import new_site, run


@pytest.mark.parametrize(
    ("seconds", "pairs"), [(45, 2000), pytest.param(300, 8000, marks=pytest.mark.long)], ids=["45 s", "300 s"]
)
def test_everything_that_was_saved_is_on_both_sides_once(
    seconds: float, pairs: int, label_studio: RunningLabelStudio, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(new_site(label_studio, pairs), people=20, seconds=seconds)
    with capsys.disabled():
        print(f"\n20 people, {seconds:.0f} s: {result}")
    assert result.wrong == []
    assert result.saved and result.made_in_label_studio and result.syncs_killed
    assert result.in_label_studio == result.states["active"] + result.states.get("conflict", 0)
