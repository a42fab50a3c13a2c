"""The embedded server and the client, against a real Label Studio."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from http.cookiejar import CookieJar
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil
import pytest

from annotate import label_studio_server as server
from annotate.label_studio import LabelStudio, LabelStudioError, connect, photo_url, shadow_email
from data.errors import GenbaError
from tests.annotate.conftest import RunningLabelStudio, free_port
from tests.conftest import CHECKOUT

CONFIG = """<View><Image name="img" value="$image"/><Choices name="verdict" toName="img" choice="single-radio">
<Choice value="fix"/><Choice value="ok"/></Choices></View>"""


def answer(verdict: str = "ok", correction: str = "") -> list[dict[str, Any]]:
    result = {"id": "r1", "from_name": "verdict", "to_name": "img", "type": "choices"}
    meta = {"meta": {"genba_correction": [correction]}} if correction else {}
    return [{**result, "value": {"choices": [verdict]}, **meta}]


def items(*pair_ids: str) -> list[dict[str, Any]]:
    prediction = {"model_version": "queue", "result": answer()}
    return [
        {"data": {"pair_id": pair_id, "image": "/static/samples/sample.jpg"}, "predictions": [prediction]}
        for pair_id in pair_ids
    ]


def status(url: str, data: dict[str, str] | None = None, **headers: str) -> int:
    body = urllib.parse.urlencode(data).encode() if data is not None else None
    request = urllib.request.Request(
        url, body, {key.replace("_", "-"): value for key, value in headers.items()}
    )
    try:
        return int(urllib.request.urlopen(request, timeout=20).status)
    except urllib.error.HTTPError as error:
        return error.code


@pytest.fixture
def studio(label_studio: RunningLabelStudio) -> LabelStudio:
    return label_studio.client()


@pytest.fixture
def project(studio: LabelStudio) -> int:
    return studio.ensure_project("A test", CONFIG, uuid.uuid4().hex)


# the server


def test_answers_on_loopback_only(label_studio: RunningLabelStudio) -> None:
    assert label_studio.process is not None
    listening = [
        connection.laddr
        for connection in psutil.Process(label_studio.process.pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert [(where.ip, where.port) for where in listening] == [("127.0.0.1", label_studio.port)]
    assert status(f"{label_studio.url}/health/", Host="evil.example") == 400


def test_strangers_get_nothing(label_studio: RunningLabelStudio) -> None:
    assert status(f"{label_studio.url}/api/projects/") == 401
    assert status(f"{label_studio.url}/api/projects/", Authorization="Token " + "0" * 40) == 401
    browser, _ = signed_in(label_studio, sign_in=False)
    with pytest.raises(urllib.error.HTTPError) as refused:
        post(browser, f"{label_studio.url}/user/signup/", email="new@example.com", password="a-long-password")
    assert refused.value.code == 403


def test_credentials_are_private_and_stay(label_studio: RunningLabelStudio) -> None:
    path = label_studio.folder / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(label_studio.folder.stat().st_mode) == 0o700
    assert server.credentials(label_studio.folder) == label_studio.account
    assert len(bytes.fromhex(label_studio.account.secret_key)) == 32


def test_damaged_credentials_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "credentials.json").write_text('{"email": ')
    with pytest.raises(GenbaError, match=r"damaged.*delete"):
        server.credentials(tmp_path)


def test_the_password_signs_in_and_an_annotators_account_cannot(
    label_studio: RunningLabelStudio, studio: LabelStudio
) -> None:
    _, page = signed_in(label_studio)
    assert "/user/login" not in page
    studio.ensure_person("田中")
    for password in ("", "田中", shadow_email("田中")):
        _, page = signed_in(label_studio, email=shadow_email("田中"), password=password)
        assert "/user/login" in page


def test_nothing_points_outside(label_studio: RunningLabelStudio) -> None:
    assert status(f"{label_studio.url}/heidi-tips/") == 404
    with urllib.request.urlopen(f"{label_studio.url}/user/login/") as page:
        text, policy = page.read().decode(), page.headers["Content-Security-Policy"]
    assert "googletagmanager" not in text and "sentry-cdn" not in text
    assert policy.startswith("default-src 'self'") and "frame-ancestors 'self'" in policy


def test_a_second_server_on_the_same_folder_is_refused(label_studio: RunningLabelStudio) -> None:
    second = subprocess.run(
        server.command(label_studio.folder, free_port()),
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1 and "already runs" in second.stderr


def test_a_busy_port_names_the_setting(label_studio: RunningLabelStudio, tmp_path: Path) -> None:
    second = subprocess.run(
        server.command(tmp_path / "label-studio", label_studio.port),
        cwd=CHECKOUT, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert second.returncode == 1 and "label_studio.port" in second.stderr


def test_ends_with_its_parent_even_while_it_starts(tmp_path: Path) -> None:
    """The parent is killed: its child notices, though nobody told it."""
    code = "import subprocess, sys, time; p = subprocess.Popen(sys.argv[1:]); print(p.pid, flush=True); time.sleep(60)"
    command = server.command(tmp_path / "label-studio", free_port())
    parent = subprocess.Popen([sys.executable, "-c", code, *command], cwd=CHECKOUT, stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(1.5)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    child.wait(timeout=10)


def test_stops_quickly_and_keeps_everything(label_studio: RunningLabelStudio, studio: LabelStudio) -> None:
    project = studio.ensure_project("Before", CONFIG, "key-before-the-restart")
    before = label_studio.account
    assert label_studio.process is not None
    pid = label_studio.process.pid
    assert label_studio.stop() < 3
    assert not psutil.pid_exists(pid) and not server.is_healthy(label_studio.url)
    label_studio.start()
    assert label_studio.account == before
    assert label_studio.client().find_project("key-before-the-restart") == project


def test_is_healthy_wants_a_label_studio(label_studio: RunningLabelStudio, tmp_path: Path) -> None:
    assert server.is_healthy(label_studio.url)
    assert not server.is_healthy(f"http://127.0.0.1:{free_port()}")
    port = free_port()
    other = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
    )
    try:
        time.sleep(1)
        assert not server.is_healthy(f"http://127.0.0.1:{port}")
    finally:
        other.kill()
        other.wait()


@pytest.mark.long
def test_the_kept_empty_database_equals_a_fresh_one(tmp_path: Path) -> None:
    """Cold: all migrations. Second site: the kept copy. Both must be the same database."""
    import sqlite3

    schemas, seconds = [], []
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for name in ("cold", "warm"):
        port, folder = free_port(), tmp_path / name / "label-studio"
        began = time.monotonic()
        with (tmp_path / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                server.command(folder, port), cwd=CHECKOUT, env=environment, stdout=log, stderr=log
            )
        while not server.is_healthy(server.address(port)) and time.monotonic() < began + 240:
            time.sleep(0.1)
        seconds.append(time.monotonic() - began)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
        with sqlite3.connect(folder / server.DATABASE) as database:
            schemas.append(
                database.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            )
            assert database.execute("SELECT count(*) FROM htx_user").fetchone() == (1,)
        database.close()
    assert schemas[0] == schemas[1]
    assert seconds[1] < seconds[0] / 2


# the client


def test_a_project_is_made_once_and_its_config_checked(studio: LabelStudio) -> None:
    key = uuid.uuid4().hex
    first = studio.ensure_project("x" * 80, CONFIG, key)
    assert studio.ensure_project("another title", CONFIG, key) == first
    with pytest.raises(LabelStudioError, match="label_config"):
        studio.ensure_project("Broken", "<View><Image", uuid.uuid4().hex)
    assert studio.find_project(uuid.uuid4().hex) is None


def test_a_config_that_would_lose_answers_is_refused(studio: LabelStudio, project: int) -> None:
    tasks = studio.push(project, items("a"))
    studio.submit(tasks["a"], answer("ok"), studio.ensure_person("田中"), str(uuid.uuid4()), 3.0, False)
    studio.update_config(
        project, CONFIG.replace('<Choice value="ok"/>', '<Choice value="ok"/><Choice value="c"/>')
    )
    with pytest.raises(LabelStudioError):
        studio.update_config(project, CONFIG.replace('<Choice value="ok"/>', ""))


def test_the_photo_shows_with_a_login_only(
    label_studio: RunningLabelStudio, studio: LabelStudio, project: int
) -> None:
    photo = label_studio.root / "served" / "ab" / "photo.jpg"
    photo.parent.mkdir(exist_ok=True)
    photo.write_bytes(b"\xff\xd8\xff a photo")
    (label_studio.root / "secret.txt").write_text("secret")
    studio.ensure_photos(project, label_studio.root / "served")
    studio.ensure_photos(project, label_studio.root / "served")
    assert len(studio.sdk.import_storage.local.list(project=project)) == 1
    url = label_studio.url + photo_url(photo, label_studio.root)
    assert status(url) == 401
    browser, _ = signed_in(label_studio)
    with browser.open(url) as shown:
        assert shown.read() == photo.read_bytes() and shown.headers["Content-Type"] == "image/jpeg"
    for other in ("secret.txt", "label-studio/credentials.json", "served/../secret.txt"):
        token = {"Authorization": f"Token {label_studio.account.token}"}
        assert status(f"{label_studio.url}/data/local-files/?d={other}", **token) == 404
    assert list(studio.changed_since(project, None)) == []  # the storage made no tasks


def test_a_moved_site_replaces_its_storage(
    label_studio: RunningLabelStudio, studio: LabelStudio, project: int
) -> None:
    for name in ("served", "moved"):
        (label_studio.root / name).mkdir(exist_ok=True)
        studio.ensure_photos(project, label_studio.root / name)
    paths = [storage.path for storage in studio.sdk.import_storage.local.list(project=project)]
    assert paths == [str(label_studio.root / "moved")]


def test_a_person_is_made_once(studio: LabelStudio) -> None:
    first = studio.ensure_person("佐藤 花子")
    assert studio.ensure_person("佐藤 花子") == first
    assert studio.users()[first]["name"] == "佐藤 花子"


def test_push_twice_makes_no_doubles(studio: LabelStudio, project: int) -> None:
    first = studio.push(project, items("a", "b"))
    second = studio.push(project, items("a", "b", "c"))
    assert set(second) == {"a", "b", "c"} and first.items() < second.items()
    assert sorted(task["pair_id"] for task in studio.changed_since(project, None)) == ["a", "b", "c"]


def test_doubles_that_another_made_are_removed_and_answers_kept(studio: LabelStudio, project: int) -> None:
    for _ in range(3):
        studio.sdk.projects.import_tasks(id=project, request=items("a", "b"))
    newest = max(task["id"] for task in studio.changed_since(project, None) if task["pair_id"] == "a")
    studio.submit(newest, answer(), studio.ensure_person("田中"), str(uuid.uuid4()), 1.0, False)
    assert studio.remove_doubles(project, ["a", "b"]) == 4
    assert studio.existing(project, ["a", "b", "none"])["a"] == newest
    assert len(list(studio.changed_since(project, None))) == 2


def test_an_answer_is_sent_once_whoever_races(studio: LabelStudio, project: int) -> None:
    task = studio.push(project, items("a"))["a"]
    person, unique = studio.ensure_person("田中"), str(uuid.uuid4())
    outcomes: list[dict[str, Any] | None] = []

    def send() -> None:
        outcomes.append(studio.submit(task, answer("fix"), person, unique, 7.5, False))

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    made = [outcome for outcome in outcomes if outcome]
    assert len(outcomes) == 4 and len(made) == 1
    assert studio.annotations(task) == made
    assert made[0]["person"] == person and made[0]["seconds"] == 7.5 and not made[0]["skipped"]


def test_changes_are_read_by_their_time(studio: LabelStudio, project: int) -> None:
    tasks = studio.push(project, items("a", "b", "c"))
    everything = list(studio.changed_since(project, None))
    last = max(task["updated_at"] for task in everything)
    made = studio.submit(tasks["b"], [], studio.ensure_person("田中"), str(uuid.uuid4()), 2.0, True)
    assert made is not None
    changed = [task for task in studio.changed_since(project, last) if task["updated_at"] > last]
    assert [(task["pair_id"], task["annotations"]) for task in changed] == [("b", [made])]
    assert made["skipped"] and made["result"] == []
    assert studio.delete_annotation(made["id"]) and not studio.delete_annotation(made["id"])
    gone = [
        task for task in studio.changed_since(project, changed[0]["updated_at"]) if task["pair_id"] == "b"
    ]
    assert gone[-1]["annotations"] == []


def test_many_changes_at_one_moment_are_all_read(
    studio: LabelStudio, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One import gives many tasks the same time; pages must not lose or repeat any."""
    monkeypatch.setattr("annotate.label_studio.PAGE", 7)
    names = [f"p{i}" for i in range(30)]
    studio.push(project, items(*names))
    assert sorted(task["pair_id"] for task in studio.changed_since(project, None)) == sorted(names)


def test_errors_say_what_is_wrong(label_studio: RunningLabelStudio, studio: LabelStudio) -> None:
    assert studio.check() == version("label-studio")
    assert studio.annotations(10**6) is None and not studio.has_task(10**6)
    with pytest.raises(LabelStudioError, match="refuses the token"):
        connect(label_studio.url, "0" * 40).check()
    with pytest.raises(LabelStudioError, match="does not answer") as silent:
        connect(f"http://127.0.0.1:{free_port()}", "x").check()
    assert silent.value.status is None
    with pytest.raises(LabelStudioError) as missing:
        studio.submit(10**6, answer(), 1, str(uuid.uuid4()), 1.0, False)
    assert missing.value.status == 404 and len(str(missing.value)) < 600


# a browser without a screen


def signed_in(
    running: RunningLabelStudio, sign_in: bool = True, email: str | None = None, password: str | None = None
) -> tuple[urllib.request.OpenerDirector, str]:
    """A cookie jar that has visited the login page; the address it landed on after signing in."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    browser.open(f"{running.url}/user/login/").close()
    browser.addheaders = [
        ("X-CSRFToken", next(str(cookie.value) for cookie in jar if cookie.name == "csrftoken"))
    ]
    if not sign_in:
        return browser, ""
    account = running.account
    password = account.password if password is None else password
    return browser, post(
        browser, f"{running.url}/user/login/", email=email or account.email, password=password
    )


def post(browser: urllib.request.OpenerDirector, url: str, **fields: str) -> str:
    with browser.open(url, urllib.parse.urlencode(fields).encode()) as page:
        return str(page.geturl())


def test_json_of_the_account_has_no_surprises(label_studio: RunningLabelStudio) -> None:
    text = (label_studio.folder / "credentials.json").read_text()
    assert set(json.loads(text)) == {"email", "password", "token", "secret_key"}
