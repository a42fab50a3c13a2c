"""What is a lead's alone on a page: the button is there for everybody, and says why it cannot be pressed."""

from __future__ import annotations

from annotate.pages.elements import Opened, note
from annotate.roles import is_lead


def locked(at: Opened) -> bool:
    """`disabled=locked(at)`: for all but leads (annotate/roles.py), with a line above the button that names them."""
    if is_lead(at.site, at.person):
        return False
    names = ("、" if at.language == "ja" else ", ").join(at.site.settings.review.leads)
    note(at.translate("Only a lead may do this: {names}.").format(names=names))
    return True
