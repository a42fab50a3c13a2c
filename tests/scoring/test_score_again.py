"""What a later `genba score` does: only what is new, with the numbers of a site that was never scored before."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from data.ingest import ingest
from data.site import Site, init_site
from scoring import score as score_module
from scoring import signals as signals_module
from scoring.score import score
from scoring.signals import SIGNALS
from tests.data.makers import photo
from tests.scoring.conftest import add_pair, first_image, make_site, scores_of, write_tiny_encoder

PHOTOS = 130
PARTS = ("bolt", "nut", "washer", "gear")
JAPANESE = "トレーの上の真鍮製ナット1個。欠陥はありません。"


def caption(number: int) -> str:
    """Six in ten English, some Japanese, some vague, some without letters; many have the same vector for an encoder
    that does not know their words."""
    if number % 10 == 9:
        return "???" if number % 20 == 9 else "photo"
    if number % 10 in (3, 6, 8):
        return f"トレーの上の鋼製{('ボルト', 'ナット')[number % 2]}{number % 4 + 1}個。"
    return f"{number % 3 + 1} steel {PARTS[number % 4]}s on the tray, lot {number}"


def made(folder: Path, encoder: Path, photos: int = PHOTOS, template: str = "parts") -> Site:
    """A site large enough that its pairs teach something; every tenth photo has two captions."""
    source = folder / "source"
    rows = []
    for number in range(photos):
        photo(source / f"{number:03d}.png", seed=number + 1 - (number % 10 == 5))
        rows.append(json.dumps({"image": f"{number:03d}.png", "caption": caption(number)}))
    (source / "captions.jsonl").write_text("\n".join(rows), encoding="utf-8")
    site = init_site(folder / "site", [source], template, f"local-dir:{encoder}")
    ingest(site, source / "captions.jsonl")
    return site


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Site:
    """A site that was scored once; tests take copies."""
    import torch

    torch.set_num_threads(1)
    site = made(tmp_path_factory.mktemp("again"), tiny_encoder)
    score(site, device="cpu")
    return site


@pytest.fixture
def site(scored: Site, tmp_path: Path) -> Site:
    return copy_of(scored, tmp_path / "site")


def copy_of(site: Site, folder: Path) -> Site:
    return Site.open(shutil.copytree(site.root, folder))


def scored_anew(site: Site, folder: Path) -> dict[str, dict]:
    """What the same store and vectors give when nothing was ever ranked."""
    copy = copy_of(site, folder)
    for path in fits(copy):
        path.unlink()
    with copy.connect() as db:
        for table in ("scores", "risk_fits", "state"):
            db.execute(f"DELETE FROM {table}")
    score(copy, device="cpu")
    return scores_of(copy)


def assert_same(found: dict[str, dict], expected: dict[str, dict]) -> None:
    """Row by row: signals, risk and order within 1e-6, the same reasons."""
    assert set(found) == set(expected)
    for key, row in expected.items():
        assert set(found[key]["signals"]) == set(SIGNALS)
        for name, value in row["signals"].items():
            assert found[key]["signals"][name] == pytest.approx(value, abs=1e-6), (key, name)
        for name in ("cosine", "risk", "priority"):
            assert found[key][name] == pytest.approx(row[name], abs=1e-6), (key, name)
        assert found[key]["reasons"] == row["reasons"] and found[key]["fingerprint"] == row["fingerprint"]


def images(site: Site) -> list[str]:
    with site.connect() as db:
        return [row["image_id"] for row in db.rows("SELECT image_id FROM images ORDER BY uri")]


def test_the_site_of_these_tests_knows_every_signal(scored: Site):
    rows = scores_of(scored).values()
    for name in SIGNALS:
        assert any(row["signals"][name] is not None for row in rows), name


@pytest.mark.parametrize("corrections", [1, 25])
def test_after_corrections_the_table_is_that_of_a_site_scored_anew(
    site: Site, tmp_path: Path, corrections: int
):
    """Corrections in both languages, as many as it takes to make Japanese the most frequent one."""
    for number, image in enumerate(images(site)[:corrections]):
        add_pair(site, image, f"{number + 1} brass nuts with no defect, on the cloth")
        add_pair(site, image, JAPANESE.replace("1個", f"{number + 1}個"))
    result = score(site, device="cpu")
    assert (result.written, result.images_embedded) == (2 * corrections, 0)
    assert result.captions_embedded == 2 * corrections
    assert_same(scores_of(site), scored_anew(site, tmp_path / "anew"))


def test_one_round_after_the_other_too(site: Site, tmp_path: Path):
    for number, image in enumerate(images(site)[:4]):
        add_pair(site, image, f"{number + 1} copper pipes on the conveyor")
        assert score(site, device="cpu").written == 1
    assert_same(scores_of(site), scored_anew(site, tmp_path / "anew"))


def test_a_correction_in_a_language_that_the_archive_has_not(tmp_path: Path, tiny_encoder: Path):
    source = tmp_path / "source"
    for number in range(6):
        photo(source / f"{number}.png", seed=number)
    rows = [json.dumps({"image": f"{n}.png", "caption": f"{n + 1} steel bolts"}) for n in range(6)]
    (source / "captions.jsonl").write_text("\n".join(rows))
    site = init_site(tmp_path / "site", [source], "parts", f"local-dir:{tiny_encoder}")
    ingest(site, source / "captions.jsonl")
    score(site, device="cpu")
    before = scores_of(site)
    for number, image in enumerate(images(site)[:3]):
        key = add_pair(site, image, JAPANESE.replace("1個", f"{number + 1}個"))
        score(site, device="cpu")
    after = scores_of(site)
    assert {k: after[k] for k in before} == before and after[key]["cosine"] is not None
    assert_same(after, scored_anew(site, tmp_path / "anew"))


def test_a_correction_that_is_undone_leaves_nothing(site: Site):
    before = scores_of(site)
    key = add_pair(site, first_image(site), JAPANESE)
    score(site, device="cpu")
    assert key in scores_of(site)
    with site.connect() as db:
        db.execute("DELETE FROM pairs WHERE pair_id = ?", [key])
    assert score(site, device="cpu").written == 0
    assert scores_of(site) == before


def test_another_archive_caption_ranks_the_site_anew(site: Site, tmp_path: Path):
    add_pair(site, first_image(site), "2 rubber washers on the tray", origin="legacy")
    result = score(site, device="cpu")
    assert (result.written, result.captions_embedded) == (result.pairs, 1)
    assert_same(scores_of(site), scored_anew(site, tmp_path / "anew"))


def test_another_template_ranks_the_site_anew_without_a_model(site: Site, monkeypatch: pytest.MonkeyPatch):
    text = site.settings_path.read_text(encoding="utf-8").replace('"parts"', '"lab-inspection"')
    site.settings_path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(score_module, "load_source", lambda *_: pytest.fail("a model was loaded for nothing"))
    before = scores_of(site)
    result = score(Site.open(site.root), device="cpu")
    assert result.written == result.pairs and scores_of(site) != before


def test_a_photo_that_is_back_is_compared_with_all(site: Site, tmp_path: Path):
    """Its pairs teach and are compared with, so that the others have to be ranked again too."""
    copy = copy_of(site, tmp_path / "copy")
    shutil.rmtree(copy.root / "vectors")
    with copy.connect() as db:
        uri = db.value("SELECT min(uri) FROM images")
        for table in ("scores", "state"):
            db.execute(f"DELETE FROM {table}")
    path = copy.photo_path(0, uri)
    content = path.read_bytes()
    path.unlink()
    try:
        assert score(copy, device="cpu").unreadable_photos == 1
    finally:
        path.write_bytes(content)
    result = score(copy, device="cpu")
    assert result.images_embedded == 1 and result.pairs == PHOTOS
    assert_same(scores_of(copy), scored_anew(copy, tmp_path / "anew"))


def fits(site: Site) -> list[Path]:
    return sorted((site.root / "vectors").glob("*/site-fit-*.npz"))


@pytest.mark.parametrize("damage", ["cut short", "empty", "other bytes", "no basis", "bytes inside", "gone"])
def test_a_damaged_file_of_what_the_site_teaches_is_learned_again(site: Site, tmp_path: Path, damage: str):
    import numpy as np

    assert [path.name for path in fits(site)] == ["site-fit-en.npz", "site-fit-ja.npz"]
    for path in fits(site):
        content = path.read_bytes()
        middle = len(content) // 2
        if damage == "no basis":
            np.savez(path, other=np.zeros(3))
        elif damage == "gone":
            path.unlink()
        else:
            path.write_bytes({
                "cut short": content[:middle], "empty": b"", "other bytes": b"no such thing " * 100,
                "bytes inside": content[:middle] + bytes(64) + content[middle + 64 :],
            }[damage])  # fmt: skip
    before = scores_of(site)
    key = add_pair(site, first_image(site), "1 brass nut on the cloth")
    result = score(site, device="cpu")
    after = scores_of(site)
    assert result.pairs == PHOTOS + 1 and result.images_embedded == 0
    assert_same({k: after[k] for k in before}, before)
    assert_same(after, scored_anew(site, tmp_path / "anew"))
    assert key in after and add_pair(site, first_image(site), "2 brass nuts on the cloth")
    assert score(site, device="cpu").written == 1, "it is whole again"


def test_the_state_of_an_older_genba_ranks_the_site_anew(site: Site):
    """Before the signals grew, one text stood where two digests stand now."""
    before = scores_of(site)
    with site.connect() as db:
        key = db.value("SELECT key FROM state WHERE key LIKE 'score_basis%'")
        db.set_state(key, "0123456789abcdef")
        db.execute("UPDATE scores SET signals = MAP {'cosine': 0.3}")
    result = score(site, device="cpu")
    assert result.written == result.pairs == PHOTOS
    assert_same(scores_of(site), before)


def test_captions_that_come_while_it_runs_are_ranked_alone(site: Site, tmp_path: Path):
    add_pair(site, first_image(site), "1 brass nut on the cloth")
    added = []

    def somebody_corrects(done: int, total: int | None, what: str) -> None:
        if what == "rank" and not added:
            added.append(add_pair(site, images(site)[7], "5 steel gears on the cloth"))

    result = score(site, device="cpu", progress=somebody_corrects)
    assert result.pairs == PHOTOS + 2 and added[0] in scores_of(site)
    assert_same(scores_of(site), scored_anew(site, tmp_path / "anew"))


@pytest.mark.parametrize("value", ["nan", "zero"])
@pytest.mark.parametrize("tower", ["encode_images", "encode_texts"])
def test_vectors_that_are_no_directions_are_refused_by_name(
    tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, value: str, tower: str
):
    import numpy as np

    from data.errors import GenbaError
    from scoring.encoders import Encoder

    whole = getattr(Encoder, tower)
    monkeypatch.setattr(
        Encoder, tower, lambda *given: whole(*given) * np.float32("nan" if value == "nan" else 0)
    )
    site = make_site(tmp_path, tiny_encoder)
    with pytest.raises(
        GenbaError, match=r"no usable vector for the (photo|caption) .*: it is (not a number|zero)"
    ):
        score(site, device="cpu")
    assert scores_of(site) == {} and site.queue_encoder() == site.encoder_id()
    monkeypatch.setattr(Encoder, tower, whole)
    assert score(site, device="cpu").pairs == 11


def test_all_captions_equal(tmp_path: Path, tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch):
    from tests.scoring import test_score_again

    monkeypatch.setattr(test_score_again, "caption", lambda _: "two steel bolts on the tray")
    site = made(tmp_path, tiny_encoder, photos=60)
    score(site, device="cpu")
    rows = scores_of(site).values()
    assert len(rows) == 54, "of the twice shown photos one caption each"
    assert all(
        row["signals"]["caption_reuse"] > 1 and row["signals"]["other_captions"] is None for row in rows
    )
    assert all(abs(row["signals"]["neg_clip_loss"]) < 1e-6 and 0 < row["risk"] < 1 for row in rows)


TEXT_ONLY = """
id: notes
version: 1
title: { en: Notes, ja: 記録 }
rubric: { en: [Say what is seen.], ja: [見えるものを書く。] }
slots:
  - id: seen
    type: text
    label: { en: What is seen, ja: 見えるもの }
    required: true
caption: { en: "{seen}", ja: "{seen}" }
"""


def test_a_template_without_choices(tmp_path: Path, tiny_encoder: Path):
    (tmp_path / "notes.yaml").write_text(TEXT_ONLY, encoding="utf-8")
    site = made(tmp_path, tiny_encoder, template=str(tmp_path / "notes.yaml"))
    assert score(site, device="cpu").pairs == PHOTOS
    rows = scores_of(site).values()
    assert all(row["signals"]["contradicting_slots"] is None for row in rows)
    assert all(row["signals"]["missing_slots"] == 0 == row["signals"]["vagueness"] for row in rows)
    add_pair(site, first_image(site), "1 brass nut")
    assert score(site, device="cpu").written == 1


def test_only_new_pairs_are_looked_at(site: Site, monkeypatch: pytest.MonkeyPatch):
    """Signals are asked of the new row alone; that is what makes a re-score of a large site short."""
    asked = []
    whole = signals_module.compute_signals

    def counted(pairs):
        asked.append((len(pairs), len(pairs.rows)))
        return whole(pairs)

    monkeypatch.setattr("scoring.ranking.compute_signals", counted)
    add_pair(site, first_image(site), "1 brass nut on the cloth")
    score(site, device="cpu")
    assert len(asked) == 1 and asked[0][1] == 1 < asked[0][0]


def test_other_weights_forget_what_the_site_taught(tmp_path: Path):
    encoder = write_tiny_encoder(tmp_path / "own", {"languages": ["en", "ja"]})
    site = made(tmp_path, encoder)
    score(site, device="cpu")
    other = write_tiny_encoder(tmp_path / "other", seed=1)
    shutil.copy(other / "open_clip_model.safetensors", encoder / "open_clip_model.safetensors")
    assert score(site, device="cpu").written == PHOTOS
    assert_same(scores_of(site), scored_anew(site, tmp_path / "anew"))
