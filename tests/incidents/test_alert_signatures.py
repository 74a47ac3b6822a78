"""Signatures of senders, by vectors that others published and by those made here with openssl where none were.

Published: Standard Webhooks (its Python library's test) and GitHub's documentation. Those of Grafana, PagerDuty and
Slack are `openssl dgst -sha256 -hmac` of the bodies below, in the scheme that each documents.
"""

import base64
from datetime import UTC, datetime, timedelta

import pytest

from incidents.alerts import signatures
from incidents.alerts.signatures import BadSignature, Sent, Terms

NOW = datetime.fromtimestamp(1_700_000_000, UTC)
GRAFANA_BODY = b'{"alerts":[],"status":"resolved","version":"1"}'
GRAFANA = "bf0bdee8ef159e97f47c81bccd17ce3dad7f05452ed1345f06f20c88cb04ce60"
GRAFANA_STAMPED = "c438dd4e85f4d5ee40c1c2728efbdc0d8515d40ceeca1dd3b9c06c3480732662"
PAGERDUTY_BODY = (
    b'{"event":{"id":"01HOLDFAST","event_type":"incident.triggered","resource_type":"incident",'
    b'"occurred_at":"2026-03-01T02:14:00Z","agent":null,"client":null,"data":{"id":"PHOLD1","type":"incident",'
    b'"status":"triggered","title":"Opt-outs answer 500","conference_bridge":{"conference_number":1000}}}}'
)
PAGERDUTY = "797fc0bac62df77cbcd18d1e39e0f0e03ad60e0896aa40358f9e53a129f1b024"
WEBHOOKS_KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
WEBHOOKS_BODY = b'{"test": 2432232314}'
WEBHOOKS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
WEBHOOKS_AT = datetime.fromtimestamp(1614265330, UTC)
GITHUB = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
SLACK_BODY = b"payload=%7B%7D"
SLACK = {
    "x-slack-request-timestamp": "1700000000",
    "x-slack-signature": "v0=1c6dfe20827cdc72fc9ad3433bc34010292b40414ce7c639486cd541473e7159",
}


def holds(verifier, body, headers, *secrets, at=NOW, **terms):
    """Empty when the signature holds, else what is wrong with it."""
    try:
        verifier(Sent(body, headers, at), secrets, Terms(**terms))
    except BadSignature as error:
        return str(error)
    return ""


def test_grafana_signs_the_body_in_bare_hex():
    assert not holds(signatures.grafana, GRAFANA_BODY, {"x-grafana-alerting-signature": GRAFANA}, "drill-secret")


def test_grafana_signs_its_time_too_where_its_contact_point_names_a_header():
    headers = {"x-grafana-alerting-signature": GRAFANA_STAMPED, "x-time": "1700000000"}
    terms = {"timestamp_header": "X-Time"}

    assert not holds(signatures.grafana, GRAFANA_BODY, headers, "drill-secret", **terms)
    late = holds(signatures.grafana, GRAFANA_BODY, headers, "drill-secret", at=NOW + timedelta(minutes=6), **terms)
    assert "360 s behind" in late
    assert "missing" in holds(signatures.grafana, GRAFANA_BODY, headers | {"x-time": ""}, "drill-secret", **terms)
    without = {"x-grafana-alerting-signature": GRAFANA, "x-time": "1700000000"}
    assert "does not match" in holds(signatures.grafana, GRAFANA_BODY, without, "drill-secret", **terms)


def test_pagerduty_signs_with_several_secrets_while_one_is_changed():
    for header in (f"v1={PAGERDUTY}", f"v1={'0' * 64},v1={PAGERDUTY}", f"v1={PAGERDUTY}, v2=other"):
        assert not holds(signatures.pagerduty, PAGERDUTY_BODY, {"x-pagerduty-signature": header}, "pager-secret")


@pytest.mark.parametrize(
    ("body", "header", "reason"),
    [
        (PAGERDUTY_BODY, f"v1={'7' * 64}", "does not match"),
        (PAGERDUTY_BODY, PAGERDUTY, "does not match"),
        (PAGERDUTY_BODY, f"v2={PAGERDUTY}", "does not match"),
        (PAGERDUTY_BODY, f"v1={PAGERDUTY.upper()}", "does not match"),
        (PAGERDUTY_BODY, "v1=\u00fc", "does not match"),
        (PAGERDUTY_BODY + b" ", f"v1={PAGERDUTY}", "does not match"),
        (PAGERDUTY_BODY, "", "is missing"),
        (b"", f"v1={PAGERDUTY}", "empty body"),
    ],
)
def test_pagerduty_is_not_let_in_by_anything_else(body, header, reason):
    assert reason in holds(signatures.pagerduty, body, {"x-pagerduty-signature": header}, "pager-secret")


def test_the_vector_of_standard_webhooks_holds():
    assert not holds(signatures.standard_webhooks, WEBHOOKS_BODY, WEBHOOKS, WEBHOOKS_KEY, at=WEBHOOKS_AT)


def test_the_prefix_of_its_secret_is_not_part_of_the_key():
    bare = WEBHOOKS_KEY.removeprefix("whsec_")

    assert not holds(signatures.standard_webhooks, WEBHOOKS_BODY, WEBHOOKS, bare, at=WEBHOOKS_AT)


def test_one_of_several_signatures_and_of_several_secrets_is_enough():
    several = "v1,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= v2,Ceo5qEr07ixe2NLpvHk3FH9bwy/WavXrAFQ/9tdO6mc= "
    headers = WEBHOOKS | {"webhook-signature": several + WEBHOOKS["webhook-signature"]}
    older = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

    assert not holds(signatures.standard_webhooks, WEBHOOKS_BODY, headers, older, WEBHOOKS_KEY, at=WEBHOOKS_AT)


def test_the_older_names_of_its_headers_hold_too_and_are_not_mixed_with_the_new():
    older = {name.replace("webhook", "svix"): value for name, value in WEBHOOKS.items()}

    assert not holds(signatures.standard_webhooks, WEBHOOKS_BODY, older, WEBHOOKS_KEY, at=WEBHOOKS_AT)
    mixed = older | {"webhook-id": WEBHOOKS["webhook-id"]}
    told = holds(signatures.standard_webhooks, WEBHOOKS_BODY, mixed, WEBHOOKS_KEY, at=WEBHOOKS_AT)
    assert "webhook-timestamp is missing" in told


def test_a_secret_is_the_same_with_and_without_its_padding():
    padded = "whsec_" + base64.b64encode(b"seventeen bytes !").decode()

    assert padded.endswith("=")
    assert signatures.webhook_key(padded.rstrip("=")) == signatures.webhook_key(padded) == b"seventeen bytes !"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook-signature": "v1,dGVzdCBpcyB3cm9uZw=="}, "does not match"),
        ({"webhook-signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "does not match"),
        ({"webhook-signature": "v1a,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, "does not match"),
        ({"webhook-id": "msg_other"}, "does not match"),
        ({"webhook-id": ""}, "webhook-id is missing"),
        ({"webhook-signature": ""}, "webhook-signature is missing"),
        ({"webhook-timestamp": ""}, "webhook-timestamp is missing"),
        ({"webhook-timestamp": "soon"}, "whole seconds"),
        ({"webhook-timestamp": "1614265330.5"}, "whole seconds"),
        ({"webhook-timestamp": "1614265029"}, "301 s behind"),
        ({"webhook-timestamp": "1614265631"}, "301 s ahead"),
    ],
)
def test_standard_webhooks_are_refused_for_what_does_not_hold(changes, reason):
    told = holds(signatures.standard_webhooks, WEBHOOKS_BODY, WEBHOOKS | changes, WEBHOOKS_KEY, at=WEBHOOKS_AT)

    assert reason in told


def test_githubs_vector_holds_with_and_without_its_prefix_and_under_another_header():
    signature = GITHUB
    check = signatures.body_hmac

    for value in (f"sha256={signature}", signature):
        headers = {"x-hub-signature-256": value}
        assert not holds(check, b"Hello, World!", headers, "It's a Secret to Everybody")
    other = {"fh-signature": signature}
    assert not holds(check, b"Hello, World!", other, "It's a Secret to Everybody", header="FH-Signature")
    assert "does not match" in holds(check, b"Hello, world!", headers, "It's a Secret to Everybody")


def test_slacks_scheme_holds_within_five_minutes():
    secret = "slack-secret"

    assert not holds(signatures.slack, SLACK_BODY, SLACK, secret)
    assert "behind" in holds(signatures.slack, SLACK_BODY, SLACK, secret, at=NOW + timedelta(seconds=301))
    bare = SLACK | {"x-slack-signature": SLACK["x-slack-signature"].removeprefix("v0=")}
    assert "does not match" in holds(signatures.slack, SLACK_BODY, bare, secret)


@pytest.mark.parametrize("verifier", signatures.VERIFIERS.values())
def test_without_a_secret_nothing_holds(verifier):
    headers = {
        "x-pagerduty-signature": f"v1={PAGERDUTY}",
        "x-grafana-alerting-signature": GRAFANA,
        "x-hub-signature-256": GRAFANA,
        **WEBHOOKS,
        **SLACK,
    }
    at = WEBHOOKS_AT if verifier is signatures.standard_webhooks else NOW

    assert "no secret yet" in holds(verifier, PAGERDUTY_BODY, headers, at=at)


@pytest.mark.parametrize(
    ("sign", "body", "secret", "terms", "made"),
    [
        (signatures.sign_grafana, GRAFANA_BODY, "drill-secret", {}, {"x-grafana-alerting-signature": GRAFANA}),
        (
            signatures.sign_grafana, GRAFANA_BODY, "drill-secret", {"timestamp_header": "X-Time"},
            {"x-grafana-alerting-signature": GRAFANA_STAMPED, "x-time": "1700000000"},
        ),
        (signatures.sign_pagerduty, PAGERDUTY_BODY, "pager-secret", {}, {"x-pagerduty-signature": f"v1={PAGERDUTY}"}),
        (
            signatures.sign_body_hmac, b"Hello, World!", "It's a Secret to Everybody", {"header": "FH-Signature"},
            {"fh-signature": f"sha256={GITHUB}"},
        ),
        (signatures.sign_slack, SLACK_BODY, "slack-secret", {}, SLACK),
    ],
)  # fmt: skip
def test_a_test_is_signed_as_its_sender_signs(sign, body, secret, terms, made):
    assert sign(body, secret, Terms(**terms), NOW) == made
