"""Tasks of the user's own, named in genba.toml: any function, from (encoder, bench) to rows of Measured.

    [retrain]
    tasks = ["our_measures:serial_numbers"]      # SITE/our_measures.py, or any module that Python finds

    def serial_numbers(encoder, bench):          # training/measures.py: Measured; training/bench.py: Bench
        yield Measured("serials", "accuracy", "fraction", True, "ratio", items, clusters, statistics)

It runs with this program's rights, as a part of it. Its mistakes are told with its name, before anything is trained
where that can be seen.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from data.errors import GenbaError
from data.site import Site
from scoring.encoders import Encoder
from training.bench import Bench
from training.measures import Measured
from training.vectors import TaskSkipped

Task = Callable[[Encoder, Bench], Iterable[Measured]]


def load_tasks(site: Site) -> dict[str, Task]:
    """The functions named in retrain.tasks, by that name. Raises GenbaError that says what is wrong with which."""
    return {name: _checked(name, _load(name, site.root)) for name in site.settings.retrain.tasks}


def _load(name: str, folder: Path) -> Task:
    module_name, _, function_name = name.partition(":")
    if not module_name or not function_name:
        raise _wrong(name, "it is written 'module:function'")
    known = sys.modules.get(module_name)
    if known is not None and str(known.__file__).startswith(f"{folder}{os.sep}"):
        del sys.modules[module_name]  # the file may have been mended since
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise _wrong(name, f"no module {error.name!r} in {folder} or in Python's path") from error
    except Exception as error:
        raise _wrong(name, f"the module cannot be loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(str(folder))
    function = getattr(module, function_name, None)
    if not callable(function):
        there = [one for one in vars(module) if callable(getattr(module, one)) and not one.startswith("_")]
        raise _wrong(name, f"{module.__file__} has no function {function_name!r}", there)
    found: Task = function
    return found


def _checked(name: str, function: Task) -> Task:
    """The function with its mistakes told: what it raises, and what it returns that is no metric."""

    def task(encoder: Encoder, bench: Bench) -> list[Measured]:
        try:
            found = list(function(encoder, bench))
        except (TaskSkipped, GenbaError):
            raise
        except Exception as error:
            place = _place(error)
            raise _wrong(name, f"it raised {type(error).__name__}: {error}{place}") from error
        for one in found:
            problem = _problem(one)
            if problem:
                raise _wrong(name, problem)
        return found

    return task


def _place(error: Exception) -> str:
    """Where the user's code failed."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace else ""


def _problem(one: object) -> str:
    """What is wrong with something that a task returned; "" when nothing is."""
    import numpy as np

    if not isinstance(one, Measured):
        return f"it returned {type(one).__name__}, where a Measured (training/measures.py) is expected"
    shape = np.shape(one.statistics)
    if len(shape) != 2 or shape[0] != one.n or len(one.clusters) != one.n or not one.n:
        return (f"its metric {one.metric!r} has {one.n} items, {len(one.clusters)} clusters and statistics of shape "
                f"{shape}; it takes one cluster and one row an item, and at least one item")  # fmt: skip
    try:
        value = one.value
    except (ValueError, TypeError, KeyError, IndexError, ArithmeticError) as error:
        return f"its metric {one.metric!r} cannot be computed: {type(error).__name__}: {error}"
    return "" if np.isfinite(value) else f"its metric {one.metric!r} is {value}, no number"


def _wrong(name: str, what: str, choices: Iterable[str] | None = None) -> GenbaError:
    return GenbaError(
        f"The task {name!r} of retrain.tasks cannot be used: {what}.", choices=choices,
        next="mend the function, or take it out of retrain.tasks in genba.toml",
    )  # fmt: skip
