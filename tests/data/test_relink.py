"""The photo folder has moved: the site follows only to a folder that holds the same photos."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from data.errors import GenbaError
from data.ingest import ingest, ingest_lock
from data.relink import RelinkResult, relink
from data.site import Site
from tests.data import makers
from tests.data.makers import contents, photo


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(6):
        photo(tmp_path / "photos" / f"line{seed % 2}" / f"{seed}.jpg", seed)
    return tmp_path / "photos"


@pytest.fixture
def site(tmp_path: Path, photos: Path) -> Site:
    made = makers.site(tmp_path / "site", [photos])
    ingest(made, photos)
    return made


def roots(site: Site) -> list[str]:
    return Site.open(site.root).settings.photos.roots


def test_a_moved_folder_is_followed(site: Site, photos: Path, tmp_path: Path) -> None:
    new = photos.rename(tmp_path / "new place")
    before = contents(site)
    assert relink(site, new) == RelinkResult(str(photos), str(new), found=6, missing=0, different=0, hashed=6)
    assert roots(site) == [str(new)] and contents(site) == before
    opened = Site.open(site.root)
    assert all(opened.photo_path(image["root"], image["uri"]).is_file() for image in before["images"])
    again = ingest(opened, new)
    assert (again.added, again.images_added, again.known) == (0, 0, 6)
    with site.connect() as db:
        event = db.one("SELECT detail FROM events WHERE what = 'relink'")
    assert event is not None and event["detail"]["found"] == 6


def test_some_may_be_missing_or_different(site: Site, photos: Path, tmp_path: Path) -> None:
    new = Path(shutil.copytree(photos, tmp_path / "new"))
    (new / "line0/0.jpg").unlink()
    photo(new / "line0/2.jpg", 77)
    result = relink(site, new)
    assert (result.found, result.missing, result.different) == (4, 1, 1)
    assert roots(site) == [str(new)]


def test_beyond_the_sample_sizes_are_compared(
    site: Site, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.relink.SAMPLE", 1)
    new = Path(shutil.copytree(photos, tmp_path / "new"))
    for seed in range(6):
        photo(new / f"line{seed % 2}" / f"{seed}.jpg", seed, 96, 72 + seed % 2)
    result = relink(site, new)
    assert result.hashed == 1 and result.different in (3, 4)


def test_other_photos_under_the_same_names_are_refused(site: Site, photos: Path, tmp_path: Path) -> None:
    new = tmp_path / "new"
    for seed in range(6):
        photo(new / f"line{seed % 2}" / f"{seed}.jpg", seed if seed < 2 else 50 + seed)
    with pytest.raises(
        GenbaError, match=r"other photos under the same names: 4 of 6 differ, 2 agree\. Nothing was"
    ):
        relink(site, new)
    assert roots(site) == [str(photos)]


@pytest.mark.parametrize(("given", "hint"), [("moved", "moved/photos"), ("moved/photos/line1", "moved/photos"),
                                             ("empty", "FOLDER")])  # fmt: skip
def test_a_folder_beside_the_right_one_is_told_apart(
    site: Site, photos: Path, tmp_path: Path, given: str, hint: str
) -> None:
    (tmp_path / "moved").mkdir()
    (tmp_path / "elsewhere/empty").mkdir(parents=True)
    photos.rename(tmp_path / "moved/photos")
    folder = tmp_path / (given if given != "empty" else "elsewhere/empty")
    with pytest.raises(
        GenbaError, match=r"holds none of the 6 photos .* e\.g\. 'line0/0\.jpg'\. Nothing"
    ) as caught:
        relink(site, folder)
    assert caught.value.next is not None and caught.value.next.endswith(hint)
    assert roots(site) == [str(photos)]


def test_of_several_roots_the_old_one_is_named(tmp_path: Path, photos: Path) -> None:
    second = photo(tmp_path / "second/x.jpg", 30).parent
    site = makers.site(tmp_path / "site", [photos, second])
    ingest(site, photos)
    ingest(site, second)
    new = second.rename(tmp_path / "third")
    with pytest.raises(GenbaError, match=r"several photo roots.* Known: .*photos, .*second\. Next: .*--old"):
        relink(site, new)
    with pytest.raises(GenbaError, match=r"no/such is no photo root of this site\. Known: "):
        relink(site, new, "no/such")
    assert relink(site, new, str(second)).found == 1
    assert roots(site) == [str(photos), str(new)]


def test_what_cannot_be_relinked(site: Site, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(GenbaError, match=r"There is no folder .*absent"):
        relink(site, tmp_path / "absent")
    with ingest_lock(site), pytest.raises(GenbaError, match="Another ingest"):
        relink(site, photos)
    empty = makers.site(tmp_path / "empty-site", [photos])
    with pytest.raises(GenbaError, match=r"has no photos under .* yet"):
        relink(empty, photos)
