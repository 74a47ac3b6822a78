"""Standard Webhooks: the public vector, and what its reference libraries refuse."""

import pytest
from django.utils import timezone

from messaging.signing import NotSigned, new_secret, sign, verify

SECRET, ID, MOMENT, BODY = (
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "msg_p5jXN8AQM9LWM0D4loKWxJek",
    1614265330,
    b'{"test": 2432232314}',
)
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(MOMENT), "webhook-signature": SIGNATURE}


def test_the_public_vector_is_signed_as_published():
    assert sign(SECRET, ID, MOMENT, BODY) == SIGNATURE
    assert sign(SECRET.removeprefix("whsec_"), ID, MOMENT, BODY) == SIGNATURE


@pytest.mark.parametrize("late", [-300, 0, 300])
def test_what_was_signed_within_five_minutes_is_taken(late):
    assert verify([SECRET], HEADERS, BODY, now=MOMENT + late) == MOMENT


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook-signature": SIGNATURE[:-2] + "F="},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": SIGNATURE.replace("v1,", "v2,")},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,\N{SNOWMAN}"},
        {"webhook-timestamp": "yesterday"},
        {"webhook-timestamp": "1614265330.0"},
        {"webhook-timestamp": "-1614265330"},
        {"webhook-timestamp": "\N{ARABIC-INDIC DIGIT ONE}"},
        {"webhook-timestamp": str(MOMENT + 1)},
        {"webhook-id": "msg_another"},
        {"webhook-id": "msg.with.dots"},
        {"webhook-id": None},
        {"webhook-timestamp": None},
        {"webhook-signature": None},
    ],
)
def test_what_does_not_fit_is_refused_in_words(wrong):
    headers = {name: value for name, value in (HEADERS | wrong).items() if value is not None}

    with pytest.raises(NotSigned, match=r"\w+ .*\."):
        verify([SECRET], headers, BODY, now=MOMENT)


@pytest.mark.parametrize("late", [-301, 301])
def test_what_is_too_old_or_from_the_future_is_refused(late):
    with pytest.raises(NotSigned, match="five minutes"):
        verify([SECRET], HEADERS, BODY, now=MOMENT + late)


def test_another_body_is_refused():
    with pytest.raises(NotSigned):
        verify([SECRET], HEADERS, BODY + b" ", now=MOMENT)


def test_one_right_signature_among_several_is_enough_under_any_secret():
    other = new_secret()
    headers = HEADERS | {"webhook-signature": f"v1,AAAA v1a,xyz {sign(other, ID, MOMENT, BODY)} {SIGNATURE}"}

    assert verify([SECRET], headers, BODY, now=MOMENT) == MOMENT
    assert verify([new_secret(), other], headers, BODY, now=MOMENT) == MOMENT


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_!!!"])
def test_a_secret_that_is_none_signs_nothing(secret):
    with pytest.raises(ValueError, match="secret"):
        sign(secret, ID, MOMENT, BODY)


def test_a_secret_without_its_padding_is_the_same_secret():
    assert sign("whsec_YWI=", ID, MOMENT, BODY) == sign("whsec_YWI", ID, MOMENT, BODY)


def test_an_id_with_a_dot_and_a_date_are_not_signed():
    with pytest.raises(ValueError, match="dot"):
        sign(SECRET, "msg.1", MOMENT, BODY)
    with pytest.raises(ValueError, match="seconds"):
        sign(SECRET, ID, timezone.now(), BODY)
