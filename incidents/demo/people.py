"""Some weeks of made-up choices with a daily rhythm. The same seed makes the same people and the same choices."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from random import Random
from typing import Any

from consent.identifiers import Identity
from consent.recording import NewDecision

SEED = 20_260_301
PEOPLE, WEEKS = 2_000, 6
LEAVING = timedelta(minutes=95)  # how long ago the surge began
SURGE = 260
# Of a day's choices, by hour (UTC): nights are quiet, the newsletter is read in the morning and after work.
RHYTHM = (1, 1, 1, 1, 2, 4, 7, 12, 16, 14, 12, 11, 13, 12, 10, 9, 10, 13, 15, 14, 10, 6, 3, 2)
WEEKDAYS = (10, 11, 11, 10, 9, 5, 4)

FIRST_NAMES = (
    "Ada Aisha Alba Amir Anna Anton Bea Ben Bianca Carla Chloe Clara Dario Dilek Elena Elif Emil Emma Erik Eva Felix "
    "Finn Freya Gabriel Greta Hana Hugo Ida Ines Ivan Jana Jonas Jules Karim Klara Lea Leo Lina Luca Luis Maja Malik "
    "Mara Marta Mia Milan Nadia Nils Nina Noah Nora Olga Omar Oskar Paul Pia Rana Rosa Samir Sara Selma Sofia Tariq "
    "Theo Tom Vera Viktor Yara Zoe"
)
LAST_NAMES = (
    "Adler Alvarez Bauer Becker Bernard Brandt Costa Dubois Engel Ferrari Fischer Fuchs Garcia Haas Hansen Hoffmann "
    "Ibrahim Jansen Kaya Keller Koch Kowalski Kraus Lang Lehmann Lopez Martin Meyer Moreau Nagy Nowak Okafor Olsen "
    "Peeters Petrov Ricci Romano Rossi Roth Sanchez Schmidt Silva Simon Sommer Tanaka Vogel Wagner Weber Wolf Yilmaz"
)
FIRST, LAST = FIRST_NAMES.split(), LAST_NAMES.split()
LOCALES = ("en", "en", "en", "de", "de", "es", "fr")
# way out, cause, weight: how people leave on an ordinary day
LEAVES = (
    ("preference-page", "subject_choice", 34),
    ("one-click", "subject_choice", 30),
    ("api", "subject_choice", 18),
    ("gpc", "preference_signal", 10),
    ("support-email", "support", 4),
    ("support-phone", "support", 2),
    ("one-click", "scanner_suspected", 2),
)


@dataclass(slots=True)
class Somebody:
    """A made-up person, and when each choice was made."""

    identities: list[Identity]
    locale: str
    joined_at: datetime
    choices: list[NewDecision] = field(default_factory=list)

    def choose(self, at: datetime, purpose: str, channel: str, choice: str, **facts: Any) -> None:
        self.choices.append(
            NewDecision(
                subject=self.identities,
                purpose=purpose,
                channel=channel,
                choice=choice,
                decided_at=at,
                locale=self.locale,
                **facts,
            )
        )


def everybody(now: datetime) -> list[Somebody]:
    """Two thousand people who made some five thousand choices, up to two hours and a half ago."""
    random = Random(SEED)  # noqa: S311  # made-up people, no secrets
    return [_somebody(random, number, now) for number in range(PEOPLE)]


def in_turns(people: Sequence[Somebody], now: datetime) -> list[list[NewDecision]]:
    """All choices in the order they were made, a thousand a call; a call that held a person's opt-in and opt-out would
    leave one version in the history, not two.
    """
    choices = [choice for one in people for choice in one.choices]
    joined = [choice for choice in choices if not choice.is_opt_out]
    left = [choice for choice in choices if choice.is_opt_out]
    calls = []
    for group in (joined, left, list(surge(people, now))):
        group.sort(key=lambda choice: choice.decided_at)
        calls += [group[first : first + 1000] for first in range(0, len(group), 1000)]
    # The log numbers the choices of one call by their keys, so the keys are given in the order of time.
    number = count()
    return [[replace(choice, idempotency_key=f"demo:{next(number):06d}") for choice in call] for call in calls]


def surge(people: Sequence[Somebody], now: datetime) -> Iterator[NewDecision]:
    """A mailing went out twice: many press the mail program's own button, fast at first, then fewer and fewer."""
    random = Random(SEED + 1)  # noqa: S311
    for one in random.sample(list(people), SURGE):
        passed = min(random.expovariate(1 / 0.35), 1.0)
        yield NewDecision(
            subject=one.identities,
            purpose="product_news",
            channel="email",
            choice="opt_out",
            cause="incident_notice" if random.random() < 0.7 else "subject_choice",
            confidence=80,
            reasons=["sent_twice"],
            exit_path="one-click",
            decided_at=now - LEAVING * (1 - passed),
            locale=one.locale,
        )


def _somebody(random: Random, number: int, now: datetime) -> Somebody:
    first, last = random.choice(FIRST), random.choice(LAST)
    identities = [Identity.of("email", f"{first}.{last}{number}@{random.choice(('example.org', 'example.com'))}")]
    if random.random() < 0.2:
        identities.append(Identity.of("phone", f"+493023125{number % 1000:03d}") if number < 1000 else _user(number))
    one = Somebody(identities, random.choice(LOCALES), _moment(random, now))
    _join(random, one)
    if random.random() < 0.17:
        _leave(random, one, now)
    return one


def _user(number: int) -> Identity:
    return Identity.of("user_id", f"shop-{number:05d}")


def _join(random: Random, one: Somebody) -> None:
    """Three answers on the sign-up page, or an old list that somebody imported."""
    if random.random() < 0.12:
        facts: dict[str, Any] = {"cause": "import", "explicit": False, "actor": "service:crm"}
        one.choose(one.joined_at, "marketing", "email", "opt_in", **facts)
        return
    facts = {"cause": "subject_choice", "actor": "service:demo-shop", "notice_version": "signup-4"}
    for purpose, channel, likely in (
        ("marketing", "email", 0.8), ("product_news", "email", 0.9), ("analytics", "web", 0.6),
    ):  # fmt: skip
        choice = "opt_in" if random.random() < likely else None
        if choice:
            one.choose(one.joined_at + timedelta(seconds=2), purpose, channel, choice, **facts)
    if random.random() < 0.6:
        one.choose(one.joined_at + timedelta(seconds=3), "sale_or_share", "web", "opt_in", **facts)
    if len(one.identities) > 1 and one.identities[1].kind == "phone":
        one.choose(one.joined_at + timedelta(seconds=4), "marketing", "sms", "opt_in", **facts)


def _leave(random: Random, one: Somebody, now: datetime) -> None:
    path, cause, _ = random.choices(LEAVES, [weight for _, _, weight in LEAVES])[0]
    latest = now - LEAVING - timedelta(hours=1)
    at = min(max(_moment(random, now), one.joined_at + timedelta(hours=2)), latest)
    if at <= one.joined_at + timedelta(minutes=1):
        return
    scope = ("sale_or_share", "web") if path == "gpc" else ("marketing", "email")
    if path in ("support-email", "support-phone"):
        scope = ("*", "*")
    actor = {"api": "service:demo-shop", "support-email": "user:support", "support-phone": "user:support"}
    one.choose(at, *scope, "opt_out", cause=cause, exit_path=path, actor=actor.get(path, "subject"))


def _moment(random: Random, now: datetime) -> datetime:
    """Some hour of some day of the weeks before, busier days and hours more often; never in the last two hours."""
    days = [now - timedelta(days=back) for back in range(1, WEEKS * 7)]
    day = random.choices(days, [WEEKDAYS[day.weekday()] for day in days])[0]
    hour = random.choices(range(24), RHYTHM)[0]
    return day.replace(hour=hour, minute=random.randrange(60), second=random.randrange(60), microsecond=0)
