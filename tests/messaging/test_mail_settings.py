"""Where mail comes from and comes back to, as an operator would type it wrong: said at start-up, with what to write."""

import pytest

from messaging.checks import places_of_mail, sender, webhook_hosts


def test_what_the_product_starts_with_is_right():
    assert [*places_of_mail(), *sender(), *webhook_hosts()] == []


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("MAIL_DOMAIN", "https://shop.example", "shop.example"),
        ("MAIL_DOMAIN", " shop.example", "shop.example"),
        ("MAIL_DOMAIN", "", "shop.example"),
        ("MAIL_BOUNCES", "bounces@shop.example", "without a mailbox"),
        ("MAIL_UNSUBSCRIBE", "mailto:out@shop.example", "unsubscribe@shop.example"),
        ("MAIL_UNSUBSCRIBE", "shop.example", "unsubscribe@shop.example"),
        ("MAIL_REPLIES", "Shop <reply@shop.example>", "reply@shop.example"),
        ("MAIL_REPLIES", "reply@shop.example\r\nBcc: all@shop.example", "reply@shop.example"),
        ("MAIL_LINK_HOSTS", ["https://help.shop.example"], "help.shop.example"),
        ("RECEIVE_MAIL", "8026", "127.0.0.1:8026"),
        ("RECEIVE_MAIL", "localhost:smtp", "127.0.0.1:8026"),
        ("RECEIVE_MAIL", "127.0.0.1:80260", "127.0.0.1:8026"),
    ],
)
def test_a_place_that_is_none_is_told_with_what_to_write(settings, setting, value, cure):
    setattr(settings, setting, value)

    [error] = places_of_mail()

    assert error.id == "messaging.E009"
    assert error.msg.startswith(setting)
    assert cure in error.hint


@pytest.mark.parametrize(
    "value", ["privacy", "", "Müller, Büro <privacy@shop.example>", "a@shop.example, b@shop.example"]
)
def test_a_sender_is_one_mailbox(settings, value):
    settings.MAIL_FROM = value

    assert [error.id for error in sender()] == ["messaging.E002"]


def test_a_port_beyond_the_last_is_none(settings):
    settings.WEBHOOK_ALLOWED_HOSTS = ["crm.internal:99999"]

    assert [error.id for error in webhook_hosts()] == ["messaging.E005"]
