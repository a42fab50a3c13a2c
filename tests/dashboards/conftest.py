"""A small site filled through the store, with numbers that a person can add up by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import streamlit as st

from dashboards import drawn
from data.records import caption_id, language_of, pair_id
from data.settings import PhotosSection, Settings, SiteSection, write_settings
from data.site import SUBFOLDERS, Site
from data.store import Database

BASE = "demo"
START = datetime(2026, 11, 16, 1, 0)  # a Monday, 10:00 in Japan


def new_site(folder: Path, name: str = "第一工場", languages: tuple[str, ...] = ("ja", "en")) -> Site:
    """An empty site."""
    folder.mkdir(parents=True)
    for sub in SUBFOLDERS:
        (folder / sub).mkdir()
    photos = folder.parent / "photos"
    photos.mkdir(exist_ok=True)
    settings = Settings(
        site=SiteSection(name=name, languages=list(languages), template="parts", encoder=BASE, demo=True),
        photos=PhotosSection(roots=[str(photos)]),
    )
    write_settings(folder / "genba.toml", settings)
    return Site.open(folder)


def add_image(db: Database, number: int, split: str = "train") -> str:
    image_id = f"{number:064x}"
    db.insert("images", [{"image_id": image_id, "uri": f"{number}.jpg", "root": 0, "width": 96, "height": 96,
                          "group_id": image_id, "split": split, "added_at": START}])  # fmt: skip
    return image_id


def add_pair(
    db: Database, image_id: str, caption: str, origin: str = "legacy", language: str | None = None
) -> str:
    key = pair_id(image_id, caption)
    db.insert("pairs", [{"pair_id": key, "image_id": image_id, "caption": caption, "caption_id": caption_id(caption),
                         "language": language or language_of(caption), "origin": origin,
                         "state": "captioned" if caption else "missing", "extra": {}, "added_at": START}])  # fmt: skip
    return key


def add_score(db: Database, pair: str, cosine: float, risk: float = 0.5, encoder: str = BASE) -> None:
    db.insert("scores", [{"pair_id": pair, "encoder": encoder, "fingerprint": "f", "cosine": cosine, "signals": {},
                          "risk": risk, "reasons": [], "scored_at": START}])  # fmt: skip


def add_correction(
    db: Database,
    pair: str,
    verdict: str = "fix",
    new_pairs: Iterable[str] = (),
    at: datetime = START,
    seconds: float = 30.0,
    simulated: bool = False,
    state: str = "active",
) -> str:
    key = f"{pair[:12]}-{verdict}-{at.isoformat()}-{simulated}"
    db.insert("corrections", [{
        "correction_id": key, "old_pair_id": pair, "new_pair_ids": list(new_pairs) or [pair], "verdict": verdict,
        "template": "parts", "template_version": 1, "slots": {}, "reason": "",
        "annotator": "crew-1" if simulated else "佐藤", "simulated": simulated, "active_seconds": seconds,
        "source": "crew" if simulated else "app", "state": state, "created_at": at,
    }])  # fmt: skip
    return key


def add_run(db: Database, run_id: str, at: datetime = START + timedelta(days=3), state: str = "done") -> str:
    db.insert("runs", [{"run_id": run_id, "kind": "retrain", "state": state, "snapshot_id": f"snap-{run_id}",
                        "base_encoder": BASE, "config": {"steps": 80, "seeds": 2}, "seconds": 412.0,
                        "created_at": at, "finished_at": at + timedelta(seconds=412)}])  # fmt: skip
    return run_id


def add_effect(
    db: Database, run_id: str, metric: str, value: float, low: float, high: float, **other: Any
) -> None:
    row = {"task": "retrieval", "arm": "corrected", "versus": "original", "unit": "fraction",
           "higher_is_better": True, "n": 180, "seeds": 2, **other}  # fmt: skip
    db.insert(
        "effects", [{"run_id": run_id, "metric": metric, "value": value, "low": low, "high": high, **row}]
    )


def add_metric(
    db: Database, run_id: str, arm: str, seed: int, metric: str, value: float, **other: Any
) -> None:
    row = {"task": "retrieval", "unit": "fraction", "n": 180, **other}
    db.insert(
        "metrics", [{"run_id": run_id, "arm": arm, "seed": seed, "metric": metric, "value": value, **row}]
    )


def add_model(db: Database, model_id: str, run_id: str, state: str = "candidate") -> None:
    db.insert("models", [{"model_id": model_id, "run_id": run_id, "arm": "corrected", "state": state,
                          "encoder": f"local-dir:models/{model_id}", "base_encoder": BASE, "meta": {},
                          "created_at": START + timedelta(days=3)}])  # fmt: skip


@pytest.fixture(autouse=True)
def charts_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Against Vega-Lite's schema when they are drawn, which the app leaves out."""
    monkeypatch.setattr(drawn, "CHECKED", True)


@pytest.fixture(autouse=True)
def folds_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a closed expander or popover is made when it is opened (elements.folded, how); here at once. That
    opening works is shown in a browser (tests/test_app_runs.py)."""

    def opened(make: Callable[..., Any]) -> Callable[..., Any]:
        def made(*words: Any, on_change: str = "ignore", key: str | None = None, **more: Any) -> Any:
            place = make(*words, key=key, **more)
            place.open = True
            return place

        return made

    for kind in ("expander", "popover"):
        monkeypatch.setattr(st, kind, opened(getattr(st, kind)))


@pytest.fixture
def make_site(tmp_path: Path) -> Callable[..., Site]:
    """A new empty site of the given languages."""
    return lambda **given: new_site(tmp_path / "site", **given)


@pytest.fixture
def site(make_site: Callable[..., Site]) -> Site:
    """An empty site."""
    return make_site()


@pytest.fixture
def worked(site: Site) -> Site:
    """Twelve scored captions: people fixed three, the crew two, one is right, one set aside; one run with effects."""
    with site.connect() as db:
        fill(db)
    return site


def fill(db: Database) -> None:
    old = [add_pair(db, add_image(db, n, "test" if n >= 8 else "train"), f"部品 {n}") for n in range(12)]
    for n, pair in enumerate(old):
        add_score(db, pair, cosine=0.10 + 0.01 * n, risk=0.95 - 0.05 * n)
    for n in range(5):
        image_id = f"{n:064x}"
        japanese = add_pair(db, image_id, f"鋼のボルト {n} 個、傷あり", "correction")
        english = add_pair(db, image_id, f"{n} steel bolts with a scratch", "correction")
        add_score(db, japanese, cosine=0.30 + 0.02 * n)
        add_score(db, english, cosine=0.90)  # in the other language: must not enter the comparison
        add_correction(
            db, old[n], "fix", [japanese, english], START + timedelta(days=n // 2), 36.0, simulated=n >= 3
        )
    add_correction(db, old[5], "ok", seconds=18.0)
    add_correction(db, old[6], "unusable", seconds=18.0)
    add_correction(db, old[7], "fix", state="superseded", seconds=36.0)
    run = add_run(db, "run-1")
    for name, value, low, high in (
        ("recall_at_1_text_to_image", 0.098, 0.041, 0.152), ("recall_at_1_image_to_text", 0.05, -0.012, 0.11),
        ("recall_at_5_text_to_image", 0.06, 0.01, 0.11), ("recall_at_5_image_to_text", 0.02, -0.03, 0.07),
    ):  # fmt: skip
        add_effect(db, run, name, value, low, high)
        add_effect(db, run, name, value - 0.02, low - 0.02, high - 0.02, versus="reworded")
        for seed in (0, 1):
            add_metric(db, run, "original", seed, name, 0.25 + 0.01 * seed)
            add_metric(db, run, "corrected", seed, name, 0.25 + value + 0.01 * seed)
    add_effect(db, run, "miou", -0.004, -0.02, 0.012, task="segmentation", unit="fraction")
    add_effect(db, run, "rmse", -0.021, -0.034, -0.008, task="depth", unit="m", higher_is_better=False)
    add_model(db, "model-1", run)
