"""The system checks: settings and logins with which the promises would not hold."""

import pytest
from django.core.checks import run_checks
from django.db import connections


def ids(**options):
    return {message.id for message in run_checks(**options) if message.id and message.id.startswith("config.")}


@pytest.fixture
def production(settings):
    settings.DEBUG, settings.SECURE = False, True
    settings.SECRET_KEY, settings.PRIVACY_KEY = "s" * 50, "p" * 50
    settings.PUBLIC_URL, settings.REDIS_URL = "https://privacy.example.com", "redis://valkey.example.com:6379/0"
    return settings


def test_production_settings_pass(production):
    assert ids() == set()


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("SECRET_KEY", "short", "config.E001"),
        ("PRIVACY_KEY", f"development-only-privacy_key-{'0' * 32}", "config.E001"),
        ("PRIVACY_KEY", "s" * 50, "config.E002"),
        ("PUBLIC_URL", "privacy.example.com", "config.E003"),
        ("PUBLIC_URL", "http://privacy.example.com", "config.E004"),
        ("REDIS_URL", "amqp://rabbit.example.com", "config.E005"),
        ("REDIS_URL", "redis://", "config.E005"),
    ],
)
def test_unsafe_settings_are_named(production, name, value, found):
    setattr(production, name, value)

    assert ids() == {found}


@pytest.mark.parametrize(
    ("user", "found"),
    [("holdfast_app", set()), ("postgres", {"config.E007"}), ("holdfast_dba", {"config.E008"})],
)
def test_the_site_may_not_log_in_as_somebody_who_could_take_the_rules_away(production, committed, user, found):
    with committed.connect("superuser") as connection:
        connection.execute("DROP ROLE IF EXISTS holdfast_dba")
        connection.execute("CREATE ROLE holdfast_dba LOGIN IN ROLE holdfast_owner")
    site = connections["default"]
    site.close()
    before = dict(site.settings_dict)
    site.settings_dict.update(USER=user, PASSWORD=committed.passwords.get(user, ""))

    try:
        assert ids(databases=["default"]) == found
    finally:
        site.close()
        site.settings_dict.update(before)
