"""What each page of the admin says while the guard is raised."""

from django.http import HttpRequest

from consent.models import GuardChange
from consent.services import guard_level

MEANING = {
    GuardChange.Level.PROTECT: "Opt-ins that no person made are refused where they meet an explicit opt-out or come "
    "without a batch. Opt-outs are always accepted.",
    GuardChange.Level.FREEZE: "Opt-ins that no person made are refused. Opt-outs are always accepted.",
}


def guard(request: HttpRequest) -> dict[str, dict[str, str]]:
    """For the theme's context, on every page of whoever is logged in."""
    if not request.user.is_authenticated or (level := guard_level()) not in MEANING:
        return {}
    return {"banner": {"title": f"The guard is set to {level}.", "text": MEANING[GuardChange.Level(level)]}}
