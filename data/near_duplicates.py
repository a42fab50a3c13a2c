"""Which photos are almost the same, and which part of the data (train, val, test) each group of them belongs to.

Two photos are near-duplicates when their 128-bit difference hashes (columns and rows) differ in at most MAX_DISTANCE
bits. Measured on real photos: 7 finds copies that were scaled, re-encoded or brightened, and the frames of one set-up
(1,671 inspection photos: 560 groups, the largest 12), and joins next to nothing among different rooms, streets or steel
surfaces. The 64 bits of the column hash alone joined plain surfaces into one group of 49.

All hashes are compared (numpy, 8 bytes at a time): tables that look up parts of the hash degenerate exactly where they
are needed, on fixed cameras whose photos share their background.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data.records import Split

if TYPE_CHECKING:
    import numpy as np

MAX_DISTANCE = 7  # of 128 bits
SHARES: tuple[tuple[Split, float], ...] = (("train", 0.7), ("val", 0.1), ("test", 0.2))


@dataclass(frozen=True)
class Newcomer:
    """A photo to place. `keys`: values of the site's photos.group_by column; equal values never cross the split."""

    image_id: str
    dhash: str
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Conflict:
    """A near-duplicate that lies on the other side of the split: `group_id` was kept, `other_id` stays apart."""

    group_id: str
    other_id: str
    image_ids: tuple[str, ...]


@dataclass
class Placement:
    """What `Groups.place` decided."""

    group_of: dict[str, str] = field(default_factory=dict)  # image_id of a newcomer -> group_id
    merged: dict[str, str] = field(default_factory=dict)  # old group_id -> the group that takes it in
    conflicts: list[Conflict] = field(default_factory=list)


def draw_split(group_id: str) -> Split:
    """70 % train, 10 % val, 20 % test by a hash of the group's id: the same on every machine and in every order."""
    at = int.from_bytes(hashlib.sha256(f"split:{group_id}".encode()).digest()[:8]) / 2**64
    for split, share in SHARES:
        at -= share
        if at < 0:
            return split
    return SHARES[-1][0]


def to_words(dhashes: Sequence[str]) -> np.ndarray:
    """Hex hashes of 32 digits -> (N, 2) uint64."""
    import numpy as np

    joined = b"".join(bytes.fromhex(dhash) for dhash in dhashes)
    return np.frombuffer(joined, dtype=">u8").astype(np.uint64).reshape(-1, 2)


def near(new: np.ndarray, known: np.ndarray) -> list[tuple[int, int]]:
    """Index pairs (new, known) at most MAX_DISTANCE apart. new (M, 2), known (N, 2), both uint64."""
    import numpy as np

    found: list[tuple[int, int]] = []
    rows = max(1, 2_000_000 // max(1, len(known)))
    for start in range(0, len(new), rows):
        part = new[start : start + rows]
        distance = np.bitwise_count(part[:, None, 0] ^ known[None, :, 0])
        distance += np.bitwise_count(part[:, None, 1] ^ known[None, :, 1])  # (rows, N), at most 128
        at, to = np.nonzero(distance <= MAX_DISTANCE)
        found.extend(zip((at + start).tolist(), to.tolist(), strict=True))
    return found


class Groups:
    """The groups of a site, in memory while one ingest runs. Photos must be added in the order in which they came."""

    def __init__(self) -> None:
        self._hashes: list[np.ndarray] = []
        self._group_at: list[str] = []  # group of each hash, by place
        self._split: dict[str, Split] = {}  # group_id -> split
        self._age: dict[str, int] = {}  # group_id -> when it came
        self._merged: dict[str, str] = {}
        self._of_key: dict[str, str] = {}

    def add(self, members: Sequence[tuple[str, str, Split]]) -> None:
        """Photos that the site has: (dhash, group_id, split)."""
        if not members:
            return
        self._hashes.append(to_words([dhash for dhash, _, _ in members]))
        for _, group_id, split in members:
            self._group_at.append(group_id)
            self._split.setdefault(group_id, split)
            self._age.setdefault(group_id, len(self._age))

    def add_key(self, key: str, group_id: str) -> None:
        """A group_by value that the site has."""
        self._of_key.setdefault(key, group_id)

    def split_of(self, group_id: str) -> Split:
        return self._split[group_id]

    def place(self, newcomers: Sequence[Newcomer], seen: Iterable[tuple[str, str]] = ()) -> Placement:
        """Give every newcomer a group. `seen`: (group_by value, group_id) of photos that were there and came again.

        A cluster of newcomers that touches no group becomes one, named after its first photo. One that touches groups
        of one split joins them together. One that touches groups of different splits joins the oldest: a Conflict.
        """
        seen = list(seen)
        placement = Placement()
        for members, touched in self._clusters(newcomers, seen):
            groups = sorted({self._current(group_id) for group_id in touched}, key=self._age.__getitem__)
            ids = tuple(one.image_id for one in members)
            home = groups[0] if groups else ids[0][:32]
            split = self._split.setdefault(home, draw_split(home))
            self._age.setdefault(home, len(self._age))
            for other in groups[1:]:
                if self._split[other] == split:
                    placement.merged[other] = self._merged[other] = home
                else:
                    placement.conflicts.append(Conflict(home, other, ids))
            placement.group_of.update(dict.fromkeys(ids, home))
            for key in {key for one in members for key in one.keys}:
                self._of_key[key] = home
        for key, group_id in seen:
            self._of_key.setdefault(key, self._current(group_id))
        placement.group_of = {id_: self._current(home) for id_, home in placement.group_of.items()}
        homes = [placement.group_of[one.image_id] for one in newcomers]
        self.add([(one.dhash, home, self._split[home]) for one, home in zip(newcomers, homes, strict=True)])
        return placement

    def _clusters(
        self, newcomers: Sequence[Newcomer], seen: list[tuple[str, str]]
    ) -> list[tuple[list[Newcomer], set[str]]]:
        """Connected newcomers (in their order) with the groups that they touch."""
        parents: dict[object, object] = {}

        def root(node: object) -> object:
            while (above := parents.setdefault(node, node)) != node:
                parents[node] = parents[above]
                node = above
            return node

        touched: list[tuple[object, str]] = [(("key", key), self._current(group)) for key, group in seen]
        if newcomers:
            words = to_words([one.dhash for one in newcomers])
            for a, b in near(words, words):
                parents[root(a)] = root(b)
            touched += [(a, self._current(self._group_at[b])) for a, b in near(words, self._known())]
        for place, one in enumerate(newcomers):
            for key in one.keys:
                parents[root(place)] = root(("key", key))
        keys = {("key", key) for one in newcomers for key in one.keys} | {("key", key) for key, _ in seen}
        touched += [(key, self._current(self._of_key[key[1]])) for key in keys if key[1] in self._of_key]
        members: dict[object, list[Newcomer]] = defaultdict(list)
        groups: dict[object, set[str]] = defaultdict(set)
        for place, one in enumerate(newcomers):
            members[root(place)].append(one)
        for node, group_id in touched:
            groups[root(node)].add(group_id)
        return [(members[node], groups[node]) for node in dict.fromkeys([*members, *groups])]

    def _known(self) -> np.ndarray:
        import numpy as np

        if len(self._hashes) > 1:
            self._hashes = [np.concatenate(self._hashes)]
        return self._hashes[0] if self._hashes else np.zeros((0, 2), np.uint64)

    def _current(self, group_id: str) -> str:
        while group_id in self._merged:
            group_id = self._merged[group_id]
        return group_id
