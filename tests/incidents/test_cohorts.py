"""The people of an incident, as a notice reaches them."""

import pytest
from django.core.exceptions import ValidationError

from consent.services import record
from incidents import linking
from messaging import notices
from messaging.cohorts import COHORTS
from tests.factories import NOTICE_FACTS, PurposeFactory, incident, notice_text, opt_in, opt_out

pytestmark = pytest.mark.usefixtures("committed")


def notice_about(number):
    return notices.write(
        "About the relay",
        template=notice_text().template_id,
        context=NOTICE_FACTS,
        cohort_kind="incident",
        incident_id=number,
        reason="They reacted to it",
        by="user:anna",
    )


def test_a_notice_reaches_everybody_tied_to_its_incident_once_and_nobody_else():
    PurposeFactory(code="marketing")
    PurposeFactory(code="other")
    declared = incident(purposes=["marketing"])
    tied = record([opt_out("anna@example.org"), opt_in("bela@example.org"), opt_out("anna@example.org", channel="sms")])
    record([opt_out("cem@example.org", "other")])
    linking.read_log()

    notice = notices.count(notice_about(declared.pk), reason="See", by="user:anna")

    assert set(notice.recipients.values_list("subject_id", flat=True)) == {row.subject_id for row in tied}
    assert notice.to_write == 2
    assert COHORTS["incident"].choices()[0] == (declared.pk, str(declared))


def test_a_drill_writes_to_nobody_real():
    PurposeFactory(code="marketing")
    drill = incident("Rehearsal", mode="drill")
    record([opt_out("anna@example.org")])
    linking.read_log()

    with pytest.raises(ValidationError, match="is a drill"):
        notices.count(notice_about(drill.pk), reason="See", by="user:anna")
    assert drill.links.count() == 1
    assert COHORTS["incident"].choices() == []


def test_an_incident_that_is_none_is_refused():
    with pytest.raises(ValidationError, match="no such incident"):
        notices.count(notice_about(4711), reason="See", by="user:anna")
