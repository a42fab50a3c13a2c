"""The verbs of this room; genba.py lists all."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import click

from data.command_line import SITE, Outcome, Verbs, counted, progress_bar, verb
from data.errors import GenbaError
from data.site import Site

VERBS = Verbs()
ACTIONS = ("make", "status", "lots", "lot-open", "lot-accept", "lot-reject", "lot-withdraw")


@verb(VERBS)
@SITE
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1))
@click.option(
    "-o", "--output", default=None, type=click.Path(dir_okay=False), help=".csv, .jsonl or .parquet"
)
@click.option("--language", type=click.Choice(["ja", "en"]), default=None, help="Only captions in it.")
@click.option(
    "--words", "words_language", type=click.Choice(["ja", "en"]), default=None, help="Reasons in it."
)
@click.option("--where", multiple=True, help="Only this slice, e.g. --where line=A; repeatable.")
@click.option("--why", is_flag=True, help="Also which words pull each caption down; loads the encoder.")
def queue(
    site: str,
    top: int,
    output: str | None,
    language: str | None,
    words_language: str | None,
    where: tuple[str, ...],
    why: bool,
) -> Outcome:
    """The captions that most need a person, worst first, the reasons, what others say, and every signal."""
    from annotate import slices
    from annotate.queue import count, in_words, require_writable, write
    from annotate.queue import slices as slices_of
    from annotate.queue import top as run
    from scoring.encoders import load_for_site
    from scoring.explain import explain

    opened = Site.open(site)
    if output:
        require_writable(Path(output))
    chosen = slices.where(opened, where)
    found = run(opened, top, language=language, extra=chosen)
    rows = in_words(found, words_language or opened.language)
    encoder = load_for_site(opened, opened.queue_encoder()) if why and rows else None
    told = explain(opened, [row["pair_id"] for row in rows], encoder)
    rows = [{**row, **told[row["pair_id"]].fields()} for row in rows]
    if not rows and (chosen or language) and count(opened):
        asked = ", ".join(
            [*(f"{key}={value}" for key, value in chosen.items()), *([language] if language else [])]
        )
        known = [
            f"{key}={value}" for key, values in slices_of(opened).items() if key in chosen for value in values
        ]
        raise GenbaError(f"No caption that waits has {asked}.", choices=known, next=f"genba queue {site}")
    if not rows:
        raise GenbaError(
            "The queue is empty: nothing is scored yet, or all is done.", next=f"genba score {site}"
        )
    if output:
        write(rows, Path(output))
        return {"rows": len(rows), "output": output}, f"{len(rows)} rows in {output}"
    lines = [
        f"{row['risk']:.3f}  {row['image']}  {row['caption'] or '(no caption)'}\n       {row['reasons']}"
        for row in rows
    ]
    return {"queue": rows}, "\n".join(lines)


@verb(VERBS)
@SITE
@click.option("--top", default=None, type=click.IntRange(min=1), help="Default: label_studio.push_top.")
def push(site: str, top: int | None) -> Outcome:
    """Send the top of the queue to Label Studio, with pre-filled predictions."""
    from annotate.sync import push as run

    opened = Site.open(site)
    with progress_bar("push") as progress:
        result = dataclasses.asdict(
            run(opened, top or opened.settings.label_studio.push_top, progress=progress)
        )
    return result, counted(result)


@verb(VERBS)
@SITE
def pull(site: str) -> Outcome:
    """Bring back what was annotated, edited or deleted in Label Studio."""
    from annotate.sync import pull as run
    from scoring.score import learn

    opened = Site.open(site)
    result = dataclasses.asdict(run(opened))
    learn(opened)
    return result, counted(result)


@verb(VERBS)
@SITE
@click.option("--full", is_flag=True, help="Compare everything, mend what differs, and say what it was.")
def sync(site: str, full: bool) -> Outcome:
    """Send waiting corrections, then pull."""
    from annotate.differences import table
    from annotate.sync import sync as run
    from scoring.score import learn

    opened = Site.open(site)
    found = run(opened, full=full)
    learn(opened)
    result = dataclasses.asdict(found)
    text = counted({key: value for key, value in result.items() if key != "differences"})
    return result, f"{text}\n{table(found.differences, opened.language)}" if full else text


@verb(VERBS)
@SITE
@click.argument("action", type=click.Choice(["draw", "estimate"]))
@click.argument("n", required=False, type=click.IntRange(min=1))
@click.option("--seed", default=None, type=int, help="Draw the same pairs again on a copy of the site.")
@click.option("--by", default=None, help="An extra column, e.g. line: each of its values is drawn from.")
@click.option("--to", "people", multiple=True, help="Who is to judge them; repeatable; default: anybody.")
def audit(
    site: str, action: str, n: int | None, seed: int | None, by: str | None, people: tuple[str, ...]
) -> Outcome:
    """How many bad captions are left: `draw N` pairs blind at random, have them judged, `estimate`."""
    from annotate import audit as room
    from annotate.stopping import next_hundred, sentences

    opened = Site.open(site)
    if action == "draw":
        if n is None:
            raise click.UsageError("draw needs a number: genba audit SITE draw 100")
        drawn = room.draw(opened, n, seed, by=by, assigned_to=people)
        fewer = f" of {n}: no more of the held-out captions have no verdict yet" if drawn < n else ""
        return {"drawn": drawn}, f"drawn {drawn}{fewer}; they come up in the form between the others"
    found = room.estimate(opened)
    if found is None and (waiting := room.waiting(opened)):
        raise GenbaError(f"{waiting} drawn captions wait for their verdicts.", next=f"genba up {site}")
    if found is None:
        raise GenbaError("No audited pair has a verdict yet.", next=f"genba audit {site} draw 100")
    ahead = next_hundred(opened, found, opened.settings.cost.bad_caption_jpy or None)
    return {**dataclasses.asdict(found), "next_hundred": dataclasses.asdict(ahead)}, "\n".join([
        f"{found.bad} of {found.judged} audited captions were wrong.",
        f"Before anybody corrected: {found.before:.0f} of {found.captions} captions wrong "
        f"(95 % interval {found.before_low:.0f} to {found.before_high:.0f}).",
        f"Now: of {found.unjudged} unjudged captions about {found.bad_left:.0f} are wrong "
        f"({found.bad_left_low:.0f} to {found.bad_left_high:.0f}), {found.rate:.1%} "
        f"({found.low:.1%} to {found.high:.1%}).",
        *sentences(ahead, "en"),
    ])  # fmt: skip


@verb(VERBS)
@SITE
@click.argument("action", type=click.Choice(["versions", "check", "use"]))
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False))
@click.option("--by", default="genba", show_default=True, help="Who saves it; [review] leads may.")
def template(site: str, action: str, file: str | None, by: str) -> Outcome:
    """The site's template: its versions; `check FILE` tells what would change; `use FILE` saves it as a new version."""
    from annotate import template_versions as room
    from annotate.template_changes import changes, studio_change
    from data.template_file import read_text

    opened = Site.open(site)
    current = opened.template()
    if action == "versions":
        rows = [dataclasses.asdict(one) for one in room.versions(opened)]
        return {"template": current.id, "versions": rows}, "\n".join(
            f"{current.id}@{row['number']}  {row['corrections']} corrections  {row['saved_by'] or ''}"
            + ("  in use" if row["is_in_use"] else "")
            for row in rows
        )
    if file is None:
        raise click.UsageError(f"{action} needs a file: genba template SITE {action} my/template.yaml")
    text = read_text(Path(file))
    new = room.save(opened, text, by, file) if action == "use" else room.check(opened, text, file)
    told = [change.in_words("en") for change in changes(current, new)]
    lost = studio_change(current, new, [str(one) for one in opened.settings.site.languages]).lost
    name = f"{new.id}@{new.version}"
    lines = [f"{name} is in use." if action == "use" else f"{name} is right.", *told]
    lines += [f"Label Studio: the new page has no place for {', '.join(lost)}"] if lost else []
    return {"template": name, "changes": told, "label_studio_loses": lost}, "\n".join(lines)


@verb(VERBS)
@SITE
@click.argument("action", type=click.Choice(ACTIONS))
@click.argument("lot", required=False)
@click.option(
    "--drafter", "drafters", multiple=True, help="Repeatable; default: [drafts] drafters in genba.toml."
)
@click.option(
    "--top", default=None, type=click.IntRange(min=1), help="Pairs of the queue; default: [drafts] top."
)
@click.option("--model", default=None, help="Of the drafter `model`: a folder, or a hub name in the cache.")
@click.option(
    "--device", default=None, type=click.Choice(["auto", "cpu", "cuda", "mps"]), help="Of that model."
)
@click.option("--size", default=None, type=click.IntRange(min=1), help="Drafts in a lot at most.")
@click.option(
    "--by", default=lambda: os.environ.get("USER", "genba"), help="Who decides; [review] leads may."
)
@click.option("--despite-alarms", is_flag=True, help="Accept although planted wrong drafts were let through.")
def draft(
    site: str, action: str, lot: str | None, drafters: tuple[str, ...], model: str | None, **given: Any
) -> Outcome:
    """Drafts for a person to approve: `make` them, see `status` and `lots`, open a lot of them, accept or reject it."""
    from annotate.draft_job import model_name, run

    opened = Site.open(site)
    with progress_bar("draft") as progress:
        asked = {**given, "drafters": list(drafters) or None, "model": model_name(model)}
        return run(opened, action, lot, asked, progress)
