"""The first row of a file: names of columns, whatever their letters, spaces and language."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache

from consent.importing.files import FileRefused

NOT_LETTERS = re.compile(r"[^a-z0-9*]+")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What people call these columns, in the languages that our own pages speak and a few more.
EMAIL = words(
    """
    email e_mail email_address emailaddress e_mail_address mail e_mail_adresse email_adresse emailadresse
    mailadresse adresse_e_mail adresse_email adresse_mail courriel correo correo_electronico
    direccion_de_correo_electronico indirizzo_e_mail indirizzo_email posta_elettronica e_mailadres
    emailadres e_mail_adres endereco_de_email
    """
)
PHONE = words(
    """
    phone phone_number mobile mobile_phone mobile_number mobile_phone_number cell_phone telephone
    telephone_number msisdn sms_phone_number telefon telefonnummer mobil mobilnummer handy handynummer
    telephone_portable numero_de_telephone telefono numero_de_telefono movil numero_di_telefono cellulare
    telefoonnummer
    """
)
USER_ID = words(
    """
    user_id userid customer_id customerid external_id externalid account_id kundennummer kunden_nr
    benutzer_id numero_client id_cliente klantnummer
    """
)
PURPOSE = words("purpose purposes zweck finalite finalidad finalita doel")
CHANNEL = words("channel channels kanal canal canale kanaal")
CHOICE = words(
    """
    choice decision consent consent_status subscription_status subscription_state email_status status state
    entscheidung einwilligung statut estado consentimiento stato consenso keuze toestemming
    """
)
OPTED_OUT = words(
    """
    opted_out opt_out optout unsubscribed is_unsubscribed do_not_contact do_not_email do_not_call dnc
    abgemeldet widerspruch desinscrit desabonne dado_de_baja disiscritto uitgeschreven
    """
)
DECIDED_AT = words(
    """
    decided_at decided decision_date date timestamp time moment changed_at changed status_changed_at datum
    zeitpunkt fecha data date_de_decision
    """
)
OUT_AT = words(
    """
    unsubscribed_at unsubscribe_date unsubscribed_date unsub_date unsub_time opted_out_at opt_out_date
    optout_date opt_out_at opt_out_time abgemeldet_am date_de_desinscription fecha_de_baja
    """
)
IN_AT = words(
    """
    subscribed_at subscribe_date subscription_date opted_in_at opt_in_date optin_date opt_in_at optin_time
    opt_in_time confirmed_at angemeldet_am date_d_inscription fecha_de_alta
    """
)


@lru_cache(maxsize=1000)
def normal(name: str) -> str:
    """`E-Mail Adresse ` and `e_mail_adresse` are one name; accents and a mark at the file's head are left away."""
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss")).encode("ascii", "ignore").decode().lower()
    return NOT_LETTERS.sub("_", letters).strip("_")


class Columns:
    """Where each column stands. `names` are as they were found, `known` as they are compared."""

    def __init__(self, row: Sequence[str]) -> None:
        self.names = [name.strip() for name in row]
        self.known = [normal(name) for name in row]

    def has(self, *names: str) -> bool:
        return all(name in self.known for name in names)

    def are(self, *names: str) -> bool:
        """These and no others."""
        return sorted(filter(None, self.known)) == sorted(names)

    def at(self, names: Iterable[str]) -> int | None:
        """The one column of these names; raises FileRefused where there are several, since either could be meant."""
        wanted = set(names)
        found = [index for index, name in enumerate(self.known) if name in wanted]
        if len(found) > 1:
            several = ", ".join(f"“{self.names[index]}”" for index in found)
            raise FileRefused(f"Several columns could be meant: {several}. Leave one of them in the file.")
        return found[0] if found else None

    def in_words(self) -> str:
        return ", ".join(f"“{name}”" for name in self.names[:30] if name) or "nothing"
