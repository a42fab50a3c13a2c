"""The command line as scripts see it: --json, exit codes, errors that say what to do next."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from genba import cli, handlers
from tests.conftest import genba
from tests.data.makers import photo


def run(*words: str):
    return CliRunner().invoke(cli, list(words))


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number in range(4):
        photo(tmp_path / "photos" / f"{number}.jpg", seed=number)
    (tmp_path / "photos" / "captions.csv").write_text("image,caption\n0.jpg,a bolt\n1.jpg,a nut\n2.jpg,錆\n")
    return tmp_path / "photos"


@pytest.fixture
def site(tmp_path: Path, photos: Path, tiny_encoder: Path) -> str:
    folder = str(tmp_path / "site")
    made = run(
        "init",
        folder,
        "--photos",
        str(photos),
        "--template",
        "parts",
        "--encoder",
        f"local-dir:{tiny_encoder}",
    )
    assert made.exit_code == 0, made.output
    return folder


@pytest.mark.parametrize("verb", sorted(cli.commands))
def test_every_verb_has_help_and_json(verb: str) -> None:
    shown = run(verb, "--help")
    assert shown.exit_code == 0 and "--json" in shown.output
    assert len(cli.commands[verb].help or "") > 20


def test_wrong_use_is_two_and_names_the_nearest_verb() -> None:
    typo = run("ingets")
    assert typo.exit_code == 2 and "Did you mean 'ingest'?" in typo.output
    assert run("queue").exit_code == 2
    assert run("score", "x", "--device", "tpu").exit_code == 2


def test_a_failure_is_one_and_its_json_has_the_next_command(tmp_path: Path) -> None:
    done = genba("score", str(tmp_path / "nothing"), "--json")
    assert done.returncode == 1
    told = json.loads(done.stdout)
    assert "not a Genba site" in told["error"] and told["next"].startswith("genba init")
    assert "Traceback" not in done.stderr and "Next: genba init" in done.stderr


def test_init_refuses_what_makes_no_sense(
    tmp_path: Path, photos: Path, site: str, tiny_encoder: Path
) -> None:
    encoder = f"local-dir:{tiny_encoder}"
    new = str(tmp_path / "new")
    cases = [
        ([site, "--photos", str(photos), "--template", "parts", "--encoder", encoder], "not an empty folder"),
        ([new, "--photos", str(tmp_path / "none"), "--template", "parts", "--encoder", encoder], "does not exist"),
        ([new, "--photos", str(photos), "--template", "prats", "--encoder", encoder], "Did you mean 'parts'?"),
        ([new, "--photos", str(photos), "--template", "parts", "--encoder", "demo"], "demo encoder"),
        ([new, "--photos", str(photos), "--template", "parts", "--encoder", "ViT-B-99/x"], "genba encoders"),
        ([new, "--photos", str(photos), "--template", "parts", "--encoder", encoder, "--languages", "ja,xx"], "'xx'"),
    ]  # fmt: skip
    for words, told in cases:
        done = run("init", *words)
        assert done.exit_code == 1 and told in done.output, done.output
        assert not (tmp_path / "new").exists()


def test_init_with_absent_weights_makes_the_site_and_says_how_to_bring_them(
    tmp_path: Path, photos: Path
) -> None:
    done = run("init", str(tmp_path / "new"), "--photos", str(photos), "--template", "parts")
    assert done.exit_code == 0, done.output
    assert "Before you score" in done.output and "hf download" in done.output
    assert run("ingest", str(tmp_path / "new"), str(photos / "captions.csv")).exit_code == 0


def test_the_whole_line_from_ingest_to_queue(site: str, photos: Path, tmp_path: Path) -> None:
    first = json.loads(run("ingest", site, str(photos / "captions.csv"), "--json").stdout)
    assert (first["added"], first["known"], first["rejected"]) == (3, 0, {})
    again = json.loads(run("ingest", site, str(photos / "captions.csv"), "--json").stdout)
    assert (again["added"], again["known"]) == (0, 3)
    assert run("queue", site, "--json").exit_code == 1  # nothing is scored yet, and it says so
    assert run("score", site, "--json").exit_code == 0
    rows = json.loads(run("queue", site, "--top", "5", "--json").stdout)["queue"]
    assert len(rows) == 3
    assert all(set(row) == set(rows[0]) for row in rows)
    assert [row["risk"] for row in rows] == sorted((row["risk"] for row in rows), reverse=True)
    for ending in ("csv", "jsonl", "parquet"):
        assert run("queue", site, "-o", str(tmp_path / f"queue.{ending}")).exit_code == 0
    refused = run("queue", site, "-o", str(tmp_path / "queue.docx"))
    assert refused.exit_code == 1 and ".parquet" in refused.output


def test_ingest_names_what_it_did_not_take_in(site: str, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(
        "image,caption\n" + "".join(f"absent{n}.jpg,a bolt\n" for n in range(5)), encoding="utf-8"
    )
    done = run("ingest", site, str(table), "--words", "en")  # the site's first language is Japanese
    assert done.exit_code == 0, done.output
    assert "Not taken in, 5:" in done.output and "(not_found)" in done.output
    assert "absent0.jpg" in done.output and "and 2 more" in done.output


def test_what_cannot_be_done_yet_says_what_it_needs(site: str, photos: Path) -> None:
    run("ingest", site, str(photos / "captions.csv"))
    for words, told in (
        (("retrain", site), "genba audit"),
        (("models", site, "promote", "nothing"), "nothing"),
        (("models", site, "rollback"), "nothing to go back to"),
        (("audit", site, "estimate"), "draw"),
    ):
        done = run(*words)
        assert done.exit_code == 1 and told in done.output, (words, done.output)
    assert run("audit", site, "draw").exit_code == 2


def test_an_error_names_what_was_given(site: str, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("# notes\nid: parts\nslots: none\n")
    checked = run("template", site, "check", str(tmp_path / "notes.md"))
    assert checked.exit_code == 1 and "notes.md" in checked.output and "template.yaml" not in checked.output
    for file, told in (("x.zip", "'x.zip'. Known: .tar.gz, .tgz"), ("none/x.tar.gz", "mkdir -p")):
        kept = run("backup", site, str(tmp_path / file))
        assert kept.exit_code == 1 and told in kept.output, kept.output
    assert not (tmp_path / "none").exists()
    with FileLock(str(Path(site) / "up.lock")):
        started = run("up", site)
    assert started.exit_code == 1 and "already up at http://127.0.0.1:8501" in started.output
    settings = Path(site) / "genba.toml"
    settings.write_text(settings.read_text().replace('host = "127.0.0.1"', 'host = "0.0.0.0"'))
    refused = run("doctor", site)
    assert (
        refused.exit_code == 1 and "web.host is '0.0.0.0'" in refused.output and ": :" not in refused.output
    )


def test_a_fresh_site_is_clean(site: str) -> None:
    done = json.loads(run("doctor", site, "--json").stdout)
    assert done == {"clean": True, "findings": []}


def test_lists() -> None:
    packs = json.loads(run("templates", "--json").stdout)["templates"]
    assert {"parts", "lab-inspection"} <= {pack["id"] for pack in packs}
    assert all(pack["languages"] == ["ja", "en"] for pack in packs)
    found = json.loads(run("encoders", "--json").stdout)
    assert found["default"] in {one["id"] for one in found["encoders"]}
    assert all(one["licence"] and one["languages"] for one in found["encoders"])


def test_every_job_that_is_enqueued_has_a_handler() -> None:
    """Rooms and pages enqueue by name; a name without a handler would wait for ever."""
    import re

    from tests.conftest import CHECKOUT

    names = set()
    for room in ("data", "scoring", "annotate", "training", "dashboards"):
        for path in (CHECKOUT / room).rglob("*.py"):
            names.update(re.findall(r"enqueue\(\s*\w+,\s*\"([a-z-]+)\"", path.read_text(encoding="utf-8")))
    names.update(
        re.findall(r"enqueue\(\s*\w+,\s*\"([a-z-]+)\"", (CHECKOUT / "genba.py").read_text(encoding="utf-8"))
    )
    assert {"score", "retrain"} <= names <= set(handlers())
