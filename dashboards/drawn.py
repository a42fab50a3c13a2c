"""Charts as the pages draw them: built once for the same records, and made into Vega-Lite once for all visitors.

    @made_once
    def arms_chart(metrics, language): ...     # called again with equal records, it returns the chart that it made
    drawn(chart).spec, drawn(chart).tables     # what Streamlit sends to the browser

To build a chart takes Altair some 25 ms of a processor, to make it into Vega-Lite 15 more, and a page has up to ten. A
kept chart is shared, so nobody changes one.
"""

from __future__ import annotations

import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import date
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

if TYPE_CHECKING:
    import pandas

CHECKED = False  # against Vega-Lite's schema, which takes twice as long as the rest: the tests do it
MOST = 64  # charts of one kind: the newest asked for
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Drawn:
    """A chart in Vega-Lite. tables: the rows of each data that the spec names, those of the whole chart first."""

    spec: Mapping[str, Any]
    tables: Mapping[str, pandas.DataFrame]


def made_once(make: Callable[P, T]) -> Callable[P, T]:
    """A function of records (dataclasses, arrays, tables, and collections of them) that makes equal ones once."""
    made: OrderedDict[Hashable, T] = OrderedDict()
    lock = threading.Lock()

    @wraps(make)
    def held(*given: P.args, **named: P.kwargs) -> T:
        key = frozen((given, named))
        with lock:
            if key in made:
                made.move_to_end(key)
                return made[key]
        found = make(*given, **named)
        with lock:
            made[key] = found
            if len(made) > MOST:
                made.popitem(last=False)
        return found

    return held


def frozen(value: Any) -> Hashable:
    """A key that is equal for equal records only: 1, 1.0 and True are told apart. Raises TypeError for other kinds.

    frozen([1, {"a": 2.0}]) == frozen([1, {"a": 2.0}]) != frozen([1, {"a": 2}])
    """
    import numpy
    import pandas

    if value is None or isinstance(value, (str, bytes)):
        return value
    if isinstance(value, (bool, int, float, date)):
        return type(value), value
    if is_dataclass(value):
        return type(value), tuple(frozen(getattr(value, one.name)) for one in fields(value))
    if isinstance(value, (list, tuple)):
        if set(map(type, value)) == {float}:  # a hundred thousand cosines, in a millisecond
            return float, array("d", value).tobytes()
        return list, tuple(map(frozen, value))
    if isinstance(value, Mapping):
        return dict, tuple((frozen(key), frozen(one)) for key, one in value.items())
    if isinstance(value, numpy.generic):
        return frozen(value.item())
    if isinstance(value, numpy.ndarray) and value.dtype != object:
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, pandas.DataFrame):
        return pandas.DataFrame, tuple((str(name), frozen(value[name].tolist())) for name in value.columns)
    raise TypeError(f"no key for {type(value).__name__}")


def drawn(chart: Any) -> Drawn:
    """chart: an altair.Chart or LayerChart, whose encodings name their types."""
    found: Drawn | None = chart.__dict__.get("_drawn")  # Altair takes what is set on a chart for a part of it
    if found is None:
        tables: dict[str, pandas.DataFrame] = {}
        spec = _named(chart, tables).to_dict(validate=CHECKED)
        spec["config"] = (
            chart.config.to_dict()
        )  # the look alone: Altair adds the theme that is set in the process
        found = Drawn(spec, tables)
        object.__setattr__(chart, "_drawn", found)
    return found


def _named(chart: Any, tables: dict[str, pandas.DataFrame]) -> Any:
    """A copy of the chart that names its data in place of holding it. Altair's own way goes through a setting of the
    process, which Streamlit changes while it draws for another visitor."""
    import altair
    import pandas

    copy = chart.copy(deep=False)
    if isinstance(copy.data, pandas.DataFrame):
        name = next((name for name, rows in tables.items() if rows is copy.data), f"rows-{len(tables)}")
        tables[name], copy.data = copy.data, altair.NamedData(name=name)
    if isinstance(copy, altair.LayerChart):
        copy.layer = [_named(layer, tables) for layer in copy.layer]
    return copy
