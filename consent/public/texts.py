"""The words of the pages for people: one object a language, so that a missing word is an error before it is a page."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """`{organisation}`, `{contact}`, `{address}`, `{date}`, `{purpose}`, `{purposes}`, `{channel}` are filled in.

    `purposes` says the shipped purposes in this language; a purpose that an officer wrote or renamed keeps their words.
    """

    language: str
    purposes: dict[str, tuple[str, str]]
    channels: dict[str, str]

    help: str
    languages_label: str

    unsubscribe_title: str
    unsubscribe_lead: str
    unsubscribe_button: str
    unsubscribe_nothing_yet: str
    unsubscribe_choose: str

    received_title: str
    received_lead: str
    received_doubt: str
    received_choose: str

    not_stored_title: str
    not_stored_lead: str
    try_again: str

    taken_title: str
    taken_lead: str

    read_title: str
    read_lead: str
    read_button: str
    read_done_title: str
    read_done_lead: str

    dead_title: str
    dead_lead: str

    elsewhere_title: str
    elsewhere_lead: str

    preferences_title: str
    preferences_lead: str
    preferences_for: str
    preferences_untouched: str
    stop_title: str
    stop_lead: str
    stop_button: str
    question: str
    answer_yes: str
    answer_no: str
    state_yes: str
    state_no: str
    state_entered_yes: str
    state_entered_no: str
    state_never_asked_yes: str
    state_never_asked_no: str
    state_mandatory: str
    save_button: str
    back_to_choices: str

    saved: str
    nothing_new: str
    invalid: str
    stopped: str

    confirm_title: str
    confirm_lead: str
    confirm_entry: str
    confirm_saved: str
    confirm_button: str
    confirm_cancel: str
    confirmed: str
    refused_used: str
    refused_late: str
    refused_meanwhile: str

    gpc_title: str
    gpc_honoured: str
    gpc_overruled: str
    gpc_kept: str

    front_title: str
    front_lead: str
    front_people_title: str
    front_people: str
    front_staff_title: str
    front_staff: str
    front_sign_in: str
