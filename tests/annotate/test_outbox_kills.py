"""The outbox with a process killed at each step: ours with SIGKILL at nine places, Label Studio's at two. All real.

Whatever is killed, the answer is in the store and in Label Studio exactly once when the next sync has gone through.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any

import pytest

from annotate import corrections, incoming, outbox, sync
from annotate.label_studio import LabelStudio, LabelStudioError
from data.settings import set_value
from data.site import Site
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.exchange import SLOTS, disagreements, in_child
from tests.annotate.gateway import gateway
from tests.annotate.sites import pair_of, rows, site_beside

TOKEN = "one form"


@pytest.fixture
def site(label_studio: RunningLabelStudio) -> Site:
    return site_beside(label_studio)


def save(site: Site) -> Any:
    """What the form does; a form that is sent again is the same answer."""
    return corrections.submit(
        site, pair_id=pair_of(site, 0), annotator="佐藤 花子", verdict="fix", slots=SLOTS, active_seconds=20.5,
        token=TOKEN,
    )  # fmt: skip


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def then_die(function: Callable[..., Any]) -> Callable[..., Any]:
    def done(*given: Any, **named: Any) -> None:
        function(*given, **named)
        die()

    return done


def before_the_commit(site: Site) -> None:
    corrections.record = then_die(corrections.record)
    save(site)


def after_the_commit(site: Site) -> None:
    save(site)
    die()


def before_the_request(site: Site) -> None:
    LabelStudio.submit = die  # type: ignore[method-assign]
    sync.sync(site)


def when_the_answer_came(site: Site) -> None:
    outbox.stand = die
    sync.sync(site)


def while_it_is_marked_done(site: Site) -> None:
    outbox.mark_done = then_die(outbox.mark_done)  # inside the transaction, which never commits
    sync.sync(site)


def after_it_was_marked_done(site: Site) -> None:
    outbox._create = then_die(outbox._create)
    sync.sync(site)


def while_it_is_read_back(site: Site) -> None:
    incoming._take_tasks = die
    incoming._different = lambda visit, tasks: tasks
    sync.sync(site)


STEPS = [
    before_the_commit, after_the_commit, before_the_request, when_the_answer_came, while_it_is_marked_done,
    after_it_was_marked_done, while_it_is_read_back,
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_killed_at(step: Callable[[Site], None], site: Site) -> None:
    if "commit" not in step.__name__:
        save(site)
    child = in_child(lambda: step(site))
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    stored = rows(site, "SELECT * FROM corrections")
    assert len(stored) == (step is not before_the_commit)
    waits = rows(site, "SELECT * FROM outbox WHERE done_at IS NULL")
    assert len(waits) == (step not in (before_the_commit, after_it_was_marked_done, while_it_is_read_back))
    _once(site)


@pytest.mark.parametrize("request_of", ["/import", "/annotations"])
def test_killed_while_the_request_is_under_way(
    request_of: str, site: Site, label_studio: RunningLabelStudio
) -> None:
    """Label Studio has done it; the one who asked is dead before it hears."""
    save(site)
    with gateway(label_studio.url) as at:
        at.rule = lambda method, path: "hold" if method == "POST" and request_of in path else "pass"
        set_value(site.settings_path, "label_studio", "port", at.port)
        through = Site.open(site.root)
        child = in_child(lambda: sync.sync(through))
        assert at.arrived.wait(60)
        assert child.pid
        os.kill(child.pid, signal.SIGKILL)
        child.join(60)
        assert child.exitcode == -signal.SIGKILL
    set_value(site.settings_path, "label_studio", "port", label_studio.port)
    _once(site)


@pytest.mark.parametrize("what", ["drop", "cut"], ids=["before it is written", "after it is written"])
def test_label_studio_killed(what: str, site: Site, label_studio: RunningLabelStudio) -> None:
    save(site)
    sync.push(site, 4)
    with gateway(label_studio.url) as at:

        def rule(method: str, path: str) -> str:
            if method != "POST" or "/annotations" not in path:
                return "pass"
            if what == "drop":
                label_studio.kill()
            return what

        at.rule = rule
        set_value(site.settings_path, "label_studio", "port", at.port)
        try:
            with pytest.raises(LabelStudioError):
                sync.sync(Site.open(site.root))
        finally:
            label_studio.kill()
            label_studio.start()
    set_value(site.settings_path, "label_studio", "port", label_studio.port)
    assert len(rows(site, "SELECT * FROM outbox WHERE done_at IS NULL")) == 1
    _once(site)


def _once(site: Site) -> None:
    """The person sends the form again where it was not confirmed; the worker syncs again."""
    made = save(site)
    sync.sync(site)
    stored = rows(site, "SELECT correction_id, state FROM corrections")
    assert stored == [{"correction_id": made.correction_id, "state": "active"}]
    assert disagreements(site) == []
    quiet = sync.sync(site, full=True)
    assert quiet.differences == [] and (quiet.sent, quiet.new, quiet.edited) == (0, 0, 0)
