"""The verbs of this room; genba.py lists all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from data.command_line import SITE, Outcome, Verbs, progress_bar, verb
from data.site import Site

VERBS = Verbs()
FORMATS = (
    "webdataset",
    "csv",
    "parquet",
    "coco",
    "hf",
    "label-studio",
)  # keys of dashboards/export_formats.FORMATS


@verb(VERBS)
@SITE
@click.argument("out", type=click.Path())
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True)
@click.option("--untouched", is_flag=True, help="Also captions that nobody has judged.")
@click.option(
    "--with-photos", is_flag=True, help="Copies of the photos too; webdataset and hf always hold them."
)
@click.option(
    "--drop", "left_out", multiple=True, metavar="COLUMN", help="An extra column that stays here; repeatable."
)
@click.option("--licence", default="", help="As it shall stand on the data card.")
@click.option(
    "--language", type=click.Choice(["ja", "en"]), default=None, help="Of the data card; default: the site's."
)
def export(
    site: str,
    out: str,
    format_: str,
    untouched: bool,
    with_photos: bool,
    left_out: tuple[str, ...],
    licence: str,
    language: str | None,
) -> Outcome:
    """Corrected captions with their photos in a format that others read, and a data card beside them."""
    from dashboards.export import Choice
    from dashboards.export import export as run

    choice = Choice(format_, untouched, with_photos, left_out, licence, language or "")
    with progress_bar("export") as progress:
        result = run(Site.open(site), out, choice, progress)
    counts = f"corrected {result.corrected}, confirmed {result.confirmed}, untouched {result.untouched}"
    lines = [
        f"{result.folder}: {result.captions} captions of {result.photos} photos ({counts}), "
        f"{result.captions_per_second:.0f} captions/s.",
        *(f"Left out: {n} captions ({reason})." for reason, n in result.left_out.items()),
        f"Read back: genba ingest SITE {result.folder}",
    ]
    return dataclasses.asdict(result), "\n".join(lines)


@verb(VERBS)
@SITE
@click.option("-o", "--output", default="report.html", show_default=True, type=click.Path(dir_okay=False),
              help="Ends in .html, .pdf or .pptx.")  # fmt: skip
@click.option("--language", type=click.Choice(["ja", "en"]), default=None, help="Default: the site's first.")
def report(site: str, output: str, language: str | None) -> Outcome:
    """The meeting report on one page: conclusion, evidence with intervals, cost and benefit, risks, next step."""
    from dashboards.report import write

    opened = Site.open(site)
    path = Path(output).absolute()
    write(opened, path, language or opened.language)
    return {"report": str(path), "language": language or opened.language}, f"Report: {path}"
