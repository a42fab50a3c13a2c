"""Who may decide: approve a lot, choose between two answers, start a retraining, pilot or audit, say what errors cost.

Names come from [review] leads in genba.toml.

    is_lead(site, "佐藤")        # True where no leads are named: then anybody may
    has_leads(site)             # False: the page says that anybody may

Without sign-in a name is what a person typed: the setting keeps colleagues out of each other's way, it is no lock.
"""

from __future__ import annotations

from data.errors import GenbaError
from data.site import Site


def has_leads(site: Site) -> bool:
    """Whether the site names its leads at all."""
    return bool(site.settings.review.leads)


def is_lead(site: Site, person: str) -> bool:
    """Whether this person may approve and decide. White space does not matter."""
    leads = {" ".join(name.split()) for name in site.settings.review.leads}
    return not leads or " ".join(person.split()) in leads


def is_job_of_leads(name: str) -> bool:
    """Whether only leads start this job: what it uses (hours of computing, staff's time) or decides is the site's."""
    return name in ("retrain", "pilot", "audit")


def require_lead(site: Site, person: str) -> None:
    """Raises GenbaError, which names the leads, for anybody else."""
    if not is_lead(site, person):
        raise GenbaError(
            f"{person!r} may not decide this: [review] leads in genba.toml names who may.",
            choices=site.settings.review.leads,
        )
