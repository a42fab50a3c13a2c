"""`import torchvision` and open_clip after ensure_torchvision(), in a fresh interpreter: imports cannot be undone."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import CHECKOUT


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_works_and_a_second_call_gives_the_same_library():
    out = run(
        "from scoring.torchvision_ops import ensure_torchvision as e, own_operators_load as own\n"
        "a = e(); b = e()\n"
        "import gc; gc.collect()\n"
        "import torchvision, open_clip\n"
        "print(a is b, (a is None) == own())"
    )
    assert out.split() == ["True", "True"]


def test_does_nothing_when_torchvision_is_loaded_already():
    out = run(
        "import sys, types\n"
        "sys.modules['torchvision'] = types.ModuleType('torchvision')\n"
        "from scoring.torchvision_ops import ensure_torchvision\n"
        "print(ensure_torchvision())"
    )
    assert out.strip() == "None"


def test_does_nothing_when_the_operators_load():
    out = run(
        "import scoring.torchvision_ops as t\n"
        "t.own_operators_load = lambda: True\n"
        "print(t.ensure_torchvision())"
    )
    assert out.strip() == "None"
