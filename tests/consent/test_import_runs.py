"""Runs that meet, and a run that is killed: nothing is lost and nothing is written twice."""

import os
import secrets
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.conf import settings
from django.db import connections

from config.stack.servers import login_url
from consent.identifiers import Identity
from consent.importing import applying, staging
from consent.importing.staging import Upload
from consent.models import Consent, Decision, Identifier, Import, ImportPortion, ImportRow, Subject
from consent.services import may_contact, record
from tests.conftest import DATABASE
from tests.factories import PurposeFactory, opt_out

PATIENCE = 60


def listed(count):
    return b"email,choice\n" + b"".join(b"person%d@example.org,opt_out\n" % n for n in range(count))


def taken(data, **facts):
    return staging.take(Upload(name="list.csv", data=data, purpose="marketing", **facts), by="user:olga")


def test_two_runs_of_one_import_write_each_row_once(committed, monkeypatch):
    monkeypatch.setattr(applying, "SIZE", 50)
    PurposeFactory(code="marketing")
    imported = taken(listed(400))

    def run(_):
        try:
            return applying.apply_opt_outs(Import.objects.get(pk=imported.pk), by="user:olga")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as both:
        list(both.map(run, range(2)))

    assert Decision.objects.count() == Consent.objects.opted_out().count() == Subject.objects.count() == 400
    assert sum(ImportPortion.objects.values_list("written", flat=True)) == 400
    assert not ImportRow.objects.exists()


def test_two_files_about_the_same_strangers_make_each_of_them_once(committed):
    PurposeFactory(code="marketing")
    files = [taken(listed(300)), taken(listed(310))]

    def run(imported):
        try:
            return applying.apply_opt_outs(imported, by="user:olga")
        finally:
            connections.close_all()

    with ThreadPoolExecutor(2) as both:
        list(both.map(run, files))

    assert Identifier.objects.count() == Subject.objects.count() == Consent.objects.opted_out().count() == 310


@pytest.fixture
def environment(committed):
    """What a program on the test's database finds."""
    url = login_url(committed.admin_url, "holdfast_app", committed.passwords["holdfast_app"], DATABASE)
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DEBUG": "1",
        "DATABASE_URL": url,
        "PRIVACY_KEY": settings.PRIVACY_KEY,
        "SECRET_KEY": secrets.token_urlsafe(48),
        "REDIS_URL": "redis://127.0.0.1:9/0",
    }


def test_a_run_that_is_killed_is_made_good_by_the_next(environment, tmp_path):
    PurposeFactory(code="marketing")
    record([opt_out("person7@example.org")])
    path = tmp_path / "list.csv"
    path.write_bytes(listed(20_000))
    command = [sys.executable, "manage.py", "import_suppressions", str(path), "--purpose", "marketing", "--apply"]
    options = {"cwd": settings.BASE_DIR, "env": environment, "stdout": subprocess.PIPE, "text": True}

    with subprocess.Popen(command, **options) as killed:
        deadline = time.monotonic() + PATIENCE
        while not ImportPortion.objects.exists() and killed.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        killed.send_signal(signal.SIGKILL)
    written = Decision.objects.filter(cause="import").count()
    again = subprocess.run(command, **options, check=True)

    assert 0 < written < 19_999
    assert written % 5000 in (0, 4998, 4999)  # whole portions; their first has the names and person7 in it
    assert f"Applied: {19_999 - written:,} rows became decisions." in again.stdout
    assert Decision.objects.filter(cause="import").count() == 19_999
    assert Consent.objects.opted_out().count() == 20_000
    assert not may_contact(Identity.of("email", "person19999@example.org"), "marketing", "email")
