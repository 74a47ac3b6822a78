"""Whose file it is, and what each of its rows says: a sender's columns, and where their names come from.

A sender is recognised by columns that only it writes. An address that bounces is not an opt-out; a contact of whom a
sender says nothing has not opted in.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from consent.importing import columns as named
from consent.importing.columns import Columns, words
from consent.importing.files import FileRefused
from consent.models import Channel, Choice

OUT, IN = Choice.OPT_OUT.value, Choice.OPT_IN.value
BOUNCES = "an address that bounces is not an opt-out"
SILENT = "says neither that they opted out nor that they opted in"
NOT_OUT = "not opted out there, which is not an opt-in"
YES = words("true yes y 1 x ja oui si sim wahr vrai")


class Said(NamedTuple):
    """What a row says; `choice` is empty where it is none, and `why` then says why not. `moment` as it stands there."""

    choice: str
    why: str
    moment: str = ""


Reader = Callable[[Sequence[str]], Said]


class Sender(NamedTuple):
    """`bind` answers with a reader of rows where the columns are this sender's, for a channel; None where not."""

    title: str
    columns: str
    bind: Callable[[Columns, str], Reader | None]
    has_first_row: bool = True


def cell(row: Sequence[str], index: int | None) -> str:
    return row[index].strip() if index is not None and index < len(row) else ""


def mailchimp(columns: Columns, channel: str) -> Reader | None:
    """The audience export: a ZIP of three CSVs (subscribed, unsubscribed, cleaned), told apart by their columns.

    Each has Email Address, MEMBER_RATING, OPTIN_TIME, CONFIRM_TIME, LEID and EUID. The first has LAST_CHANGED too; the
    second UNSUB_TIME, UNSUB_CAMPAIGN_TITLE, UNSUB_CAMPAIGN_ID, UNSUB_REASON and UNSUB_REASON_OTHER; the third
    CLEAN_TIME, CLEAN_CAMPAIGN_TITLE and CLEAN_CAMPAIGN_ID: as public programs that read these exports name them.
    Cleaned means undeliverable (Mailchimp's help, "View Unsubscribed and Cleaned Addresses").
    """
    if not (columns.has("leid", "euid") and columns.has("optin_time")):
        return None
    unsubscribed, cleaned = columns.at(["unsub_time"]), columns.at(["clean_time"])
    confirmed, opted_in = columns.at(["confirm_time"]), columns.at(["optin_time"])
    all_unsubscribed = unsubscribed is not None and not columns.has("last_changed") and cleaned is None
    all_subscribed = unsubscribed is None and cleaned is None

    def said(row: Sequence[str]) -> Said:
        if (moment := cell(row, unsubscribed)) or all_unsubscribed:
            return Said(OUT, "unsubscribed", moment)
        if cleaned is not None:
            return Said("", BOUNCES) if cell(row, cleaned) or unsubscribed is None else Said("", SILENT)
        if all_subscribed:
            return Said(IN, "subscribed", cell(row, confirmed) or cell(row, opted_in))
        return Said("", SILENT)

    return said


def sendgrid(columns: Columns, channel: str) -> Reader | None:
    """Suppressions downloaded as CSV, one list a file, told apart by their columns alone.

    Unsubscribes are email, created; spam reports email, created, ip; bounces and blocks status, reason, email, created;
    invalid addresses reason, email, created (SparkPost's guide to importing them, and public programs that read them).
    `created` is in Unix seconds.
    """
    created = columns.at(["created"])
    if columns.are("email", "created"):
        return lambda row: Said(OUT, "unsubscribed", cell(row, created))
    if columns.are("email", "created", "ip"):
        return lambda row: Said(OUT, "spam complaint", cell(row, created))
    if columns.are("status", "reason", "email", "created") or columns.are("reason", "email", "created"):
        return lambda row: Said("", BOUNCES)
    return None


def _ses(reason: int | None, updated: int | None) -> Reader:
    def said(row: Sequence[str]) -> Said:
        match cell(row, reason).upper():
            case "COMPLAINT":
                return Said(OUT, "spam complaint", cell(row, updated))
            case "BOUNCE":
                return Said("", BOUNCES)
            case _:
                return Said("", SILENT)

    return said


def ses(columns: Columns, channel: str) -> Reader | None:
    """The account-level suppression list: EmailAddress, Reason and LastUpdateTime, as Amazon SES API v2 calls them in
    SuppressedDestinationSummary; the reason is BOUNCE or COMPLAINT.
    """
    if not (columns.has("emailaddress", "reason") or columns.has("email_address", "reason", "last_update_time")):
        return None
    return _ses(columns.at(["reason"]), columns.at(["lastupdatetime", "last_update_time"]))


def ses_bare(columns: Columns, channel: str) -> Reader | None:
    """The same list as Amazon SES imports it in bulk: `recipient@example.com,BOUNCE`, without a first row of names
    (Amazon SES developer guide, "Using the account-level suppression list").
    """
    first = columns.names
    if len(first) != 2 or "@" not in first[0] or first[1].strip().upper() not in {"BOUNCE", "COMPLAINT"}:
        return None
    return _ses(1, None)


def hubspot(columns: Columns, channel: str) -> Reader | None:
    """The export of unsubscribes and bounces: Portal Bounce, Portal Unsubscribe, Portal Spam Report, Global Bounce,
    Marketing Information and a column for each type of e-mail (HubSpot's help, "What do the columns mean in the CSV I
    receive when I export unsubscribes and bounces?"). Who left one type only has not left the others.
    """
    if not columns.has("portal_unsubscribe"):
        return None
    left, spam = columns.at(["portal_unsubscribe"]), columns.at(["portal_spam_report"])
    bounced = [at for at in (columns.at(["portal_bounce"]), columns.at(["global_bounce"])) if at is not None]
    email = columns.at(named.EMAIL)
    types = [at for at in range(len(columns.names)) if at not in (left, spam, email, *bounced)]

    def said(row: Sequence[str]) -> Said:
        if cell(row, left).lower() in YES:
            return Said(OUT, "unsubscribed")
        if cell(row, spam).lower() in YES:
            return Said(OUT, "spam complaint")
        if any(cell(row, at).lower() in YES for at in types):
            return Said(
                "", "unsubscribed from one type of e-mail only: import those with the purpose that it stands for"
            )
        if any(cell(row, at) and cell(row, at).lower() != "false" for at in bounced):
            return Said("", BOUNCES)
        return Said("", NOT_OUT)

    return said


def hubspot_contacts(columns: Columns, channel: str) -> Reader | None:
    """A contacts export with the property "Unsubscribed from all email" (hs_email_optout inside): true or false."""
    left = columns.at(["unsubscribed_from_all_email", "hs_email_optout"])
    if left is None:
        return None
    return lambda row: Said(OUT, "unsubscribed") if cell(row, left).lower() in YES else Said("", NOT_OUT)


def braze(columns: Columns, channel: str) -> Reader | None:
    """Users with the standard attributes external_id, email, phone, email_subscribe and push_subscribe, which are
    unsubscribed, subscribed or opted_in (Braze's "Standard attributes" and "User subscription states"); an export may
    have email_unsubscribed_at and email_opted_in_at beside them ("User export object"). `subscribed` is what Braze sets
    by itself for every new address: nobody chose it.
    """
    by = "push" if channel == Channel.PUSH else "email"
    state = columns.at([f"{by}_subscribe"])
    if state is None:
        return None
    left, joined = columns.at([f"{by}_unsubscribed_at"]), columns.at([f"{by}_opted_in_at"])

    def said(row: Sequence[str]) -> Said:
        match cell(row, state).lower():
            case "unsubscribed":
                return Said(OUT, "unsubscribed", cell(row, left))
            case "opted_in":
                return Said(IN, "opted in", cell(row, joined))
            case "subscribed":
                return Said("", "“subscribed” is what the sender sets for everybody: nobody chose it")
            case _:
                return Said("", SILENT)

    return said


OUT_WORDS = words(
    """
    opt_out optout opted_out out unsubscribed unsubscribe blocklisted blacklisted do_not_contact complaint
    complained spam spam_complaint abgemeldet widersprochen desinscrit desabonne baja disiscritto
    uitgeschreven
    """
)
IN_WORDS = words(
    """
    opt_in optin opted_in in subscribed subscribe active confirmed angemeldet eingewilligt inscrit abonne
    suscrito iscritto ingeschreven
    """
)
BOUNCE_WORDS = words("bounce bounced hard_bounce hard_bounced soft_bounce cleaned unreachable invalid")


def ours(columns: Columns, channel: str) -> Reader | None:
    """Our own: email, phone or user_id; choice (opt_out or opt_in) or opted_out (yes or no); and, where the rows say
    them, purpose, channel and decided_at. Names and words of several languages are taken (columns.py).
    """
    choice, flag = columns.at(named.CHOICE), columns.at(named.OPTED_OUT)
    if (choice is None) == (flag is None):
        return None
    decided, left, joined = columns.at(named.DECIDED_AT), columns.at(named.OUT_AT), columns.at(named.IN_AT)

    def said(row: Sequence[str]) -> Said:
        if flag is not None:
            is_out = cell(row, flag).lower() in YES
            return Said(OUT, "opted out", cell(row, left) or cell(row, decided)) if is_out else Said("", NOT_OUT)
        word = named.normal(cell(row, choice))
        if word in OUT_WORDS:
            return Said(OUT, word.replace("_", " "), cell(row, left) or cell(row, decided))
        if word in IN_WORDS:
            return Said(IN, word.replace("_", " "), cell(row, joined) or cell(row, decided))
        return Said("", BOUNCES if word in BOUNCE_WORDS else SILENT)

    return said


def opt_out_list(columns: Columns, channel: str) -> Reader | None:
    """A bare list whose every row is an opt-out, as HubSpot's "opt-out list" is: nothing in the file says so, and so
    somebody must. The moment is taken where there is one.
    """
    moment = columns.at([*named.DECIDED_AT, *named.OUT_AT, "created", "created_at"])
    return lambda row: Said(OUT, "on an opt-out list", cell(row, moment))


OURS, LIST = "holdfast", "opt-out-list"
SENDERS: dict[str, Sender] = {
    "mailchimp": Sender("Mailchimp", "Email Address, OPTIN_TIME, LEID, EUID, and UNSUB_TIME or CLEAN_TIME", mailchimp),
    "sendgrid": Sender("SendGrid", "email, created, and nothing else but ip, status, reason", sendgrid),
    "ses": Sender("Amazon SES", "EmailAddress, Reason, LastUpdateTime", ses),
    "ses-bare": Sender("Amazon SES, without names", "address,COMPLAINT in each row", ses_bare, has_first_row=False),
    "hubspot": Sender("HubSpot, unsubscribes and bounces", "Email, Portal Unsubscribe, Portal Spam Report", hubspot),
    "hubspot-contacts": Sender("HubSpot, contacts", "Email, Unsubscribed from all email", hubspot_contacts),
    "braze": Sender("Braze", "external_id, email or phone, and email_subscribe or push_subscribe", braze),
    OURS: Sender("Holdfast", "email, phone or user_id, and choice; purpose, channel, decided_at if there are", ours),
    LIST: Sender("An opt-out list", "email, phone or user_id", opt_out_list),
}  # fmt: skip


def recognise(columns: Columns, channel: str, sender: str = "") -> tuple[str, Reader]:
    """The sender and how to read its rows. Raises FileRefused, with what was found and what is known, for a file of
    nobody or of several.
    """
    if sender:
        if sender not in SENDERS:
            raise FileRefused(f"No such sender: {sender}. Known: {', '.join(SENDERS)}.")
        if (reader := SENDERS[sender].bind(columns, channel)) is None:
            raise FileRefused(
                f"These are not the columns of {SENDERS[sender].title}, which are {SENDERS[sender].columns}. "
                f"Found: {columns.in_words()}."
            )
        return sender, reader
    bound = {code: one.bind(columns, channel) for code, one in SENDERS.items() if code not in (OURS, LIST)}
    found = {code: reader for code, reader in bound.items() if reader is not None}
    if not found and (reader := ours(columns, channel)) is not None:
        found[OURS] = reader
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        raise FileRefused(f"The file could be of several senders: {', '.join(found)}. Say which.")
    known = "; ".join(f"{code}: {one.columns}" for code, one in SENDERS.items() if code != LIST)
    raise FileRefused(
        f"Nobody's columns that are known. Found: {columns.in_words()}. Known: {known}. If every row of it is an "
        f"opt-out, say that the sender is {LIST}."
    )
