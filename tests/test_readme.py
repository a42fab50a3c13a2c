"""What the README promises is there: its commands run, its verbs exist, its files stand in the checkout."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from genba import cli
from tests.conftest import CHECKOUT, genba
from tests.data.makers import photo

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def shell_blocks() -> list[list[str]]:
    """The commands of each ```sh block, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    return [[line for raw in block.splitlines() if (line := raw.split(" #")[0].strip())] for block in blocks]


def test_every_make_target_of_the_readme_exists() -> None:
    targets = [
        line.split()[1] for block in shell_blocks() for line in block if line.startswith("make ")
    ] + re.findall(r"`make ([a-z-]+)`", README)
    assert {"run", "test"} <= set(targets)
    for target in sorted(set(targets)):
        done = subprocess.run(["make", "-n", target], cwd=CHECKOUT, capture_output=True, text=True)
        assert done.returncode == 0, f"make {target}: {done.stderr}"


def test_your_own_photos_in_five_lines(tmp_path: Path, tiny_encoder: Path) -> None:
    """The block is run as it stands, but for the folder, and an encoder that needs no 1.5 GB of weights."""
    lines = next(block for block in shell_blocks() if any("genba init" in line for line in block))
    assert len(lines) == 5
    photos = tmp_path / "field-photos"
    photos.mkdir()
    rows = ["画像,キャプション"]
    for number in range(6):
        photo(photos / f"{number}.jpg", seed=number)
        rows.append(f"{number}.jpg,部品 {number} 錆")
    (photos / "captions.csv").write_bytes("\n".join(rows).encode("cp932"))
    ran = []
    for line in lines:
        words = line.replace("~/field-photos", str(photos)).split()
        if words[0] != "genba" or words[1] == "up":  # activating the environment; `up` has a test of its own
            continue
        if words[1] == "init":
            words += ["--encoder", f"local-dir:{tiny_encoder}"]
        done = genba(*words[1:], cwd=tmp_path)
        assert done.returncode == 0, f"{line}: {done.stderr}"
        ran.append(words[1])
    assert ran == ["init", "ingest", "score"]
    queue = genba("queue", "my-site", "--top", "3", "--json", cwd=tmp_path).json()["queue"]
    assert len(queue) == 3
    assert {"pair_id", "image", "caption", "risk", "reasons", "cosine"} <= set(queue[0])


def test_the_readme_names_every_verb_and_no_other() -> None:
    table = README.split("## Commands")[1].split("\n## ")[0]
    named = {word for cell in re.findall(r"^\| (`.*?) \|", table, flags=re.MULTILINE)
             for word in re.findall(r"`(?:genba )?([a-z-]+)", cell)}  # fmt: skip
    visible = {name for name, command in cli.commands.items() if not command.hidden}
    assert visible <= named, f"not in the README: {sorted(visible - named)}"
    assert all(name in cli.commands or name in ("estimate", "rollback") for name in named), named


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(((?!http)[^)#]+)\)", README))))
def test_every_linked_file_is_there(path: str) -> None:
    assert (CHECKOUT / path).exists()


def test_the_console_script_is_installed() -> None:
    assert shutil.which("genba", path=str(CHECKOUT / ".venv" / "bin")) or shutil.which("genba")
