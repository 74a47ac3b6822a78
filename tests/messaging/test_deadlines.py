"""By when a confirmation is owed: five minutes by text, and by e-mail as the rule says."""

from datetime import UTC, datetime

import pytest

from consent.models import DeadlineRule
from consent.services import record
from messaging.confirmations import owe_all
from messaging.deadlines import confirmation_due
from messaging.models import Message
from tests.factories import opt_out

RECEIVED = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # a Monday


@pytest.mark.parametrize(
    ("by_text", "rule", "due"),
    [
        (True, None, datetime(2026, 3, 2, 12, 5, tzinfo=UTC)),
        (False, None, datetime(2026, 3, 2, 13, 0, tzinfo=UTC)),
        (False, DeadlineRule(amount=4, unit="hours"), datetime(2026, 3, 2, 16, 0, tzinfo=UTC)),
        (False, DeadlineRule(amount=1, unit="business_days"), datetime(2026, 3, 3, 23, 59, 59, tzinfo=UTC)),
        (True, DeadlineRule(amount=4, unit="hours"), datetime(2026, 3, 2, 12, 5, tzinfo=UTC)),
    ],
)
def test_a_confirmation_is_owed_by(by_text, rule, due):
    assert confirmation_due(RECEIVED, by_text=by_text, rule=rule) == due


def test_the_officers_rule_sets_what_an_e_mail_is_owed_by(committed, request):
    request.getfixturevalue("newsletter")
    rule = DeadlineRule.objects.get(request_kind="confirmation", is_default=True)
    rule.amount = 3
    rule.save_as("user:olga", "Three hours are enough")
    [made] = record([opt_out("anna@example.org", "newsletter")])

    owe_all()

    assert (Message.objects.get().owed_by - made.received_at).total_seconds() == 3 * 3600
