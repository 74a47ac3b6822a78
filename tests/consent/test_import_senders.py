"""Whose file it is, and what its rows say: the columns of real senders, and refusals in words."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.importing.columns import Columns, normal
from consent.importing.files import FileRefused, read
from consent.importing.rows import NO_MOMENT, Candidate, Refusal, Wanted, read_rows
from consent.importing.senders import BOUNCES, NOT_OUT, SILENT, recognise

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
MAILCHIMP = (
    "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,GMTOFF,DSTOFF,TIMEZONE,CC,"
    "REGION"
)


def rows(text, **facts):
    facts = {"purpose": "marketing", "channel": "email", **facts}
    wanted = Wanted(purposes=frozenset(["*", "marketing", "news"]), now=NOW, **facts)
    found = read_rows(read(text.encode()), wanted)
    return found.sender, list(found.rows)


def said(text, **facts):
    """The sender, and of each row what it comes to: (address, choice, day), or why not."""
    sender, read_ = rows(text, **facts)
    return sender, [
        row.why
        if isinstance(row, Refusal)
        else (row.identity.value, row.choice, row.decided_at and f"{row.decided_at:%Y-%m-%d}")
        for row in read_
    ]


def test_mailchimps_three_files_are_told_apart():
    person = (
        "anna@example.org,Anna,2,2025-01-01 09:00:00,192.0.2.1,2025-01-02 09:00:00,192.0.2.1,1,2,Europe/Berlin,DE,BE"
    )

    unsubscribed = said(
        f"{MAILCHIMP},UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,LEID,EUID,NOTES,TAGS\n"
        f"{person},2026-02-03 04:05:06,May,1,NORMAL,,7,e7,,\n{person},,,,,,7,e7,,\n"
    )
    subscribed = said(f"{MAILCHIMP},LAST_CHANGED,LEID,EUID,NOTES,TAGS\n{person},2026-01-01 00:00:00,7,e7,,\n")
    cleaned = said(
        f"{MAILCHIMP},CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,LEID,EUID,NOTES,TAGS\n"
        f"{person},2026-01-01 00:00:00,May,1,7,e7,,\n"
    )

    assert unsubscribed == (
        "mailchimp",
        [("anna@example.org", "opt_out", "2026-02-03"), ("anna@example.org", "opt_out", None)],
    )
    assert subscribed == ("mailchimp", [("anna@example.org", "opt_in", "2025-01-02")])
    assert cleaned == ("mailchimp", [BOUNCES])


def test_mailchimps_files_put_together_by_somebody_are_read_row_by_row():
    head = "Email Address,OPTIN_TIME,CONFIRM_TIME,LAST_CHANGED,UNSUB_TIME,CLEAN_TIME,LEID,EUID"

    assert said(f"{head}\na@b.ch,,,,2026-01-01 00:00:00,,1,2\nc@b.ch,,,,,2026-01-01 00:00:00,1,2\nd@b.ch,,,,,,1,2\n")[
        1
    ] == [
        ("a@b.ch", "opt_out", "2026-01-01"),
        BOUNCES,
        SILENT,
    ]


@pytest.mark.parametrize(
    ("text", "comes_to"),
    [
        ("email,created\na@b.ch,1772366400\n", ("a@b.ch", "opt_out", "2026-03-01")),
        ("email,created,ip\na@b.ch,1772366400,192.0.2.1\n", ("a@b.ch", "opt_out", "2026-03-01")),
        ("status,reason,email,created\n5.1.1,550 no such user,a@b.ch,1772366400\n", BOUNCES),
        ("reason,email,created\nMail domain mentioned in address is unknown,a@b.ch,1772366400\n", BOUNCES),
    ],
)
def test_sendgrids_lists_are_told_apart_by_their_columns(text, comes_to):
    assert said(text) == ("sendgrid", [comes_to])


@pytest.mark.parametrize(
    ("text", "sender"),
    [
        (
            "EmailAddress,Reason,LastUpdateTime\na@b.ch,COMPLAINT,2026-03-01T00:00:00Z\nc@b.ch,BOUNCE,\nd@b.ch,?,\n",
            "ses",
        ),
        ("Email address,Reason,Last update time\na@b.ch,Complaint,2026-03-01\nc@b.ch,Bounce,\nd@b.ch,?,\n", "ses"),
    ],
)
def test_a_complaint_to_amazon_ses_is_an_opt_out_and_a_bounce_is_none(text, sender):
    assert said(text) == (sender, [("a@b.ch", "opt_out", "2026-03-01"), BOUNCES, SILENT])


def test_the_bulk_list_of_amazon_ses_has_no_first_row_of_names():
    assert said("a@b.ch,COMPLAINT\nc@b.ch, BOUNCE\n") == ("ses-bare", [("a@b.ch", "opt_out", None), BOUNCES])


def test_hubspots_unsubscribes_and_bounces():
    head = "Email,Portal Bounce,Portal Unsubscribe,Portal Spam Report,Global Bounce,Marketing Information,Tips"

    sender, found = said(
        f"{head}\na@b.ch,,TRUE,,,,\nb@b.ch,,,TRUE,,,\nc@b.ch,HARD,,,,,\nd@b.ch,,,,TRUE,,\ne@b.ch,,,,,TRUE,\nf@b.ch,FALSE,,,,,\n"
    )

    assert sender == "hubspot"
    assert [one if isinstance(one, str) else one[:2] for one in found] == [
        ("a@b.ch", "opt_out"),
        ("b@b.ch", "opt_out"),
        BOUNCES,
        BOUNCES,
        "unsubscribed from one type of e-mail only: import those with the purpose that it stands for",
        NOT_OUT,
    ]


def test_hubspots_contacts_who_did_not_unsubscribe_did_not_opt_in():
    assert said("Record ID,Email,Unsubscribed from all email\n1,a@b.ch,true\n2,b@b.ch,false\n3,c@b.ch,\n") == (
        "hubspot-contacts",
        [("a@b.ch", "opt_out", None), NOT_OUT, NOT_OUT],
    )


def test_brazes_subscribed_is_nobodys_choice():
    text = (
        "external_id,email,phone,email_subscribe,email_unsubscribed_at,email_opted_in_at,push_subscribe\n"
        "u1,a@b.ch,,unsubscribed,2026-03-01T00:00:00.000Z,,opted_in\n"
        "u2,b@b.ch,,opted_in,,2026-02-01T00:00:00.000Z,unsubscribed\n"
        "u3,c@b.ch,,subscribed,,,\n"
    )

    sender, found = said(text)
    _, push = said(text, channel="push")

    assert sender == "braze"
    assert found[:2] == [("a@b.ch", "opt_out", "2026-03-01"), ("b@b.ch", "opt_in", "2026-02-01")]
    assert "nobody chose it" in found[2]
    assert push == [NO_MOMENT, ("u2", "opt_out", None), SILENT]


@pytest.mark.parametrize(
    "head",
    [
        "email,choice,decided_at",
        "E-Mail-Adresse; Entscheidung ;Zeitpunkt",
        "Adresse e-mail\tStatut\tDate",
        "Correo electrónico|Estado|Fecha",
        "INDIRIZZO E-MAIL,STATO,DATA",
    ],
)
def test_our_own_names_are_taken_in_whatever_letters_and_language(head):
    delimiter = next(sign for sign in ",;\t|" if sign in head)
    line = delimiter.join(["Anna@Example.org ", "unsubscribed", "2026-03-01"])

    assert said(f"{head}\n{line}\n") == ("holdfast", [("anna@example.org", "opt_out", "2026-03-01")])


def test_a_row_may_name_its_own_purpose_and_channel_and_nothing_that_others_wrote_is_kept():
    _, [news, other, unknown, no_channel] = rows(
        "email,phone,purpose,channel,choice,reason\n"
        "a@b.ch,+49 30 901820,news,SMS,opt_out,too many\n"
        "a@b.ch,+49 30 901820,,,opt_out,write to a@b.ch instead\n"
        "a@b.ch,,weather,,opt_out,\n"
        "a@b.ch,,,pigeon,opt_out,\n"
    )

    assert (news.identity.value, news.purpose, news.channel, news.why) == ("+4930901820", "news", "sms", "opt out")
    assert (other.identity.value, other.purpose, other.channel, other.why) == (
        "a@b.ch",
        "marketing",
        "email",
        "opt out",
    )
    assert "No such purpose" in unknown.why
    assert "No such channel" in no_channel.why


def test_a_flag_says_who_is_out_and_nobody_is_in_for_lack_of_one():
    assert said("user_id,unsubscribed\nu1,yes\nu2,no\n") == ("holdfast", [("u1", "opt_out", None), NOT_OUT])


def test_a_bare_list_says_nothing_of_itself():
    with pytest.raises(FileRefused, match=r"Found: “email”, “name”\. Known: mailchimp.*opt-out-list"):
        said("email,name\na@b.ch,Anna\n")

    assert said("email,name\na@b.ch,Anna\n", sender="opt-out-list") == ("opt-out-list", [("a@b.ch", "opt_out", None)])


@pytest.mark.parametrize(
    ("text", "facts", "says"),
    [
        ("name,choice\nAnna,opt_out\n", {}, "No column says whom"),
        ("email,e-mail,choice\na@b.ch,c@b.ch,opt_out\n", {}, "Several columns could be meant: “email”, “e-mail”"),
        ("email,status,choice\na@b.ch,x,opt_out\n", {}, "Several columns could be meant"),
        ("email,email_subscribe,Portal Unsubscribe\na@b.ch,x,y\n", {}, "of several senders: hubspot, braze"),
        ("email,choice\na@b.ch,opt_out\n", {"sender": "braze"}, "not the columns of Braze"),
        ("email,choice\na@b.ch,opt_out\n", {"sender": "acme"}, "No such sender: acme. Known: mailchimp"),
    ],
)
def test_a_file_of_nobody_or_of_several_is_refused_with_what_was_found(text, facts, says):
    with pytest.raises(FileRefused, match=says):
        said(text, **facts)


@pytest.mark.parametrize("moment", ["03/04/2026", "soon", "2030-01-01", "1970-01-01", ""])
def test_an_opt_out_is_taken_whatever_its_date_looks_like_and_an_opt_in_is_not(moment):
    _, [out, into] = rows(f"email,choice,decided_at\na@b.ch,opt_out,{moment}\na@b.ch,opt_in,{moment}\n")

    assert isinstance(out, Candidate)
    assert out.decided_at is None
    assert isinstance(into, Refusal)


def test_an_opt_in_without_a_moment_is_of_when_the_list_is():
    _, [row] = rows("email,choice\na@b.ch,opt_in\n", dated=datetime(2026, 1, 1, tzinfo=UTC))

    assert (row.choice, row.decided_at) == ("opt_in", None)


def test_a_number_that_a_spreadsheet_took_for_one_is_a_telephone_number_again():
    _, [whole, national, short] = rows("phone,choice\n491701234567,opt_out\n030901820,opt_out\n4930901820,opt_out\n")

    assert whole.identity.value == "+491701234567"
    assert "country code" in national.why
    assert isinstance(short, Refusal)  # ten digits could be a number of another country


@pytest.mark.parametrize("cell", ["nobody", "", "a@b", "a\x00@b.ch", "=cmd|'/c calc'!A1", "a@b.ch, c@b.ch"])
def test_a_row_that_names_nobody_is_refused_with_itself(cell):
    _, [row] = rows(f'email,choice\n"{cell}",opt_out\n')

    assert isinstance(row, Refusal)
    assert row.number == 2
    assert row.text == f"{cell} | opt_out"


def test_empty_rows_are_passed_over():
    assert rows("email,choice\n\n,\na@b.ch,opt_out\n")[1][0].number == 4


@given(st.text(max_size=40))
def test_a_name_is_the_same_name_however_it_is_written(name):
    assert normal(normal(name)) == normal(name) == normal(f" {name} ")


@given(st.lists(st.text(max_size=20), max_size=6), st.sampled_from(["email", "push", "*"]))
def test_whatever_the_first_row_is_nothing_but_a_refusal_comes_of_it(names, channel):
    columns = Columns(names)
    try:
        _, reader = recognise(columns, channel)
    except FileRefused:
        return
    reader(["x"] * len(names))
    reader([])
