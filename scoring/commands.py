"""The verbs of this room; genba.py lists all."""

from __future__ import annotations

import dataclasses
from typing import Any

import click

from data.command_line import DEVICE, SITE, Outcome, Verbs, counted, progress_bar, verb
from data.errors import GenbaError
from data.site import Site

VERBS = Verbs()


@verb(VERBS)
@SITE
@DEVICE
@click.option("--engine", type=click.Choice(["local"]), default="local", show_default=True)
def score(site: str, device: str, engine: str) -> Outcome:
    """Embed what is new and rank every pair by the risk that its caption needs a correction."""
    from scoring.score import score as run

    with progress_bar("score") as progress:
        result = dataclasses.asdict(run(Site.open(site), device=device, engine=engine, progress=progress))
    return result, f"{counted(result)}\nNext: genba queue {site} --top 20"


@verb(VERBS, name="map")
@SITE
@click.option(
    "--method", type=click.Choice(["pca", "tsne"]), help="as the last time when not given; pca at first"
)
def map_(site: str, method: str | None) -> Outcome:
    """Place all photos on the map of the page Explore, and build the index that searches them."""
    from scoring.site_map import make

    with progress_bar("map") as progress:
        result = dataclasses.asdict(make(Site.open(site), method, progress))
    return result, counted(result)


@verb(VERBS)
@SITE
def risk(site: str) -> Outcome:
    """What the risk has learned from people's answers so far, and whether it can be believed."""
    from scoring.refit import fits

    opened = Site.open(site)
    made = fits(opened, opened.queue_encoder())
    if not made:
        raise GenbaError("The risk has learned nothing yet: it needs 30 answers, 8 of each verdict. Until then it is "
                         "the label-free one.", next=f"genba audit {site} draw 100")  # fmt: skip
    fit, at = made[0]
    lines = [
        f"{'learned' if fit.kind == 'learned' else 'label-free, calibrated'} from {fit.answers} answers, "
        f"{fit.audited} of them from the audit, {at:%Y-%m-%d %H:%M} UTC",
        f"AUROC {fit.auroc:.3f} (cross-validated), label-free {fit.auroc_label_free:.3f}",
        "predicted   seen  95 % interval   answers",
        *(
            f"{one.predicted:9.2f}  {one.seen:5.2f}  {one.low:.2f} to {one.high:.2f}  {one.answers:8d}"
            for one in fit.curve
        ),
    ]
    return {**fit.as_json(), "fitted_at": f"{at:%Y-%m-%dT%H:%M:%S}"}, "\n".join(lines)


@verb(VERBS)
def encoders() -> Outcome:
    """Encoders that can be used: languages, size, licence, how to bring the weights here."""
    from scoring.encoders import DEFAULT_ENCODER, ENCODERS

    rows = [dataclasses.asdict(one) for one in ENCODERS.values()]
    lines = [f"{'* ' if row['id'] == DEFAULT_ENCODER else '  '}{row['id']}\n{_indented(row)}" for row in rows]
    return {"encoders": rows, "default": DEFAULT_ENCODER}, "\n".join(lines) + "\n* default for a new site"


def _indented(row: dict[str, Any]) -> str:
    return "\n".join(f"      {key}: {value}" for key, value in row.items() if key != "id" and value)
