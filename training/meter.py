"""One progress for a whole retraining, so that the time left is right from the first minute.

Everything is counted in photos shown to the model. What each kind of work costs beside one photo of training was
measured with the demo's encoder on two cores; with a larger encoder training takes the larger share of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.jobs import Progress

DECODED = 0.2  # a photo read and decoded, beside a photo trained on
MEASURED = 1.0  # a photo in the measuring of one model, all tasks together


@dataclass
class Meter:
    """Counts work and reports it."""

    progress: Progress
    total: float = 0.0
    done: float = 0.0
    batch: int = 0
    measured: int = 0
    message: str = ""
    last_step: int = 0

    def plan(self, photos: int, steps: int, batch: int, models: int, measured: int) -> None:
        """photos to decode; steps of `batch`; models to measure on `measured` photos each."""
        self.batch, self.measured = batch, measured
        self.total = DECODED * photos + batch * steps + MEASURED * measured * models
        self.say("reading photos")

    def say(self, message: str) -> None:
        """Another message, nothing done."""
        self.message = message
        self.progress(round(self.done), round(self.total), message)

    def photos(self, count: int) -> None:
        """So many photos were decoded."""
        self._add(DECODED * count, self.message)

    def step(self, message: str, step: int) -> None:
        """So many steps of a training are done; one that goes on after a kill begins in the middle."""
        before = self.last_step if step > self.last_step else 0
        self.last_step = step
        self._add(self.batch * (step - before), message)

    def model(self, message: str) -> None:
        """A model is measured."""
        self._add(MEASURED * self.measured, message)

    def _add(self, work: float, message: str) -> None:
        self.done = min(self.done + work, self.total)
        self.say(message)
