"""The tables of docs/benchmarks/finder.md, from the figures of finder.json."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
OVERALL = "all"


def markdown(result: Row) -> str:
    """All of finder.md."""
    lines = [
        "# How well bad captions are found",
        "",
        f"`make bench`, {result['date']}, {result['machine']}; means of {len(result['seeds'])} seeds. AUROC: the "
        "chance that a wrong caption is ranked above a right one (0.5 = chance), each kind of error against the "
        "captions left alone. `risk` knows no review; `after N` has learned from N reviews of one half of the "
        "photos, half of them a blind audit, half from the top of the queue, and is measured on the other half.",
        "",
        *_summary(result),
    ]
    for one in result["sets"]:
        lines += ["", *_set(one, result["rankings"])]
    return "\n".join(lines) + "\n"


def mean_over_kinds(one: Row, ranking: str, figure: str = "auroc") -> float | None:
    """The mean of a figure over the kinds of error of one set; None when it was not measured."""
    found = [row[figure] for row in one["figures"] if row["ranking"] == ranking and row["kind"] != OVERALL]
    return sum(found) / len(found) if found else None


def cut(one: Row, ranking: str) -> float | None:
    """By what share a ranking cuts plain cosine's 1 - AUROC on the same pairs, both as means over kinds."""
    ours, theirs = mean_over_kinds(one, ranking), mean_over_kinds(one, ranking, "auroc_cosine")
    return None if ours is None or theirs is None else 1 - (1 - ours) / (1 - theirs)


def _summary(result: Row) -> list[str]:
    """What the risk is worth: how much of cosine's 1 - AUROC goes away, on the average over kinds."""
    rankings = [name for name in result["rankings"] if name != "cosine"]
    lines = ["## How much of plain cosine's error (1 - AUROC, mean over kinds) goes away", ""]
    lines += ["| set, wrong captions | cosine AUROC | " + " | ".join(rankings) + " |"]
    lines += ["|---" * (len(rankings) + 2) + "|"]
    cuts: dict[str, list[float]] = {name: [] for name in rankings}
    for one in result["sets"]:
        cells = []
        for name in rankings:
            share = cut(one, name)
            cells.append("" if share is None else f"{share:+.0%}")
            cuts[name] += [] if share is None else [share]
        lines.append(
            f"| {one['set']}, {one['share']:.0%} | {mean_over_kinds(one, 'cosine'):.3f} | {' | '.join(cells)} |"
        )
    means = [f"{sum(cuts[name]) / len(cuts[name]):+.0%}" if cuts[name] else "" for name in rankings]
    return [*lines, f"| mean | | {' | '.join(means)} |"]


def _set(one: Row, rankings: list[str]) -> list[str]:
    """AUROC by kind, and what stands at the top."""
    measured = [name for name in rankings if mean_over_kinds(one, name) is not None]
    by = {(row["kind"], row["ranking"]): row for row in one["figures"]}
    lines = [
        f"## {one['set']}, {one['share']:.0%} wrong: {one['pairs']:,} pairs, {one['photos']:,} photos, "
        f"{one['planted']} wrong, encoder `{one['encoder']}`",
        "",
        "| AUROC | " + " | ".join(measured) + " |",
        "|---" * (len(measured) + 1) + "|",
    ]
    for kind in (*one["kinds"], OVERALL):
        lines.append(
            f"| {kind} | " + " | ".join(_cell(by.get((kind, name)), "auroc") for name in measured) + " |"
        )
    for figure, name in (("average_precision", "average precision"), ("precision", "precision in the worst 5 %"),
                         ("recall", "recall in the worst 5 %")):  # fmt: skip
        lines.append(
            f"| all: {name} | " + " | ".join(_cell(by.get((OVERALL, r)), figure) for r in measured) + " |"
        )
    lines += ["", "| first 100 of the queue | different errors | photos with one |", "|---|---|---|"]
    for order in ("plain", "photos apart", "copies apart"):
        row = by[OVERALL, order]
        lines.append(f"| {order} | {row['different_errors']:.0f} | {row['photos_with_error']:.0f} |")
    return lines


def _cell(row: Row | None, figure: str) -> str:
    return "" if row is None else f"{row[figure]:.3f}"
