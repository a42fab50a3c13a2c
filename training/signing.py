"""A checklist at the command line: from a file, or asked question by question.

genba models SITE sign MODEL --purpose promotion --answers answers.json
genba models SITE sign MODEL --purpose export --interactive
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from data.errors import GenbaError
from data.site import Site
from training import checklist

Row = dict[str, Any]


def sign(site: Site, model_id: str, purpose: str, answers: Path | None, interactive: bool, by: str) -> str:
    """Read or ask the answers, and sign. Returns the checklist's id. Raises GenbaError when neither way is named."""
    if answers is None and not interactive:
        raise GenbaError(
            "A checklist needs its answers: --answers FILE.json, or --interactive. The file holds, for each question, "
            '{"answer": "yes", "note": "…"}.',
            choices=checklist.question_names(),
            next=f"genba models {site.root} sign {model_id} --purpose {purpose} --interactive",
        )
    given = checklist.read_answers(answers) if answers else ask(site, model_id)
    return checklist.sign(site, model_id, purpose, given, by)


def ask(site: Site, model_id: str) -> Row:
    """Show the widest gaps between slices, then ask every question in the site's language."""
    with site.connect() as db:
        gaps, _measured = checklist.gaps_to_look_at(site, db, model_id)
    for gap in gaps:
        click.echo(
            f"{gap['arm']}, {gap['metric']}, {gap['slice']} = {gap['part']}: {gap['value']:.3f}, rest "
            f"{gap['rest']:.3f}, gap {gap['gap']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f}, n = {gap['n']})",
            err=True,
        )
    found = {}
    for one in checklist.questions(site.language):
        click.echo(f"\n[{one.part}] {one.text}", err=True)
        answer = click.prompt("", type=click.Choice(checklist.ANSWERS), prompt_suffix="> ", err=True)
        found[one.key] = {"answer": answer, "note": click.prompt("note", err=True)}
    return found
