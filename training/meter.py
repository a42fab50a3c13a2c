"""One progress for a whole retraining, with a time left that is right once photos are read.

What follows the reading is counted in photos shown to the model. How long a photo takes to read, beside one trained on,
depends on its size, its disk and the model: while photos are read the progress is that of the reading alone, and
afterwards the reading counts as as many photos as were trained or measured in so many seconds. What measuring costs
beside training was measured with the demo's encoder on two cores; with a larger encoder training takes the larger
share.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from data.jobs import Progress

MEASURED = 1.0  # a photo in the measuring of one model, all tasks together, beside a photo trained on
SETTLED = 0.1  # the share of the work after which the reading's weight stays: numbers that jump help nobody


@dataclass
class Meter:
    """Counts work and reports it."""

    progress: Progress
    clock: Callable[[], float] = time.monotonic
    to_read: int = 0
    read: int = 0
    work: float = 0.0
    done: float = 0.0
    batch: int = 0
    measured: int = 0
    message: str = ""
    last_step: int = 0
    began: float = 0.0
    read_until: float = 0.0  # when the first work after the reading began
    reading: float = 0.0  # photos that the reading counts as
    told: int = 0  # the largest number told: a bar does not go back while the reading's weight settles

    def plan(self, photos: int, steps: int, batch: int, models: int, measured: int) -> None:
        """photos to read; steps of `batch`; models to measure on `measured` photos each."""
        self.began = self.read_until = self.clock()
        self.to_read, self.batch, self.measured = photos, batch, measured
        self.work = batch * steps + MEASURED * measured * models
        self.say("reading photos")

    def say(self, message: str) -> None:
        """Another message, nothing done."""
        self.message = message
        reading, work = (self.reading, self.work) if self.done else (0.0, float(max(self.to_read, self.read)))
        total = round(reading + work)
        self.told = min(max(self.told, round(reading + self.done) if self.done else self.read), total)
        self.progress(self.told, total, message)

    def photos(self, count: int) -> None:
        """So many photos were read."""
        self.read += count
        if not self.done:
            self.read_until = self.clock()
        self.say(self.message)

    def step(self, message: str, step: int) -> None:
        """So many steps of a training are done; one that goes on after a kill begins in the middle."""
        before = self.last_step if step > self.last_step else 0
        self.last_step = step
        self._add(self.batch * (step - before), message)

    def model(self, message: str) -> None:
        """A model is measured."""
        self._add(MEASURED * self.measured, message)

    def _add(self, photos: float, message: str) -> None:
        self.done = min(self.done + photos, self.work)
        spent = self.clock() - self.read_until
        if spent > 0 and (not self.reading or self.done < SETTLED * self.work):
            self.reading = (self.read_until - self.began) * self.done / spent
        self.say(message)
