"""Storing what a person chose on the preference page: a no at once, a yes against their own no in two steps."""

from dataclasses import dataclass
from uuid import UUID

from consent import causes
from consent.exit_paths import PREFERENCE_PAGE
from consent.group_commit import record_one
from consent.models import ANY, Cause, Choice, Reversal
from consent.public.choices import NO, Row
from consent.public.opting_out import opt_out_once
from consent.recording import NewDecision
from consent.refusals import DecisionsRefused
from consent.services import confirm_reversal, request_reversal


@dataclass(frozen=True, slots=True)
class Wish:
    """Whose it is, in which language, and by what kind of program it came."""

    subject_id: UUID
    locale: str
    agent: str

    def draft(self, purpose: str, channel: str, choice: str, notice_version: str = "", after: int = 0) -> NewDecision:
        """`after`: the decision that stood when it was chosen, so that a form sent twice is one choice."""
        return NewDecision(
            subject=self.subject_id,
            purpose=purpose,
            channel=channel,
            choice=choice,
            cause=Cause.SUBJECT_CHOICE,
            is_now=True,
            exit_path=PREFERENCE_PAGE,
            notice_version=notice_version,
            locale=self.locale,
            reasons=causes.said("preference_form", agent=self.agent),
            evidence={"form": "preferences", "agent": self.agent},
            idempotency_key=f"{PREFERENCE_PAGE}:{self.subject_id}:{purpose}/{channel}:{choice}:{after}",
        )


def stop_everything(wish: Wish) -> bool:
    """Every purpose by every channel, also those that are created later."""
    return opt_out_once(wish.draft(ANY, ANY, Choice.OPT_OUT))


def save(wishes: list[tuple[Row, str]], wish: Wish, notice_version: str) -> list[Reversal]:
    """Store each choice, every no before any yes; returns those that wait for the person's second step."""
    for row, choice in wishes:
        if choice == NO:
            opt_out_once(wish.draft(row.purpose, row.channel, Choice.OPT_OUT, notice_version))
    waiting = []
    for row, choice in wishes:
        if choice == NO or row.answer.reason == "explicit_opt_in":
            continue
        draft = wish.draft(row.purpose, row.channel, Choice.OPT_IN, notice_version, row.answer.decision or 0)
        try:
            record_one(draft)
        except DecisionsRefused as refused:
            if refused.problems[0].code != "reversal_needed":
                raise
            waiting.append(request_reversal(wish.subject_id, row.purpose, row.channel))
    return waiting


def confirm(reversals: list[UUID], wish: Wish) -> list[str]:
    """The second step. Returns a code for each that was refused: used, too_late, opted_out_again."""
    own = Reversal.objects.filter(pk__in=reversals, subject=wish.subject_id, kind=Reversal.Kind.SUBJECT)
    known = set(own.values_list("pk", flat=True))
    refused = []
    for reversal in dict.fromkeys(reversals):
        if reversal not in known:
            refused.append("too_late")
            continue
        try:
            confirm_reversal(reversal, exit_path=PREFERENCE_PAGE, locale=wish.locale)
        except DecisionsRefused as error:
            codes = {"used": "used", "reversal_needed": "opted_out_again"}
            refused.append(codes.get(error.problems[0].code, "too_late"))
    return refused
