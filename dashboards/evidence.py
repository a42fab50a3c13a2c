"""Plots of what was measured, beside their sources, in English: docs/benchmarks/*.json and docs/evidence/*.json.

    python -m dashboards.evidence                    # every plot whose source stands there
    python -m dashboards.evidence --source DIR --out DIR

Needs vl-convert-python (requirements-dev.txt), which draws without a browser and without a network.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.charts import BLUE, GREEN, INK, MUTED, ORANGE, PURPLE, SKY, VERMILLION, look
from dashboards.evidence_runs import run_plot
from data.errors import GenbaError
from scoring.benchmark_tables import OVERALL, mean_over_kinds

if TYPE_CHECKING:
    from dashboards.charts import Chart

DOCS = Path(__file__).resolve().parent.parent / "docs"
FOLDERS = (DOCS / "benchmarks", DOCS / "evidence")
REVIEWS = "after "  # begins the name of a ranking that has learned from so many reviews
OURS = "profile exact"
NOMINAL, TOLERANCE, LEAST = 95.0, 1.0, 80.0  # percent; LEAST: where the axis begins
COLOURS = [BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, INK, MUTED]
Row = dict[str, Any]


def by_ranking(found: Row) -> Iterator[Row]:
    """Of each set and ranking: the AUROC as mean over the kinds of error, and its worst and best kind."""
    for one in found["sets"]:
        for ranking in found["rankings"]:
            mean = mean_over_kinds(one, ranking)
            if mean is None:
                continue
            kinds = [r["auroc"] for r in one["figures"] if r["ranking"] == ranking and r["kind"] != OVERALL]
            yield {
                "set": f"{one['set']}, {one['share']:.0%} wrong", "ranking": ranking, "auroc": mean,
                "worst": min(kinds), "best": max(kinds), "kinds": len(kinds), "which": _which(ranking),
            }  # fmt: skip


def _which(ranking: str) -> str:
    if ranking.startswith(REVIEWS):
        return "risk that has learned"
    return "risk before any review" if ranking == "risk" else "single signal"


def by_reviews(found: Row) -> list[Row]:
    """How much of the label-free risk's error (1 - AUROC) is left after so many reviews, on the same photos; 1 at 0."""
    rows: list[Row] = []
    for one in found["sets"]:
        name = f"{one['set']}, {one['share']:.0%} wrong"
        rows.append({"set": name, "reviews": 0, "left": 1.0})
        for ranking in found["rankings"]:
            ours, before = mean_over_kinds(one, ranking), mean_over_kinds(one, ranking, "auroc_risk")
            if ranking.startswith(REVIEWS) and ours is not None and before is not None:
                reviews = int(ranking.removeprefix(REVIEWS))
                rows.append({"set": name, "reviews": reviews, "left": (1 - ours) / (1 - before)})
    return rows


def finder_plot(found: Row) -> Chart:
    """Above: every ranking, one panel for each set and share. Below: what reviews leave of the risk's error."""
    import altair as alt
    import pandas

    rows, grown = pandas.DataFrame(by_ranking(found)), pandas.DataFrame(by_reviews(found))
    sets = list(dict.fromkeys(rows["set"]))
    groups = ["single signal", "risk before any review", "risk that has learned"]
    color = alt.Color("which:N", scale=alt.Scale(domain=groups, range=[MUTED, ORANGE, BLUE]))
    shape = alt.Shape("which:N", scale=alt.Scale(domain=groups, range=["circle", "square", "triangle-up"]))
    y = alt.Y("ranking:N", sort=found["rankings"], title=None, axis=alt.Axis(grid=True, ticks=False))
    span = alt.Scale(domain=[min(0.45, float(rows["worst"].min())), 1.0], nice=False)
    x = alt.X(
        "worst:Q", title="AUROC: mean, worst and best kind of error", scale=span, axis=alt.Axis(tickCount=6)
    )
    base = alt.Chart(rows)
    panel = alt.layer(
        base.mark_rule(strokeWidth=2, color=MUTED, opacity=0.4).encode(x=x, x2="best:Q", y=y),
        base.mark_point(filled=True, size=80, opacity=1).encode(x="auroc:Q", y=y, color=color, shape=shape),
    ).properties(width=260, height=190)
    panels = panel.facet(facet=alt.Facet("set:N", sort=sets, title=None), columns=3)
    lines = alt.Chart(grown).encode(
        x=alt.X("reviews:Q", title="Reviews (half blind audit, half top of the queue)"),
        y=alt.Y(
            "left:Q",
            title="1 - AUROC, mean over kinds",
            scale=alt.Scale(zero=False),
            axis=alt.Axis(format="%"),
        ),
        color=alt.Color("set:N", sort=sets, scale=alt.Scale(domain=sets, range=COLOURS[: len(sets)])),
    )
    points = lines.mark_point(filled=True, size=70, opacity=1).encode(
        shape=alt.Shape("set:N", sort=sets, scale=alt.Scale(domain=sets))
    )
    title = "Error left after reviews of one half of the photos, measured on the other half"
    gained = alt.layer(lines.mark_line(strokeWidth=2), points).properties(width=560, height=260, title=title)
    return look(
        alt.vconcat(panels, gained, spacing=30).resolve_scale(color="independent", shape="independent")
    )


def coverage_rows(found: Row) -> list[Row]:
    """Of each simulated audit and interval: how often it held the truth, in percent."""
    return [
        {"interval": name.replace("_", " "), "coverage": value, "n": row["n"],
         "where": f"{row['rate']:.1%} bad of {row['pile']:,}"}
        for row in found["one_draw"] for name, value in row["coverage"].items()
    ]  # fmt: skip


def coverage_plot(found: Row) -> Chart:
    """How often each 95 % interval holds the truth, by the size of the audit; below, a site at work."""
    import altair as alt
    import pandas

    rows = pandas.DataFrame(coverage_rows(found))
    names = [OURS, *sorted(set(rows["interval"]) - {OURS})]
    color = alt.Color("interval:N", scale=alt.Scale(domain=names, range=COLOURS[: len(names)]))
    shape = alt.Shape("interval:N", scale=alt.Scale(domain=names))
    title = f"Hold the truth (%; {LEAST:.0f} = or less)"
    y = alt.Y("coverage:Q", title=title, scale=alt.Scale(domain=[LEAST, 100], clamp=True))
    sizes = sorted({int(n) for n in rows["n"]})
    x = alt.X(
        "n:Q", title="Audited captions", axis=alt.Axis(values=sizes), scale=alt.Scale(zero=False, padding=8)
    )
    base = alt.Chart(rows)
    thick = alt.condition(alt.datum.interval == OURS, alt.value(3.5), alt.value(1.2))
    nominal = base.mark_rule(color=INK, strokeDash=[5, 4]).encode(
        y=alt.YDatum(NOMINAL, scale=alt.Scale(domain=[LEAST, 100], clamp=True))
    )
    panels = (
        alt.layer(
            nominal,
            base.mark_line().encode(x=x, y=y, color=color, strokeWidth=thick),
            base.mark_point(filled=True, size=40, opacity=1).encode(x=x, y=y, color=color, shape=shape),
        )
        .properties(width=230, height=150)
        .facet(facet=alt.Facet("where:N", sort=list(dict.fromkeys(rows["where"])), title=None), columns=4)
    )
    both = alt.vconcat(panels, _at_work(found), spacing=30)
    return look(both.resolve_scale(color="independent", shape="independent"))


def _at_work(found: Row) -> Any:
    """The interval of what is left while the queue is worked through, with the tolerance of the goal as a band."""
    import altair as alt
    import pandas

    rows = pandas.DataFrame(
        {"coverage": row["coverage"], "audit": f"{row['n']} audited twice",
         "where": f"{row['rate']:.1%} bad of {row['pile']:,}, {row['corrections']:,} corrections"}
        for row in found["working_site"]
    )  # fmt: skip
    span = alt.Scale(domain=[LEAST, 100], clamp=True)
    band = pandas.DataFrame({"low": [NOMINAL - TOLERANCE], "high": [NOMINAL + TOLERANCE]})
    shade = alt.Chart(band).mark_rect(color=SKY, opacity=0.3).encode(
        x=alt.X("low:Q", scale=span, title="Intervals that hold the truth (%); band: nominal ± 1"), x2="high:Q"
    )  # fmt: skip
    points = alt.Chart(rows).mark_point(filled=True, size=90, opacity=1).encode(
        x=alt.X("coverage:Q", scale=span), y=alt.Y("where:N", sort=None, title=None),
        color=alt.Color("audit:N", scale=alt.Scale(range=COLOURS)), shape="audit:N",
    )  # fmt: skip
    return alt.layer(shade, points).properties(width=560, height=220, title="What is left, on a site at work")


def rate_rows(found: Row) -> list[Row]:
    """Of each device and sample: items a second by what was done, and the peers beside ours."""
    works = {
        "decode": "decode, ours", "decode_plain": "decode, plain recipe", "forward": "forward pass alone",
        "photos": "photos end to end, ours", "photos_open_clip": "photos end to end, open_clip's loop",
        "pairs": "pairs scored, ours", "pairs_torchmetrics": "pairs scored, torchmetrics",
    }  # fmt: skip
    return [
        {"rate": rates[work], "work": name, "where": f"{device}, {sample}", "whose": "ours" if "ours" in name else
         "bound" if work == "forward" else "peer"}
        for device, one in found.get("speed", {}).items() for sample, rates in one["rates"].items()
        for work, name in works.items() if work in rates
    ]  # fmt: skip


def rates_plot(found: Row) -> Chart:
    """How fast photos and captions are embedded, beside other loops, from one run."""
    import altair as alt
    import pandas

    rows = pandas.DataFrame(rate_rows(found))
    kinds = ["ours", "peer", "bound"]
    y = alt.Y("work:N", sort=None, title=None)
    bars = alt.Chart(rows).mark_bar(height=14).encode(
        y=y, x=alt.X("rate:Q", title="items a second", axis=alt.Axis(tickCount=5)),
        color=alt.Color("whose:N", scale=alt.Scale(domain=kinds, range=[BLUE, ORANGE, MUTED])),
    )  # fmt: skip
    text = (
        alt.Chart(rows)
        .mark_text(align="left", dx=4, color=INK)
        .encode(y=y, x="rate:Q", text=alt.Text("rate:Q", format=",.0f"))
    )
    panel = alt.layer(bars, text).properties(width=360, height=170)
    return look(
        panel.facet(
            facet=alt.Facet("where:N", sort=list(dict.fromkeys(rows["where"])), title=None), columns=2
        ).resolve_scale(x="independent")
    )


PLOTS: dict[str, Callable[[Row], Chart]] = {
    "finder": finder_plot, "coverage": coverage_plot, "rates": rates_plot,
    "rooms": run_plot, "steel": run_plot, "demo": run_plot,
}  # fmt: skip


def draw(source: Path, out: Path) -> list[Path]:
    """Draw every plot whose JSON stands in `source`. Raises GenbaError when there is none, or its form is another."""
    there = {name: source / f"{name}.json" for name in PLOTS if (source / f"{name}.json").is_file()}
    if not there:
        raise GenbaError(
            f"{source} holds no {', '.join(f'{name}.json' for name in PLOTS)}.",
            next="python -m scoring.benchmark",
        )
    out.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, path in there.items():
        try:
            chart = PLOTS[name](json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise GenbaError(
                f"{path} is not what is measured now: {error!r}.", next="measure it anew"
            ) from error
        drawn.append(out / f"{name}.png")
        chart.properties(background="white").save(drawn[-1], scale_factor=2)
    return drawn


def main() -> int:
    """Exit code 0: drawn, 1: what is missing stands on stderr."""
    parser = argparse.ArgumentParser(
        prog="python -m dashboards.evidence", description="Plots of what was measured."
    )
    parser.add_argument("--source", type=Path, help="folder of the JSON files; else the project's own")
    parser.add_argument("--out", type=Path, help="folder of the plots; else beside their sources")
    given = parser.parse_args()
    sources = [given.source] if given.source else [folder for folder in FOLDERS if folder.is_dir()]
    try:
        for source in sources:
            print(*draw(source, given.out or source), sep="\n")
    except GenbaError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
