"""English."""

from consent.public.texts import Texts

TEXTS = Texts(
    language="English",
    purposes={
        "marketing": ("Offers and marketing", "Offers, discounts and invitations."),
        "product_news": ("Product news", "What is new in the products and services that you use."),
        "analytics": ("Usage analysis", "Measuring how our services are used, to improve them."),
        "sale_or_share": (
            "Sale or sharing of personal data",
            "Passing your data to other companies for money, or for advertising across websites.",
        ),
        "legal_notices": (
            "Legal and security notices",
            "What we must tell you: changes of terms, security warnings, receipts. They carry no advertising.",
        ),
    },
    channels={
        "email": "E-mail",
        "sms": "Text message",
        "phone": "Telephone",
        "post": "Post",
        "push": "Push notification",
        "web": "Website",
        "*": "Everywhere",
    },
    help="Questions? Write to",
    languages_label="Language",
    unsubscribe_title="Unsubscribe",
    unsubscribe_lead="Shall {organisation} stop sending you this kind of message?",
    unsubscribe_button="Yes, stop it",
    unsubscribe_nothing_yet="Nothing has changed so far. Only the button changes something.",
    unsubscribe_choose="I would rather see and change all my choices",
    received_title="We have your answer",
    received_lead="If this link comes from one of our messages, this kind of message stops now, and we confirm it to "
    "you.",
    received_doubt="No confirmation within a day? Then the link was damaged on its way. Write to {contact} and we do "
    "it.",
    received_choose="See what is stored, and change it",
    not_stored_title="We could not store this",
    not_stored_lead="The fault is ours, and nothing that you chose is lost. Please press the button again in a minute.",
    try_again="Try again",
    taken_title="We have written it down",
    taken_lead="Our database is away at the moment. Your no is kept safely on our side, nobody has to press again, "
    "and it takes effect as soon as the database is back, mostly within minutes.",
    dead_title="This link does not work any more",
    dead_lead="Perhaps a part of it was cut off. Open it once more from the message, or write to {contact} what you "
    "want: we do it for you.",
    elsewhere_title="Please use our own page",
    elsewhere_lead="This came from another website, so we stored nothing. Open your choices here and press the button.",
    preferences_title="Your choices",
    preferences_lead="What {organisation} may contact you and use your data for. Change what you like, then save.",
    preferences_for="These choices are for {address}.",
    preferences_untouched="What you leave as it is stays as it is.",
    stop_title="Enough of all this?",
    stop_lead="One press ends everything below, by every way of contact, for good. Only notices required by law "
    "remain.",
    stop_button="Stop everything",
    question="May we?",
    answer_yes="Yes",
    answer_no="No",
    state_yes="You said yes on {date}.",
    state_no="You said no on {date}.",
    state_entered_yes="Yes, entered for you on {date}.",
    state_entered_no="No, entered for you on {date}.",
    state_never_asked_yes="You have not told us. We do this until you say no.",
    state_never_asked_no="You have not told us. We do not do this without your yes.",
    state_mandatory="Always on: the law requires us to send these.",
    save_button="Save my choices",
    back_to_choices="Back to my choices",
    saved="Saved. Below is what is stored now.",
    nothing_new="Nothing was changed. Below is what is stored.",
    invalid="A part of what arrived could not be read, so nothing was stored. Please look through it and save again.",
    stopped="Done: everything is stopped. Below is what is stored now.",
    confirm_title="One more step",
    confirm_lead="You had said no to this. So that nobody undoes your no by mistake, please confirm that you want it "
    "again:",
    confirm_entry="You said no on {date}.",
    confirm_saved="Your other changes are saved already.",
    confirm_button="Yes, I want this again",
    confirm_cancel="No, leave it as it is",
    confirmed="Confirmed and saved. Below is what is stored now.",
    refused_used="You had confirmed this before; nothing was changed.",
    refused_late="Too much time has passed since the first step, so nothing was changed. Please choose again.",
    refused_meanwhile="You said no once more in the meantime, so nothing was changed. If you want it again, please "
    "choose it again.",
    gpc_title="Your browser speaks for you",
    gpc_honoured="It sends Global Privacy Control. We follow it; stored as a no for: {purposes}.",
    gpc_overruled="On {date} you had said yes to “{purpose}”. The signal is newer, so your no stands. You can say "
    "yes again below.",
    gpc_kept="For “{purpose}” you gave us your own yes on {date}, after the signal. We follow your yes; say no below "
    "to end it.",
    front_title="Your choices are kept here",
    front_lead="This is where {organisation} keeps what people want and do not want to get.",
    front_people_title="Did you get a message from us?",
    front_people="Each message has a link that stops it, and one to all your choices. No message at hand? Write to "
    "{contact}.",
    front_staff_title="Do you work here?",
    front_staff="Choices, requests and incidents are looked after in the admin.",
    front_sign_in="Sign in",
)
