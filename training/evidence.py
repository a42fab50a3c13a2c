"""Do corrections help, on real photos? One command; whatever comes out is written down.

    python -m training.evidence rooms steel               # docs/evidence/rooms.json, steel.json and a .md of each
    python -m training.evidence --demo demo-site/site     # the retraining that the demo made after its crew's work
    python -m training.evidence --pages                   # each .md anew from its .json; nothing is measured
    python -m training.evidence rooms --device cuda --lock none --seeds 8     # rooms-cuda.json: both towers are trained

Each set is a site of its own (training/evidence_sets.py), retrained as any site is (training/retrain.py): the captions,
the wording and the held-out photos are fixed by the seed before the first arm trains. The plots are drawn by
`python -m dashboards.evidence`. Takes up to an hour for both sets on two cores; a run that was stopped goes on with
--folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from data.command_line import progress_bar
from data.errors import GenbaError
from data.settings_retrain import RetrainSection
from data.site import Site
from scoring.rates import where
from training import detect
from training.label_efficiency import Equivalent, fewest
from training.plan import LOCKS
from training.runs import LAST_RUN_SQL

OUT = Path(__file__).resolve().parent.parent / "docs" / "evidence"
# Two cores. Of the small real encoder the text tower is by far the dearer (seven layers of 40 tokens, beside a
# MobileNet of 192 pixels), and dense tasks see the image tower alone. So it stays as it is, locked-image tuning (Zhai
# et al. 2022) turned round, and each caption is read once instead of in each step.
STEPS, BATCH, LEARNING_RATE = 40, 64, 1e-4
Row = dict[str, Any]
EFFECTS = "SELECT * EXCLUDE (run_id) FROM effects WHERE run_id = ? ORDER BY task, metric, arm, versus"
METRICS = """
SELECT task, metric, arm, avg(value) AS value, min(value) AS least, max(value) AS most, any_value(unit) AS unit,
    any_value(n) AS n, count(*) AS seeds
FROM metrics WHERE run_id = ? GROUP BY task, metric, arm ORDER BY task, metric, arm
"""
EFFICIENCY = """
SELECT task, metric, arm, share, any_value(labels) AS labels, avg(value) AS value, min(value) AS least,
    max(value) AS most, any_value(unit) AS unit, any_value(higher_is_better) AS higher_is_better, count(*) AS seeds
FROM efficiency WHERE run_id = ? GROUP BY task, metric, arm, share ORDER BY task, metric, arm, share
"""
EQUIVALENTS = (
    "SELECT * EXCLUDE (run_id) FROM label_equivalents WHERE run_id = ? ORDER BY task, metric, arm, share"
)


def measure(name: str, site: Site, device: str = "cpu") -> Row:
    """Retrain a site with its own settings and read everything that was measured from its store. What was measured
    elsewhere than on a CPU is a set of its own, NAME-DEVICE."""
    from training.retrain import retrain

    with progress_bar(name) as progress:
        run_id = retrain(site, device=device, progress=progress)
    return read(name if device == "cpu" else f"{name}-{device}", site, run_id, device)


def last_retraining(site: Site) -> str:
    """Id of the newest finished one. Raises GenbaError where there is none."""
    with site.connect() as db:
        found = db.value(LAST_RUN_SQL)
    if found is None:
        raise GenbaError(f"{site.root} has no finished retraining.", next=f"genba retrain {site.root}")
    return str(found)


def read(name: str, site: Site, run_id: str, device: str = "cpu") -> Row:
    """Everything that a finished run measured."""
    with site.connect() as db:
        run = db.one("SELECT snapshot_id, base_encoder, seconds, config FROM runs WHERE run_id = ?", [run_id])
        assert run is not None
        queries = {
            "effects": EFFECTS,
            "metrics": METRICS,
            "efficiency": EFFICIENCY,
            "equivalents": EQUIVALENTS,
        }
        found = {key: db.rows(sql, [run_id]) for key, sql in queries.items()}
    config = {
        key: run["config"][key]
        for key in ("arms", "seeds", "plan", "counts", "skipped", "blend")
        if key in run["config"]
    }
    encoder = str(run["base_encoder"]).rpartition("/")[2]  # the folder's name, not where it lies
    return {"set": name, **where(device), "base_encoder": encoder, "snapshot": run["snapshot_id"],
            "seconds": round(run["seconds"]), "config": config, **found}  # fmt: skip


def page_of(found: Row) -> str:
    """The figures as Markdown. An interval that holds zero is called what it is: no effect shown."""
    counts = found["config"]["counts"]
    lines = [
        f"# Evidence: {found['set']}", "",
        f"Written by `python -m training.evidence`; by hand nothing. {found['machine']}, {found['date']}, "
        f"{found['seconds'] / 60:.0f} minutes, base `{found['base_encoder']}`, snapshot `{found['snapshot']}`.", "",
        f"{counts['train_photos']:,} training photos, {counts['corrected_photos']:,} of them with a corrected caption; "
        f"{counts['test_captions']:,} judged captions of {counts['test_photos']:,} held-out photos.", "",
        "Detectable: the smallest true effect that four of five such runs would show, from the interval's width. "
        "Stated before: the same, as the run said before its first arm trained, from an earlier run or assumed.", "",
        "| task | metric | arm | versus | difference | 95 % interval | detectable | stated before | p | n | seeds | |",
        "|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|",
        *(_effect_line(one) for one in found["effects"]), "",
    ]  # fmt: skip
    if found["efficiency"]:
        lines += [
            "## Fewer labels", "", "| task | metric | arm | labels | mean over seeds | least | most |",
            "|---|---|---|---:|---:|---:|---:|",
            *(f"| {r['task']} | {r['metric']} | {r['arm']} | {r['labels']:,} | {r['value']:.4f} | {r['least']:.4f} | "
              f"{r['most']:.4f} |" for r in found["efficiency"]), "",
        ]  # fmt: skip
    if found["equivalents"]:
        equivalents = [Equivalent(**row) for row in found["equivalents"]]
        lines += [
            "How many labels the arm it is compared with would need for the same:", "",
            "| task | metric | arm | versus | labels | equivalent | 95 % interval |",
            "|---|---|---|---|---:|---:|---:|",
            *(f"| {e.task} | {e.metric} | {e.arm} | {e.versus} | {e.labels:,} | "
              f"{_labels(e, fewest(equivalents, e.task, e.metric))} |" for e in equivalents), "",
        ]  # fmt: skip
    for task, why in found["config"].get("skipped", {}).items():
        lines.append(f"Not measured: {task} ({why}).")
    return "\n".join(lines).rstrip() + "\n"


def _effect_line(one: Row) -> str:
    is_gain = one["low"] > 0 if one["higher_is_better"] else one["high"] < 0
    is_loss = one["high"] < 0 if one["higher_is_better"] else one["low"] > 0
    said = "gain" if is_gain else "loss" if is_loss else "no effect shown"
    return (f"| {one['task']} | {one['metric']} | {one['arm']} | {one['versus']} | {one['value']:+.4f} | "
            f"{one['low']:+.4f} to {one['high']:+.4f} | {_detectable(one)} | {_stated(one)} | "
            f"{_number(one['p_value'])} | {one['n']:,} | {one['seeds']} | {said} |")  # fmt: skip


def _detectable(one: Row) -> str:
    """Of the run itself, not of what was stated; an interval of one seed, or of equal arms, does not tell it."""
    if not detect.tells(one["seeds"], one["low"], one["high"]):
        return "cannot be told"
    return _number(detect.detectable(detect.error_of(one["low"], one["high"])))


def _stated(one: Row) -> str:
    """0 was stated where the base finds nothing, and so varies by nothing; newer runs state None there."""
    if one["detectable"] is None:
        return "could not be told"
    return _number(one["detectable"]) if one["detectable"] else "0 (tells nothing)"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _labels(one: Equivalent, least: int) -> str:
    """least: labels of the curve's first point, below which nothing was measured."""

    def told(value: float | None) -> str:
        if value is None:
            return "not reached"
        return f"{value:,.0f} or fewer" if value <= least else f"{value:,.0f}"

    if not one.is_reached:
        return "not reached | "
    return f"{told(one.equivalent)} | {told(one.low)} to {told(one.high)}"


def main() -> None:
    """Measure the sets that were named, and write what came out."""
    from training.evidence_sets import SETS, make_site, require_set

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", metavar="SET", help=", ".join(SETS))
    parser.add_argument("--demo", type=Path, help="a demo site that has retrained")
    parser.add_argument("--pages", action="store_true", help="write each page anew from its figures")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda", "mps"))
    parser.add_argument("--lock", default="text", choices=LOCKS, help="the tower that is not trained")
    parser.add_argument("--folder", type=Path, help="where the sites are made, and found again")
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    try:
        for name in given.sets:
            require_set(name)
        if given.pages:
            pages(given.out)
        if not given.sets and not given.demo and not given.pages:
            raise GenbaError(
                "Nothing to measure.", choices=SETS, next="python -m training.evidence rooms steel"
            )
        with tempfile.TemporaryDirectory() as scratch:
            for name in given.sets:
                folder = (given.folder or Path(scratch)) / name
                settings = RetrainSection(
                    seeds=given.seeds,
                    steps=given.steps,
                    batch=BATCH,
                    learning_rate=LEARNING_RATE,
                    lock=given.lock,
                )
                is_made = (folder / "site" / "genba.toml").exists()
                site = Site.open(folder / "site") if is_made else make_site(name, folder, settings)
                _write(measure(name, site, given.device), given.out)
            if given.demo:
                demo = Site.open(given.demo)
                _write(read("demo", demo, last_retraining(demo)), given.out)
    except GenbaError as error:
        sys.exit(str(error))


def pages(out: Path) -> None:
    """Write the .md of every .json in a folder anew. Raises GenbaError where it holds none."""
    sources = sorted(out.glob("*.json"))
    if not sources:
        raise GenbaError(f"{out} holds no figures.", next="python -m training.evidence rooms steel")
    for source in sources:
        found = json.loads(source.read_text(encoding="utf-8"))
        source.with_suffix(".md").write_text(page_of(found), encoding="utf-8")


def _write(found: Row, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{found['set']}.json").write_text(
        json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8"
    )
    page = page_of(found)
    (out / f"{found['set']}.md").write_text(page, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    main()
