"""[retrain] and [worker] of genba.toml: how and when a site retrains, and what its worker looks at."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field, field_validator

from data import schedule
from data.errors import GenbaError
from data.settings_section import Section


class RetrainSection(Section):
    arms: list[str] = Field(
        default=["original", "corrected"],
        min_length=1,
        description="also dropped, drafts, random; reworded is always trained (training/arms.py)",
    )
    seeds: int = Field(
        default=3, ge=1, le=20, description="trainings of each arm; with one nothing is known of other seeds"
    )
    steps: int = Field(default=80, ge=1)
    batch: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=1e-5, gt=0)
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps until the full rate")
    weight_decay: float = Field(default=0.02, ge=0, lt=1, description="of AdamW, on matrices")
    layer_decay: float = Field(
        default=1.0, gt=0, le=1, description="rate of each block beside the one above it; 1 = all alike"
    )
    lock: Literal["none", "image", "text"] = Field(
        default="none", description="the tower that stays as it is"
    )
    batch_norm: Literal["frozen", "batch"] = Field(
        default="frozen", description="statistics of its layers: the base's own, or each batch's"
    )
    ema: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="decay of the mean of the weights that is the result; 0 = the last ones",
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        description="parts a batch is computed in: less memory, same gradient, 40 % slower",
    )
    keep_original: float = Field(
        default=0.0, ge=0, lt=1, description="how often a photo of another arm shows its original caption"
    )
    tasks: list[str] = Field(
        default=[], description="tasks of your own beside the built-in ones, as 'module:function'"
    )
    inspection: str = Field(
        default="",
        description="SLOT:OPTION that says nothing is wrong, for the miss rate; empty: the first option 'none'",
    )
    false_alarms: float = Field(
        default=0.1, gt=0, lt=1, description="share of the sound photos that may raise an alarm there"
    )
    after_corrections: int = Field(
        default=0, ge=0, description="start by itself after so many new corrections; 0 = never"
    )
    schedule: str = Field(default="", description="a cron line, e.g. '0 3 * * 6'; empty = never")
    after_error_fell: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="start by itself once the audited share of bad captions fell by so much of itself, 0.25: by a "
        "quarter; 0 = never",
    )
    no_start_between: str = Field(
        default="",
        description="hours in which none starts by itself, e.g. '08:00-18:00'; one that a person asks for does",
    )
    primary: str = Field(
        default="retrieval/recall_at_1_text_to_image",
        pattern=r"^[\w.:-]+/[\w.:@-]+$",
        description="TASK/METRIC that must rise for a model to be promoted; chosen before any run",
    )
    guard_margin: float = Field(
        default=0.02,
        ge=0,
        le=0.5,
        description="how far a guarded measure may fall: shares by so much, others by so much of themselves",
    )
    general_set: str = Field(
        default="",
        description="a CSV of image,caption outside the site that a retrained model must not forget; empty: none",
    )
    dense: Literal["probe", "finetune"] = Field(
        default="probe",
        description="masks and depth by a linear probe on frozen features, or by fine-tuning (a GPU's work)",
    )
    dense_size: int = Field(
        default=0, ge=0, le=2048, description="side of photos for masks and depth; 0 = the encoder's own"
    )
    dense_blocks: list[int] = Field(
        default=[], description="blocks whose maps are used, counted from 0; empty: evenly spaced"
    )
    dense_steps: int = Field(
        default=200, ge=1, description="of a fine-tuning for masks or depth, 16 photos each"
    )
    dense_flip_test: bool = Field(
        default=False, description="predict each test photo and its mirror image, take the mean"
    )
    dense_train_photos: int = Field(default=0, ge=0, description="labelled photos that teach them; 0 = all")
    dense_test_photos: int = Field(default=300, ge=0, description="labelled photos to measure on; 0 = all")
    depth_max_m: float = Field(default=10.0, gt=0, description="metres; what is deeper is not measured")

    @property
    def primary_metric(self) -> tuple[str, str]:
        """(task, metric) of `primary`: what gate, run, pages and report speak of first."""
        return self.primary.partition("/")[::2]

    @field_validator("schedule")
    @classmethod
    def _is_cron(cls, line: str) -> str:
        return _readable(line, schedule.require_cron)

    @field_validator("no_start_between")
    @classmethod
    def _are_hours(cls, text: str) -> str:
        return _readable(text, schedule.Hours.parse)


class WorkerSection(Section):
    queue: str = Field(
        default="sqlite",
        pattern=r"^(sqlite|rediss?://\S+|unix://\S+)$",
        description="what wakes the worker: 'sqlite', a file of the site, or 'redis://HOST:PORT/DATABASE'",
    )
    watch: str = Field(
        default="", description="a folder or table under a photo root that is read in by itself; empty: none"
    )
    watch_schedule: str = Field(
        default="*/10 * * * *", description="when it is looked at: a cron line, by this machine's clock"
    )

    @field_validator("watch_schedule")
    @classmethod
    def _is_cron(cls, line: str) -> str:
        return _readable(line, schedule.require_cron)


def _readable(text: str, parse: Callable[[str], object]) -> str:
    """The text, which may be empty. Raises ValueError, as validators of pydantic do, where it cannot be read."""
    try:
        if text:
            parse(text)
    except GenbaError as error:
        raise ValueError(f"{error.what.rstrip('.')} ({error.next})") from None
    return text
