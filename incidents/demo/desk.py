"""What happened at the made-up company's desks: privacy requests in every state, a way back in, two merged twins."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.contrib.auth.models import Group

from config.models import User
from consent import replies, requests, subjects
from consent.fulfilment import hand_out
from consent.models import AnswerText, PrivacyRequest, Reversal
from consent.services import confirm_reversal, merge, request_reversal, set_guard
from incidents.demo.people import Somebody


def colleague(name: str, role: str) -> User:
    """The demo login of that name, or somebody who cannot log in."""
    user, is_new = User.objects.get_or_create(
        username=name, defaults={"email": f"{name}@holdfast.example", "is_staff": True}
    )
    if is_new:
        user.set_unusable_password()
        user.save(update_fields=["password"])
        user.groups.add(Group.objects.get(name=role))
    return user


def back_in(people: Sequence[Somebody], officer: User, support: User) -> None:
    """One opt-out lifted by two of the staff, and one that waits for the second."""
    if Reversal.objects.exists():
        return
    left = [one for one in people if any(c.exit_path == "preference-page" for c in one.choices)][:2]
    for one, ticket in zip(left, ("4711", "4712"), strict=True):
        subject_id = next(iter(subjects.find(one.identities[:1]).values()))
        request_reversal(
            subject_id,
            "marketing",
            "email",
            reason="Called: wants the offers again",
            evidence=f"Ticket {ticket}",
            by=support,
        )
    first = Reversal.objects.order_by("requested_at").first()
    if first is not None:
        confirm_reversal(first.pk, by=officer)


def privacy_requests(people: Sequence[Somebody], now: datetime, support: User) -> None:
    """One of each kind and state: one is overdue, one is due soon, one waits for nobody yet."""

    def log(who: int, kind: str, days_ago: int, said: str, via: str = "email") -> PrivacyRequest:
        one = people[who]
        return requests.log_request(
            one.identities[:1],
            kind,
            by=support,
            received_via=via,
            received_at=now - timedelta(days=days_ago, hours=3),
            details=said,
            locale=one.locale,
        )

    late = log(11, "access", 49, "Please send me everything you have about me.")
    requests.assign(late, support, by=support)
    requests.note(late, "Called twice, nobody answered.", by=support)
    log(23, "deletion", 40, "Delete my account and my data.")
    requests.assign(log(37, "correction", 6, "My address changed.", "phone"), support, by=support)
    log(41, "access", 1, "What do you know about me?", "web")

    stop = log(53, "opt_out", 2, "Stop writing to me!", "phone")
    replies.answer(stop, _text(stop, "{received}"), by=support)
    log(59, "opt_out", 0, "No more mails please.")

    told = requests.assign(log(67, "access", 12, "A copy of my data, please."), support, by=support)
    hand_out(told, by=support)
    replies.answer(told, _text(told, "{data}"), by=support)
    requests.close(told, "done", reason="Answered with all data", by=support)
    twice = log(67, "access", 9, "Did you get my mail?")
    requests.close(twice, "duplicate", reason=f"The same as {told.ref}", by=support)


def twins(people: Sequence[Somebody], support: User) -> None:
    """Two addresses that turned out to be one person's."""
    (one,), (other,) = (set(subjects.find(people[n].identities[:1]).values()) for n in (71, 72))
    merge(other, one, reason="Wrote from both addresses, ticket 4690", by=support)


def guard(officer: User) -> None:
    set_guard("protect", reason="The shop's customer list is being moved", by=officer)
    set_guard("observe", reason="The move is done and checked", by=officer)


def _text(request: PrivacyRequest, holds: str) -> str:
    """The answer in the person's language that holds these words."""
    texts = AnswerText.objects.filter(request_kind=request.kind, locale=request.locale, body__contains=holds)
    return replies.fill(texts.get().body, request)
