"""The labour clock: how long somebody has really worked on a pair, as their browser measured it.

    clock = clocks()                              # the one of this web process
    clock.begin(token, at=100.0)                  # a form is shown; times in seconds since 1970
    clock.report(token, 12.5, False, at=113.0)    # the browser: 12.5 active seconds so far, and I am still in front
    clock.seconds(token, at=115.0)                # 14.5; None where no browser has reported

The browser (annotate/pages/clock.js) counts the time between two signs of life (key, pointer, wheel, touch) while its
window has the focus, a pause as IDLE_SECONDS at most. It sends its sum now and then; what the server adds since the
last report follows the same rule. A browser can lie: nobody gets more seconds than have passed since the report before.
"""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass

from annotate.form import IDLE_SECONDS

KEPT = 10_000  # forms; the oldest are forgotten


@dataclass(frozen=True)
class Reported:
    """What is known of one form. `total`: active seconds up to `at`; is_away: the window has lost the focus."""

    total: float
    at: float
    is_away: bool
    is_measured: bool


class ActiveClock:
    """The forms that are open in the browsers of this process. Safe to call from several threads."""

    def __init__(self) -> None:
        self._forms: dict[str, Reported] = {}
        self._lock = threading.Lock()

    def begin(self, token: str, at: float) -> None:
        """A form is shown from now on; only such forms are listened to."""
        with self._lock:
            while len(self._forms) >= KEPT:
                self._forms.pop(next(iter(self._forms)))
            self._forms[token] = Reported(0.0, at, is_away=False, is_measured=False)

    def report(self, token: str, total: float, is_away: bool, at: float) -> bool:
        """The browser's sum so far. False for a form that is not known (any more)."""
        with self._lock:
            known = self._forms.get(token)
            if known is None:
                return False
            grown = min(max(total - known.total, 0.0), max(at - known.at, 0.0))
            self._forms[token] = Reported(known.total + grown, at, is_away, is_measured=True)
            return True

    def seconds(self, token: str, at: float) -> float | None:
        """Active seconds on a form so far, when something was just done in it; None without a report."""
        known = self._forms.get(token)
        if known is None or not known.is_measured:
            return None
        since = 0.0 if known.is_away else min(max(at - known.at, 0.0), IDLE_SECONDS)
        return known.total + since

    def end(self, token: str) -> None:
        """The form is done with."""
        with self._lock:
            self._forms.pop(token, None)


@functools.cache
def clocks() -> ActiveClock:
    """The clock of this web process: the pages and the route that browsers report to share it."""
    return ActiveClock()
