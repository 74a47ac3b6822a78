"""The words that end contact by themselves, and nothing that has to be interpreted: the rest is for a person.

47 CFR 64.1200(a)(10): stop, quit, end, revoke, opt out, cancel and unsubscribe revoke per se. Their counterparts in the
other languages of the product are ours. A text is compared as a whole: "stop" is a word, "please no more" is a letter.
"""

import re
import unicodedata

WORDS: dict[str, frozenset[str]] = {
    "en": frozenset(
        {"stop", "quit", "end", "revoke", "opt out", "optout", "cancel", "unsubscribe", "stopall", "stop all"}
    ),
    "de": frozenset({"stopp", "abmelden", "abmeldung", "abbestellen", "austragen", "widerruf", "widerspruch"}),
    "es": frozenset({"baja", "darse de baja", "alto", "parar", "cancelar", "cancelar suscripcion", "revocar"}),
    "fr": frozenset(
        {"arret", "arreter", "desabonner", "desabonnement", "se desabonner", "desinscrire", "desinscription", "annuler"}
    ),
}
HELP: dict[str, frozenset[str]] = {
    "en": frozenset({"help", "info"}),
    "de": frozenset({"hilfe"}),
    "es": frozenset({"ayuda"}),
    "fr": frozenset({"aide"}),
}
LONGEST = 60  # characters: more is no single word
NOT_LETTERS = re.compile(r"[^\w]+|_")
# Where a reply ends and what it answers begins.
QUOTE = re.compile(
    (
        r"^[*_]{0,2}(?:>|-{2,} ?$|_{5,}|-+ ?(?:original|forwarded|ursprüngliche|message d'origine|mensaje original)|"
        r"(?:from|von|de) ?:|on .{5,200} wrote:|am .{5,200} schrieb|le .{5,200} a écrit|el .{5,200} escribió|"
        r"\d{4}-\d\d-\d\d .{5,200}>:|"
        r"sent from (?:my |outlook)|von meinem |envoyé de(?:puis)? (?:mon |outlook)|enviado desde (?:mi |outlook)|"
        r"gesendet (?:von|mit) |(?:get|holen sie sich|obtener|télécharge[rz]) outlook )"
    ),
    re.IGNORECASE | re.MULTILINE,
)
SPLIT_ATTRIBUTION = re.compile(
    r"^(?:on|am|le|el) [^\n]{5,120}\n[^\n]{0,120}(?:wrote|schrieb|a écrit|escribió)\s?:", re.I | re.M
)


def language_of(text: str) -> str | None:
    """The language of the revocation word that the text is; None where it is anything else."""
    return _found(text, WORDS)


def help_language_of(text: str) -> str | None:
    return _found(text, HELP)


def own_text(text: str) -> str:
    """A reply without what it quotes and without its signature."""
    starts = [found.start() for rule in (QUOTE, SPLIT_ATTRIBUTION) if (found := rule.search(text))]
    return text[: min(starts, default=len(text))].strip()


def _found(text: str, words: dict[str, frozenset[str]]) -> str | None:
    if len(text) > LONGEST:
        return None
    said = plain(text)
    tokens = said.split()
    if len(tokens) > 1 and len(set(tokens)) == 1:  # "STOP STOP"
        said = tokens[0]
    return next((language for language, known in words.items() if said in known), None)


def plain(text: str) -> str:
    """Without capitals, accents, marks, doubled spaces and what nobody sees."""
    bare = unicodedata.normalize("NFKD", text).casefold()
    return " ".join(
        NOT_LETTERS.sub(
            " ", "".join(c for c in bare if not unicodedata.combining(c) and unicodedata.category(c) != "Cf")
        ).split()
    )
