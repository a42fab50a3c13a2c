"""A draft in a real Label Studio: the page begins with it, and what becomes of it comes back with the answer."""

from __future__ import annotations

from annotate.label_studio import connect
from annotate.labeling_config import to_result
from annotate.sync import pull, push
from data.store import now
from tests.annotate.conftest import RunningLabelStudio
from tests.annotate.exchange import in_page, task_of
from tests.annotate.lot_sites import NUT
from tests.annotate.sites import pair_of, rows, site_beside


def test_a_draft_is_a_prediction_with_its_drafter_and_stays_with_the_answer(
    label_studio: RunningLabelStudio,
) -> None:
    site = site_beside(label_studio)
    template, pair_id = site.template(), pair_of(site, 1)
    captions = {one: template.caption(NUT, one) for one in ("ja", "en")}
    with site.connect() as db:
        db.insert("drafts", [{
            "draft_id": "d1", "pair_id": pair_id, "drafter": "zero-shot", "version": "1-abc", "template": template.id,
            "template_version": template.version, "slots": NUT, "confidence": {"part": 0.9}, "captions": captions,
            "quality": 0.75, "planted": False, "state": "offered", "drafted_at": now(), "calibrated": True,
        }])  # fmt: skip
    push(site, 10)
    studio = connect(label_studio.url, label_studio.account.token)
    shown = {}
    for number in (0, 1):
        task = studio.sdk.tasks.get(id=str(task_of(site, number)))
        prediction = dict(task.predictions[0])
        shown[number] = (prediction["model_version"], prediction["score"])
    assert shown[1] == ("zero-shot@1-abc", 0.75)
    assert shown[0][0] == "parts@1 caption"  # no draft: what the old caption states
    in_page(site, 1, to_result(template, "fix", {**NUT, "count": 2}))
    in_page(site, 0, to_result(template, "ok", {}))
    assert pull(site).new == 2
    kept = {
        row["old_pair_id"]: row["draft"] for row in rows(site, "SELECT old_pair_id, draft FROM corrections")
    }
    assert kept[pair_of(site, 0)] is None
    assert (kept[pair_id]["drafter"], kept[pair_id]["changed"]) == ("zero-shot", ["count"])
    assert kept[pair_id]["edit_distance"]["en"] > 0
