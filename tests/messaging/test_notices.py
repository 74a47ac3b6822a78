"""A notice: counted before it is sent, approved by a second person, and bound to what was approved."""

import hashlib

import pytest
from django.core.exceptions import ValidationError
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from consent.models import Identifier, Subject
from consent.services import erase, merge, record
from messaging import notices, suppressing
from messaging.cohorts import COHORTS, by_query, read_list
from messaging.models import Notice, NoticeRecipient, Suppression
from messaging.models.template import MessageClass
from tests.factories import (
    NOTICE_FACTS,
    SubjectFactory,
    email,
    notice_text,
    opt_in,
    opt_out,
)

pytestmark = pytest.mark.usefixtures("newsletter")


def people(*names):
    """Subjects known by their addresses, all of whom opted in."""
    made = record([opt_in(f"{name}@example.org", "newsletter") for name in names])
    return {name: recorded.subject_id for name, recorded in zip(names, made, strict=True)}


def written(ids, *, message_class=MessageClass.INCIDENT_NOTICE, **facts):
    version = notice_text(f"text-{message_class}", message_class)
    return notices.write(
        "About the copied list",
        template=version.template_id,
        context=NOTICE_FACTS,
        cohort_kind="list",
        listed=list(ids),
        reason="Art. 34 GDPR",
        by="user:anna",
        **facts,
    )


def code_of(notice):
    return bytes(notice.fingerprint).hex()[: notices.CODE]


def counted(ids, **facts):
    return notices.count(written(ids, **facts), reason="See how many", by="user:anna")


def approved(ids, **facts):
    notice = counted(ids, **facts)
    return notices.approve(notice, code=code_of(notice), reason="Read it", by="user:bela")


def left_out(notice):
    return dict(notice.recipients.exclude(excluded="").values_list("subject_id", "excluded"))


def attack(sql, *values):
    """Raw SQL as the application's own login."""
    with pytest.raises(DatabaseError) as refused, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql, values)
    return str(refused.value)


def test_counting_says_who_is_left_out_and_why_and_seals_the_rest_with_a_digest():
    known = people("anna", "bela", "cem", "dora")
    erase(known["bela"], by="user:olga")
    Suppression.objects.create(digest=email("cem@example.org")[0].digest, reason="hard bounce")
    nobody = SubjectFactory().pk

    notice = counted([*known.values(), nobody])

    assert (notice.state, notice.to_write, notice.left_out) == ("counted", 2, 3)
    assert left_out(notice) == {known["bela"]: "erased", known["cem"]: "suppressed", nobody: "no_address"}
    ids = sorted(str(known[name]) for name in ("anna", "dora"))
    assert bytes(notice.cohort_digest) == hashlib.sha256("\n".join(ids).encode()).digest()


def test_a_breach_notice_is_counted_for_whoever_called_our_mail_spam_and_an_update_is_not():
    known = people("anna", "bela", "cem")
    record([opt_in(person, "newsletter") for person in known.values()])
    suppressing.suppress(email("anna@example.org")[0].digest, Suppression.Reason.COMPLAINT)
    suppressing.suppress(email("bela@example.org")[0].digest, Suppression.Reason.NO_MAILBOX)

    breach = counted(known.values())
    update = counted(known.values(), message_class=MessageClass.CONSENT_UPDATE, purpose="newsletter")

    assert left_out(breach) == {known["bela"]: "suppressed"}
    assert left_out(update) == {known["anna"]: "suppressed", known["bela"]: "suppressed"}


def test_a_breach_notice_goes_to_people_who_opted_out_and_an_update_does_not():
    known = people("anna", "bela")
    record([opt_out("bela@example.org", "newsletter")])
    silent = SubjectFactory().pk
    Identifier.objects.create(
        subject_id=silent, kind="email", digest=b"s" * 32, sealed=email("s@example.org")[0].seal()
    )

    breach = counted([*known.values(), silent])
    update = counted([*known.values(), silent], message_class=MessageClass.CONSENT_UPDATE, purpose="newsletter")

    assert left_out(breach) == {}
    assert left_out(update) == {known["bela"]: "opted_out", silent: "no_consent"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("Shop now and save 20% off.", "carries no marketing"),
        ("Read https://evil.example/breach.", "https://evil.example/breach: links lead to"),
        ("Look at {url}/p/?utm_campaign=breach", "counts who follows"),
        ("Changed your mind? {url}/opt-in/", "no way back in"),
    ],
)
def test_what_staff_write_into_a_notice_passes_the_gates_of_its_text(settings, words, says):
    notice = written(people("anna").values())
    words = words.format(url=settings.PUBLIC_URL)

    with pytest.raises(ValidationError, match=says):
        notices.edit(notice, why="More", by="user:anna", context={**NOTICE_FACTS, "what": words})
    with pytest.raises(ValidationError, match=says):
        notices.edit(notice, why="More", by="user:anna", context={**NOTICE_FACTS, "steps": ["Wait", words]})


def test_a_notice_may_end_a_sentence_with_a_link_to_a_host_that_is_allowed(settings):
    settings.MAIL_LINK_HOSTS = ["authority.example"]
    notice = written(people("anna").values())
    facts = {**NOTICE_FACTS, "what": "A list was copied. You may complain (https://authority.example/complain/)."}

    assert notices.edit(notice, why="Whom to ask", by="user:anna", context=facts).context == facts


def test_an_update_says_what_it_is_for():
    with pytest.raises(ValidationError, match="Say what it is for"):
        written([], message_class=MessageClass.OPERATIONAL)


def test_people_who_were_merged_count_once():
    known = people("anna", "bela", "cem")
    merge(known["bela"], into=known["anna"], reason="One person", by="user:olga")

    notice = counted(known.values())

    assert set(notice.recipients.values_list("subject_id", flat=True)) == {known["anna"], known["cem"]}


def test_counting_many_takes_as_many_statements_as_counting_few():
    Subject.objects.bulk_create(Subject() for _ in range(3000))
    ids = list(Subject.objects.values_list("pk", flat=True))
    Identifier.objects.bulk_create(
        Identifier(subject_id=pk, kind="email", digest=pk.bytes * 2, sealed=b"sealed") for pk in ids
    )
    record([opt_in(ids[0], "newsletter"), opt_out(ids[1], "newsletter")])
    facts = {"message_class": MessageClass.CONSENT_UPDATE, "purpose": "newsletter"}
    few, many = written(ids[:10], **facts), written(ids, **facts)
    statements = []

    for notice in (few, many):
        with CaptureQueriesContext(connection) as asked:
            notices.count(notice, reason="See how many", by="user:anna")
        statements.append(len(asked))

    many.refresh_from_db()
    assert (many.to_write, many.left_out) == (1, 2999)
    assert statements[0] == statements[1]


def test_nobody_approves_what_they_wrote_changed_or_counted():
    ids = people("anna").values()
    notice = notices.edit(written(ids), why="Better title", by="user:cem", title="About a list")
    notice = notices.edit(notice, why="No, the old one", by="user:elif", title="About the copied list")
    notice = notices.count(notice, reason="See", by="user:dora")

    for name in ("anna", "cem", "elif", "dora"):
        with pytest.raises(ValidationError, match="ask a colleague"):
            notices.approve(notice, code=code_of(notice), reason="Mine", by=f"user:{name}")
    said = attack(
        "UPDATE messaging_notice SET state = 'approved', approved_at = now(), approved_by = 'user:anna',"
        " approved_fingerprint = fingerprint WHERE id = %s",
        notice.pk,
    )

    assert "notice_approved_by_another" in said


def test_an_approval_is_of_what_the_approver_saw():
    notice = counted(people("anna").values())
    seen = code_of(notice)
    notices.edit(notice, why="More", by="user:anna", context={**NOTICE_FACTS, "what": "Two lists were copied."})
    notice = notices.count(notice, reason="Again", by="user:anna")

    with pytest.raises(ValidationError, match="not the fingerprint"):
        notices.approve(notice, code=seen, reason="Read it", by="user:bela")


def test_a_text_published_after_the_counting_is_not_slipped_under_the_approval():
    notice = counted(people("anna").values())
    notice_text(notice.template_id, text="New. ")

    with pytest.raises(ValidationError, match="Count it again"):
        notices.approve(notice, code=code_of(notice), reason="Read it", by="user:bela")


def test_every_change_takes_the_approval_back():
    notice = approved(people("anna").values())

    changed = notices.edit(notice, why="Wrong date", by="user:anna", context={**NOTICE_FACTS, "steps": ["Wait"]})

    assert (changed.state, changed.approved_by, changed.fingerprint) == ("draft", "", None)
    assert not NoticeRecipient.objects.filter(notice=notice).exists()
    with pytest.raises(ValidationError, match="it cannot be sent"):
        notices.start(notice, reason="Go", by="user:bela")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "UPDATE messaging_notice SET state = 'sending' WHERE id = %s",
            "notice_sent_as_approved|cannot become sending",
        ),
        ("UPDATE messaging_notice SET context = '{}' WHERE id = %s", "is fixed"),
        ("UPDATE messaging_notice SET listed = ARRAY[gen_random_uuid()] WHERE id = %s", "refused|append|change"),
        ("DELETE FROM messaging_notice WHERE id = %s", "permission denied|refuse|change"),
        ("DELETE FROM messaging_noticerecipient WHERE notice_id = %s", "fixed at counting"),
        ("UPDATE messaging_noticerecipient SET subject_id = gen_random_uuid() WHERE notice_id = %s", "fixed at"),
        ("UPDATE messaging_noticerecipient SET excluded = 'erased' WHERE notice_id = %s", "fixed at counting"),
    ],
)
def test_the_database_refuses_to_send_or_change_what_nobody_approved(sql, words):
    notice = counted(people("anna").values())

    said = attack(sql, notice.pk)

    assert any(word in said for word in words.split("|")), said


def test_the_database_counts_the_cohort_itself_when_sending_begins():
    notice = approved(people("anna", "bela").values())
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE messaging_noticerecipient SET excluded = 'merged' WHERE id = %s", [notice.recipients.first().pk]
        )

    with pytest.raises(DatabaseError, match="not those who were approved"):
        notices.start(notice, reason="Go", by="user:bela")


def test_facts_that_the_text_does_not_know_are_refused_with_the_language_and_the_reason():
    version = notice_text()

    with pytest.raises(ValidationError, match="de: The context does not fit: 'steps' is a required property"):
        notices.write(
            "x", template=version.template_id, context={"what": "x", "found_at": "2026-11-20T09:00:00+00:00"},
            cohort_kind="list", reason="x", by="user:anna",
        )  # fmt: skip


def test_a_confirmation_is_no_notice():
    with pytest.raises(ValidationError, match="a confirmation answers a choice"):
        notices.write("x", template="opt_out_confirmation", context={}, cohort_kind="list", reason="x", by="user:anna")


def test_a_list_is_read_by_address_user_id_and_number_and_says_which_lines_name_nobody():
    known = people("anna", "bela")
    record([opt_in("x@example.org", "newsletter")])
    text = f"\ufeffemail;name\nAnna@Example.org;Anna\n{known['bela']}\nnobody@example.org\nnot an@address\n\n4711\n"
    before = Subject.objects.count()

    listed = read_list(text)

    assert set(listed.subject_ids) == set(known.values())
    assert (listed.lines, [number for number, _ in listed.refused]) == (5, [4, 5, 7])
    assert listed.refused[0][1] == "Nobody is known by this."
    assert "nobody@" not in str(listed.as_cohort())
    assert Subject.objects.count() == before


def test_a_list_that_is_too_long_is_refused(monkeypatch):
    monkeypatch.setattr("messaging.cohorts.MOST_LINES", 2)

    with pytest.raises(ValidationError, match="at most 2 lines"):
        read_list("a@example.org\nb@example.org\nc@example.org")


def test_a_query_finds_people_by_their_standing_choice_or_by_what_they_ever_decided():
    known = people("anna", "bela", "cem")
    record([opt_out("bela@example.org", "newsletter"), opt_out("cem@example.org", "*", "*")])

    def found(**query):
        return {name for name, pk in known.items() if pk in set(by_query(query))}

    assert found(of="standing", purpose="newsletter", choice="opt_out") == {"bela", "cem"}
    assert found(of="ever", purpose="newsletter", choice="opt_in") == {"anna", "bela", "cem"}
    assert found(of="standing", purpose="newsletter", channel="email", choice="opt_in") >= {"anna"}
    assert found(of="ever", decided_from=(timezone.now()).isoformat()) == set()


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"of": "standing"},
        {"of": "standing", "choice": "maybe"},
        {"of": "ever", "where": "1=1"},
        {"of": "ever", "decided_from": "yesterday"},
        {"of": "ever", "decided_from": "2026-01-01T00:00:00"},
    ],
)
def test_filters_that_are_none_are_refused(query):
    with pytest.raises(ValidationError):
        by_query(query)


def test_a_kind_of_cohort_that_no_app_knows_is_refused(monkeypatch):
    monkeypatch.delitem(COHORTS, "incident")
    version = notice_text()
    notice = notices.write(
        "x", template=version.template_id, context=NOTICE_FACTS, cohort_kind="incident", incident_id=1, reason="x",
        by="user:anna",
    )  # fmt: skip

    with pytest.raises(ValidationError, match="No part of this product knows"):
        notices.count(notice, reason="x", by="user:anna")


def test_refs_follow_one_another():
    first, second = written([]), written([])

    assert [int(notice.ref[4:]) for notice in (first, second)] == [1, 2]
    assert Notice.objects.get(ref="NTC-1").events.get().kind == "written"
