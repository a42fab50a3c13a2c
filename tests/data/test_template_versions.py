"""Templates by name, by version and by file; every version that a correction used is kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from data.errors import GenbaError
from data.site import init_site
from data.templates import PACKS, keep_version, load_template
from tests.data.test_template_mistakes import SMALL


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """SITE/templates with bridges 2 and 3, kept from a file."""
    folder = tmp_path / "site" / "templates"
    for text in (SMALL, SMALL.replace("version: 2", "version: 3").replace("en: Bridges", "en: Old bridges")):
        path = tmp_path / "mine.yaml"
        path.write_text(text, encoding="utf-8")
        keep_version(load_template(path), folder)
    return folder


def test_a_pack_by_name_and_version() -> None:
    assert load_template("parts") == load_template("parts@1")
    assert load_template("parts") is load_template("parts")  # a text that was checked is not read again


def test_the_newest_version_or_the_one_that_is_named(folder: Path) -> None:
    assert load_template("bridges", folder).version == 3
    assert load_template("bridges@2", folder).title["en"] == "Bridges"
    assert load_template("parts", folder).version == 1


@pytest.mark.parametrize(("name", "message"), [
    ("partz", r"No template 'partz'\. Did you mean 'parts'\? Known: bridges, equipment, infrastructure, "),
    ("bridges@7", r"No template 'bridges@7'\. Known: bridges@2, bridges@3\."),
    ("tunnels@1", r"No template 'tunnels@1'\. Known: bridges, equipment, .*, retail, site-safety\."),
    ("my/tunnels.yaml", r"No template file my/tunnels\.yaml\. Known: equipment, infrastructure, "),
    ("../parts", r"No template file \.\./parts"),
    ("", r"No template ''\. Known: "),
])  # fmt: skip
def test_an_unknown_template_is_told_with_those_there_are(folder: Path, name: str, message: str) -> None:
    with pytest.raises(GenbaError, match=message):
        load_template(name, folder)


def test_a_file_is_found_from_the_site_too(folder: Path) -> None:
    (folder.parent / "own.yaml").write_text(SMALL, encoding="utf-8")
    assert load_template("own.yaml", folder).id == "bridges"


def test_the_text_is_kept_with_its_comments(tmp_path: Path) -> None:
    path = keep_version(load_template("parts"), tmp_path / "new" / "templates")
    assert path == tmp_path / "new" / "templates" / "parts@1.yaml"
    assert path.read_text(encoding="utf-8") == (PACKS / "parts.yaml").read_text(encoding="utf-8")
    assert load_template("parts@1", path.parent) == load_template("parts")
    before = path.stat().st_mtime_ns
    keep_version(load_template("parts"), path.parent)
    assert path.stat().st_mtime_ns == before
    assert [file.name for file in path.parent.iterdir()] == ["parts@1.yaml"]


def test_another_text_under_a_version_that_is_kept_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "mine.yaml"
    changed.write_text(SMALL + "# changed\n", encoding="utf-8")
    before = (folder / "bridges@2.yaml").read_bytes()
    with pytest.raises(GenbaError, match=r"still says version 2.*raise the version .*\(version: 3\)"):
        keep_version(load_template(changed), folder)
    assert (folder / "bridges@2.yaml").read_bytes() == before


def test_a_site_knows_its_template(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    site = init_site(tmp_path / "site", [tmp_path / "photos"], "lab-inspection", "demo")
    assert site.template() is load_template("lab-inspection")
    with pytest.raises(GenbaError, match="No template 'bridges'"):
        init_site(tmp_path / "other", [tmp_path / "photos"], "bridges", "demo")
    assert not (tmp_path / "other").exists()
