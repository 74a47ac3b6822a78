"""Rows that the support desk begins with: deadlines of the laws that were read, answers to start from, two more ways out.

Which law applies is the officer's decision, and so is every number here: rows are versioned and edited, never deleted.
No text defines "business day" for the CCPA, so the stricter calendar, weekends only, is what the rows begin with.
"""

from django.db import migrations
from django.utils import timezone

EXIT_PATHS = [
    # code, name, kind
    ("support-post", "Letter to the support desk", "post"),
    ("support-web", "Request form of the support desk", "support"),
]

CA, BRUSSELS, NEW_YORK = "America/Los_Angeles", "Europe/Brussels", "America/New_York"
TORONTO, SYDNEY = "America/Toronto", "Australia/Sydney"

# code, title, jurisdiction, amount, unit, rolls to working day, zone, citation, default
OF_OPT_OUTS = [
    (
        "US-CA-OPTOUT",
        "Opt-out of sale or sharing honoured",
        "US-CA",
        15,
        "business_days",
        False,
        CA,
        "11 CCR 7026(f)",
        True,
    ),
    ("US-CANSPAM", "E-mail opt-out honoured", "US", 10, "business_days", False, NEW_YORK, "15 USC 7704(a)(4)", False),
    (
        "US-TCPA-REVOKE",
        "Revocation for calls and texts honoured",
        "US",
        10,
        "business_days",
        False,
        NEW_YORK,
        "47 CFR 64.1200(a)(10)",
        False,
    ),
    ("CA-CASL", "Unsubscribe honoured", "CA", 10, "business_days", False, TORONTO, "CASL s. 11(3)", False),
    ("AU-SPAM", "Unsubscribe honoured", "AU", 5, "business_days", False, SYDNEY, "Spam Act 2003 (Cth) s. 18", False),
    (
        "MAIL-GOOGLE",
        "One-click unsubscribe honoured, bulk senders",
        "",
        48,
        "hours",
        False,
        "UTC",
        "Google e-mail sender guidelines",
        False,
    ),
    (
        "MAIL-YAHOO",
        "Unsubscribe honoured, bulk senders",
        "",
        2,
        "calendar_days",
        False,
        "UTC",
        "Yahoo sender requirements",
        False,
    ),
]
# One row for each kind of request, as KIND is appended to the code.
OF_REQUESTS = [
    ("US-CA-RESPOND", "Request answered", "US-CA", 45, "calendar_days", False, CA, "11 CCR 7021(b)", True),
    ("US-CO", "Request answered", "US-CO", 45, "calendar_days", False, "America/Denver", "C.R.S. 6-1-1306", False),
    ("US-CT", "Request answered", "US-CT", 45, "calendar_days", False, NEW_YORK, "Conn. Gen. Stat. 42-518(c)", False),
    ("EU-ART12-3", "Request answered", "EU", 1, "months", True, BRUSSELS, "GDPR 12(3); Reg. 1182/71 art. 3", False),
]
KINDS = ("access", "deletion", "correction")
OF_RECEIPT = [
    ("US-CA-ACK", "Receipt confirmed", "US-CA", 10, "business_days", False, CA, "11 CCR 7021(a)", False),
]

ANSWERS = [
    # kind, locale, title, body
    (
        "opt_out", "en", "Your opt-out is in place",
        "Hello,\n\nwe received your request {ref} on {received}. You are opted out, and this took effect on the day we received it.\n\nYou need not do anything else.\n\n{organisation}",
    ),
    (
        "opt_out", "de", "Ihr Widerspruch gilt",
        "Guten Tag,\n\nwir haben Ihre Anfrage {ref} am {received} erhalten. Ihr Widerspruch gilt seit diesem Tag.\n\nSie müssen nichts weiter tun.\n\n{organisation}",
    ),
    (
        "opt_out", "es", "Su baja está registrada",
        "Hola:\n\nHemos recibido su solicitud {ref} el {received}. Su baja es efectiva desde ese mismo día.\n\nNo tiene que hacer nada más.\n\n{organisation}",
    ),
    (
        "opt_out", "fr", "Votre opposition est enregistrée",
        "Bonjour,\n\nNous avons reçu votre demande {ref} le {received}. Votre opposition est effective depuis ce jour.\n\nVous n’avez rien d’autre à faire.\n\n{organisation}",
    ),
    (
        "access", "en", "What we store about you",
        "Hello,\n\nyou asked us on {received} what we store about you (request {ref}). This is all of it:\n\n{data}\n\nIf something is wrong, tell us and we will correct it.\n\n{organisation}",
    ),
    (
        "access", "de", "Was wir über Sie speichern",
        "Guten Tag,\n\nSie haben uns am {received} gefragt, was wir über Sie speichern (Anfrage {ref}). Das ist alles:\n\n{data}\n\nWenn etwas nicht stimmt, sagen Sie es uns, und wir berichtigen es.\n\n{organisation}",
    ),
    (
        "access", "es", "Lo que guardamos sobre usted",
        "Hola:\n\nEl {received} nos preguntó qué datos guardamos sobre usted (solicitud {ref}). Es todo lo siguiente:\n\n{data}\n\nSi algo no es correcto, díganoslo y lo corregiremos.\n\n{organisation}",
    ),
    (
        "access", "fr", "Ce que nous conservons à votre sujet",
        "Bonjour,\n\nLe {received}, vous nous avez demandé ce que nous conservons à votre sujet (demande {ref}). Voici l’ensemble :\n\n{data}\n\nSi quelque chose est inexact, dites-le-nous et nous le corrigerons.\n\n{organisation}",
    ),
    (
        "deletion", "en", "Your data will be erased",
        "Hello,\n\nwe received your request {ref} on {received} and are erasing the personal data we hold about you.\n\nOne thing stays: a mark without your name or address that keeps an opt-out in force, so that nobody writes to you again by mistake. This is the last message about your request.\n\n{organisation}",
    ),
    (
        "deletion", "de", "Ihre Daten werden gelöscht",
        "Guten Tag,\n\nwir haben Ihre Anfrage {ref} am {received} erhalten und löschen die personenbezogenen Daten, die wir über Sie haben.\n\nEines bleibt: ein Merkmal ohne Namen und Adresse, das einen Widerspruch in Kraft hält, damit Ihnen niemand versehentlich wieder schreibt. Dies ist die letzte Nachricht zu Ihrer Anfrage.\n\n{organisation}",
    ),
    (
        "deletion", "es", "Sus datos se borrarán",
        "Hola:\n\nHemos recibido su solicitud {ref} el {received} y estamos borrando los datos personales que tenemos sobre usted.\n\nSolo queda una marca sin su nombre ni su dirección que mantiene vigente su baja, para que nadie vuelva a escribirle por error. Este es el último mensaje sobre su solicitud.\n\n{organisation}",
    ),
    (
        "deletion", "fr", "Vos données vont être effacées",
        "Bonjour,\n\nNous avons reçu votre demande {ref} le {received} et effaçons les données personnelles que nous détenons à votre sujet.\n\nUne seule chose demeure : une marque sans votre nom ni votre adresse qui maintient votre opposition, afin que personne ne vous écrive de nouveau par erreur. Ceci est le dernier message concernant votre demande.\n\n{organisation}",
    ),
    (
        "correction", "en", "Your data is corrected",
        "Hello,\n\nwe received your request {ref} on {received} and have corrected what you told us. What you chose before still holds.\n\n{organisation}",
    ),
    (
        "correction", "de", "Ihre Daten sind berichtigt",
        "Guten Tag,\n\nwir haben Ihre Anfrage {ref} am {received} erhalten und berichtigt, was Sie uns mitgeteilt haben. Was Sie zuvor gewählt haben, gilt weiter.\n\n{organisation}",
    ),
    (
        "correction", "es", "Sus datos están corregidos",
        "Hola:\n\nHemos recibido su solicitud {ref} el {received} y hemos corregido lo que nos indicó. Lo que eligió antes sigue vigente.\n\n{organisation}",
    ),
    (
        "correction", "fr", "Vos données sont corrigées",
        "Bonjour,\n\nNous avons reçu votre demande {ref} le {received} et corrigé ce que vous nous avez indiqué. Vos choix précédents restent en vigueur.\n\n{organisation}",
    ),
]  # fmt: skip
RECEIVED = {
    "en": (
        "We received your request",
        "Hello,\n\nwe received your request {ref} on {received}. We will answer it by {due} at the latest; you need not do anything until then.\n\n{organisation}",
    ),
    "de": (
        "Wir haben Ihre Anfrage erhalten",
        "Guten Tag,\n\nwir haben Ihre Anfrage {ref} am {received} erhalten. Wir beantworten sie spätestens am {due}; bis dahin müssen Sie nichts tun.\n\n{organisation}",
    ),
    "es": (
        "Hemos recibido su solicitud",
        "Hola:\n\nHemos recibido su solicitud {ref} el {received}. Le responderemos a más tardar el {due}; hasta entonces no tiene que hacer nada.\n\n{organisation}",
    ),
    "fr": (
        "Nous avons reçu votre demande",
        "Bonjour,\n\nNous avons reçu votre demande {ref} le {received}. Nous y répondrons au plus tard le {due} ; vous n’avez rien à faire d’ici là.\n\n{organisation}",
    ),
}
DENIED = {
    "en": (
        "We cannot do what you asked",
        "Hello,\n\nwe received your request {ref} on {received}. We cannot do what you asked, because {reason}.\n\nYou may complain to the data protection authority where you live.\n\n{organisation}",
    ),
    "de": (
        "Wir können Ihrer Anfrage nicht entsprechen",
        "Guten Tag,\n\nwir haben Ihre Anfrage {ref} am {received} erhalten. Wir können ihr nicht entsprechen, denn {reason}.\n\nSie können sich bei der Datenschutzbehörde Ihres Wohnorts beschweren.\n\n{organisation}",
    ),
    "es": (
        "No podemos hacer lo que pide",
        "Hola:\n\nHemos recibido su solicitud {ref} el {received}. No podemos hacer lo que pide, porque {reason}.\n\nPuede reclamar ante la autoridad de protección de datos de su lugar de residencia.\n\n{organisation}",
    ),
    "fr": (
        "Nous ne pouvons pas donner suite à votre demande",
        "Bonjour,\n\nNous avons reçu votre demande {ref} le {received}. Nous ne pouvons pas y donner suite, car {reason}.\n\nVous pouvez adresser une réclamation à l’autorité de protection des données de votre lieu de résidence.\n\n{organisation}",
    ),
}


def add(apps, schema_editor):
    for code, name, kind in EXIT_PATHS:
        _keep(apps, "ExitPath", {"code": code}, {"name": name, "kind": kind, "owner": "Support desk"})
    for rule in OF_OPT_OUTS:
        _keep_rule(apps, "opt_out", rule)
    for code, *rest in OF_REQUESTS:
        for kind in KINDS:
            _keep_rule(apps, kind, (f"{code}-{kind.upper()}", *rest))
    for rule in OF_RECEIPT:
        _keep_rule(apps, "receipt", rule)
    answers = [*ANSWERS]
    for texts in (RECEIVED, DENIED):
        answers += [(kind, locale, *text) for kind in KINDS for locale, text in texts.items()]
    for kind, locale, title, body in answers:
        _keep(apps, "AnswerText", {"request_kind": kind, "locale": locale, "title": title}, {"body": body})


def _keep_rule(apps, kind, rule):
    code, title, jurisdiction, amount, unit, rolls, zone, citation, is_default = rule
    taken = apps.get_model("consent", "DeadlineRule").objects.filter(request_kind=kind, is_default=True).exists()
    facts = {
        "title": title,
        "jurisdiction": jurisdiction,
        "request_kind": kind,
        "amount": amount,
        "unit": unit,
        "rolls_to_working_day": rolls,
        "time_zone": zone,
        "citation": citation,
        "is_default": is_default and not taken,
    }
    _keep(apps, "DeadlineRule", {"code": code}, facts)


def _keep(apps, model, key, facts):
    """The row and its first version; simple-history's own writer does not see rows of a migration."""
    row, is_new = apps.get_model("consent", model).objects.get_or_create(**key, defaults=facts)
    if is_new:
        apps.get_model("consent", f"Historical{model}").objects.create(
            **{field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields},
            history_date=timezone.now(),
            history_type="+",
            history_user_id="system:migration",
            history_change_reason="Shipped with the product",
        )


class Migration(migrations.Migration):
    dependencies = [("consent", "0003_starting_rows")]

    # Going back leaves the rows: requests name rules and answers, decisions name ways out.
    operations = [migrations.RunPython(add, migrations.RunPython.noop)]
