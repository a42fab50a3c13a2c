"""The command line: every verb opens a site, calls one function of a room, and says what happened.

Verbs of scoring, annotate and training stand in their rooms' commands.py.

    genba demo            a complete site on rendered photos, no network
    genba up SITE         Label Studio + web + worker, Ctrl-C stops all
    genba --help          all verbs

Exit code 0: done. 1: failed, with what happened, the value, the choices, the next command. 2: wrong use.
`--json`: one JSON object on stdout; progress and logs always go to stderr.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import annotate.commands
import dashboards.commands
import scoring.commands
import training.commands
from data.command_line import SITE, Outcome, Verbs, counted, progress_bar, verb
from data.errors import GenbaError
from data.jobs import Progress
from data.site import Site


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="genba")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find the photo captions that most need a person, have them corrected, and measure what that bought."""
    context.obj = training.commands.InWords(_run_in_words, _metric_in_words)


def _run_in_words(site: Site, run_id: str, language: str) -> str:
    """One retraining in words, for training/commands.py, which may not import a later room."""
    from dashboards.words import run_sentence

    return run_sentence(site, run_id, language)


def _metric_in_words(site: Site, language: str) -> Callable[[str, str, str], str]:
    """Names of metrics, the template's items under its own labels."""
    from functools import partial

    from dashboards.words import metric_name, slot_labels

    return partial(metric_name, labels=slot_labels(site.template(), language))


for room in (scoring.commands, annotate.commands, training.commands, dashboards.commands):
    for name, command in room.VERBS.commands.items():
        cli.add_command(command, name)


@verb(cli)
@SITE
@click.option(
    "--photos", multiple=True, required=True, type=click.Path(), help="Folder with photos; repeatable."
)
@click.option("--template", required=True, help="A pack (see `genba templates`) or a YAML file.")
@click.option("--encoder", default="", help="See `genba encoders`; default: the multilingual one it names.")
@click.option(
    "--languages", default="ja,en", show_default=True, help="Comma-separated; the first is the default."
)
@click.option("--name", default=None, help="Shown at the top of every page.")
def init(
    site: str, photos: tuple[str, ...], template: str, encoder: str, languages: str, name: str | None
) -> Outcome:
    """Make a new site; refuses a folder that is not empty."""
    from data.site import init_site
    from scoring.encoder_files import WeightsAbsent, canonical_id, resolve_encoder
    from scoring.encoders import DEFAULT_ENCODER

    encoder, note = canonical_id(encoder or DEFAULT_ENCODER), ""
    try:
        resolve_encoder(encoder)
    except (
        WeightsAbsent
    ) as absent:  # photos can be read in and looked at meanwhile; scoring needs the weights
        note = f"Before you score: {absent.what}"
    made = init_site(site, list(photos), template, encoder, languages=languages.split(","), name=name)
    text = f"Site {made.root} with template {template} and encoder {encoder}."
    return {"site": str(made.root), "encoder": encoder, "template": template, "note": note}, "\n".join(
        filter(None, [text, note, f"Next: genba ingest {site} SOURCE"])
    )


@verb(cli)
@SITE
@click.argument("source", type=click.Path())
@click.option(
    "--format",
    "format_",
    default=None,
    help="sidecar, csv, xlsx, jsonl, parquet, coco, label-studio, webdataset or hf; default: by name.",
)
@click.option("--image-column", default=None)
@click.option("--caption-column", default=None)
@click.option(
    "--as", "kind", type=click.Choice(["captions", "masks", "depth"]), default="captions",
    help="masks: a folder of PNG, or one JSON file from COCO or Label Studio; depth: a folder of PNG.",
)  # fmt: skip
@click.option(
    "--words",
    type=click.Choice(["ja", "en"]),
    default=None,
    help="Why rows were left out, in it; default: the site's.",
)
def ingest(
    site: str,
    source: str,
    format_: str | None,
    image_column: str | None,
    caption_column: str | None,
    kind: str,
    words: str | None,
) -> Outcome:
    """Read photos and captions (or, with --as, masks and depth maps). Doing it again adds nothing twice."""
    from data.rejects import left_out

    opened = Site.open(site)
    with progress_bar("ingest") as progress:
        if kind == "captions":
            from data.ingest import REASONS
            from data.ingest import ingest as run

            result = dataclasses.asdict(run(opened, source, format_, image_column, caption_column, progress))
        else:
            from data.dense_labels import REASONS, ingest_labels

            result = dataclasses.asdict(ingest_labels(opened, source, kind, progress=progress))
    following = f"Next: genba {'score' if kind == 'captions' else 'retrain'} {site}"  # masks and depth serve its tasks
    rejected = left_out(opened, source, result["rejected"], REASONS, words or opened.language)
    return result, "\n".join(filter(None, [counted(result), rejected, following]))


@verb(cli)
@SITE
@click.argument("photos", type=click.Path())
@click.option("--old", default=None, help="The root to replace, when the site has several.")
def relink(site: str, photos: str, old: str | None) -> Outcome:
    """The photo folder has moved: check that it holds the same photos, then point the site to it."""
    from data.relink import relink as run

    result = dataclasses.asdict(run(Site.open(site), photos, old))
    return result, counted(result)


@verb(cli)
@SITE
@click.argument("file", type=click.Path(dir_okay=False))
def backup(site: str, file: str) -> Outcome:
    """One archive (.tar.gz) of everything but the photos, also while people work; unpacked it is the site again."""
    from data.backup import backup as run

    with progress_bar("backup") as progress:
        made = run(Site.open(site), Path(file), progress=progress)
    result = {"path": str(made.path), "files": made.files, "bytes": made.bytes}
    return (
        result,
        f"{made.path}: {made.files} files, {made.bytes / 1e6:.1f} MB.\nBack again: tar xzf {made.path}",
    )


@verb(cli)
def templates() -> Outcome:
    """The template packs there are, with their languages."""
    from data.templates import packs

    rows = [
        {"id": p.id, "version": p.version, "title": dict(p.title), "languages": list(p.title)}
        for p in packs()
    ]
    return {"templates": rows}, "\n".join(
        f"{row['id']} v{row['version']}  {' / '.join(row['title'].values())}  ({', '.join(row['languages'])})"
        for row in rows
    )


@verb(cli)
@click.argument("folder", default="demo-site", type=click.Path(file_okay=False))
@click.option("--photos", "scenes", default=1200, show_default=True, type=click.IntRange(min=60))
@click.option("--seed", default=7, show_default=True)
@click.option("--rebuild-encoder", is_flag=True, help="Train the demo's encoder again (up to 40 minutes).")
def demo(folder: str, scenes: int, seed: int, rebuild_encoder: bool) -> Outcome:
    """A complete site on rendered photos, no network: build it once, then `genba up` it."""
    with progress_bar("demo") as progress:
        if rebuild_encoder:
            from training.demo_encoder import rebuild

            rebuild(progress=progress)
        site = build_demo(Path(folder).resolve(), scenes, seed, progress)
    return {"site": str(site.root)}, f"Demo site: {site.root}\nNext: genba up {site.root}"


@verb(cli)
@SITE
def up(site: str) -> Outcome:
    """Label Studio + web + worker on loopback under one supervisor; Ctrl-C stops all."""
    from training.up import up as run

    run(Site.open(site), lambda text: click.echo(text, err=True))
    return {"site": site, "stopped": True}, "stopped"


@verb(cli, hidden=True)
@SITE
def web(site: str) -> Outcome:
    """The web process alone; `genba up` starts it."""
    from app import serve

    opened = Site.open(site)
    serve(opened, opened.settings.web.host, opened.settings.web.port)
    return {"stopped": True}, "stopped"


@verb(cli, hidden=True)
@SITE
def worker(site: str) -> Outcome:
    """The worker process alone; `genba up` starts it."""
    from training.worker import run_worker

    run_worker(Site.open(site), handlers())
    return {"stopped": True}, "stopped"


@verb(cli)
@SITE
def doctor(site: str) -> Outcome:
    """What is wrong with the site, what was mended, and the next command."""
    from training.doctor import examine

    findings = [dataclasses.asdict(one) for one in examine(Site.open(site))]
    bad = [one for one in findings if not one["mended"]]
    text = "\n".join(
        f"{'mended' if one['mended'] else 'WRONG'}: {one['what']} {one['next']}" for one in findings
    )
    if bad:
        raise GenbaError(text, next="see above")
    return {"clean": True, "findings": findings}, text or "clean"


def handlers() -> dict[str, Callable[[Any, dict[str, Any], Progress], dict[str, Any]]]:
    """What the worker can do, by job name: (site, arguments, progress) -> result. Doing one twice does no harm."""
    from annotate import audit, crew, draft_job, sync
    from dashboards import personal_scan
    from data.ingest import ingest
    from data.watch import ingest_ready
    from scoring import site_map
    from scoring.score import score
    from training.edge import export
    from training.evaluate import evaluate
    from training.pilot import pilot
    from training.retrain import retrain

    as_dict = dataclasses.asdict
    return {
        "ingest": lambda site, given, progress: as_dict(
            (ingest_ready if given.get("ready_only") else ingest)(site, given["source"], progress=progress)
        ),
        "score": lambda site, given, progress: as_dict(score(site, progress=progress)),
        "map": lambda site, given, progress: as_dict(site_map.make(site, given.get("method"), progress)),
        "push": lambda site, given, progress: as_dict(
            sync.push(site, site.settings.label_studio.push_top, progress=progress)
        ),
        "sync": lambda site, given, progress: sync.job(site, given),
        "privacy": personal_scan.job,
        "audit": lambda site, given, progress: {"drawn": audit.draw(site, given["n"])},
        "draft": lambda site, given, progress: draft_job.job(site, given, progress),
        "retrain": lambda site, given, progress: {
            "run": retrain(site, given.get("arms"), given.get("seeds"), progress=progress)
        },
        "pilot": lambda site, given, progress: {"run": pilot(site, given.get("seeds"), progress=progress)},
        "evaluate": lambda site, given, progress: {
            "metrics": evaluate(site, given["model"], progress=progress)
        },
        "export-model": lambda site, given, progress: export(
            site,
            given["model"],
            given.get("precision", "fp32"),
            given["by"],
            format=given.get("format", "onnx"),
            progress=progress,
        ).fields(),
        "demo-crew": lambda site, given, progress: as_dict(
            crew.work(site, Path(given["truth"]), progress=progress)
        ),
    }


def build_demo(folder: Path, scenes: int, seed: int, progress: Progress) -> Any:
    """The demo's sequence: render, make the site, ingest, queue the jobs that a person then watches in the app.

    FOLDER/source holds photos, labels, captions and truth.jsonl (what is true of them, for the simulated crew alone),
    FOLDER/site the site. An existing demo is returned as it is; a killed build goes on where it stopped.
    """
    from data.demo.build import build_photos
    from data.dense_labels import ingest_labels
    from data.ingest import ingest
    from data.jobs import enqueue
    from data.settings_retrain import RetrainSection
    from data.site import init_site

    site_folder, source = folder / "site", folder / "source"
    if not (source / "captions.csv").exists():
        build_photos(source, scenes, seed, progress=lambda done, total: progress(done, total, "photos"))
    if not (site_folder / "genba.toml").exists():
        init_site(
            site_folder, [source / "photos"], "parts", "demo", name="Genba demo / 現場デモ", demo=True,
            retrain=RetrainSection(learning_rate=3e-4, steps=90, batch=64, seeds=3, batch_norm="batch"),
        )  # fmt: skip
    site = Site.open(site_folder)
    with site.connect() as db:
        if db.get_state("demo_built"):
            return site
    ingest(site, source / "captions.csv", progress=lambda n, total=None, _="": progress(n, total, "ingest"))
    for kind in ("masks", "depth"):
        ingest_labels(site, source / "labels" / kind, kind)
    with site.connect() as db:
        enqueue(db, "score")
        enqueue(db, "demo-crew", {"truth": str(source / "truth.jsonl")})
        enqueue(db, "retrain")
        db.set_state("demo_built", True)
    return site


def main() -> None:
    """Entry point of the console script."""
    # Idle threads of torch would spin, which on a busy machine starves the others: five times slower, measured.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    cli()


if __name__ == "__main__":
    main()
