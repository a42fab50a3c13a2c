"""Who is who: a name stands for one person, whatever account their answer came from, and for good.

    known_as(db, "hanako@example.com", "佐藤 花子")      # "佐藤 花子", also after the account was renamed

Answers carry names. An account (of the sign-in, or of Label Studio itself) is known by its e-mail address: the first
time it gets its own name, or the name with the address where somebody else has that name already, and keeps it.
Whoever only enters a name on a shared machine is that name.
"""

from __future__ import annotations

from data.site import Site
from data.store import Database

STATE = "people"


def known_as(db: Database, email: str, name: str, of_label_studio: bool = False) -> str:
    """The name under which the answers of an account stand. Two accounts never share one.

    of_label_studio: its account is not the person of that name in the app, unless both have the same address.
    """
    email = email.strip().lower()
    known = accounts(db)
    if email in known:
        return known[email]
    name = " ".join(name.split()) or email
    if name != email and (name in known.values() or (of_label_studio and _has_answered(db, name))):
        name = f"{name} ({email})"
    db.set_state(STATE, known | {email: name})
    return name


def known_account(site: Site, name: str, email: str) -> str:
    """The name of whoever has signed in to the app with this account; an account without an address is its name."""
    if not email:
        return " ".join(name.split())
    with site.connect() as db:
        return known_as(db, email, name)


def accounts(db: Database) -> dict[str, str]:
    """E-mail address -> name, of every account that has answered or signed in."""
    return dict(db.get_state(STATE) or {})


def _has_answered(db: Database, name: str) -> bool:
    sql = "SELECT 1 FROM corrections WHERE annotator = ? AND source <> 'label-studio' LIMIT 1"
    return db.value(sql, [name]) is not None
