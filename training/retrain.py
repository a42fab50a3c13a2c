"""Retraining with a control arm: what did the corrections buy, measured on photos that nobody trained on.

    genba retrain SITE                      run_id = retrain(site, seeds=2, progress=show)

Same base, photos, order, steps and seeds for every arm; only the captions differ. Every arm starts from the site's base
encoder and not from the model in use: so arms of different runs compare, a mistake of an early round is not carried on,
and a model's whole lineage is one snapshot. What the retraining must beat is the encoder in use: the arm "base".

The candidate is the corrected arm. A run that is killed goes on when the same is asked for again (training/runs.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from data.errors import GenbaError
from data.jobs import JobCancelled, Progress, silent
from data.site import Site
from data.snapshots import Contents, Snapshot, collect, freeze, load_snapshot
from data.store import now
from scoring.encoders import Encoder, load_for_site, source_for_site
from training import runs
from training.arms import captions_of, require_arms
from training.bench import Bench, items_of, photos_to_decode, prepare
from training.blend import Choice, Load, Weights, choose_candidate, choose_share, interpolate
from training.compare import ByArm, contrasts, effects
from training.measures import Measured
from training.meter import Meter
from training.model_files import encoder_of, write_model
from training.pixels import Pixels, load_pixels
from training.tasks import measure
from training.trainer import Plan, fine_tune

if TYPE_CHECKING:
    import torch

FEWEST_CORRECTED = 10  # training photos with a corrected caption
FEWEST_TEST = 20  # held-out photos with a checked caption
BASE, CORRECTED = "base", "corrected"
LOCK_SECONDS = 1.0  # somebody may look for a moment whether it is free
Row = dict[str, Any]


def retrain(
    site: Site,
    arms: Sequence[str] | None = None,
    seeds: int | None = None,
    device: str = "auto",
    progress: Progress = silent,
) -> str:
    """Freeze, train every arm with every seed, measure, compare, write the candidate; returns the run's id.

    progress(done, total, message) over the whole run. Raises GenbaError: another retraining runs; too few corrections
    or checked captions; the loss is no number.
    """
    settings = site.settings.retrain
    chosen = require_arms(arms or settings.arms)
    config = {"arms": chosen, "seeds": seeds or settings.seeds, "steps": settings.steps, "batch": settings.batch,
              "learning_rate": settings.learning_rate, "device": device}  # fmt: skip
    with lock(site):
        run = _open(site, config, progress)
        try:
            _carry_out(run)
        except (JobCancelled, KeyboardInterrupt):
            runs.end(site, run.run_id, "cancelled", "cancelled")
            raise
        except Exception as error:
            runs.end(site, run.run_id, "failed", str(error) or type(error).__name__)
            raise
        return run.run_id


@contextmanager
def lock(site: Site) -> Iterator[None]:
    """Held while a retraining of the site runs, released by the system when its process dies. Raises GenbaError."""
    guard = FileLock(str(site.root / "retrain.lock"), timeout=LOCK_SECONDS)
    try:
        guard.acquire()
    except Timeout:
        raise GenbaError(
            "A retraining of this site is running already.", next="wait until it has finished"
        ) from None
    try:
        yield
    finally:
        guard.release()


def is_running(site: Site) -> bool:
    """Whether a retraining of the site runs now, in any process."""
    try:
        with lock(site):
            return False
    except GenbaError:
        return True


@dataclass
class Run:
    """A retraining at work. `encoder`: the base; its weights change all the time, `base` keeps them."""

    site: Site
    run_id: str
    config: Row
    snapshot: Snapshot
    contents: Contents  # of the snapshot, in the languages that the base reads
    encoder: Encoder
    base: dict[str, torch.Tensor]
    in_use: str
    meter: Meter
    losses: Row = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return runs.work_folder(self.site, self.run_id)

    @property
    def seeds(self) -> range:
        return range(self.config["seeds"])

    def weights_file(self, arm: str, seed: int) -> Path:
        return self.work / f"{arm}-{seed}.safetensors"


def _open(site: Site, config: Row, progress: Progress) -> Run:
    """Begin a run, or go on with one that was killed. Fails for too few captions before anything is loaded."""
    base = source_for_site(site, site.settings.site.encoder)
    if base.kind == "transformers":
        raise GenbaError(
            f"The encoder {base.id!r} is in transformers' format: it can score, but not be retrained.",
            next="genba encoders",
        )
    config = {**config, "base_fingerprint": base.fingerprint}
    killed = runs.interrupted(site, config)
    if killed is None:
        require_enough(collect(site).read_by(base.reads), site)
    encoder = load_for_site(site, base.id, config["device"])
    snapshot = load_snapshot(site, killed["snapshot_id"]) if killed else freeze(site)
    run_id = killed["run_id"] if killed else runs.begin(site, snapshot.snapshot_id, base.id, config)
    weights = {name: value.detach().cpu().clone() for name, value in encoder.model.state_dict().items()}
    contents = snapshot.contents.read_by(base.reads)
    return Run(site, run_id, config, snapshot, contents, encoder, weights, site.encoder_id(), Meter(progress))


def require_enough(contents: Contents, site: Site) -> None:
    """Raises GenbaError that names the counts and the next command."""
    counts = contents.counts()
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


def _carry_out(run: Run) -> None:
    """All of it, in order."""
    _plan_progress(run)
    bench = prepare(run.site, run.contents, run.encoder, run.work, run.meter.photos)
    val = items_of(run.contents, "val")
    val_photos = load_pixels(run.site, run.encoder, val, run.work, progress=run.meter.photos)
    photos = load_pixels(run.site, run.encoder, run.contents.train, run.work, progress=run.meter.photos)
    measured: dict[tuple[str, int], list[Measured]] = {(BASE, 0): _measure_in_use(run, bench)}
    choices: dict[str, Choice] = {}
    for arm in run.config["arms"]:
        for seed in run.seeds:
            _train(run, arm, seed, photos)
        choices[arm] = choose_share(run.encoder, run.base, _tuned(run, arm), val, val_photos)
        for seed, load in enumerate(_blended(run, arm, choices[arm])):
            run.encoder.model.load_state_dict(dict(load()))
            measured[arm, seed] = _measure(run, run.encoder, bench, f"{arm}, seed {seed}")
    found = effects(measured, contrasts(run.config["arms"], BASE))
    config = _resolved(run, choices)
    model = None
    if CORRECTED in choices:
        model = _candidate(run, bench, choices[CORRECTED], val, val_photos, measured, config)
    runs.complete(run.site, run.run_id, config, measured, found, model)


def _plan_progress(run: Run) -> None:
    """How much there is to do, in photos shown to the model; what a killed run has done already is left out."""
    trainings = [(arm, seed) for arm in run.config["arms"] for seed in run.seeds]
    open_trainings = [one for one in trainings if not run.weights_file(*one).exists()]
    counts = run.contents.counts()
    batch = min(run.config["batch"], counts["train_photos"])
    decoded = photos_to_decode(run.contents) + counts["val_photos"] + counts["train_photos"]
    run.meter.plan(
        photos=decoded, steps=len(open_trainings) * run.config["steps"], batch=batch, models=len(trainings) + 2,
        measured=photos_to_decode(run.contents),
    )  # fmt: skip


def _measure_in_use(run: Run, bench: Bench) -> list[Measured]:
    """The encoder that the site uses now: the model to beat."""
    if run.in_use == run.encoder.id:
        return _measure(run, run.encoder, bench, "the model before")
    encoder = load_for_site(run.site, run.in_use, run.encoder.device)
    own = prepare(run.site, run.contents, encoder, run.work)
    return _measure(run, encoder, own, "the model before")


def _measure(run: Run, encoder: Encoder, bench: Bench, what: str) -> list[Measured]:
    run.meter.say(f"measuring {what}")
    found, run.skipped = measure(encoder, bench)
    run.meter.model(f"measured {what}")
    return found


def _train(run: Run, arm: str, seed: int, photos: Pixels) -> None:
    """Train one arm with one seed and keep its weights, unless a killed run has done so."""
    from safetensors.torch import save_file

    path = run.weights_file(arm, seed)
    if path.exists():
        return
    settings = run.config
    plan = Plan(settings["steps"], settings["batch"], settings["learning_rate"], seed)
    captions = captions_of(run.contents.train, arm)
    assert list(captions) == list(photos.place), "both are sorted by image_id"
    run.encoder.model.load_state_dict(run.base)

    def report(step: int, loss: float) -> None:
        run.meter.step(f"{arm}, seed {seed}, loss {loss:.2f}")

    loss = fine_tune(
        run.encoder, photos.array, list(captions.values()), plan, path.with_suffix(".pt"), report
    )
    run.losses[f"{arm}-{seed}"] = round(loss, 4)
    state = {
        name: value.detach().cpu().contiguous() for name, value in run.encoder.model.state_dict().items()
    }
    temporary = path.with_suffix(".tmp")
    save_file(state, str(temporary))
    temporary.replace(path)
    path.with_suffix(".pt").unlink(missing_ok=True)


def _tuned(run: Run, arm: str) -> list[Load]:
    from safetensors.torch import load_file

    return [partial(load_file, run.weights_file(arm, seed)) for seed in run.seeds]


def _blended(run: Run, arm: str, choice: Choice) -> list[Load]:
    """The arm's models as they are measured: each seed's weights mixed with the base."""

    def load(tuned: Load) -> Weights:
        return interpolate(run.base, tuned(), choice.share)

    return [partial(load, tuned) for tuned in _tuned(run, arm)]


def _resolved(run: Run, choices: dict[str, Choice]) -> Row:
    """The run's config as it is kept: what was asked for, and all that was decided on the way."""
    import torch

    plan = asdict(Plan(run.config["steps"], run.config["batch"], run.config["learning_rate"], 0))
    return {
        **run.config, "plan": {key: value for key, value in plan.items() if key != "seed"},
        "in_use": run.in_use, "device": run.encoder.device, "precision": run.encoder.precision,
        "torch": torch.__version__, "counts": run.contents.counts(), "skipped": run.skipped, "losses": run.losses,
        "blend": {arm: asdict(choice) for arm, choice in choices.items()},
    }  # fmt: skip


def _candidate(
    run: Run, bench: Bench, choice: Choice, val: list[Row], photos: Pixels, measured: ByArm, config: Row
) -> Row:
    """Write the corrected arm's model and return its row of the models table."""
    weights, chosen = choose_candidate(run.encoder, _blended(run, CORRECTED, choice), val, photos)
    run.encoder.model.load_state_dict(weights)
    found = _measure(run, run.encoder, bench, "the candidate")
    against = effects({("candidate", 0): found, (BASE, 0): measured[BASE, 0]}, [("candidate", BASE)])
    model_id = f"{run.run_id}-{CORRECTED}"
    at = now()
    meta = {
        "run_id": run.run_id, "snapshot_id": run.snapshot.snapshot_id, "arm": CORRECTED, "created_at": at.isoformat(),
        "base_encoder": run.encoder.id, "base_fingerprint": run.encoder.fingerprint, "in_use": run.in_use,
        "weights": chosen, "share": choice.share, "config": config,
        "metrics": [runs.metric_row(one) for one in found], "effects": [asdict(one) for one in against],
    }  # fmt: skip
    meta = write_model(run.site, run.encoder, weights, model_id, meta, bench.items)
    return {
        "model_id": model_id, "run_id": run.run_id, "arm": CORRECTED, "state": "candidate", "meta": meta,
        "encoder": encoder_of(model_id), "base_encoder": run.encoder.id, "created_at": at,
    }  # fmt: skip
