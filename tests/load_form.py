"""How fast the correction page answers with many people at work, asked as browsers ask: by Streamlit's own websocket.

python -m tests.load_form SITE --people 20 --seconds 120        # a demo site (its copy is used); prints JSON

Each person is a connection of their own that answers the open questions of one pair after the other, with a pause for
thought before each click, and saves. A click's answer time ends when the server says that the page is drawn: what the
person looks at was there before. The people share the machine with the server, so the figures are on the high side.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from data.settings import set_value
from data.site import Site
from tests.conftest import free_port

WARM, WARM_SECONDS = "warm", 20.0
THINK_SECONDS = 2.0  # mean pause before a click: six clicks and a look at the photo are fifteen seconds
PAGE_DRAWN, FRAGMENT_DRAWN = 0, 3  # ForwardMsg.ScriptFinishedStatus


@dataclass
class Seen:
    """One shown widget: its Streamlit id, the fragment that it belongs to, and the words of its answers."""

    id: str
    fragment: str
    options: list[str]
    number: str = ""  # the field of the widget's state that holds a number: "int_value" or "double_value"


@dataclass
class Person:
    """One browser."""

    name: str
    address: str
    rng: random.Random
    times: list[tuple[str, float]] = field(default_factory=list)  # (what, seconds)
    widgets: dict[str, Seen] = field(default_factory=dict)  # by the key of our code
    states: dict[str, Any] = field(default_factory=dict)
    page: str = ""  # Streamlit's hash of the page
    saved: int = 0
    failures: list[str] = field(default_factory=list)

    async def work(self, until: float) -> None:
        """Correct pair after pair until the time (monotonic seconds)."""
        from websockets.asyncio.client import connect

        cookie = f"genba_browser={self.name:_<22}"
        url = self.address.replace("http", "ws") + "/_stcore/stream"
        async with connect(
            url, subprotocols=["streamlit"], additional_headers={"Cookie": cookie}, origin=self.address,
            max_size=None, proxy=None,
        ) as socket:  # fmt: skip
            await self.ask(socket, "open", fragment="")
            while time.monotonic() < until:
                await self.one_pair(socket, until)

    async def one_pair(self, socket: Any, until: float) -> None:
        """Answer every question of the form, then save."""
        before = self.token()
        if not before:
            self.failures.append("no pair was shown")
            await asyncio.sleep(1)
            return
        answered: set[str] = set()
        while time.monotonic() < until:
            left = [key for key in self.open_questions() if key not in answered]
            if not left:
                break
            await self.think()
            answered.add(left[0])
            await self.choose(socket, left[0])
        if time.monotonic() < until:
            await self.think()
            await self.press(socket, "fix")
            self.saved += self.token() != before
            if self.token() == before:
                self.failures.append("the pair was not saved")

    def token(self) -> str:
        """Of the pair in hand: "slot-TOKEN-part" is a widget's key."""
        return next((key.split("-")[1] for key in reversed(self.widgets) if key.startswith("slot-")), "")

    def open_questions(self) -> list[str]:
        prefix = f"slot-{self.token()}-"
        return [
            key
            for key, seen in self.widgets.items()
            if key.startswith(prefix) and (seen.options or seen.number)
        ]

    async def think(self) -> None:
        await asyncio.sleep(self.rng.expovariate(1 / THINK_SECONDS))

    async def choose(self, socket: Any, key: str) -> None:
        seen = self.widgets[key]
        if seen.number:
            self.states[seen.id] = {seen.number: self.rng.randint(1, 9)}
        else:
            self.states[seen.id] = {"string_array_value": {"data": [self.rng.choice(seen.options)]}}
        await self.ask(socket, "click", seen.fragment)

    async def press(self, socket: Any, key: str) -> None:
        seen = self.widgets[key]
        await self.ask(socket, "save", seen.fragment, {seen.id: {"trigger_value": True}})

    async def ask(
        self, socket: Any, what: str, fragment: str, triggers: dict[str, Any] | None = None
    ) -> None:
        """Send what a browser sends, read until the page is drawn; keeps the time."""
        from google.protobuf.json_format import ParseDict
        from streamlit.proto.BackMsg_pb2 import BackMsg
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        widgets = [{"id": one, **state} for one, state in {**self.states, **(triggers or {})}.items()]
        where = {"page_script_hash": self.page} if self.page else {"page_name": "correct"}
        request = {**where, "fragment_id": fragment, "widget_states": {"widgets": widgets}}
        # What is saved brings the next pair: a new page. What the form refuses draws the form alone.
        last = (FRAGMENT_DRAWN,) if what == "click" else (PAGE_DRAWN, FRAGMENT_DRAWN)
        started = time.monotonic()
        await socket.send(ParseDict({"rerun_script": request}, BackMsg()).SerializeToString())
        drawn: dict[str, Seen] = {}
        while True:
            message = ForwardMsg.FromString(await asyncio.wait_for(socket.recv(), 60))
            kind = message.WhichOneof("type")
            if kind == "navigation":
                self.page = message.navigation.page_script_hash
            elif kind == "delta":
                self.see(message.delta, drawn)
            elif kind == "script_finished" and message.script_finished in last:
                break
        self.times.append((what, time.monotonic() - started))
        if drawn:
            self.widgets = drawn

    @staticmethod
    def see(delta: Any, drawn: dict[str, Seen]) -> None:
        """Remember pills, numbers and buttons by the key that our code gave them: it ends their id."""
        if delta.WhichOneof("type") != "new_element":
            return
        kind = delta.new_element.WhichOneof("type")
        if kind not in ("button", "button_group", "number_input"):
            return
        element = getattr(delta.new_element, kind)
        options = [option.content for option in element.options] if kind == "button_group" else []
        number = ""
        if kind == "number_input":
            number = "int_value" if element.data_type == element.INT else "double_value"
        drawn[element.id.split("-", 2)[-1]] = Seen(element.id, delta.fragment_id, options, number)


def names_known(site: Site, people: Sequence[str], language: str = "en") -> None:
    """Each browser's name stands in the store, as after its first visit."""
    with site.connect() as db:
        for name in people:
            db.set_state(f"browser:{name:_<22}", {"name": name, "language": language})


async def crowd(address: str, names: Sequence[str], seconds: float, seed: int = 0) -> list[Person]:
    """Let them all work at once; they come in within five seconds."""
    people = [Person(name, address, random.Random(seed + place)) for place, name in enumerate(names)]
    until = time.monotonic() + seconds

    async def come(person: Person, place: int) -> None:
        await asyncio.sleep(5 * place / len(people))
        await person.work(until)

    await asyncio.gather(*(come(person, place) for place, person in enumerate(people)))
    return people


def figures(people: Sequence[Person]) -> dict[str, Any]:
    """Median and 95th percentile in milliseconds by kind of request, and what was saved."""
    found: dict[str, Any] = {
        "people": len(people),
        "saved": sum(person.saved for person in people),
        "failures": [failure for person in people for failure in person.failures],
    }
    times = [entry for person in people for entry in person.times]
    groups = {what: [s for one, s in times if one == what] for what in ("open", "click", "save")}
    groups["all"] = [seconds for what, seconds in times if what != "open"]
    for what, seconds in groups.items():
        if len(seconds) > 1:
            found[what] = {
                "n": len(seconds),
                "median_ms": round(1000 * statistics.median(seconds)),
                "p95_ms": round(1000 * statistics.quantiles(seconds, n=20)[-1]),
                "max_ms": round(1000 * max(seconds)),
            }
    return found


def measure(root: Path, people: int, seconds: float) -> dict[str, Any]:
    """On a copy of a site, with the real web process."""
    from tests.test_app import serving

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "site"
        shutil.copytree(root, copy)
        set_value(copy / "genba.toml", "web", "port", free_port())
        site = Site.open(copy)
        names = [f"load{number:02}" for number in range(people)]
        names_known(site, [*names, WARM])
        with site.connect() as db:
            db.execute("DELETE FROM leases")
            before = db.value(
                "SELECT (SELECT count(*) FROM corrections)"
                " + (SELECT count(*) FROM reviews WHERE answered_at IS NOT NULL)"
            )
        with serving(site, cwd=Path(folder)) as web:
            asyncio.run(crowd(web.address, [WARM], WARM_SECONDS))  # imports, and the encoder is loaded
            process = psutil.Process(web.process.pid)
            used = sum(process.cpu_times()[:2])
            team = asyncio.run(crowd(web.address, names, seconds))
            requests = sum(len(person.times) for person in team)
            found = figures(team)
            found["server_cpu_ms_per_request"] = round(
                1000 * (sum(process.cpu_times()[:2]) - used) / requests
            )
        with site.connect() as db:  # a second opinion stands apart from corrections
            found["stored"] = (
                db.value(
                    "SELECT (SELECT count(*) FROM corrections WHERE annotator <> $warm)"
                    " + (SELECT count(*) FROM reviews WHERE answered_at IS NOT NULL AND reviewer <> $warm)",
                    {"warm": WARM},
                )
                - before
            )
        return {**found, "seconds": seconds, "think_seconds": THINK_SECONDS}


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("site", type=Path)
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=120)
    given = parser.parse_args()
    print(json.dumps(measure(given.site, given.people, given.seconds), indent=1))


if __name__ == "__main__":
    main()
