"""The machinery of a run: arms trained from one base with equal photos, steps and seeds, and measured on one bench.

    run = open_run(site, "retrain", asked, arms_of, progress)      # frozen, checked, or the killed one that goes on
    measure_base(run)                                              # and states what can be detected
    for arm in run.arms: train_arm(run, arm)

Used by the retraining (training/retrain.py) and by the pilot (training/pilot.py). One run of a site at a time holds
`lock`. A run that is killed goes on when the same is asked for again (training/runs.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from filelock import FileLock, Timeout

from data.errors import GenbaError
from data.jobs import JobCancelled, Progress
from data.site import Site
from data.snapshots import FORMAT, Contents, Snapshot, collect, freeze, load_snapshot
from data.supervisor import is_held
from scoring.encoders import Encoder, load_for_site, source_for_site
from training import detect, examples, runs
from training.arms import Captions, changed, check_arms, stand_ins, with_original
from training.bench import Bench, items_of, photos_to_decode, prepare
from training.blend import Load, Weights, interpolate
from training.caption_bench import caption_bench, inspection_slot, photos_of
from training.compare import BASE, ORIGINAL
from training.dense_plan import DensePlan
from training.detect import Statement
from training.examples import Shown
from training.general import general_task
from training.label_efficiency import Point, curve
from training.measures import Measured
from training.meter import Meter
from training.pixels import Pixels, load_pixels
from training.state import DiskFull, is_full_disk
from training.tasks import measure
from training.trainer import Plan, fine_tune
from training.user_tasks import load_tasks

if TYPE_CHECKING:
    import numpy as np
    import torch

FEWEST_CORRECTED = 10  # training photos with a corrected caption
FEWEST_TEST = 20  # held-out photos with a checked caption
LOCK = "retrain.lock"
LOCK_SECONDS = 1.0  # somebody may look for a moment whether it is free
Row = dict[str, Any]
ArmsOf = Callable[[Contents], dict[str, Captions]]


@contextmanager
def lock(site: Site) -> Iterator[None]:
    """Held while arms of the site are trained, released by the system when its process dies. Raises GenbaError."""
    guard = FileLock(str(site.root / LOCK), timeout=LOCK_SECONDS)
    try:
        guard.acquire()
    except Timeout:
        raise GenbaError(
            "A retraining or pilot of this site is running already.", next="wait until it has finished"
        ) from None
    try:
        yield
    finally:
        guard.release()


def is_running(site: Site) -> bool:
    """Whether a retraining or a pilot of the site runs now, in any process."""
    return is_held(site.root / LOCK)


@dataclass
class Run:
    """Arms at work. `encoder`: the base; its weights change all the time, `base` keeps them.

    arms: name -> photo -> captions. plan: with seed 0. skipped: tasks without labels, with the reason.
    """

    site: Site
    run_id: str
    asked: Row
    snapshot: Snapshot
    contents: Contents  # of the snapshot, in the languages that the base reads
    arms: dict[str, Captions]
    plan: Plan
    encoder: Encoder
    base: dict[str, torch.Tensor]
    in_use: str
    meter: Meter
    losses: Row = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    measured: dict[tuple[str, int], list[Measured]] = field(default_factory=dict)
    curves: dict[tuple[str, int], list[Point]] = field(default_factory=dict)
    stated: list[Statement] = field(default_factory=list)
    shown: dict[str, Shown] = field(default_factory=dict)  # what main arms answered (training/examples.py)

    @property
    def work(self) -> Path:
        return runs.work_folder(self.site, self.run_id)

    @property
    def seeds(self) -> range:
        return range(self.asked["seeds"])

    @cached_property
    def photos(self) -> Pixels:
        """The training photos, decoded."""
        return load_pixels(
            self.site, self.encoder, self.contents.train, self.work, progress=self.meter.photos
        )

    @cached_property
    def val(self) -> list[Row]:
        return items_of(self.contents, "val")

    @cached_property
    def val_photos(self) -> Pixels:
        return load_pixels(self.site, self.encoder, self.val, self.work, progress=self.meter.photos)

    @cached_property
    def bench(self) -> Bench:
        return bench_of(self.site, self.contents, self.encoder, self.work, self.meter.photos)

    def weights_file(self, arm: str, seed: int) -> Path:
        return self.work / f"{arm.replace(':', '-')}-{seed}.safetensors"

    def tuned(self, arm: str) -> list[Load]:
        """The arm's trained weights, one for each seed."""
        from safetensors.torch import load_file

        return [partial(load_file, self.weights_file(arm, seed)) for seed in self.seeds]

    def blended(self, arm: str, share: float) -> list[Load]:
        """The arm's models as they are measured: each seed's weights mixed with the base."""

        def load(tuned: Load) -> Weights:
            return interpolate(self.base, tuned(), share)

        return [partial(load, tuned) for tuned in self.tuned(arm)]

    def stated_by_contrast(self) -> dict[tuple[str, str, str, str], float | None]:
        """(task, metric, arm, versus) -> the smallest effect that was said to be detectable; None: not to be told."""
        return {(one.task, one.metric, one.arm, one.versus): one.detectable for one in self.stated}

    def resolved(self) -> Row:
        """The run's config as it is kept: what was asked for, and all that was decided on the way."""
        import torch

        original = self.arms.get(ORIGINAL)
        return {
            **self.asked, "primary": self.site.settings.retrain.primary,
            "in_use": self.in_use, "device": self.encoder.device, "precision": self.encoder.precision,
            "torch": torch.__version__, "counts": self.contents.counts(), "skipped": self.skipped,
            "losses": self.losses, "changed": changed(self.arms, original) if original else {},
            "detectable": [asdict(one) for one in self.stated],
        }  # fmt: skip


def carried_out(
    site: Site, kind: str, asked: Row, arms_of: ArmsOf, progress: Progress, work: Callable[[Run], None]
) -> str:
    """Open a run, do `work` with it, and write how it ended; returns its id. Raises what `work` raises."""
    with lock(site):
        run = open_run(site, kind, asked, arms_of, progress)
        try:
            work(run)
        except (JobCancelled, KeyboardInterrupt):
            runs.end(site, run.run_id, "cancelled", "cancelled")
            raise
        except DiskFull:  # as after a kill: with space again, it goes on when the same is asked for
            raise
        except Exception as error:
            if is_full_disk(error):
                raise DiskFull(
                    f"The run {run.run_id} cannot be written: {error}. What it has done is kept.",
                    next="free space on that disk, then start the same again: it goes on",
                ) from error
            runs.end(site, run.run_id, "failed", str(error) or type(error).__name__)
            raise
        return run.run_id


def open_run(site: Site, kind: str, asked: Row, arms_of: ArmsOf, progress: Progress) -> Run:
    """Begin a run, or go on with one that was killed. What cannot be trained is told before anything is loaded."""
    settings = site.settings.retrain
    base = source_for_site(site, site.settings.site.encoder)
    if base.kind == "transformers":
        raise GenbaError(
            f"The encoder {base.id!r} is in transformers' format: it can score, but not be retrained.",
            next="genba encoders",
        )
    inspection_slot(site.template(), settings.inspection)
    load_tasks(site)
    plan = replace(Plan.of(settings, 0), **asked.get("plan", {}))
    asked = {**asked, "plan": {key: value for key, value in asdict(plan).items() if key != "seed"},
             "keep_original": settings.keep_original, "base_fingerprint": base.fingerprint,
             "snapshot_format": FORMAT}  # fmt: skip
    killed = runs.interrupted(site, asked, kind)
    whole = load_snapshot(site, killed["snapshot_id"]).contents if killed else collect(site)
    contents = whole.read_by(base.reads)
    require_enough(contents, site)
    arms = arms_of(contents)
    check_arms(arms)
    encoder = load_for_site(site, base.id, asked["device"])
    snapshot = freeze(site, whole)
    if killed:
        runs.go_on(site, killed)
    run_id = killed["run_id"] if killed else runs.begin(site, snapshot.snapshot_id, base.id, asked, kind)
    weights = {name: value.detach().cpu().clone() for name, value in encoder.model.state_dict().items()}
    run = Run(site, run_id, asked, snapshot, contents, arms, plan, encoder, weights, site.encoder_id(),
              Meter(progress))  # fmt: skip
    _plan_progress(run)
    return run


def require_enough(contents: Contents, site: Site) -> None:
    """Raises GenbaError that names the counts and the next command."""
    counts = contents.counts()
    for split, photos in (("train", counts["train_photos"]), ("test", counts["test_photos"])):
        if not photos:
            what = (
                "with a caption that the base encoder reads" if split == "train" else "with a checked caption"
            )
            raise GenbaError(
                f"The split {split!r} is empty: it has no photo {what}.",
                next=f"genba ingest {site.root} SOURCE"
                if split == "train"
                else f"genba audit {site.root} draw 100",
            )
    if counts["corrected_photos"] < FEWEST_CORRECTED:
        raise GenbaError(
            f"{counts['corrected_photos']} training photos have a corrected caption; a retraining takes at least "
            f"{FEWEST_CORRECTED}.",
            next=f"genba queue {site.root} --top 20",
        )
    if counts["test_photos"] < FEWEST_TEST:
        raise GenbaError(
            f"{counts['test_photos']} held-out photos have a caption that a person has checked; a comparison takes at "
            f"least {FEWEST_TEST}.",
            next=f"genba audit {site.root} draw 100",
        )


def _plan_progress(run: Run) -> None:
    """How much there is to do, in photos shown to the model; what a killed run has done already is left out."""
    trainings = [(arm, seed) for arm in run.arms for seed in run.seeds]
    open_trainings = [one for one in trainings if not run.weights_file(*one).exists()]
    counts = run.contents.counts()
    batch = min(run.plan.batch, counts["train_photos"])
    probed = len(photos_of(run.contents.train, run.site.template()))
    measured_on = photos_to_decode(run.contents, DensePlan.of(run.site.settings.retrain))
    decoded = measured_on + counts["val_photos"] + counts["train_photos"] + probed
    run.meter.plan(
        photos=decoded, steps=len(open_trainings) * run.plan.steps, batch=batch, models=len(trainings) + 2,
        measured=measured_on,
    )  # fmt: skip


def bench_of(
    site: Site,
    contents: Contents,
    encoder: Encoder,
    folder: Path,
    progress: Callable[[int], None] | None = None,
) -> Bench:
    """Everything that a model is measured on."""
    bench = prepare(site, contents, encoder, folder, progress)
    asked = caption_bench(site, contents, encoder, folder, progress)
    return replace(bench, captions=asked, tasks={**load_tasks(site), **general_task(site, folder)})


def measure_base(run: Run, pairs: Sequence[tuple[str, str]]) -> None:
    """Measure the encoder that the site uses now, the model to beat, and state what the run can detect between `pairs`.

    So it is said before the first arm trains: in the progress, and in the run's config.
    """
    if run.in_use == run.encoder.id:
        encoder, bench = run.encoder, run.bench
    else:
        encoder = load_for_site(run.site, run.in_use, run.encoder.device)
        bench = bench_of(run.site, run.contents, encoder, run.work)
    run.measured[BASE, 0] = measured(run, encoder, bench, "the model before")
    earlier = runs.earlier_effects(run.site)
    run.stated = detect.state(run.measured[BASE, 0], pairs, len(run.seeds), earlier)
    runs.note(run.site, run.run_id, {"detectable": [asdict(one) for one in run.stated]})
    primary = run.site.settings.retrain.primary_metric
    main = next((one for one in run.stated if (one.task, one.metric) == primary), None)
    if main is not None:
        run.meter.say(detect.told(main))


def measured(
    run: Run,
    encoder: Encoder,
    bench: Bench,
    what: str,
    dense: dict[str, list[Measured]] | None = None,
    memo: dict[str, Any] | None = None,
) -> list[Measured]:
    """Every task's metrics of one model; see training/tasks.py: measure."""
    run.meter.say(f"measuring {what}")
    found, run.skipped = measure(encoder, bench, dense, memo)
    run.meter.model(f"measured {what}")
    return found


def train_arm(run: Run, arm: str) -> None:
    """Train an arm with every seed and keep its weights, but for what a killed run has done."""
    for seed in run.seeds:
        _train(run, arm, seed)


def _train(run: Run, arm: str, seed: int) -> None:
    from safetensors.torch import save_file

    path = run.weights_file(arm, seed)
    if path.exists():
        return
    captions = run.arms[arm]
    photos = run.photos
    assert list(captions) == list(photos.place), "both are sorted by image_id"
    texts, chances = with_original(captions, run.arms.get(ORIGINAL, captions), run.asked["keep_original"])
    place = stand_ins(captions)
    uris = {row["image_id"]: row["uri"] for row in run.contents.train}
    names = [uris[photo] for photo in captions]
    run.encoder.model.load_state_dict(run.base)

    def report(step: int, loss: float) -> None:
        run.meter.step(f"{arm}, seed {seed}, loss {loss:.2f}", step)

    seen = cast("np.ndarray", Standing(photos.array, place))
    loss = fine_tune(
        run.encoder, seen, [texts[one] for one in place], replace(run.plan, seed=seed),
        path.with_suffix(".state"), report, weights=[chances[one] for one in place],
        names=[names[one] for one in place],
    )  # fmt: skip
    run.losses[f"{arm}-{seed}"] = round(loss, 4)
    state = {
        name: value.detach().cpu().contiguous() for name, value in run.encoder.model.state_dict().items()
    }
    temporary = path.with_suffix(".tmp")
    save_file(state, str(temporary))
    temporary.replace(path)
    path.with_suffix(".state").unlink(missing_ok=True)


@dataclass(frozen=True)
class Standing:
    """Photos as an arm sees them: at each place its own photo, or the one that stands in for it. Read by place.

    A view: the photos' file (training/pixels.py) is not copied.
    """

    array: np.ndarray
    place: np.ndarray

    def __len__(self) -> int:
        return len(self.place)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    def __getitem__(self, places: np.ndarray | Sequence[int]) -> np.ndarray:
        found: np.ndarray = self.array[self.place[places]]
        return found


def measure_arm(run: Run, arm: str, share: float, with_curve: bool = False) -> None:
    """Measure every seed's model of a trained arm, mixed with the base.

    with_curve: with its curve over the numbers of labels, and with what the first model of a main arm answered.
    """
    for seed, load in enumerate(run.blended(arm, share)):
        run.encoder.model.load_state_dict(dict(load()))
        what, dense, memo = f"{arm}, seed {seed}", None, dict[str, Any]()
        shown = Shown() if with_curve and arm in examples.ARMS and seed == examples.SEED else None
        if with_curve:
            run.meter.say(f"measuring {what}")
            by_labels = curve(run.encoder, run.bench, seed, shown.take if shown else None)
            run.curves[arm, seed], dense = by_labels.points, by_labels.with_all
        run.measured[arm, seed] = measured(run, run.encoder, run.bench, what, dense, memo)
        if shown:
            shown.answers = examples.answers(run.encoder, run.bench, memo.get("vectors"))
            run.shown[arm] = shown
