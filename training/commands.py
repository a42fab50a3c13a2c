"""The verbs of this room; genba.py lists all."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from data.command_line import DEVICE, SITE, Outcome, Verbs, progress_bar, verb
from data.messages import LANGUAGES
from data.site import Site

VERBS = Verbs()


@verb(VERBS)
@SITE
@DEVICE
@click.option("--arms", default=None, help="Comma-separated; default: retrain.arms in genba.toml.")
@click.option("--seeds", default=None, type=click.IntRange(min=1), help="Default: retrain.seeds.")
@click.option("--when", is_flag=True, help="Start nothing: say when the next one starts by itself, and why.")
@click.option("--words", type=click.Choice(list(LANGUAGES)), default=None, help="Say it in this language.")
def retrain(
    site: str, device: str, arms: str | None, seeds: int | None, when: bool, words: str | None
) -> Outcome:
    """Train the arms on equal photos, steps and seeds, and compare them on held-out photos."""
    opened = Site.open(site)
    if when:
        return _when(opened, words or opened.language)
    from training.retrain import retrain as run

    with progress_bar("retrain") as progress:
        run_id = run(opened, _names(arms), seeds, device, progress)
    return {"run": run_id}, _in_words().run(opened, run_id, opened.language)


def _names(listed: str | None) -> list[str] | None:
    return None if listed is None else [name.strip() for name in listed.split(",")]


def _when(site: Site, language: str) -> Outcome:
    """A dry run of the policy. JSON: state, met (rules), starts_at (UTC, or null), and the words in both languages."""
    from training.policy_words import sentences
    from training.when import decide

    found = decide(site)
    told = {one: sentences(found, one) for one in LANGUAGES}
    starts = f"{found.at.isoformat(timespec='seconds')}Z" if found.at else None
    return {"state": found.state, "met": found.met, "starts_at": starts, "words": told}, "\n".join(
        told[language]
    )


@dataclass(frozen=True)
class InWords:
    """How a run, and what is measured, are told: genba.py hands it down, since the words stand in a later room
    (dashboards/words.py)."""

    run: Callable[[Site, str, str], str]  # site, run, language
    metric: Callable[
        [Site, str], Callable[[str, str, str], str]
    ]  # site, language -> names as gate_words asks for them


def _in_words() -> InWords:
    told: InWords = click.get_current_context().find_root().obj
    return told


@verb(VERBS)
@SITE
@DEVICE
@click.option("--seeds", default=None, type=click.IntRange(min=1), help="Default: two.")
def pilot(site: str, device: str, seeds: int | None) -> Outcome:
    """Which items of the template matter: train without each in turn, and weigh its gain by its writing time."""
    from training.pilot import last_pilot
    from training.pilot import pilot as run

    opened = Site.open(site)
    with progress_bar("pilot") as progress:
        run_id = run(opened, seeds, device, progress)
    found = last_pilot(opened)
    items = [dataclasses.asdict(item) for item in found.items] if found else []
    lines = [f"{item['slot']:<20}{item['proposal']}" for item in items]
    return {"run": run_id, "items": items}, "\n".join(lines)


@verb(VERBS)
@SITE
@click.argument("model")
@click.option(
    "--base", default=None, metavar="timm:NAME|FOLDER", help="Masks and depth beside a base that is no CLIP."
)
@DEVICE
def evaluate(site: str, model: str, base: str | None, device: str) -> Outcome:
    """Every task's metrics of one model on the held-out photos."""
    from training.evaluate import encoder_named
    from training.evaluate import evaluate as run

    if base:
        return _beside_base(Site.open(site), encoder_named(Site.open(site), model), base, device)
    with progress_bar("evaluate") as progress:
        rows = run(Site.open(site), model, device=device, progress=progress)
    return {"metrics": rows}, "\n".join(
        f"{row['task']:<14}{row['metric']:<34}{row['value']:.4f} {row['unit']} (n = {row['n']})"
        for row in rows
    )


def _beside_base(site: Site, encoder: str, base: str, device: str) -> Outcome:
    """What the model has more, or less, than the base."""
    from training.dense_comparison import compare_with_base

    with progress_bar("evaluate") as progress:
        rows = compare_with_base(site, encoder, base, device, progress)
    return {"versus": base, "effects": [dataclasses.asdict(one) for one in rows]}, "\n".join(
        f"{one.task:<14}{one.metric:<24}{one.value:+.4f} ({one.low:+.4f} to {one.high:+.4f}) {one.unit}"
        for one in rows
    )


@verb(VERBS)
@SITE
@click.argument("action", type=click.Choice(["list", "promote", "rollback", "sign", "check"]), default="list")
@click.argument("model", required=False)
@click.option("--purpose", type=click.Choice(["promotion", "export"]), default="promotion", show_default=True)
@click.option(
    "--answers", type=click.Path(dir_okay=False, path_type=Path), help="A checklist's answers, as JSON."
)
@click.option("--interactive", is_flag=True, help="Ask the checklist's questions here.")
@click.option("--by", default=lambda: os.environ.get("USER", "genba"), help="Who decides.")
def models(
    site: str, action: str, model: str | None, purpose: str, answers: Path | None, interactive: bool, by: str
) -> Outcome:
    """The models of the site; check or promote one, go back to the one before, sign a checklist."""
    from training import gate_words, registry, signing

    opened = Site.open(site)
    if action in ("promote", "sign", "check") and not model:
        raise click.UsageError(f"{action} needs a model: genba models SITE {action} MODEL")
    if action == "promote":
        registry.promote(opened, str(model), by)
    elif action == "rollback":
        registry.rollback(opened, by)
    elif action == "sign":
        checklist = signing.sign(opened, str(model), purpose, answers, interactive, by)
        signed = {"checklist": checklist, "model": model, "purpose": purpose}
        return signed, f"Signed by {by}: {purpose} of {model}."
    elif action == "check":
        found = registry.checks(opened, str(model))
        named = _in_words().metric(opened, opened.language)
        said = [gate_words.told(check, opened.language, named) for check in found]
        return {"checks": said}, "\n".join(f"{one['state']:<13} {one['text']}" for one in said)
    rows = registry.models(opened)
    text = "\n".join(f"{row['state']:<10} {row['model_id']}  run {row['run_id']}" for row in rows)
    return {"models": rows, "encoder": opened.encoder_id()}, text or "No retrained model yet."


@verb(VERBS, name="export-model")
@SITE
@click.argument("model")
@click.option("--format", "format_", default="onnx", show_default=True, help="onnx.")
@click.option("--precision", default="fp32", show_default=True, help="fp32, fp16 or int8.")
@click.option(
    "-o", "--output", type=click.Path(file_okay=False, path_type=Path), help="Default: in the model's folder."
)
@click.option("--by", default=lambda: os.environ.get("USER", "genba"), help="Who exports it.")
def export_model(
    site: str, model: str, format_: str, precision: str, output: Path | None, by: str
) -> Outcome:
    """Write a model for devices, checked against torch, with a program that runs it with onnxruntime alone."""
    from training.edge import export

    with progress_bar("export") as progress:
        found = export(Site.open(site), model, precision, by, output, format_, progress)
    told = found.report
    times = (
        f"{name:<8}{speed.photo_ms:9.1f} ms a photo  {speed.batched_photo_ms:9.1f} ms in a batch  "
        f"{speed.text_ms:9.1f} ms a text"
        for name, speed in (("torch", told.speed_torch), (precision, told.speed_export))
    )
    equal = "—" if told.equal_answers is None else f"{told.equal_answers:.4f}"
    accuracy = (
        "—" if told.accuracy_export is None else f"{told.accuracy_torch:.4f} -> {told.accuracy_export:.4f}"
    )
    lines = [
        f"{found.folder}",
        f"cosine to torch: photos {told.photo_cosine_mean:.4f} (lowest {told.photo_cosine_lowest:.4f}), "
        f"texts {told.text_cosine_mean:.4f} (lowest {told.text_cosine_lowest:.4f})",
        f"equal answers: {equal}; slot accuracy: {accuracy}",
        f"size: image {told.megabytes_image:.1f} MB, text {told.megabytes_text:.1f} MB "
        f"(torch, both: {told.megabytes_torch:.1f} MB)",
        *times,
        f"Next: python {found.folder}/classify.py PHOTO; for scoring: encoder {found.encoder}",
    ]
    return found.fields(), "\n".join(lines)
