"""rates.md from rates.json: the tables of scoring/rates.py."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]

RATES = {
    "decode": "decode and resize",
    "decode_plain": "decode and resize, plain recipe (PIL in full, the encoder's transform)",
    "forward": "forward pass alone",
    "bound": "bound set by decoding and forward pass",
    "photos": "**photos, end to end**",
    "photos_open_clip": "photos, open_clip's own loop (DataLoader, a worker a core)",
    "captions": "captions",
    "pairs": "**pairs, end to end**",
    "pairs_torchmetrics": "pairs, torchmetrics' CLIPScore",
}
RATIOS = {
    "decode_against_plain": "decode and resize against the plain recipe",
    "photos_against_bound": "end to end against the bound",
    "photos_against_forward": "end to end against the forward pass alone",
    "photos_against_open_clip": "end to end against open_clip's loop",
    "pairs_against_torchmetrics": "pairs against torchmetrics' CLIPScore",
}


def markdown(known: Row) -> str:
    """All sections that were measured."""
    lines = ["# Rates and memory", ""]
    for key, one in known.get("speed", {}).items():
        lines += _speed(key, one)
    if "live" in known:
        lines += _live(known["live"])
    if "scaled" in known:
        lines += _scaled(known["scaled"])
    if "neighbours" in known:
        lines += _neighbours(known["neighbours"])
    if "large" in known:
        lines += _large(known["large"])
    return "\n".join(lines).rstrip() + "\n"


def _speed(key: str, one: Row) -> list[str]:
    names = list(one["rates"])
    lines = [
        f"## {one.get('kind', key)}: `{one['encoder']}`, {one['machine']}, {one['date']}",
        "",
        "`python -m scoring.rates`. Items a second, medians of interleaved repeats.",
        "",
        f"| | {' | '.join(names)} |",
        "|---|" + "---:|" * len(names),
    ]
    for name, words in RATES.items():
        if any(name in rates for rates in one["rates"].values()):
            lines.append(_line(words, [rates.get(name) for rates in one["rates"].values()], "{:.1f}"))
    for name, words in RATIOS.items():
        if any(name in rates for rates in one["rates"].values()):
            lines.append(_line(words, [rates.get(name) for rates in one["rates"].values()], "{:.2f} ×"))
    if not any("pairs_torchmetrics" in rates for rates in one["rates"].values()):
        lines += ["", "torchmetrics was not installed, so its loop is left out."]
    return [*lines, ""]


def _line(words: str, values: list[float | None], form: str) -> str:
    cells = ["" if value is None else form.format(value) for value in values]
    return f"| {words} | {' | '.join(cells)} |"


def _live(one: Row) -> list[str]:
    lines = [f"## One caption typed in the form ({one['machine']}, {one['date']})", "",
             "| encoder | median | 95th percentile |", "|---|---:|---:|"]  # fmt: skip
    lines += [
        f"| {name} | {row['median_ms']} ms | {row['p95_ms']} ms |"
        for name, row in one.items()
        if isinstance(row, dict)
    ]
    return [*lines, ""]


def _scaled(one: Row) -> list[str]:
    return [
        f"## Decoding at a smaller scale (`{one['encoder']}`, {one['date']})",
        "",
        f"{one['photos']} Flickr8k photos as {one['megapixels']}-megapixel files, {one['pairs']:,} pairs, decoded in "
        f"full and as it is done here: Spearman's rho of the cosines {one['spearman']:.4f}; AUROC of planted errors "
        f"{one['auroc_full']:.4f} and {one['auroc_scaled']:.4f} ({one['auroc_points']:+.2f} points).",
        "",
    ]


def _neighbours(known: Row) -> list[str]:
    lines = [
        "## Neighbours of many vectors", "",
        "`python -m scoring.rates neighbours`. On a CPU inverted lists find candidates; on a GPU all are compared. "
        "The lists find: of the exact neighbours.", "",
        "| vectors | numbers a vector | asked | nearest | CPU | GPU | the lists find | machine | date |",
        "|---:|---:|---:|---:|---:|---:|---:|---|---|",
    ]  # fmt: skip
    for one in known.values():
        seconds = [f"{one[key]} s" if key in one else "" for key in ("cpu_seconds", "cuda_seconds")]
        share = f"{one['recall_of_lists']:.1%}" if "recall_of_lists" in one else ""
        lines.append(
            f"| {one['rows']:,} | {one['dim']} | {one['asked']:,} | {one['k']} | {seconds[0]} | {seconds[1]} | "
            f"{share} | {one['machine']} | {one['date']} |"
        )
    return [*lines, ""]


def _large(known: Row) -> list[str]:
    lines = [
        "## A large site", "",
        "A whole ranking and one after corrections, each in a process of its own, without loading the encoder.", "",
        "| pairs | numbers a vector | ranking | memory beyond the libraries | after corrections | seconds | memory |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]  # fmt: skip
    for one in sorted(known.values(), key=lambda one: one["pairs"]):
        lines.append(
            f"| {one['pairs']:,} | {one['dim']} | {one['seconds']:,} s | {one['peak_megabytes']:,} MB | "
            f"{one['corrections']} | {one['again_seconds']} s | {one['again_peak_megabytes']:,} MB |"
        )
    return [*lines, "", f"{one['machine']}, {one['date']}.", ""]
