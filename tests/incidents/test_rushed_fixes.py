"""Rushed fixes that re-subscribed people elsewhere, each driven as it was then. Here nobody who had left comes back.

The stories are public: mozmeao/basket (an upsert that clears opt-outs), airwaylab#921 (a backfill of false to true),
listmonk#2008 and keila#253 (an import that overwrites), danbooru#2987 (a migration's default), mautic#1663 (duplicates
made one), a stale copy restored, mailchimp/mc-woocommerce#185 (a plugin's sync), emailflare#190 (a text that leads
back in), Rock#7034 and useSend#412 (scanners that follow links), and fides#7788 (one yes that clears a no to all).
"""

import psycopg
import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from consent import tokens
from consent.importing import staging
from consent.importing.staging import Upload
from consent.models import Consent, Identifier
from consent.services import may_contact, merge, record, request_reversal, set_guard
from consent.tokens import Token
from incidents import invariants
from incidents.changes import applying, deciding, planning, running
from incidents.changes.migrating import NotApplied, change_set, guarded_change
from incidents.models import ChangeSet, Incident
from messaging import publishing
from messaging.models import TemplateVersion
from tests.api.conftest import Api
from tests.factories import PurposeFactory, email, opt_in, opt_out
from tests.incidents.change_sets import IN, begun, draft, fresh, imported, leaves, officer, one_step, states
from tests.incidents.hands import by_hand

State = ChangeSet.State
KEY = ("marketing", "email")
UPSERT = """
    INSERT INTO consent_consent (subject_id, purpose, channel, state, explicit, version)
    VALUES ('{anna}', 'marketing', 'email', 'opt_in', false, 1)
    ON CONFLICT (subject_id, purpose, channel) DO UPDATE SET state = 'opt_in', explicit = false
"""
HOTFIX = """
    CREATE FUNCTION everybody_in() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN NEW.choice := 'opt_in'; RETURN NEW; END $$;
    CREATE TRIGGER zz_hotfix BEFORE INSERT ON consent_decision FOR EACH ROW
      WHEN (NOT NEW.explicit) EXECUTE FUNCTION everybody_in()
"""


@pytest.fixture
def anna(request):
    """She left herself; the purpose is one that everybody is in who said nothing."""
    request.getfixturevalue("committed" if "committed" in request.fixturenames else "db")
    PurposeFactory(code="marketing", regime="opt_out")
    record([opt_in("anna@example.org")])
    [recorded] = record([opt_out("anna@example.org")])
    return recorded.subject_id


@pytest.fixture
def others(anna):
    """Of them a list said yes: the fix may write about these."""
    return imported(3)


@pytest.fixture(autouse=True)
def no_opt_out_was_weakened(anna):
    yield
    stands = Consent.objects.get(subject=anna, purpose="marketing", channel="email")
    assert stands.is_explicitly_opted_out
    assert not may_contact(email("anna@example.org")[0], *KEY)
    with transaction.atomic():
        assert invariants.INVARIANTS["I2"].ask(invariants.everything()).verdict == "met"


def taken_back(change):
    running.run_due()  # what the set itself began
    change = fresh(change)
    assert change.state == State.ROLLED_BACK
    return change


@pytest.mark.parametrize("level", ["observe", "protect"])
@pytest.mark.parametrize(
    "statement",
    [
        UPSERT,
        "UPDATE consent_consent SET state = 'opt_in' WHERE state = 'opt_out'",
        "DELETE FROM consent_consent WHERE state = 'opt_out'",
        "UPDATE consent_identifier SET subject_id = gen_random_uuid()",
    ],
)
def test_an_upsert_that_knows_better(anna, statement, level):
    set_guard(level, reason="An incident", by="user:ben")

    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement.format(anna=anna))

    assert isinstance(refused.value.__cause__, psycopg.Error)


def test_a_backfill_of_everybody_is_refused_and_told_as_a_near_miss(anna, others):
    with pytest.raises(ValidationError, match="never written"), change_set("Everybody back in", reason="A fix") as fix:
        fix.opt_in((person, *KEY) for person in [anna, *others])

    assert Incident.objects.near_misses().exists()


def test_a_backfill_beside_which_a_job_brings_somebody_back_is_taken_back_whole(committed, anna, others):
    record([opt_out(person, explicit=False, cause="import", actor="system:job") for person in others])
    change = begun(IN, selector={"purpose": "marketing"}, leaves_protected=True, batch_size=2)
    one_step()
    ben = next(person for person, state in zip(others, states(*others), strict=True) if state == "opt_in")
    leaves(ben)
    job_brings_back(committed, ben)

    running.run_due()

    assert "I2: 1 opt-outs were reversed without the person" in taken_back(change).rollback_reason
    assert change.batches.count() == 1
    assert states(*others) == ["opt_out"] * 3
    assert Consent.objects.get(subject=ben).is_explicitly_opted_out


def job_brings_back(cluster, person):
    by_hand(cluster, f"UPDATE consent_consent SET state = 'opt_in', explicit = false WHERE subject_id = '{person}'")


def test_a_script_whose_rows_a_hotfix_in_the_database_turns_round_is_taken_back_whole(committed, anna, others):
    by_hand(committed, HOTFIX)

    with pytest.raises(NotApplied) as stopped, change_set("Out of March", reason="A fix", batch_size=2) as fix:
        fix.opt_out((person, *KEY) for person in others)

    change = taken_back(stopped.value.change_set)
    assert "I10: 2 decisions" in change.rollback_reason
    assert change.batches.count() == 1
    assert states(*others) == ["opt_in"] * 3


def old_export(*addresses):
    """Approved, and begun: everybody who was in then, opted in again."""
    rows = "\n".join(["email,status", *(f"{address},opt_in" for address in addresses)])
    upload = Upload(data=rows.encode(), purpose="marketing", name="old.csv", dated=timezone.now())
    file = staging.take(upload, by="user:olga")
    change = draft({"operation": "import", "args": {"file": file.ref}}, selector={}, leaves_protected=True)
    change = deciding.submit(planning.plan(change, by="user:anna"), by="user:anna")
    for _ in range(change.required_approvals):
        change = deciding.approve(change, by=officer())
    return applying.apply(change, by="user:anna")


def test_an_old_export_imported_with_overwrite_on(anna):
    change = old_export("anna@example.org", "ben@example.org")
    running.run_due()

    assert (fresh(change).state, change.protected_touched) == (State.APPLIED, 1)
    assert may_contact(email("ben@example.org")[0], *KEY)


def test_an_old_export_beside_which_a_job_brings_one_of_its_people_back_is_taken_back_whole(committed, anna):
    change = old_export("anna@example.org", "ben@example.org", "cem@example.org")
    one_step()
    ben, cem = (
        Identifier.objects.get(digest=email(f"{name}@example.org")[0].digest).subject_id for name in ("ben", "cem")
    )
    leaves(ben)
    job_brings_back(committed, ben)

    running.run_due()

    assert "I2: 1 opt-outs were reversed" in taken_back(change).rollback_reason
    assert states(ben, cem) == ["opt_out", None]


def test_a_migration_with_a_default_for_all(anna, others):
    @guarded_change("A new default", reason="The column is new.")
    def subscribe_all(apps, schema_editor, change):
        change.select(
            "SELECT id, 'marketing'::text, 'email'::text, 'opt_in'::text, NULL::timestamptz FROM consent_subject"
        )

    with pytest.raises(ValidationError, match="never written"):
        subscribe_all(None, None)


def test_a_migration_that_a_hotfix_in_the_database_turns_round_is_taken_back(committed, anna, others):
    @guarded_change("Out by default", reason="The column is new.")
    def unsubscribe_all(apps, schema_editor, change):
        change.select("SELECT subject_id, purpose, channel, 'opt_out', NULL::timestamptz FROM consent_consent")

    by_hand(committed, HOTFIX)
    with pytest.raises(NotApplied, match="I10: 3 decisions") as stopped:
        unsubscribe_all(None, None)

    assert taken_back(stopped.value.change_set).batches.count() == 1
    assert states(*others) == ["opt_in"] * 3


def test_two_records_of_one_person_made_one(anna):
    [twin] = record([opt_in("anna.b@example.org")])

    merge(anna, twin.subject_id, reason="Duplicates", by="user:ben")

    assert not may_contact(twin.subject_id, *KEY)
    anna_now = Identifier.objects.get(subject=twin.subject_id, digest=email("anna@example.org")[0].digest)
    assert anna_now.subject_id == twin.subject_id
    record([opt_out(anna)])  # and her own row says so as before


def test_the_state_of_last_night_given_back(anna):
    last_night = Consent.history.get(subject_id=anna, version=1).changed_at  # she was in then

    change = draft(
        {"operation": "restore", "args": {"moment": last_night.isoformat()}}, selector={"subjects": [str(anna)]}
    )
    change = planning.plan(change, by="user:anna")

    assert (change.change_count, change.protected_touched) == (0, 1)
    with pytest.raises(ValidationError, match="opted out"):
        deciding.submit(change, by="user:anna")


SHOP_SAYS = {"subject": {"email": "anna@example.org"}, "purpose": "marketing", "channel": "email", "choice": "opt_in"}


@pytest.mark.parametrize(("level", "status"), [("observe", 201), ("protect", 409), ("freeze", 409)])
def test_a_plugin_that_sends_its_own_state_each_night(anna, level, status):
    shop = Api()
    set_guard(level, reason="An incident", by="user:ben")

    honest = shop.send("/api/v1/decisions/", SHOP_SAYS | {"explicit": False, "cause": "default"})
    bold = shop.send("/api/v1/decisions/", SHOP_SAYS | {"cause": "subject_choice"})

    assert (honest.status_code, bold.status_code) == (status, 409)
    assert bold.json()["type"] == "urn:holdfast:problem:reversal_needed"
    asked = shop.get("/api/v1/check/?email=anna@example.org&purpose=marketing&channel=email").json()
    assert (asked["allowed"], asked["reason"]) == (False, "explicit_opt_out")


def test_a_text_that_leads_back_in_is_not_published(anna):
    published = TemplateVersion.objects.filter(template_id="opt_out_confirmation", state="published").latest("number")
    version = publishing.draft_from(published, by="user:ben")
    version.bodies.filter(locale="en").update(text="You are out. Come back: http://localhost:8000/opt-in/")

    with pytest.raises(ValidationError, match="no way back in"):
        publishing.check(version, by="user:ben")


@pytest.mark.parametrize("method", ["get", "head", "options"])
def test_a_scanner_that_follows_every_link(anna, client, method):
    token = tokens.issue(Token(anna, "*", "email"))
    begun = request_reversal(anna, *KEY)

    for path in (f"/u/{token}/", f"/u/{token}/more/", f"/preferences/{token}/?confirm={begun.pk}"):
        assert getattr(client, method)(path).status_code in (200, 405)

    assert not may_contact(anna, *KEY)


def test_one_yes_does_not_clear_a_no_to_everything(anna):
    PurposeFactory(code="news", regime="opt_out")
    record([opt_out(anna, "*", "*")])

    refused = Api().send("/api/v1/decisions/", SHOP_SAYS | {"purpose": "news", "cause": "subject_choice"})

    assert (refused.status_code, "two steps" in refused.json()["detail"]) == (409, True)
    assert not may_contact(anna, "news", "email")
    assert not may_contact(anna, "news", "sms")
