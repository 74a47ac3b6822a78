"""Columns that several lists of consent share: states and scopes in words."""

from typing import Any

from config.admin import display
from consent.facts import CHANNELS, STATES
from consent.models import ANY

STATE_COLOURS = {"opt_out": "danger", "opt_in": "success"}


@display(description="State", label={"out": "danger", "in": "success"})
def state(obj: Any) -> tuple[str, str]:
    """Of a consent: opted out, opted in, or nothing decided where every decision was voided."""
    return {"opt_out": "out", "opt_in": "in"}.get(obj.state, ""), STATES[obj.state]


@display(description="Purpose")
def purpose(obj: Any) -> str:
    return "all purposes" if obj.purpose == ANY else obj.purpose


@display(description="Channel")
def channel(obj: Any) -> str:
    return str(CHANNELS.get(obj.channel, obj.channel))


@display(description="Said by the person", boolean=True)
def explicit(obj: Any) -> bool:
    return bool(obj.explicit)


@display(description="Cause")
def cause(obj: Any) -> str:
    return str(obj.get_cause_display()) or "-"
