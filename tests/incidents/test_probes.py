"""Ways out, tried end to end through the real doors: what works, what breaks, and what cannot be told."""

from contextlib import contextmanager
from datetime import timedelta
from socketserver import ThreadingMixIn
from threading import Thread
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.core.management import CommandError, call_command
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from config.models import ServiceKey, User
from consent.identifiers import Identity
from consent.models import Decision, Purpose, Subject
from consent.services import record
from incidents import canaries, probes
from incidents.doors import DOORS, Answer, Door, at_hand
from incidents.invariants import INVARIANTS, news
from incidents.models import Alarm, ExitPathProbe, ExitPathWatch, Incident
from messaging import confirmations, signing, verp
from messaging.inbound import inbox
from messaging.models import InboundMessage, Message, WebhookDelivery
from messaging.propagation import fanout
from tests.factories import EndpointFactory, PurposeFactory, UserFactory, opt_out
from tests.messaging.inbound.test_receiving import running
from tests.messaging.smtp import free_port

PATHS = ("one-click", "preference-page", "gpc", "api")


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


class Threads(ThreadingMixIn, WSGIServer):
    daemon_threads = True


@contextmanager
def serving(settings):
    """The product's own doors on loopback."""
    server = make_server("127.0.0.1", 0, get_wsgi_application(), Threads, Quiet)
    settings.PUBLIC_URL = f"http://127.0.0.1:{server.server_port}"
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def doors(committed, settings):
    settings.EXIT_PATH_PROBES = True
    with serving(settings):
        yield


@pytest.fixture
def nowhere(committed, settings):
    settings.EXIT_PATH_PROBES = True
    settings.PUBLIC_URL = f"http://127.0.0.1:{free_port()}"


def mail_taken(probe):
    """The confirmation is owed by the log, and the relay took it."""
    confirmations.owe_all()
    Message.objects.filter(decision_id=probe.decision_id).update(state="accepted", settled_at=timezone.now())


def told(probe):
    return {step["name"]: step["verdict"] for step in probe.steps}


def test_each_way_out_works_end_to_end_again_and_again(doors):
    for _ in range(2):
        for path in PATHS:
            probe = probes.probe(path)
            assert probe.verdict == "running", (path, probe.steps)
            mail_taken(probe)
            probes.settle(timezone.now())

    ended = ExitPathProbe.objects.filter(verdict="met")
    assert ended.count() == 8, list(ExitPathProbe.objects.values_list("exit_path", "verdict", "steps"))
    assert told(ended.first()) == {
        "answered": "met",
        "state flipped": "met",
        "confirmation accepted": "met",
        "webhooks acknowledged": "unmeasured",
    }
    decisions = Decision.objects.filter(pk__in=ended.values("decision_id"))
    assert sorted(decisions.values_list("exit_path", flat=True)) == sorted(PATHS * 2)
    assert set(Subject.objects.values_list("is_canary", flat=True)) == {True}
    assert not Incident.objects.exists()


@pytest.fixture
def letterboxes(doors, settings):
    """Where mail and text messages come in, and are kept until somebody reads them."""
    settings.MAIL_UNSUBSCRIBE, settings.MAIL_REPLIES = "unsubscribe@holdfast.example", "reply@holdfast.example"
    settings.TEXT_GATEWAYS = {"gateway": signing.new_secret()}
    with running() as port:
        settings.CANARY_MAIL_AT = f"127.0.0.1:{port}"
        yield


LATER = ("mailto", "mail-reply", "sms-keyword")


def got_a_mail(*paths):
    """The canaries of these ways out have something to answer: the first try sees to it."""
    for path in paths:
        probes.probe(path)
    confirmations.owe_all()


@pytest.mark.parametrize("path", LATER)
def test_what_is_written_to_us_is_tried_through_the_letterbox_again_and_again(letterboxes, path):
    got_a_mail(*{path} - {"sms-keyword"})
    for _ in range(2):
        probe = probes.probe(path)
        assert (probe.verdict, told(probe)) == ("running", {"answered": "met"}), probe.steps
        assert probes.settle(timezone.now()) == 0
        inbox.read_all()
        assert probes.settle(timezone.now()) == 0
        probe.refresh_from_db()
        mail_taken(probe)
        assert probes.settle(timezone.now()) == 1

    probe.refresh_from_db()
    assert (probe.verdict, told(probe)["state flipped"]) == ("met", "met")
    decision = Decision.objects.get(pk=probe.decision_id)
    assert (decision.exit_path, decision.confidence) == (path, 100)
    assert Message.objects.get(decision_id=decision.pk).channel == canaries.channel_of(path)
    assert set(Subject.objects.values_list("is_canary", flat=True)) == {True}
    assert not Incident.objects.exists()


def test_a_letterbox_that_nobody_empties_is_a_broken_way_out(letterboxes):
    probe = probes.probe("sms-keyword")

    assert probes.settle(timezone.now() + timedelta(minutes=2)) == 0
    assert probes.settle(timezone.now() + timedelta(minutes=4)) == 1

    probe.refresh_from_db()
    assert told(probe) == {"answered": "met", "state flipped": "breached"}
    assert "still contactable" in probe.steps[1]["words"]
    assert Incident.objects.get().exit_paths == ["sms-keyword"]


def test_a_letterbox_that_refuses_or_is_not_there_is_broken_at_once(letterboxes, settings, monkeypatch):
    got_a_mail("mailto")
    with monkeypatch.context() as patched:
        patched.setattr(verp, "is_ours", lambda address: False)
        refused = probes.probe("mailto")
    settings.CANARY_MAIL_AT = f"127.0.0.1:{free_port()}"
    away = probes.probe("mailto")

    assert [(p.verdict, p.steps[0]["words"]) for p in (refused, away)] == [
        ("breached", "Answered 550"),
        ("breached", "No answer: ConnectionRefusedError"),
    ]


def test_a_receiver_that_speaks_lmtp_is_handed_the_same_mail(doors, settings):
    settings.MAIL_UNSUBSCRIBE = "unsubscribe@holdfast.example"
    with running(lmtp=True) as port:
        settings.CANARY_MAIL_AT = f"127.0.0.1:{port}"
        got_a_mail("mailto")
        assert told(probes.probe("mailto")) == {"answered": "met"}


def test_what_an_installation_does_not_offer_is_not_tried_and_says_why_when_somebody_asks(doors, settings):
    settings.MAIL_UNSUBSCRIBE = settings.MAIL_REPLIES = ""
    settings.TEXT_GATEWAYS = {}
    assert not set(LATER) & set(at_hand())

    probes.run_due()

    assert not ExitPathProbe.objects.filter(exit_path__in=LATER).exists()
    asked = [probes.probe(path) for path in LATER]
    assert {probe.verdict for probe in asked} == {"unmeasured"}
    assert "MAIL_UNSUBSCRIBE is empty" in asked[0].steps[0]["words"]
    assert not Incident.objects.exists()


def test_stop_is_never_written_from_a_number_that_is_somebodys(letterboxes, settings):
    PurposeFactory(code="marketing")
    record([opt_out([Identity.of("phone", settings.CANARY_PHONE)])])

    probe = probes.probe("sms-keyword")

    assert (probe.verdict, probe.decision_id) == ("unmeasured", None)
    assert "somebody real" in probe.steps[0]["words"]
    assert not InboundMessage.objects.exists()


def test_a_way_out_that_does_not_answer_opens_an_incident_and_the_next_try_joins_it(nowhere):
    first, second = probes.probe("one-click"), probes.probe("one-click")

    assert (first.verdict, second.verdict) == ("breached", "breached")
    assert told(first) == {"answered": "breached", "state flipped": "breached"}
    incident = Incident.objects.get()
    assert (incident.status, incident.severity, incident.exit_paths) == ("triage", "sev2", ["one-click"])
    assert Alarm.objects.filter(incident=incident, detector="probe").count() == 2


def test_an_incident_hears_that_the_way_out_works_again(nowhere, settings):
    probes.probe("one-click")

    with serving(settings):
        probe = probes.probe("one-click")
    mail_taken(probe)
    probes.settle(timezone.now())

    incident = Incident.objects.get()
    assert "works again" in incident.timeline.last().text
    assert incident.is_open


def test_an_answer_without_an_opt_out_is_broken(doors, monkeypatch):
    monkeypatch.setitem(DOORS, "one-click", Door(lambda canary: Answer(True, "Answered 200")))

    probe = probes.probe("one-click")

    assert told(probe) == {"answered": "met", "state flipped": "breached"}
    assert probe.verdict == "breached"


def test_a_confirmation_that_nobody_takes_breaks_it_when_its_time_is_over(doors):
    probe = probes.probe("api")
    confirmations.owe_all()

    assert probes.settle(timezone.now()) == 0
    assert probes.settle(timezone.now() + timedelta(minutes=7)) == 1

    probe.refresh_from_db()
    assert (probe.verdict, told(probe)["confirmation accepted"]) == ("breached", "breached")


@pytest.mark.parametrize(("taken", "verdict"), [(True, "met"), (False, "breached")])
def test_a_service_that_is_told_must_take_it(doors, taken, verdict):
    EndpointFactory()
    probe = probes.probe("api")
    mail_taken(probe)
    fanout.owe_all()
    assert probes.settle(timezone.now()) == 0
    if taken:
        WebhookDelivery.objects.update(state="delivered")

    probes.settle(timezone.now() + timedelta(minutes=7))

    probe.refresh_from_db()
    assert (probe.verdict, told(probe)["webhooks acknowledged"]) == (verdict, verdict)


def test_without_a_mailbox_the_mail_is_unmeasured_and_the_way_out_works(doors, settings):
    settings.CANARY_EMAIL = ""
    probe = probes.probe("api")
    confirmations.owe_all()

    probes.settle(timezone.now())

    probe.refresh_from_db()
    assert (probe.verdict, told(probe)["confirmation accepted"]) == ("no_mail", "unmeasured")
    assert probe.get_verdict_display() == "works, mail unmeasured"
    assert INVARIANTS["I7"].ask(news()).verdict == "met"


def test_a_way_out_that_works_again_is_told_also_where_the_mail_is_unmeasured(nowhere, settings):
    settings.CANARY_EMAIL = ""
    probes.probe("api")
    with serving(settings):
        probes.probe("api")
    confirmations.owe_all()

    probes.settle(timezone.now())

    assert "works again" in Incident.objects.get().timeline.last().text


def test_an_account_that_takes_the_provers_name_keeps_no_other_way_out_from_being_tried(doors, settings):
    UserFactory(username=canaries.ACCOUNT)
    ExitPathWatch.objects.exclude(pk__in=["api", "one-click"]).update(is_active=False)

    probes.run_due()

    [spoilt] = ExitPathProbe.objects.filter(exit_path="api")
    assert (spoilt.verdict, told(spoilt)) == ("unmeasured", {"answered": "unmeasured"})
    assert "rename it" in spoilt.steps[0]["words"]
    assert ExitPathProbe.objects.get(exit_path="one-click").verdict == "running"


def test_a_mailbox_that_is_named_later_is_used_and_one_that_is_somebodys_is_not(doors, settings):
    settings.CANARY_EMAIL = ""
    mail_taken(probes.probe("api"))
    probes.settle(timezone.now())
    settings.CANARY_EMAIL = "canary@holdfast.example"
    with_mail = probes.probe("api")
    PurposeFactory(code="marketing")
    record([opt_out("canary+one-click@holdfast.example")])
    elsewhere = probes.probe("one-click")
    confirmations.owe_all()

    states = dict(Message.objects.values_list("decision_id", "state"))
    assert states[with_mail.decision_id] == "ready"
    assert states[elsewhere.decision_id] == "suppressed"
    assert Subject.objects.filter(is_canary=False).count() == 1


def test_a_prober_that_died_leaves_an_unmeasured_try_and_stands_in_nobodys_way(doors):
    long_ago = timezone.now() - timedelta(minutes=5)
    ExitPathProbe.objects.create(exit_path_id="api", lease_until=long_ago)
    assert probes.probe("api") is None

    probes.settle(timezone.now())

    assert ExitPathProbe.objects.get().verdict == "unmeasured"
    assert probes.probe("api") is not None


def test_what_hinders_the_canary_says_nothing_about_the_way_out(doors):
    Purpose.objects.update(is_covered_by_gpc=False)

    probe = probes.probe("gpc")

    assert probe.verdict == "unmeasured"
    assert "No purpose is covered" in probe.steps[0]["words"]
    assert not Incident.objects.exists()


def test_each_is_tried_at_its_own_pace(doors):
    assert set(ExitPathWatch.objects.exclude(probe_every_minutes=0).values_list("pk", flat=True)) == {*PATHS, *LATER}
    ExitPathWatch.objects.exclude(pk="api").update(is_active=False)
    now = timezone.now()

    counts = [probes.run_due(now), probes.run_due(now), ExitPathProbe.objects.count()]

    assert counts == [1, 0, 1]


def test_switched_off_nothing_is_tried(doors, settings):
    settings.EXIT_PATH_PROBES = False

    probes.run_due()

    assert not ExitPathProbe.objects.exists()


def test_the_provers_key_is_made_once_a_month_and_kept_nowhere(committed):
    text = canaries.api_key()

    assert canaries.api_key() == text
    key = ServiceKey.objects.get()
    assert (bytes(key.digest), key.scopes) == (ServiceKey.digest_of(text), ["decisions:write"])
    assert canaries.api_key(timezone.now() + timedelta(days=32)) != text
    assert User.objects.get(username=canaries.ACCOUNT).is_service


def test_the_command_says_each_step_and_ends_with_an_error_where_one_broke(nowhere, capsys):
    with pytest.raises(CommandError, match="broken"):
        call_command("probe_exit_paths", "one-click")

    assert "breached" in capsys.readouterr().out
    with pytest.raises(CommandError, match="Not to be tried: pigeon"):
        call_command("probe_exit_paths", "pigeon")
