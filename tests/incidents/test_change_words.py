"""What a change set says it does, in sentences: each operation, whom it reaches, and how careful it is."""

import pytest

from incidents.changes import operations
from incidents.changes.wording import told_operation, told_policy, told_predicate, told_selector
from tests.factories import ChangeSetFactory


@pytest.mark.parametrize(
    ("name", "args", "words"),
    [
        ("set_choice", {"choice": "opt_out"}, "Opt out whoever is selected, for what they were selected by."),
        (
            "set_choice", {"choice": "opt_in", "purpose": "marketing", "channel": "*"},
            "Opt in whoever is selected for marketing by every channel.",
        ),
        (
            "backfill", {"choice": "opt_out", "purpose": "*", "channel": "email"},
            "Whoever never decided counts as opted out for all purposes by e-mail, until they decide themselves.",
        ),
        (
            "restore", {"moment": "2026-03-01T12:00:00+02:00"},
            "Give the selected choices back the state that they had at 2026-03-01 10:00 UTC.",
        ),
        (
            "sync_segment", {"choice": "opt_in", "purpose": "news", "channel": "sms"},
            (
                "Opt in the people of a list for news by text message; whoever else is opted in there by nobody's own "
                "act becomes opted out."
            ),
        ),
        ("import", {}, "Write the rows of an import."),
        (
            "set_purpose", {"code": "marketing", "to": {"regime": "opt_out", "channels": ["email", "sms"]}},
            "Purpose marketing: rule becomes “contact all but those who opted out”; channels becomes email and sms.",
        ),
        ("set_exit_path", {"code": "footer", "to": {"is_active": False}}, "Way out footer: in use becomes no."),
        ("publish_template", {"template": "welcome", "version": 3}, "Publish version 3 of the text welcome."),
        ("hold_transport", {"transport": "relay"}, "Pass the transport relay by: nothing is sent with it."),
        (
            "declare_setting", {"name": "TTL", "before": "1", "after": "2", "hold_lane": "bulk"},
            "TTL is changed outside of this product, from '1' to '2'. Bulk mail is held if that must be taken back.",
        ),
        ("gone", {}, "gone: nobody knows this operation any more."),
    ],
)  # fmt: skip
def test_an_operation_is_a_sentence(name, args, words):
    assert told_operation(name, args) == words


def test_every_operation_has_a_sentence_of_its_own():
    titles = {f"{operation.title}." for operation in operations.REGISTRY.values()}
    example = {
        "choice": "opt_out", "purpose": "a", "channel": "email", "moment": "2026-01-01T00:00Z", "code": "a", "to": {},
        "template": "t", "version": 1, "transport": "t", "name": "n", "before": "", "after": "",
    }  # fmt: skip

    assert not titles & {told_operation(name, example) for name in operations.REGISTRY}


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ({}, ""),
        (
            {"purpose": "marketing", "channel": "email", "state": "opt_in", "explicit": False},
            "Everybody who is opted in for marketing by e-mail, but not by their own act.",
        ),
        (
            {"explicit": True, "decided_after": "2026-03-01T00:00Z", "decided_before": "2026-03-02T00:00:01Z"},
            (
                "Everybody who has a choice by their own act, decided 2026-03-01 00:00 UTC or later, decided before "
                "2026-03-02 00:00:01 UTC."
            ),
        ),
        (
            {"state": "opt_out", "cause": "import", "actor": "service:crm", "batch": "b-1"},
            "Everybody who is opted out, because of: import, recorded by service:crm, in the batch b-1.",
        ),
        ({"regions": ["DE", "FR", "unknown"]}, "Everybody, in the regions DE, FR and unknown."),
        ({"subjects": ["x"], "regions": ["DE"]}, "Everybody, in the region DE, among 1 named people."),
        (
            {"never_asked": True, "purpose": "marketing", "channel": "sms"},
            "Everybody who was never asked for marketing by text message.",
        ),
        ({"state": "opt_in", "decided_after": "2026-13-99T00:00Z"},
         "Everybody who is opted in, decided 2026-13-99T00:00Z or later."),
    ],
)  # fmt: skip
def test_whom_it_reaches_is_one_sentence(selector, words):
    assert told_selector(selector) == words


def test_how_careful_it_is_is_said():
    careful = {"interval_s": 30, "count": 2, "failure_limit": 1, "inconclusive": "roll_back"}

    plain = told_policy(ChangeSetFactory.build())
    told = told_policy(ChangeSetFactory.build(validation_policy=careful, batch_size=50))

    assert plain.startswith("1,000 rows at a time, each judged before the next, and 1 look at the whole afterwards;")
    assert plain.endswith("the first breach takes all of it back. What cannot be judged waits for a person.")
    assert told.startswith("50 rows at a time, 30 seconds apart, each judged before the next, and 2 looks")
    assert told.endswith(
        "breach number 2, or the first of I2, takes all of it back. What cannot be judged is taken back."
    )


@pytest.mark.parametrize(
    ("predicate", "words"),
    [
        ({"change_set": "CS-3"}, "what CS-3 wrote"),
        ({"tx": 4711}, "what was written in the transaction 4711"),
        ({"import": "IM-5"}, "what the import IM-5 wrote"),
        ({"batch": "b-1"}, "what was written with the batch b-1"),
        (
            {"db_user": "holdfast_oncall", "since": "2026-03-01T01:00:00Z", "until": "2026-03-01T03:00:00Z"},
            "what the login holdfast_oncall wrote from 2026-03-01 01:00 UTC until 2026-03-01 03:00 UTC",
        ),
    ],
)  # fmt: skip
def test_what_is_taken_back_is_said(predicate, words):
    assert told_predicate(predicate) == words
