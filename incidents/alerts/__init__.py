"""Alerts: stored as they came, then read in order; one open incident per source and group key, whoever races."""

from incidents.alerts.intake import store
from incidents.alerts.posted import digest_of
from incidents.alerts.reader import read_stored
from incidents.alerts.sources import (
    add_secret,
    change,
    end_silence,
    issue_source,
    renew_token,
    retire_secret,
    silence,
)
from incidents.alerts.spool import replay
from incidents.alerts.trying import send_test
from incidents.alerts.watching import watch
from incidents.alerts.wiping import forget, wipe

__all__ = [
    "add_secret",
    "change",
    "digest_of",
    "end_silence",
    "forget",
    "issue_source",
    "read_stored",
    "renew_token",
    "replay",
    "retire_secret",
    "send_test",
    "silence",
    "store",
    "watch",
    "wipe",
]
