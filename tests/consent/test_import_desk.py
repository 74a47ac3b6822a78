"""Bringing a file: by the command and at the desk; nothing changes before somebody says so."""

import csv
import io
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from consent import upkeep
from consent.admin import imports
from consent.importing import applying, staging
from consent.importing.staging import Upload
from consent.models import Consent, Decision, DecisionVoid, Import
from consent.services import record
from incidents.changes import running, undeclared
from tests.consent.spreadsheets import xlsx
from tests.consent.test_consent_admin import press, words
from tests.factories import ImportFactory, PurposeFactory, UserFactory, opt_in, opt_out

pytestmark = pytest.mark.django_db

LIST = "email,choice,decided_at\nanna@example.org,opt_out,2026-03-01\nben@example.org,bounced,\n=nobody,opt_out,\n"


@pytest.fixture(autouse=True)
def marketing():
    return PurposeFactory(code="marketing", name="Marketing")


@pytest.fixture
def officer(client):
    user = UserFactory(username="olga", role="Officer")
    client.force_login(user)
    return user


def run(path, *options):
    out = StringIO()
    call_command("import_suppressions", str(path), "--purpose", "marketing", *options, stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(LIST)
    return path


# The command


def test_the_command_says_what_would_be_done_and_does_nothing(file):
    said = run(file)

    assert "columns of Holdfast" in said
    assert "1  opt out: changes what stands" in said
    assert "2  cannot be read as a choice" in said
    assert "1  an address that bounces is not an opt-out" in said
    assert "Nothing has changed. With --apply it is written." in said
    assert "under Imports, IM-" in said
    assert not Decision.objects.exists()


def test_with_apply_it_is_done_and_a_second_run_says_that_it_was(file):
    first, second = run(file, "--apply"), run(file, "--apply", "--by", "user:anna")

    assert "Applied: 1 rows became decisions." in first
    assert "The same file came on" in second
    assert ", applied." in second
    assert "Applied: 0 rows became decisions." in second
    assert Decision.objects.get().actor == "system:import_suppressions"
    assert list(Import.objects.order_by("pk").values_list("created_by", "applied_by")) == [
        ("system:import_suppressions", "system:import_suppressions"),
        ("user:anna", "user:anna"),
    ]


def test_opt_ins_take_a_change_set_or_are_left_out(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("email,choice,decided_at\nanna@example.org,opt_in,2026-03-01\nben@example.org,opt_out,\n")

    assert "1 people would be opted in, which takes an approved change set." in run(path)
    with pytest.raises(CommandError, match="takes an approved change set"):
        run(path, "--apply")
    assert not Decision.objects.exists()
    assert "Applied: 1 rows became decisions." in run(path, "--apply", "--opt-outs-only")
    assert set(Consent.objects.values_list("state", flat=True)) == {"opt_out"}


def test_a_spreadsheet_a_sender_a_sheet_a_date_and_a_channel_may_be_named(tmp_path):
    path = tmp_path / "list.xlsx"
    path.write_bytes(xlsx({"Notes": [["x"]], "People": [["Mobile"], [491701234567]]}))

    run(path, "--sheet", "People", "--sender", "opt-out-list", "--channel", "sms", "--dated", "2026-02-01", "--apply")

    decision = Decision.objects.get()
    assert (decision.channel, f"{decision.decided_at:%Y-%m-%d}") == ("sms", "2026-02-01")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--purpose", "weather"], "No such purpose: weather"),
        (["--sender", "braze"], "not the columns of Braze"),
        (["--sheet", "People"], "Only a spreadsheet has sheets"),
        (["--dated", "03/04/2026"], "can be read in two ways"),
        (["--dated", "2999-01-01"], "lies in the future"),
    ],
)
def test_a_wrong_option_says_what_to_do(file, options, says):
    with pytest.raises(CommandError, match=says):
        run(file, *options)

    assert not Import.objects.exists()


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        run(tmp_path / "nothing.csv")


def test_keeping_up_forgets_old_rows():
    older = timezone.now() - timedelta(days=31)
    imported = Import.objects.create(
        file_name="old.csv", digest=b"1" * 32, size=1, sender="holdfast", purpose="*", channel="email",
        moment=older, rows=3, created_at=older, created_by="user:olga",
    )  # fmt: skip

    upkeep.keep_up()

    imported.refresh_from_db()
    assert imported.emptied_at


# The desk


def bring(client, name, data, **answers):
    facts = {"purpose": "marketing", "channel": "email", "sender": "", "sheet": "", "dated_0": "", "dated_1": ""}
    upload = SimpleUploadedFile(name, data)
    return client.post(reverse("admin:consent_import_add"), {**facts, "file": upload, **answers}, follow=True)


def test_a_file_is_brought_and_the_page_says_what_it_would_do_and_what_was_left_out(client, officer):
    record([opt_in("carl@example.org")])

    page = words(bring(client, "list.csv", f"{LIST}carl@example.org,opt_out,2026-03-01\n".encode()))

    imported = Import.objects.get()
    assert f"{imported.ref} is read and planned. Nothing has changed yet." in page
    assert "1 × opt out: changes what stands" in page
    assert "2 × cannot be read as a choice" in page
    assert "an address that bounces is not an opt-out" in page
    assert "the person opted in themselves: kept, changes nothing" in page
    assert "nothing changed yet" in page
    assert f"Write imported rows) and choose {imported.ref}" in page
    assert "ben@example.org" not in page
    assert imported.created_by == "user:olga"
    assert Decision.objects.count() == 1


def test_a_file_that_is_refused_is_told_on_the_form(client, officer):
    page = words(bring(client, "list.csv", b"name\nAnna\n"))

    assert "Nobody's columns that are known. Found: “name”" in page
    assert not Import.objects.exists()


def test_a_file_that_is_too_large_for_the_desk_is_told_the_way(client, officer, monkeypatch):
    monkeypatch.setattr(imports, "MOST_BYTES", 10)

    assert "Split it, or have it imported by manage.py import_suppressions" in words(
        bring(client, "list.csv", LIST.encode())
    )


def test_what_was_left_out_is_downloaded_without_formulas_and_somebody_is_noted(client, officer):
    bring(client, "list.csv", LIST.encode())
    imported = Import.objects.get()

    answer = client.get(reverse("admin:consent_import_left_out", args=[imported.pk]))

    rows = list(csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode())))
    assert [(row["row"], row["why it was left out"]) for row in rows] == [
        ("3", "an address that bounces is not an opt-out"),
        ("4", "Give an e-mail address like name@example.org."),
    ]
    assert rows[1]["the row"] == "'=nobody | opt_out | "
    assert LogEntry.objects.get(user=officer).object_id == str(imported.pk)


@pytest.mark.parametrize("role", ["Support", "Responder", "Auditor"])
def test_who_may_not_bring_a_file_may_not_see_whom_it_names(client, role):
    imported = staging.take(Upload(name="list.csv", data=LIST.encode()), by="user:olga")
    client.force_login(UserFactory(role=role))

    assert client.get(reverse("admin:consent_import_left_out", args=[imported.pk])).status_code == 403
    assert client.get(reverse("admin:consent_import_add")).status_code == 403
    page = client.get(reverse("admin:consent_import_change", args=[imported.pk])).content.decode()
    assert "Download what was left out" not in page
    assert "Undo it" not in page


def test_an_import_is_undone_with_a_reason_by_a_button(client, officer):
    imported = staging.take(Upload(name="list.csv", data=LIST.encode(), purpose="marketing"), by="user:olga")
    undo = reverse("admin:consent_import_undo_it", args=[imported.pk])
    assert client.post(undo, {"_form_submitted": "on", "reason": "x"}).status_code == 403  # nothing to undo yet
    applying.apply_opt_outs(imported, by="user:olga")
    record([opt_out("dora@example.org")])

    page = press(client, undo, reason="The wrong list")

    assert "a second person confirms that. Ask for it under Taken back, +, by the number of the import" in page
    assert (Consent.objects.opted_out().count(), Import.objects.get().undone_at) == (2, None)


def test_an_import_that_opted_people_out_is_undone_by_two(officer):
    imported = staging.take(Upload(name="list.csv", data=LIST.encode(), purpose="marketing"), by="user:olga")
    applying.apply_opt_outs(imported, by="user:olga")
    record([opt_out("dora@example.org")])

    made = undeclared.roll_back_undeclared({"import": imported.ref}, reason="The wrong list", by=officer)
    assert made.state == "waiting"
    undeclared.confirm(made, by=UserFactory(role="Officer", username="ben"))
    running.run_due()

    assert Consent.objects.opted_out().count() == 1
    imported.refresh_from_db()
    assert (imported.undone_by, imported.undone_reason) == ("user:olga", "The wrong list")
    assert set(DecisionVoid.objects.values_list("confirmed_by", flat=True)) == {"user:ben"}


def test_the_list_says_how_far_each_is(client, officer):
    applied = staging.take(Upload(name="list.csv", data=LIST.encode(), purpose="marketing"), by="user:olga")
    applying.apply_opt_outs(applied, by="user:olga")
    staging.take(Upload(name="list.csv", data=LIST.encode(), purpose="marketing"), by="user:olga")
    ImportFactory(file_name="other.csv")

    page = words(client.get(reverse("admin:consent_import_changelist")))

    assert "applied" in page
    assert page.count("nothing changed yet") == 2
    assert "other.csv" not in words(client.get(reverse("admin:consent_import_changelist"), {"sender": "braze"}))
    assert "other.csv" in words(client.get(reverse("admin:consent_import_changelist"), {"sender": "holdfast"}))
    last = Import.objects.filter(file_name="list.csv").latest("pk")
    assert f"{applied.ref} (applied)" in words(client.get(reverse("admin:consent_import_change", args=[last.pk])))
