"""Why somebody decided: machines leave marks, people do not, and what a person's own act says stands."""

import pytest

from consent.causes import MANY_AT_DOMAIN, MANY_BY_CLIENT, Facts, assess, is_unknown, said


def facts(**known):
    return Facts(**{"cause": "subject_choice", "exit_path": "one-click", "is_by_link": True, **known})


def test_a_press_with_no_marks_is_the_persons_choice():
    found = assess(facts(reasons=["header", "agent_program"], since_acceptance=7200.0, since_first_fetch=4.0))

    assert (found.cause, found.confidence, found.reasons) == ("subject_choice", 100, ("header", "agent_program"))


@pytest.mark.parametrize(
    "marks",
    [
        {"hidden_link": True},
        {"links_together": 2, "since_acceptance": 20.0},
        {"at_domain": MANY_AT_DOMAIN, "since_first_fetch": 0.2},
        {"reasons": ["page_button", "agent_bot"], "since_acceptance": 0.0},
    ],
)
def test_two_marks_of_a_gateway_or_the_hidden_link_make_a_scanner_suspected(marks):
    found = assess(facts(**marks))

    assert found.cause == "scanner_suspected"
    assert 70 <= found.confidence <= 95
    assert set(found.reasons) > set(marks.get("reasons", []))


@pytest.mark.parametrize(
    "mark",
    [
        {"links_together": 2},
        {"at_domain": MANY_AT_DOMAIN},
        {"since_acceptance": 59.0, "since_first_fetch": 0.5},
        {"links_together": 1, "since_acceptance": -3.0},
    ],
)
def test_one_mark_alone_is_no_suspicion(mark):
    assert assess(facts(**mark)).cause == "subject_choice"


def test_marks_of_a_link_say_nothing_about_a_call():
    assert assess(facts(is_by_link=False, hidden_link=True)).cause == "subject_choice"


@pytest.mark.parametrize(
    ("gaps", "reason"),
    [([1.0] * MANY_BY_CLIENT, "regular_gaps"), ([0.001] * MANY_BY_CLIENT, "same_moment")],
)
def test_a_client_that_ticks_like_a_clock_is_a_script(gaps, reason):
    found = assess(facts(is_by_link=False, actor="service:shop", by_client=MANY_BY_CLIENT, gaps=gaps))

    assert (found.cause, found.reasons[-1]) == ("automated_script", reason)


def test_many_people_in_a_shop_come_at_random_and_are_no_script():
    gaps = [0.1, 2.9, 0.4, 1.6] * 20

    assert assess(facts(actor="service:shop", by_client=80, gaps=gaps)).cause == "subject_choice"
    assert assess(facts(actor="subject", by_client=80, gaps=[1.0] * 80)).cause == "subject_choice"
    assert assess(facts(actor="service:shop", by_client=MANY_BY_CLIENT - 1, gaps=[1.0] * 59)).cause == "subject_choice"


@pytest.mark.parametrize(
    ("known", "confidence"),
    [({"used_notice": True}, 95), ({"had_notice": True}, 80), ({"is_inside_incident": True}, 50)],
)
def test_a_notice_or_an_incident_before_it_explains_a_choice_the_closer_the_surer(known, confidence):
    found = assess(facts(**known))

    assert (found.cause, found.confidence) == ("incident_notice", confidence)


def test_a_machine_is_a_machine_also_while_there_is_an_incident():
    assert assess(facts(hidden_link=True, used_notice=True)).cause == "scanner_suspected"


@pytest.mark.parametrize("cause", ["complaint", "keyword", "preference_signal", "privacy_request", "import", "repair"])
def test_what_the_act_itself_says_stands(cause):
    found = assess(facts(cause=cause, confidence=70, hidden_link=True, used_notice=True))

    assert (found.cause, found.confidence) == (cause, 70)


def test_unknown_is_a_choice_without_a_code_or_a_way_out():
    assert is_unknown("subject_choice", [], "")
    assert not is_unknown("subject_choice", ["header"], "")
    assert not is_unknown("subject_choice", [], "api")
    assert not is_unknown("complaint", [], "")


def test_a_door_says_how_it_came_and_what_kind_of_program_spoke():
    assert said("sec_gpc", agent="browser") == ("sec_gpc", "agent_browser")
    assert said("word") == ("word",)
