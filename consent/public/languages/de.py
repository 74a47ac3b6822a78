"""German."""

from consent.public.texts import Texts

TEXTS = Texts(
    language="Deutsch",
    purposes={
        "marketing": ("Angebote und Werbung", "Angebote, Rabatte und Einladungen."),
        "product_news": ("Neues zu Produkten", "Was es Neues gibt bei den Produkten und Diensten, die Sie nutzen."),
        "analytics": ("Auswertung der Nutzung", "Messen, wie unsere Dienste genutzt werden, um sie zu verbessern."),
        "sale_or_share": (
            "Verkauf oder Weitergabe persönlicher Daten",
            "Ihre Daten gegen Geld oder für Werbung über mehrere Websites an andere Firmen weitergeben.",
        ),
        "legal_notices": (
            "Rechtliche Hinweise und Sicherheitsmeldungen",
            "Was wir Ihnen mitteilen müssen: geänderte Bedingungen, Sicherheitswarnungen, Belege. Ohne Werbung.",
        ),
    },
    channels={
        "email": "E-Mail",
        "sms": "SMS",
        "phone": "Telefon",
        "post": "Post",
        "push": "Push-Nachricht",
        "web": "Website",
        "*": "Überall",
    },
    help="Fragen? Schreiben Sie an",
    languages_label="Sprache",
    unsubscribe_title="Abmelden",
    unsubscribe_lead="Soll {organisation} Ihnen solche Nachrichten nicht mehr schicken?",
    unsubscribe_button="Ja, nicht mehr schicken",
    unsubscribe_nothing_yet="Noch hat sich nichts geändert. Das tut nur der Knopf.",
    unsubscribe_choose="Ich möchte lieber alle meine Angaben sehen und ändern",
    received_title="Ihre Antwort ist da",
    received_lead="Stammt dieser Link aus einer unserer Nachrichten, ist mit solchen Nachrichten jetzt Schluss, und "
    "wir bestätigen Ihnen das.",
    received_doubt="Nach einem Tag noch keine Bestätigung? Dann wurde der Link unterwegs beschädigt. Schreiben Sie "
    "an {contact}, wir erledigen es.",
    received_choose="Sehen und ändern, was gespeichert ist",
    not_stored_title="Das konnten wir nicht speichern",
    not_stored_lead="Der Fehler liegt bei uns, und nichts von Ihrer Wahl ist verloren. Bitte drücken Sie den Knopf "
    "in einer Minute noch einmal.",
    try_again="Noch einmal versuchen",
    taken_title="Wir haben es notiert",
    taken_lead="Unsere Datenbank ist gerade nicht erreichbar. Ihr Nein ist bei uns sicher verwahrt, Sie müssen "
    "nichts noch einmal drücken, und es gilt, sobald die Datenbank wieder da ist, meist nach wenigen Minuten.",
    read_title="Hat unsere Nachricht Sie erreicht?",
    read_lead="Wenn Sie uns sagen, dass Sie sie gelesen haben, wissen wir, dass sie angekommen ist. "
    "Sie müssen das nicht: Nichts hängt davon ab.",
    read_button="Ich habe sie gelesen",
    read_done_title="Danke",
    read_done_lead="Wir haben vermerkt, dass die Nachricht Sie erreicht hat.",
    dead_title="Dieser Link funktioniert nicht mehr",
    dead_lead="Vielleicht wurde ein Teil abgeschnitten. Öffnen Sie ihn noch einmal aus der Nachricht, oder schreiben "
    "Sie an {contact}, was Sie möchten: Wir erledigen es für Sie.",
    elsewhere_title="Bitte nutzen Sie unsere eigene Seite",
    elsewhere_lead="Das kam von einer anderen Website, darum haben wir nichts gespeichert. Öffnen Sie hier Ihre "
    "Angaben und drücken Sie den Knopf.",
    preferences_title="Ihre Wahl",
    preferences_lead="Wofür {organisation} Sie ansprechen und Ihre Daten nutzen darf. Ändern Sie, was Sie möchten, "
    "und speichern Sie.",
    preferences_for="Diese Angaben gelten für {address}.",
    preferences_untouched="Was Sie so lassen, bleibt so.",
    stop_title="Genug von allem?",
    stop_lead="Ein Druck beendet alles, was hier steht, auf jedem Weg und auf Dauer. Nur gesetzlich nötige Hinweise "
    "bleiben.",
    stop_button="Alles beenden",
    question="Dürfen wir?",
    answer_yes="Ja",
    answer_no="Nein",
    state_yes="Sie haben am {date} ja gesagt.",
    state_no="Sie haben am {date} nein gesagt.",
    state_entered_yes="Ja, am {date} für Sie eingetragen.",
    state_entered_no="Nein, am {date} für Sie eingetragen.",
    state_never_asked_yes="Sie haben sich nicht geäußert. Wir tun das, bis Sie nein sagen.",
    state_never_asked_no="Sie haben sich nicht geäußert. Ohne Ihr Ja tun wir das nicht.",
    state_mandatory="Immer an: Dazu verpflichtet uns das Gesetz.",
    save_button="Meine Wahl speichern",
    back_to_choices="Zurück zu meiner Wahl",
    saved="Gespeichert. Unten steht, was jetzt gilt.",
    nothing_new="Es wurde nichts geändert. Unten steht, was gespeichert ist.",
    invalid="Ein Teil der Eingaben war nicht lesbar, darum wurde nichts gespeichert. Bitte sehen Sie alles durch und "
    "speichern Sie noch einmal.",
    stopped="Erledigt: Alles ist beendet. Unten steht, was jetzt gilt.",
    confirm_title="Noch ein Schritt",
    confirm_lead="Dazu hatten Sie nein gesagt. Damit niemand Ihr Nein versehentlich aufhebt, bestätigen Sie bitte, "
    "dass Sie dies wieder möchten:",
    confirm_entry="Sie haben am {date} nein gesagt.",
    confirm_saved="Ihre übrigen Änderungen sind schon gespeichert.",
    confirm_button="Ja, das möchte ich wieder",
    confirm_cancel="Nein, es soll so bleiben",
    confirmed="Bestätigt und gespeichert. Unten steht, was jetzt gilt.",
    refused_used="Das hatten Sie schon bestätigt; es wurde nichts geändert.",
    refused_late="Seit dem ersten Schritt ist zu viel Zeit vergangen, darum wurde nichts geändert. Bitte wählen Sie "
    "neu.",
    refused_meanwhile="Sie haben inzwischen noch einmal nein gesagt, darum wurde nichts geändert. Wenn Sie es wieder "
    "möchten, wählen Sie bitte neu.",
    gpc_title="Ihr Browser spricht für Sie",
    gpc_honoured="Er sendet Global Privacy Control. Wir folgen dem; gespeichert als Nein für: {purposes}.",
    gpc_overruled="Am {date} hatten Sie zu „{purpose}“ ja gesagt. Das Signal ist neuer, darum gilt Ihr Nein. Unten "
    "können Sie wieder ja sagen.",
    gpc_kept="Zu „{purpose}“ haben Sie uns am {date}, nach dem Signal, selbst ja gesagt. Wir folgen Ihrem Ja; mit "
    "einem Nein unten beenden Sie es.",
    front_title="Ihre Wahl ist hier aufgehoben",
    front_lead="Hier hält {organisation} fest, was Menschen bekommen möchten und was nicht.",
    front_people_title="Haben Sie Nachricht von uns bekommen?",
    front_people="Jede Nachricht enthält einen Link, der sie beendet, und einen zu allen Ihren Angaben. Keine zur "
    "Hand? Schreiben Sie an {contact}.",
    front_staff_title="Arbeiten Sie hier?",
    front_staff="Um Angaben, Anfragen und Vorfälle geht es in der Verwaltung.",
    front_sign_in="Anmelden",
)
