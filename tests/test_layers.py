"""Imports go one way, and each outside library has one owner. Read from the syntax trees; nothing is run."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import CHECKOUT

ROOMS = ["data", "scoring", "annotate", "training", "dashboards"]  # each may import those before it
TOP = ["app", "genba"]

# library -> the room that owns it, and the single files elsewhere that need it, with the reason
OWNERS: dict[str, tuple[str, dict[str, str]]] = {
    "duckdb": ("data", {}),
    "PIL": ("data", {}),
    "imagehash": ("data", {}),
    "pycocotools": ("data", {}),
    "open_clip": (
        "scoring",
        {
            "training/demo_encoder.py": "makes the demo's encoder from nothing",
            "training/bases.py": "makes a light base by name",
        },
    ),
    "transformers": ("scoring", {"annotate/draft_model.py": "an image-to-text model drafts captions"}),
    "label_studio_sdk": ("annotate", {}),
    "label_studio": ("annotate", {}),
    "altair": ("dashboards", {}),
    "huey": ("data", {}),
    "redis": ("data", {}),
    "cronsim": ("data", {}),
    "onnxruntime": ("scoring", {"training/edge_onnx.py": "converts and quantises what is exported"}),
    "cv2": ("dashboards", {}),
    "phonenumbers": ("dashboards", {}),
    "sudachipy": ("dashboards", {}),
    "reportlab": ("dashboards", {}),
    "pptx": ("dashboards", {}),
}


def files() -> Iterator[tuple[str, Path]]:
    for room in ROOMS:
        for path in sorted((CHECKOUT / room).rglob("*.py")):
            yield room, path
    for name in TOP:
        yield name, CHECKOUT / f"{name}.py"


def imports(path: Path, for_types: bool = True) -> set[str]:
    """Dotted names that a file imports, lazily or not; without for_types those that run, not those for annotations."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    if not for_types:
        blocks = [
            n
            for n in ast.walk(tree)
            if isinstance(n, ast.If) and getattr(n.test, "id", "") == "TYPE_CHECKING"
        ]
        skipped = {inner for block in blocks for part in block.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            found.add(node.module or "")
    return found


def test_every_room_is_there() -> None:
    assert len(list(files())) > 30


def test_imports_go_one_way() -> None:
    order = {name: place for place, name in enumerate([*ROOMS, *TOP])}
    wrong = [
        f"{path.relative_to(CHECKOUT)} imports {name}"
        for room, path in files()
        for name in imports(path)
        if (other := name.split(".")[0]) in order and order[other] > order[room] and room not in TOP
    ]
    assert wrong == []


@pytest.mark.parametrize("library", OWNERS)
def test_each_library_has_one_owner(library: str) -> None:
    owner, others = OWNERS[library]
    users = {
        str(path.relative_to(CHECKOUT)): room
        for room, path in files()
        if any(name.split(".")[0] == library for name in imports(path, for_types=False))
    }
    assert owner in users.values(), f"no file of {owner}/ imports {library}: take it out of the table"
    assert [file for file, room in users.items() if room != owner and file not in others] == []
    assert [file for file in others if file not in users] == []


def test_no_room_imports_the_tests() -> None:
    assert [
        str(path) for _, path in files() if any(name.split(".")[0] == "tests" for name in imports(path))
    ] == []


FORBIDDEN_CALLS = {
    ("pickle", "load"),
    ("pickle", "loads"),
    ("yaml", "load"),
    ("torch", "load"),
    ("os", "system"),
}


def test_nothing_is_unpickled_or_run_by_a_shell() -> None:
    found = []
    for _, path in files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
                call = (function.value.id, function.attr)
                # torch.load reads our own checkpoints only with weights_only=True, which unpickles no code
                safe = any(
                    k.arg == "weights_only" and getattr(k.value, "value", 0) is True for k in node.keywords
                )
                if call in FORBIDDEN_CALLS and not safe:
                    found.append(f"{path}:{node.lineno} {'.'.join(call)}")
            if any(
                k.arg in ("shell", "unsafe_allow_html") and getattr(k.value, "value", 0) is True
                for k in node.keywords
            ):
                found.append(f"{path}:{node.lineno} shell or unsafe_allow_html")
    assert found == []


def test_functions_and_files_stay_readable() -> None:
    """STYLE: files under 400 lines, functions at most 80."""
    found = []
    for _, path in files():
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 400:
            found.append(f"{path}: {text.count(chr(10))} lines")
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
                and node.end_lineno - node.lineno > 80
            ):
                found.append(f"{path}:{node.lineno} {node.name} {node.end_lineno - node.lineno} lines")
    assert found == []
