"""How often the 95 % interval of the audit holds the truth: 2,000 simulated audits of each kind of site.

    python -m annotate.coverage     # about half an hour; writes docs/benchmarks/coverage.json and coverage.md

Two tables. The first: one stratified draw, our interval beside the usual ones for stratified samples. The second: a
site at work. The queue is corrected from the top, one pair in twenty is mixed in, a second audit is drawn half-way,
and the interval is of what is left at that moment. Everything but the people is the product's own code.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annotate import coverage_candidates, strata
from annotate.estimate import IN_A_ROW, Cell, Draw, combine
from annotate.intervals import Part
from annotate.queue import MIXED_SHARE

RUNS, SEED = 2000, 7
RATES = (0.005, 0.02, 0.10, 0.30)
SIZES = (60, 150, 300, 600)
PILES = (3_000, 20_000)
WORKED = {3_000: 600, 20_000: 1_500}  # corrections until the second table looks at what is left
TEST_SHARE = 0.2
AUROC = 0.8  # of the risk, as on photos: docs/benchmarks/finder.md
FOLDER = Path(__file__).resolve().parent.parent / "docs" / "benchmarks"
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Population:
    """The captions of a simulated site: bad (N,), and risk (N,), a rank in [0, 1)."""

    bad: Mask
    risk: Floats

    @classmethod
    def make(cls, size: int, rate: float, rng: np.random.Generator) -> Population:
        """Exactly round(rate * size) bad ones; the risk separates them with the given AUROC."""
        from scipy.stats import norm

        bad = np.zeros(size, dtype=bool)
        bad[: round(rate * size)] = True
        score = rng.normal(size=size) + bad * float(np.sqrt(2) * norm.ppf(AUROC))
        return cls(bad, np.argsort(np.argsort(score)) / size)


def draw(of: Population, alive: Mask, n: int, rng: np.random.Generator) -> list[tuple[int, Indices]]:
    """A stratified draw from the held-out ones of the pairs alive: the pile and the drawn pairs of each stratum."""
    held_out = alive & (rng.random(len(alive)) < TEST_SHARE)
    edges = strata.risk_edges(of.risk[held_out], strata.BINS)
    cells = strata.cells_of(of.risk, [None] * len(alive), edges, [])
    names = np.unique(cells[held_out])
    frames = [np.flatnonzero(held_out & (cells == name)) for name in names]
    piles = [int((alive & (cells == name)).sum()) for name in names]
    taken = strata.allocate([len(frame) for frame in frames], piles, n)
    return [
        (pile, rng.permutation(frame)[:some])
        for pile, frame, some in zip(piles, frames, taken, strict=True)
        if some
    ]


def cells_of(of: Population, drawn: Sequence[tuple[int, Indices]]) -> tuple[Cell, ...]:
    """The strata of a draw of which every pair is judged."""
    whole = sum(pile for pile, _ in drawn)
    return tuple(Cell(pile / whole, len(pairs), int(of.bad[pairs].sum())) for pile, pairs in drawn)


def at_work(
    of: Population, n: int, corrections: int, rng: np.random.Generator
) -> tuple[list[Draw], int, int]:
    """A site after so many corrections: the draws, how many nobody has judged, how many of those are bad.

    A draw of n at the beginning, one of n half-way; the corrections take the riskiest, but for the mixed-in ones.
    """
    alive = np.ones(len(of.bad), dtype=bool)
    order, place, found = np.argsort(-of.risk), 0, 0
    audits: list[tuple[int, int, tuple[Cell, ...]]] = []  # pile, bad ones known when it was drawn, strata
    mixed: list[tuple[int, int, bool]] = []
    for step in range(corrections):
        if step in (0, corrections // 2):
            drawn = draw(of, alive, n, rng)
            cells = cells_of(of, drawn)
            audits.append((int(alive.sum()), found, cells))
            alive[np.concatenate([pairs for _, pairs in drawn])] = False
            found += sum(cell.bad for cell in cells)
        if rng.random() < MIXED_SHARE:
            waiting = int(alive.sum())
            chosen = int(np.flatnonzero(alive)[rng.integers(waiting)])
            mixed.append((waiting, found, bool(of.bad[chosen])))
        else:
            while not alive[order[place]]:
                place += 1
            chosen = int(order[place])
        alive[chosen] = False
        found += int(of.bad[chosen])
    draws = [Draw(pile, found - before, 1.0, cells) for pile, before, cells in audits]
    for start, end in pairwise(np.linspace(0, len(mixed), max(len(mixed) // IN_A_ROW, 1) + 1).astype(int)):
        if block := mixed[start:end]:
            pile, before, bad = np.array(block, dtype=float).T
            cell = Cell(1.0, len(block), int(bad.sum()))
            draws.append(Draw(float(pile.mean()), found - float(before.mean()), 1.0, (cell,)))
    return draws, int(alive.sum()), int(of.bad[alive].sum())


def one_draw(pile: int, rate: float, n: int, runs: int, seed: int) -> dict[str, Any]:
    """Coverage in percent and mean width of each interval, for the share of bad ones by one draw."""
    rng = np.random.default_rng(seed)
    of = Population.make(pile, rate, rng)
    held = {name: np.zeros(runs, dtype=bool) for name in coverage_candidates.CANDIDATES}
    width = {name: np.zeros(runs) for name in coverage_candidates.CANDIDATES}
    truth = of.bad.mean()
    for run in range(runs):
        drawn = draw(of, np.ones(pile, dtype=bool), n, rng)
        parts = [Part(cell.share, cell.share * pile, cell.judged, cell.bad) for cell in cells_of(of, drawn)]
        for name, interval in coverage_candidates.CANDIDATES.items():
            low, high = interval(parts, rng)
            held[name][run] = low - 1e-9 <= truth <= high + 1e-9
            width[name][run] = high - low
    return {
        "pile": pile, "rate": rate, "n": n, "runs": runs,
        "coverage": {name: round(100 * float(one.mean()), 2) for name, one in held.items()},
        "width": {name: round(float(one.mean()), 5) for name, one in width.items()},
    }  # fmt: skip


def working_site(pile: int, rate: float, n: int, corrections: int, runs: int, seed: int) -> dict[str, Any]:
    """Coverage in percent of the interval of what is left, with its mean width and the mean truth, in captions."""
    rng = np.random.default_rng(seed)
    of = Population.make(pile, rate, rng)
    held, width, bad_left, error = np.zeros(runs, dtype=bool), np.zeros(runs), np.zeros(runs), np.zeros(runs)
    for run in range(runs):
        draws, rest, truth = at_work(of, n, corrections, rng)
        left, low, high = combine(draws, rest)
        held[run], width[run] = low - 1e-6 <= truth <= high + 1e-6, high - low
        bad_left[run], error[run] = truth, left - truth
    return {
        "pile": pile, "rate": rate, "n": n, "runs": runs, "corrections": corrections,
        "coverage": round(100 * float(held.mean()), 2), "width": round(float(width.mean()), 1),
        "left": round(float(bad_left.mean()), 1), "bias": round(float(error.mean()), 2),
    }  # fmt: skip


def scenarios(runs: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Both tables, row by row."""
    for pile in PILES:
        for rate in RATES:
            for n in SIZES:
                if n <= TEST_SHARE * pile:
                    yield "one_draw", one_draw(pile, rate, n, runs, SEED)
    for pile in PILES:
        for rate in RATES:
            for n in (60, 200):
                yield "working_site", working_site(pile, rate, n, WORKED[pile], runs, SEED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m annotate.coverage", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS, help="simulated audits of each kind")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of coverage.json and coverage.md")
    given = parser.parse_args()
    found: dict[str, list[dict[str, Any]]] = {"one_draw": [], "working_site": []}
    for table, row in scenarios(given.runs):
        print(table, json.dumps(row), flush=True)
        found[table].append(row)
    given.output.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": given.runs, **found}, indent=1)
    (given.output / "coverage.json").write_text(text + "\n", encoding="utf-8")
    (given.output / "coverage.md").write_text(page(found, given.runs), encoding="utf-8")


def page(found: dict[str, list[dict[str, Any]]], runs: int) -> str:
    """Both tables as Markdown."""
    names = list(coverage_candidates.CANDIDATES)
    lines = [
        "# How often the audit's 95 % interval holds the truth", "",
        f"`python -m annotate.coverage`: {runs:,} simulated audits in each row, so a coverage of 95 is measured to "
        f"± {196 * math.sqrt(0.95 * 0.05 / runs):.1f}. The risk has AUROC {AUROC}; one caption in five is held out.",
        "", "## One draw in five strata: coverage in %, mean width in points", "",
        "| captions | bad | drawn | " + " | ".join(names) + " |", "|---" * (len(names) + 3) + "|",
    ]  # fmt: skip
    for row in found["one_draw"]:
        cells = [f"{row['coverage'][name]:.1f}, {100 * row['width'][name]:.1f}" for name in names]
        lines.append(f"| {row['pile']:,} | {row['rate']:.1%} | {row['n']} | " + " | ".join(cells) + " |")
    for name in names:
        held = [row["coverage"][name] for row in found["one_draw"]]
        lines.append(f"- {name}: {min(held):.1f} to {max(held):.1f}")
    lines[-len(names) : -len(names)] = [""]
    lines += [
        "", "## A site at work: what is left", "",
        "A draw at the beginning, one half-way, one pair in twenty mixed in, the queue corrected from the top.", "",
        "| captions | bad | each draw | corrections | left | bias | coverage % | mean width |", "|---" * 8 + "|",
    ]  # fmt: skip
    lines += [
        f"| {row['pile']:,} | {row['rate']:.1%} | {row['n']} | {row['corrections']:,} | {row['left']:.1f} "
        f"| {row['bias']:+.1f} | {row['coverage']:.1f} | {row['width']:.0f} |"
        for row in found["working_site"]
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
