"""Which model ranks the queue: promotion with its gate and its check, and the way back."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from data.errors import GenbaError
from data.jobs import jobs
from data.settings import set_value
from data.site import Site
from data.store import now
from scoring.encoders import load_for_site
from tests.conftest import CHECKOUT
from tests.training.conftest import Made
from tests.training.gates import YES, effect, let_pass, model_effects, slice_gap
from training import checklist, registry
from training.bench import items_of
from training.evaluate import evaluate
from training.model_files import check_model, encoder_of, model_folder, read_meta, write_model
from training.registry import checks, models, promote, rollback

Small = Callable[..., Made]


@pytest.fixture
def made(small_site: Small) -> Made:
    return small_site(photos={"train": 2, "test": 6})


def add_model(
    site: Site, model_id: str, passes: bool = True, effects: list[dict[str, Any]] | None = None
) -> str:
    """A candidate with real files: the base encoder's weights, a little changed. passes: the gate accepts it."""
    from data.snapshots import collect

    encoder = load_for_site(site, site.settings.site.encoder, "cpu")
    weights = {name: value * 1.01 for name, value in encoder.model.state_dict().items()}
    meta = {"run_id": f"run-{model_id}", "snapshot_id": "s", "arm": "corrected", "in_use": site.encoder_id(),
            "effects": model_effects()}  # fmt: skip
    meta = write_model(site, encoder, weights, model_id, meta, items_of(collect(site), "test"))
    found = [effect(0.01, 0.2)] if effects is None else effects
    with site.connect() as db:
        db.insert("models", [{"model_id": model_id, "run_id": f"run-{model_id}", "arm": "corrected",
                              "state": "candidate", "encoder": encoder_of(model_id), "base_encoder": encoder.id,
                              "meta": meta, "created_at": now()}])  # fmt: skip
        db.insert("effects", [{"run_id": f"run-{model_id}", **one} for one in found])
        db.insert("slice_gaps", [slice_gap(f"run-{model_id}")])
    return let_pass(site, model_id) if passes else model_id


def states(site: Site) -> dict[str, str]:
    return {row["model_id"]: row["state"] for row in models(site)}


def queued(site: Site) -> list[tuple[str, str]]:
    with site.connect() as db:
        return [(job.name, job.requested_by) for job in jobs(db)]


def happened(site: Site, what: str) -> list[dict[str, Any]]:
    with site.connect() as db:
        return [
            row["detail"]
            for row in db.rows("SELECT detail FROM events WHERE what = ? ORDER BY occurred_at", [what])
        ]


def test_a_promoted_model_is_in_use_and_scored_with(made: Made) -> None:
    site = made.site
    add_model(site, "m1")
    promote(site, "m1", "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    assert load_for_site(site).id == "local-dir:models/m1"
    assert queued(site) == [("score", "佐藤")]
    with pytest.raises(GenbaError, match="m1 is in use already"):
        promote(site, "m1", "佐藤")


def test_promoting_another_retires_the_one_before(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2"):
        promote(site, add_model(site, name), "佐藤")
    assert states(site) == {"m2": "champion", "m1": "retired"}
    assert models(site)[0]["model_id"] == "m2"


def test_rolling_back_goes_step_by_step_to_the_base(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2", "m3"):
        promote(site, add_model(site, name), "佐藤")
    seen = []
    for _ in range(3):
        assert rollback(site, "田中") == site.encoder_id()
        seen.append(site.encoder_id())
    assert seen == ["local-dir:models/m2", "local-dir:models/m1", site.settings.site.encoder]
    with pytest.raises(GenbaError, match="nothing to go back to"):
        rollback(site, "田中")
    assert ("score", "田中") in queued(site) or ("score", "佐藤") in queued(site)


def test_a_rollback_never_comes_back_to_a_model_that_was_left(made: Made) -> None:
    site = made.site
    promote(site, add_model(site, "m1"), "佐藤")
    promote(site, add_model(site, "bad"), "佐藤")
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    promote(site, add_model(site, "m2"), "佐藤")
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    promote(site, "bad", "佐藤")  # by hand it can be taken up again: it was measured against m1
    assert states(site)["bad"] == "champion"


@pytest.mark.parametrize("harm", ["all", "meta", "weights", "pickle"])
def test_a_rollback_passes_over_a_model_whose_files_were_deleted_or_changed(made: Made, harm: str) -> None:
    site = made.site
    for name in ("m1", "m2", "m3"):
        promote(site, add_model(site, name), "佐藤")
    folder = model_folder(site, "m2")
    if harm == "all":
        shutil.rmtree(folder)
    elif harm == "meta":
        (folder / "meta.json").unlink()
    elif harm == "weights":
        (folder / "open_clip_model.safetensors").write_bytes(b"half")
    else:
        (folder / "extra.pt").write_bytes(b"")
    shutil.rmtree(model_folder(site, "m3"))  # the one in use is gone too: all the more reason to go back
    rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"
    assert happened(site, "model.rolled_back") == [{"from": "m3", "to": "m1", "passed_over": ["m2"]}]
    shutil.rmtree(model_folder(site, "m1"))
    rollback(site, "佐藤")
    assert site.encoder_id() == site.settings.site.encoder


def test_what_the_gate_finds_is_named_and_nothing_is_changed(made: Made) -> None:
    site = made.site
    add_model(site, "m1", passes=False, effects=[effect(-0.01, 0.2)])
    with pytest.raises(
        GenbaError, match=r"m1 is not promoted\. No gain .* \+9.5 points .*−1.0 to \+20.0.*checklist"
    ):
        promote(site, "m1", "佐藤")
    assert (
        states(site) == {"m1": "candidate"} and queued(site) == [] and happened(site, "model.promoted") == []
    )


def test_a_model_measured_against_another_than_the_one_in_use_waits_for_a_new_run(made: Made) -> None:
    site = made.site
    for name in ("m1", "m2"):
        add_model(site, name)
    promote(site, "m1", "佐藤")
    with pytest.raises(
        GenbaError, match=r"m2 is not promoted\. Not measured: .* local-dir:models/m1 is in use now"
    ):
        promote(site, "m2", "佐藤")
    rollback(site, "佐藤")
    promote(site, "m2", "佐藤")


def test_only_the_first_promotion_needs_a_checklist(made: Made) -> None:
    site = made.site
    add_model(site, "m1")
    with site.connect() as db:
        db.execute("DELETE FROM checklists")
    with pytest.raises(GenbaError, match=r"first promotion needs a checklist .* sign m1 --purpose promotion"):
        promote(site, "m1", "佐藤")
    checklist.sign(
        site, "m1", "promotion", {**YES, "gaps": {"answer": "no", "note": "night is worse"}}, "佐藤"
    )
    with pytest.raises(GenbaError, match="says no to: I have looked at the gaps"):
        promote(site, "m1", "佐藤")
    checklist.sign(site, "m1", "promotion", YES, "佐藤")  # the last one counts
    promote(site, "m1", "佐藤")
    add_model(site, "m2")
    with site.connect() as db:
        db.execute("DELETE FROM checklists WHERE model_id = 'm2'")
    promote(site, "m2", "佐藤")


def test_slices_of_the_site_that_a_run_did_not_measure_stand_against_it(made: Made) -> None:
    site = made.site
    add_model(site, "m1")

    def state() -> str:
        return next(check.state for check in checks(site, "m1") if check.name == "slices")

    assert state() == "passed"
    with site.connect() as db:
        db.execute("DELETE FROM slice_gaps")
        db.execute("UPDATE pairs SET language = 'en', extra = '{\"line\": \"A\"}'")
    assert state() == "not_asked"
    with site.connect() as db:
        db.execute('UPDATE pairs SET extra = \'{"line": "B"}\' WHERE rowid % 2 = 0')
    assert state() == "not_measured"


KILLED = """
import os, signal, sys
from data.site import Site
from training import registry

def die(*given, **more):
    os.kill(os.getpid(), signal.SIGKILL)

registry.enqueue = die                      # the last step of both
getattr(registry, sys.argv[2])(Site.open(sys.argv[1]), *sys.argv[3:], by="佐藤")
"""


@pytest.mark.parametrize("act", ["promote", "rollback"])
def test_killed_between_the_steps_nothing_has_happened(made: Made, act: str) -> None:
    site = made.site
    promote(site, add_model(site, "m1"), "佐藤")
    add_model(site, "m2")
    before = models(site), site.encoder_id(), queued(site)
    words = ["m2"] if act == "promote" else []
    done = subprocess.run([sys.executable, "-c", KILLED, str(site.root), act, *words], cwd=CHECKOUT, check=False,
                          env={**os.environ, "PYTHONPATH": str(CHECKOUT)}, capture_output=True)  # fmt: skip
    assert done.returncode == -9, done.stderr
    assert (models(site), site.encoder_id(), queued(site)) == before
    if act == "promote":
        promote(site, "m2", "佐藤")
    else:
        rollback(site, "佐藤")
    assert site.encoder_id() == ("local-dir:models/m2" if act == "promote" else site.settings.site.encoder)


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = made.site
    for name in ("m1", "m2"):
        add_model(site, name)
    both_judged = threading.Barrier(2, timeout=60)

    def check_and_wait(*given: Any) -> None:
        check_model(*given)
        both_judged.wait()

    monkeypatch.setattr(registry, "check_model", check_and_wait)
    ended: dict[str, str] = {}

    def decide(model_id: str) -> None:
        try:
            promote(Site.open(site.root), model_id, "佐藤")
            ended[model_id] = ""
        except GenbaError as error:
            ended[model_id] = str(error)

    threads = [threading.Thread(target=decide, args=[name]) for name in ("m1", "m2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [name for name, error in ended.items() if not error]
    (loser,) = [name for name, error in ended.items() if error]
    assert f"{winner} is in use now" in ended[loser]
    assert states(site) == {winner: "champion", loser: "candidate"}
    assert len(happened(site, "model.promoted")) == 1 and queued(site) == [("score", "佐藤")]


def test_a_rollback_clicked_twice_goes_back_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    site = made.site
    for name in ("m1", "m2"):
        promote(site, add_model(site, name), "佐藤")

    def second_click(site: Site, model_id: str) -> bool:
        monkeypatch.undo()
        rollback(site, "田中")
        return True

    monkeypatch.setattr(registry, "_is_whole", second_click)
    with pytest.raises(GenbaError, match="Somebody else has just"):
        rollback(site, "佐藤")
    assert site.encoder_id() == "local-dir:models/m1"


@pytest.mark.parametrize("harm", ["weights", "missing", "unlike"])
def test_a_model_whose_files_do_not_give_what_was_measured_is_refused(made: Made, harm: str) -> None:
    site = made.site
    add_model(site, "m1")
    folder = model_folder(site, "m1")
    if harm == "weights":
        path = folder / "open_clip_model.safetensors"
        content = bytearray(path.read_bytes())
        content[-3] ^= 0x40
        path.write_bytes(bytes(content))
        message = "not those that its retraining wrote"
    elif harm == "missing":
        (folder / "meta.json").unlink()
        message = "has lost its files"
    else:
        meta = (folder / "meta.json").read_text()
        first = registry.models(site)[0]["meta"]["check"][0]["cosine"]
        (folder / "meta.json").write_text(meta.replace(f'"cosine": {first}', f'"cosine": {first + 0.1}', 1))
        message = "read back, scores"
    with pytest.raises(GenbaError, match=message):
        promote(site, "m1", "佐藤")
    assert states(site) == {"m1": "candidate"}


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "optimizer.pt", "notes.txt", "zipped", "open_clip_model.safetensors"]
)
def test_a_pickle_among_the_files_is_refused_and_never_opened(made: Made, tmp_path: Path, name: str) -> None:
    site, sprung = made.site, tmp_path / "sprung"
    add_model(site, "m1")
    path = model_folder(site, "m1") / name
    if name == "zipped":
        import torch

        torch.save({"a": Trap(sprung)}, path)
    else:
        path.write_bytes(pickle.dumps(Trap(sprung)))
    with pytest.raises(GenbaError, match=f"{name} is a pickle"):
        promote(site, "m1", "佐藤")
    for load in (
        lambda: load_for_site(site, "local-dir:models/m1"),
        lambda: evaluate(site, "m1", device="cpu"),
    ):
        if name == "open_clip_model.safetensors":
            with pytest.raises(GenbaError):
                load()
        else:
            load()
    assert not sprung.exists() and states(site) == {"m1": "candidate"}


def test_a_model_knows_where_it_comes_from(made: Made) -> None:
    add_model(made.site, "m1")
    meta = read_meta(made.site, "m1")
    assert meta["code"]["version"] and len(meta["code"]["content"]) == 16
    assert {"run_id", "snapshot_id", "fingerprint", "in_use"} <= set(meta)


def test_the_code_of_another_day_has_another_hash(tmp_path: Path) -> None:
    from training.lineage import content_hash

    (tmp_path / "training").mkdir()
    path = tmp_path / "training" / "a.py"
    path.write_text("x = 1\n")
    first = content_hash(tmp_path)
    path.write_text("x = 2\n")
    assert content_hash(tmp_path) != first
    path.write_text("x = 1\n")
    assert content_hash(tmp_path) == first


def test_unknown_models_name_the_known_ones(made: Made) -> None:
    add_model(made.site, "m1")
    for act in (
        lambda: promote(made.site, "m9", "佐藤"), lambda: evaluate(made.site, "m9"), lambda: checks(made.site, "m9"),
        lambda: checklist.sign(made.site, "m9", "export", YES, "佐藤"),
    ):  # fmt: skip
        with pytest.raises(GenbaError, match=r"No model 'm9'. Known: .*m1"):
            act()


def test_a_checklist_is_a_leads_and_complete(made: Made) -> None:
    site = made.site
    add_model(site, "m1", passes=False)
    set_value(site.settings_path, "review", "leads", ["佐藤"])
    site = Site.open(site.root)
    cases = [
        (YES, "田中", "may not decide this"), (YES, " ", "Nobody signs"),
        ({}, "佐藤", "'gaps' of the checklist is not answered"),
        ({**YES, "gaps": {"answer": "perhaps", "note": "x"}}, "佐藤", "'perhaps' to 'gaps' is none"),
        ({**YES, "gaps": {"answer": "yes", "note": "  "}}, "佐藤", "'gaps' has no note"),
        ({**YES, "gasp": YES["gaps"]}, "佐藤", "no question 'gasp'. Known: gaps"),
    ]  # fmt: skip
    for answers, by, message in cases:
        with pytest.raises(GenbaError, match=message):
            checklist.sign(site, "m1", "promotion", answers, by)
    with pytest.raises(GenbaError, match="No purpose 'fun'"):
        checklist.sign(site, "m1", "fun", YES, "佐藤")
    with site.connect() as db:
        assert db.value("SELECT count(*) FROM checklists") == 0
    checklist.sign(site, "m1", "promotion", YES, "佐藤")
    with site.connect() as db:
        kept = checklist.latest(db, "m1", "promotion")
    assert kept and kept["answers"] == YES and kept["signed_by"] == "佐藤"
    assert [gap["part"] for gap in kept["shown"]["gaps"]] == ["ja"], "what was shown is kept"


def test_every_export_needs_a_checklist_of_its_own(made: Made) -> None:
    site = made.site
    add_model(site, "m1")
    with pytest.raises(GenbaError, match="Every export needs a checklist"):
        checklist.require_for_export(site, "m1")  # the one for the promotion does not count
    signed = checklist.sign(site, "m1", "export", YES, "佐藤")
    assert checklist.require_for_export(site, "m1") == signed
    with site.connect() as db:
        row = {"export_id": "e", "model_id": "m1", "format": "onnx", "precision": "fp32", "path": "x", "report": {},
               "exported_by": "佐藤", "exported_at": now()}  # fmt: skip
        db.insert("edge_exports", [row])
    with pytest.raises(GenbaError, match="used for an earlier export"):
        checklist.require_for_export(site, "m1")
    checklist.sign(site, "m1", "export", {**YES, "use": {"answer": "no", "note": "まだ"}}, "佐藤")
    with pytest.raises(GenbaError, match="says no to: use"):
        checklist.require_for_export(site, "m1")


def test_signed_checked_promoted_and_rolled_back_by_the_command_line(made: Made, tmp_path: Path) -> None:
    from click.testing import CliRunner

    from genba import cli

    site = str(made.site.root)
    add_model(made.site, "m1")
    with made.site.connect() as db:
        db.execute("DELETE FROM checklists")

    def say(*words: str) -> dict[str, Any]:
        done = CliRunner().invoke(cli, ["models", site, *words, "--json"])
        return {**json.loads(done.stdout), "code": done.exit_code}

    found = say("check", "m1")["checks"]
    assert [one["name"] for one in found if one["state"] == "not_measured"] == ["checklist"]
    assert "--interactive" in say("sign", "m1")["next"]
    (tmp_path / "a.json").write_text(json.dumps(YES), encoding="utf-8")
    signed = say("sign", "m1", "--answers", str(tmp_path / "a.json"), "--by", "佐藤")
    assert (signed["purpose"], signed["code"]) == ("promotion", 0)
    assert say("promote", "m1")["encoder"] == "local-dir:models/m1"
    assert say("promote", "m1")["code"] == 1
    assert say("rollback")["encoder"] == made.site.settings.site.encoder


def test_the_questions_are_asked_one_by_one(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from training.commands import VERBS

    add_model(made.site, "m1", passes=False)
    typed = "".join(f"{'perhaps' + chr(10) if n == 0 else ''}yes\nnote {n}\n" for n in range(len(YES)))
    done = CliRunner().invoke(VERBS, ["models", str(made.site.root), "sign", "m1", "--interactive", "--by", "佐藤"],
                              input=typed)  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "language = ja" in done.output, "the gaps are shown first"
    with made.site.connect() as db:
        kept = checklist.latest(db, "m1", "promotion")
    assert kept and kept["answers"]["way_back"] == {"answer": "yes", "note": f"note {len(YES) - 1}"}


@pytest.mark.parametrize(
    ("content", "message"), [("[", "is no JSON"), ("[1]", "holds no answers"), (None, "cannot be read")]
)
def test_answers_that_cannot_be_read_are_told(tmp_path: Path, content: str | None, message: str) -> None:
    path = tmp_path / "answers.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(GenbaError, match=message):
        checklist.read_answers(path)


def test_evaluate_measures_a_model_on_what_is_checked_now(made: Made, tmp_path: Path) -> None:
    site = made.site
    add_model(site, "m1")
    rows = {row["metric"]: row for row in evaluate(site, "m1", device="cpu")}
    assert set(rows["recall_at_1_text_to_image"]) == {"task", "metric", "value", "unit", "n"}
    assert 0 <= rows["recall_at_1_text_to_image"]["value"] <= 1
    assert evaluate(site, "base", device="cpu") == evaluate(site, site.settings.site.encoder, device="cpu")
    promote(site, "m1", "佐藤")
    assert evaluate(site, "current", device="cpu") == evaluate(site, "m1", device="cpu")
    with site.connect() as db:
        db.execute("UPDATE corrections SET state = 'withdrawn', created_at = ?", [now() - timedelta(days=1)])
    with pytest.raises(GenbaError, match=r"Nothing can be measured. retrieval: no held-out .*audit"):
        evaluate(site, "base", device="cpu")
