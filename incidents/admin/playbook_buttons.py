"""The buttons of the tab “Playbook”: what each asks about a run, and what it does."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from config.admin import ReasonDialog, person
from config.models import User
from incidents.admin.forms import Select
from incidents.models import Incident, Playbook, PlaybookRun, PlaybookVersion, StepRun
from incidents.playbooks import hands

NOT_THEIRS = "You may not answer this, or it stands at another step by now. Close this and read the page again."
Fits = Callable[[PlaybookRun, StepRun], bool]


def standing(incident: Incident) -> list[tuple[PlaybookRun, StepRun | None]]:
    """Its open runs, each with the step that it stands at. Asked for once a request."""
    known: list[tuple[PlaybookRun, StepRun | None]] | None = incident.__dict__.get("standing_runs")
    if known is None:
        found = PlaybookRun.objects.open().filter(incident=incident).select_related("playbook", "incident")
        runs = list(found.order_by("pk"))
        steps = {(step.run_id, step.position): step for step in StepRun.objects.filter(run__in=runs)} if runs else {}
        known = incident.__dict__["standing_runs"] = [(run, steps.get((run.pk, run.position))) for run in runs]
    return known


def may(verb: str, run: PlaybookRun, step: StepRun | None, by: User) -> bool:
    return not hands.refusal(verb, run, step, by)


def fitting(incident: Incident, by: User, verb: str, fits: Fits | None = None) -> list[tuple[PlaybookRun, StepRun]]:
    """Where they may do it now; `fits` narrows a verb that says two things."""
    found = [(run, step) for run, step in standing(incident) if step and may(verb, run, step, by)]
    return [(run, step) for run, step in found if fits is None or fits(run, step)]


def shown(verb: str, fits: Fits | None = None) -> Callable[[Incident, User], bool]:
    return lambda incident, by: bool(fitting(incident, by, verb, fits))


def of_runs(verb: str) -> Callable[[Incident, User], bool]:
    return lambda incident, by: any(may(verb, run, step, by) for run, step in standing(incident))


class StepDialog(ReasonDialog):
    """Which run, and the step that the page showed: another step by now is refused."""

    verb = ""
    fits: Fits | None = None
    at = forms.ChoiceField(label="Step", widget=Select, error_messages={"invalid_choice": NOT_THEIRS})
    field_order = ("at", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        by = person(kwargs["request"])
        incident = Incident.objects.visible_to(by).filter(pk=kwargs["object_id"]).first()
        self.fields["at"].choices = self.offered(incident, by) if incident else []

    def offered(self, incident: Incident, by: User) -> Sequence[tuple[str, str]]:
        found = fitting(incident, by, self.verb, self.fits)
        return [(f"{run.pk}:{step.key}", f"{run.playbook}: {step}") for run, step in found]


class DecideDialog(StepDialog):
    verb = "decide"

    def offered(self, incident: Incident, by: User) -> Sequence[tuple[str, str]]:
        return [
            (f"{run.pk}:{step.key}:{choice['value']}", f"{step.title} {choice['title']}")
            for run, step in fitting(incident, by, self.verb)
            for choice in run.step["choices"]
        ]


class RunDialog(StepDialog):
    def offered(self, incident: Incident, by: User) -> Sequence[tuple[str, str]]:
        found = [run for run, step in standing(incident) if may(self.verb, run, step, by)]
        return [(f"{run.pk}:", str(run.playbook)) for run in found]


class StartDialog(ReasonDialog):
    playbook = forms.ModelChoiceField(Playbook.objects.none(), empty_label=None, widget=Select)
    field_order = ("playbook", "reason")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        published = PlaybookVersion.objects.filter(state=PlaybookVersion.State.PUBLISHED)
        self.fields["playbook"].queryset = Playbook.objects.active().filter(pk__in=published.values("playbook"))


def _run(incident: Incident, at: str) -> tuple[PlaybookRun, str, str]:
    """Run, key of its step, choice: as the dialog offered them for this incident."""
    number, _, rest = at.partition(":")
    key, _, choice = rest.partition(":")
    run = PlaybookRun.objects.filter(pk=number, incident=incident).first()
    if run is None:
        raise ValidationError(NOT_THEIRS)
    return run, key, choice


def _start(incident: Incident, given: dict[str, Any], by: User) -> str:
    run, is_new = hands.start(incident, given["playbook"], reason=given["reason"], by=by)
    if is_new:
        return f"{run.playbook} is started."
    return f"{run.playbook} is being done already, started by {run.started_by}. Nothing was changed."


def _of_step(verb: Callable[..., PlaybookRun], words: str) -> Callable[[Incident, dict[str, Any], User], str]:
    def deed(incident: Incident, given: dict[str, Any], by: User) -> str:
        run, key, _ = _run(incident, given["at"])
        verb(run, reason=given["reason"], by=by, step=key)
        return words

    return deed


def _decide(incident: Incident, given: dict[str, Any], by: User) -> str:
    run, key, choice = _run(incident, given["at"])
    hands.decide(run, choice, reason=given["reason"], by=by, step=key)
    return "Decided."


def _of_run(verb: Callable[..., PlaybookRun], words: str) -> Callable[[Incident, dict[str, Any], User], str]:
    def deed(incident: Incident, given: dict[str, Any], by: User) -> str:
        verb(_run(incident, given["at"])[0], reason=given["reason"], by=by)
        return words

    return deed


def _dialog(verb: str, fits: Fits | None = None, of: type[StepDialog] = StepDialog) -> type[StepDialog]:
    facts = {"verb": verb, "fits": staticmethod(fits) if fits else None}
    return type(f"{verb.title()}{of.__name__}", (of,), facts)


TAB = {"tab": "playbook", "leads_to": "playbook"}
ALL: Mapping[str, Mapping[str, Any]] = {
    "start_playbook": {
        "words": "Start a playbook", "icon": "play_arrow", "needs": "start_playbook", "title": "Start a playbook",
        "submit": "Start", "deed": _start, "form": StartDialog, **TAB, "shown": lambda incident, by: incident.is_open,
        "explained": "It keeps a copy of its steps as they are now. What is being done already is not started twice.",
    },
    "do_step": {
        "words": "Do the step", "icon": "play_circle", "needs": "playbook", "title": "Do the step now",
        "submit": "Do it", "deed": _of_step(hands.confirm, "It is being done."),
        "form": _dialog("confirm", hands.is_to_be_let), **TAB,
        "explained": "What it does is on the tab, beside the step.",
        "shown": shown("confirm", hands.is_to_be_let),
    },
    "confirm_step": {
        "words": "The step is done", "icon": "check_circle", "needs": "playbook", "title": "The step is done",
        "submit": "It is done", "deed": _of_step(hands.confirm, "Marked as done."),
        "form": _dialog("confirm", hands.is_to_be_seen_to), **TAB,
        "explained": "You did it, or found that it was done. Nothing else is done now.",
        "shown": shown("confirm", hands.is_to_be_seen_to),
    },
    "decide_step": {
        "words": "Decide", "icon": "alt_route", "needs": "playbook", "title": "What the step asks", "submit": "Decide",
        "deed": _decide, "form": DecideDialog, **TAB, "shown": shown("decide"),
    },
    "approve_step": {
        "words": "Approve the step", "icon": "verified", "needs": "approve_step", "title": "Approve the step",
        "submit": "Approve", "deed": _of_step(hands.approve, "Approved."), "form": _dialog("approve"), **TAB,
        "explained": "Somebody other than who started the playbook.", "shown": shown("approve"),
    },
    "decline_step": {
        "words": "Decline the step", "icon": "block", "needs": "playbook", "title": "It is not to be done",
        "submit": "Decline", "deed": _of_step(hands.decline, "Declined."), "form": _dialog("decline"), **TAB,
        "explained": "The step fails, and the run does what the step says then: mostly it stops.",
        "shown": shown("decline"),
    },
    "retry_step": {
        "words": "Try the step again", "icon": "replay", "needs": "playbook", "title": "Try the step again",
        "submit": "Try again", "deed": _of_step(hands.retry, "It is tried again."), "form": _dialog("retry"), **TAB,
        "explained": "Steps that are done are not done again.", "shown": shown("retry"),
    },
    "skip_step": {
        "words": "Skip the step", "icon": "skip_next", "needs": "playbook", "title": "Go on without the step",
        "submit": "Skip", "deed": _of_step(hands.skip, "Skipped."), "form": _dialog("skip"), **TAB,
        "shown": shown("skip"),
    },
    "undo_run": {
        "words": "Take it back", "icon": "undo", "needs": "playbook", "title": "Take back what it did",
        "submit": "Take back", "deed": _of_run(hands.undo, "It is being taken back."), **TAB,
        "form": _dialog("undo", of=RunDialog), "shown": of_runs("undo"),
        "explained": "Only what was really done, the last first. What another open playbook still needs stays.",
    },
    "cancel_run": {
        "words": "Cancel it", "icon": "cancel", "needs": "playbook", "title": "Do nothing more", "submit": "Cancel it",
        "deed": _of_run(hands.cancel, "Cancelled."), "form": _dialog("cancel", of=RunDialog), **TAB,
        "explained": "What was done stays in force.", "shown": of_runs("cancel"),
    },
}  # fmt: skip
