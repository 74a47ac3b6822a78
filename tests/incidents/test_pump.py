"""`manage.py pump`: everything that workers do, with neither Celery nor Redis."""

import json
from io import StringIO

import pytest
from django.core.management import call_command

from consent.models import ExitPathMinute
from consent.services import record
from incidents.models import AlertDelivery
from messaging.models import Message
from tests.factories import AlertSourceFactory, ExitPathFactory, PurposeFactory, incident, opt_out
from tests.incidents.test_alerts import SAMPLE
from tests.messaging.smtp import inbox

pytestmark = pytest.mark.usefixtures("committed")


def test_one_round_does_all_that_a_choice_and_an_alert_lead_to(sending_by):
    PurposeFactory(code="marketing")
    path = ExitPathFactory(code="footer-link")
    declared = incident()
    AlertDelivery.objects.create(source=AlertSourceFactory(), raw_body=json.dumps(SAMPLE).encode(), body_digest=b"")
    record([opt_out(f"person{n}@example.org", exit_path="footer-link") for n in range(3)])
    told = StringIO()

    with inbox() as box:
        sending_by(f"relay=smtp://127.0.0.1:{box.port}")
        call_command("pump", once=True, stdout=told)

    assert sorted(mail.recipients for mail in box.mails) == [[f"person{n}@example.org"] for n in range(3)]
    assert set(Message.objects.values_list("state", flat=True)) == {"accepted"}
    declared.refresh_from_db()
    assert declared.linked_count == 3
    assert AlertDelivery.objects.get().group.incident.linked_count == 3
    assert ExitPathMinute.objects.get(exit_path=path).count == 3
    assert "       3  messages sent" in told.getvalue()
