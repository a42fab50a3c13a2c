"""What every verb of the command line has: --json, errors, a progress bar.

The verbs stand in genba.py and in each room's commands.py.
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from data.errors import GenbaError, nearest
from data.jobs import Progress, silent

Outcome = tuple[dict[str, Any], str]  # what --json prints, what a person reads

SITE = click.argument("site", type=click.Path(file_okay=False))
DEVICE = click.option(
    "--device", type=click.Choice(["auto", "cpu", "cuda", "mps"]), default="auto", show_default=True
)


class Verbs(click.Group):
    """A click group that names the nearest verb for a mistyped one."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            guess = nearest(args[0], known)
            hint = f" Did you mean '{guess}'?" if guess else ""
            raise click.UsageError(f"No verb '{args[0]}'.{hint} Known: {', '.join(known)}.", ctx)
        return super().resolve_command(ctx, args)


def verb(
    group: click.Group, name: str | None = None, hidden: bool = False
) -> Callable[[Callable[..., Outcome]], click.Command]:
    """A command with --json whose function returns an Outcome; a GenbaError becomes its message and exit code 1."""

    def decorate(function: Callable[..., Outcome]) -> click.Command:
        @functools.wraps(function)
        def command(json_output: bool, **arguments: Any) -> None:
            try:
                result, text = function(**arguments)
            except GenbaError as error:
                if json_output:
                    click.echo(
                        json.dumps({"error": error.what, "choices": error.choices, "next": error.next})
                    )
                click.echo(f"Error: {error}", err=True)
                sys.exit(1)
            click.echo(json.dumps(result, ensure_ascii=False, default=str) if json_output else text)

        option = click.option("--json", "json_output", is_flag=True, help="One JSON object on stdout.")
        decorated = group.command(name or function.__name__.replace("_", "-"), hidden=hidden)(option(command))
        return decorated

    return decorate


@contextmanager
def progress_bar(what: str) -> Iterator[Progress]:
    """A bar with rate and time left on stderr when a person watches, else nothing."""
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None, rate="")
        started = time.monotonic()

        def report(done: int, total: int | None = None, message: str = "") -> None:
            rate = done / max(time.monotonic() - started, 1e-6)
            bar.update(
                task,
                completed=done,
                total=total,
                rate=f"{rate:.1f}/s",
                description=f"{what} {message}".strip(),
            )

        yield report


def counted(counts: dict[str, Any]) -> str:
    """{"added": 3, "known": 0} -> "added 3, known 0"."""
    return ", ".join(f"{key} {value}" for key, value in counts.items())
