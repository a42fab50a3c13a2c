"""The verbs of this room; genba.py lists all."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from data.command_line import SITE, Outcome, Verbs, counted, progress_bar, verb
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
        "Read back: " + _read_back(result.folder, format_, with_photos),
    ]
    return dataclasses.asdict(result), "\n".join(lines)


def _read_back(folder: str, format_: str, with_photos: bool) -> str:
    """The commands. Copies of photos are other files than the originals, so they are read into a site of their own."""
    new = f"genba init NEW --photos {folder} --template NAME, then: genba ingest NEW {folder}"
    if format_ == "webdataset":  # its photos lie inside the tars
        return f"for one in {folder}/*.tar; do tar -xf $one -C {folder}; done; {new}"
    return new if with_photos or format_ == "hf" else f"genba ingest SITE {folder}"


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


@verb(VERBS)
@SITE
@click.option(
    "--photos", is_flag=True, help="Also look at the photos that were not looked at yet: faces, GPS."
)
def privacy(site: str, photos: bool) -> Outcome:
    """Personal data and unwanted terms: looks through new captions (and photos), then lists what is open."""
    from dashboards import fairness, personal_findings, personal_scan

    opened = Site.open(site)
    with progress_bar("privacy") as progress:
        scanned = personal_scan.scan(opened, photos, progress)
    found = personal_findings.findings(opened)
    counts = personal_findings.open_findings(found)
    done = personal_scan.progress_of(opened)
    result = {
        "scanned": dataclasses.asdict(scanned),
        "looked_through": dataclasses.asdict(done),
        "open": counts,
        "findings": [dataclasses.asdict(one) for one in found],
        "error_gaps": {
            column: [
                {**dataclasses.asdict(one), "is_enough": one.is_enough, "verdict": one.verdict}
                for one in gaps
            ]
            for column, gaps in fairness.error_gaps(opened).items()
        },
    }
    lines = [
        f"Looked through: {done.captions_done} of {done.captions} captions, "
        f"{done.photos_done} of {done.photos} photos.",
        f"Open: {counted(counts) or 'nothing found, which does not mean that nothing is there'}",
        *(
            f"  {one.what}: {one.text or one.image}  ({one.caption or one.image})"
            for one in found
            if not one.decision
        ),
        "Decide on the page Fairness and privacy.",
    ]
    return result, "\n".join(lines)
