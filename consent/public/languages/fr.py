"""French."""

from consent.public.texts import Texts

TEXTS = Texts(
    language="Français",
    purposes={
        "marketing": ("Offres et publicité", "Offres, réductions et invitations."),
        "product_news": (
            "Nouveautés des produits",
            "Ce qui est nouveau dans les produits et services que vous utilisez.",
        ),
        "analytics": ("Analyse de l’utilisation", "Mesurer l’utilisation de nos services pour les améliorer."),
        "sale_or_share": (
            "Vente ou partage de données personnelles",
            "Donner vos données à d’autres entreprises contre de l’argent ou pour de la publicité sur plusieurs sites.",
        ),
        "legal_notices": (
            "Avis juridiques et de sécurité",
            "Ce que nous devons vous dire : changements de conditions, alertes de sécurité, reçus. Sans publicité.",
        ),
    },
    channels={
        "email": "E-mail",
        "sms": "SMS",
        "phone": "Téléphone",
        "post": "Courrier",
        "push": "Notification",
        "web": "Site web",
        "*": "Partout",
    },
    help="Des questions ? Écrivez à",
    languages_label="Langue",
    unsubscribe_title="Se désabonner",
    unsubscribe_lead="{organisation} doit-il cesser de vous envoyer ce genre de messages ?",
    unsubscribe_button="Oui, arrêter",
    unsubscribe_nothing_yet="Rien n’a encore changé. Seul le bouton change quelque chose.",
    unsubscribe_choose="Je préfère voir et modifier tous mes choix",
    received_title="Nous avons votre réponse",
    received_lead="Si ce lien vient d’un de nos messages, ce genre de messages s’arrête maintenant et nous vous le "
    "confirmons.",
    received_doubt="Pas de confirmation après un jour ? Le lien a donc été abîmé en route. Écrivez à {contact} et "
    "nous nous en occupons.",
    received_choose="Voir ce qui est enregistré et le modifier",
    not_stored_title="Nous n’avons pas pu l’enregistrer",
    not_stored_lead="La faute est de notre côté et rien de votre choix n’est perdu. Appuyez de nouveau sur le bouton "
    "dans une minute.",
    try_again="Réessayer",
    taken_title="Nous l’avons noté",
    taken_lead="Notre base de données est indisponible pour le moment. Votre non est gardé en sûreté chez nous, vous "
    "n’avez pas à appuyer de nouveau, et il vaudra dès son retour, le plus souvent en quelques minutes.",
    read_title="Notre message vous est-il parvenu ?",
    read_lead="Si vous nous dites que vous l’avez lu, nous saurons qu’il est arrivé. "
    "Rien ne vous y oblige et rien n’en dépend.",
    read_button="Je l’ai lu",
    read_done_title="Merci",
    read_done_lead="Nous avons noté que le message vous est parvenu.",
    dead_title="Ce lien ne fonctionne plus",
    dead_lead="Une partie a peut-être été coupée. Ouvrez-le encore une fois depuis le message, ou écrivez à "
    "{contact} ce que vous voulez : nous le ferons pour vous.",
    elsewhere_title="Utilisez notre propre page",
    elsewhere_lead="Ceci venait d’un autre site, nous n’avons donc rien enregistré. Ouvrez vos choix ici et appuyez "
    "sur le bouton.",
    preferences_title="Vos choix",
    preferences_lead="Ce pour quoi {organisation} peut vous contacter et utiliser vos données. Modifiez ce que vous "
    "voulez, puis enregistrez.",
    preferences_for="Ces choix concernent {address}.",
    preferences_untouched="Ce que vous ne touchez pas reste tel quel.",
    stop_title="Assez de tout cela ?",
    stop_lead="Un seul bouton met fin à tout ce qui suit, par tous les moyens et pour de bon. Seuls restent les avis "
    "exigés par la loi.",
    stop_button="Tout arrêter",
    question="Pouvons-nous ?",
    answer_yes="Oui",
    answer_no="Non",
    state_yes="Vous avez dit oui le {date}.",
    state_no="Vous avez dit non le {date}.",
    state_entered_yes="Oui, noté pour vous le {date}.",
    state_entered_no="Non, noté pour vous le {date}.",
    state_never_asked_yes="Vous ne nous avez rien dit. Nous le faisons jusqu’à votre non.",
    state_never_asked_no="Vous ne nous avez rien dit. Nous ne le faisons pas sans votre oui.",
    state_mandatory="Toujours actif : la loi nous oblige à les envoyer.",
    save_button="Enregistrer mes choix",
    back_to_choices="Retour à mes choix",
    saved="Enregistré. Voici ce qui vaut maintenant.",
    nothing_new="Rien n’a été modifié. Voici ce qui est enregistré.",
    invalid="Une partie de l’envoi était illisible, rien n’a donc été enregistré. Vérifiez le tout et enregistrez de "
    "nouveau.",
    stopped="C’est fait : tout est arrêté. Voici ce qui vaut maintenant.",
    confirm_title="Encore une étape",
    confirm_lead="Vous aviez dit non. Pour que personne n’annule votre non par erreur, confirmez que vous le voulez "
    "de nouveau :",
    confirm_entry="Vous avez dit non le {date}.",
    confirm_saved="Vos autres modifications sont déjà enregistrées.",
    confirm_button="Oui, je le veux de nouveau",
    confirm_cancel="Non, laisser comme c’est",
    confirmed="Confirmé et enregistré. Voici ce qui vaut maintenant.",
    refused_used="Vous l’aviez déjà confirmé ; rien n’a été modifié.",
    refused_late="Trop de temps a passé depuis la première étape, rien n’a donc été modifié. Choisissez de nouveau.",
    refused_meanwhile="Vous avez redit non entre-temps, rien n’a donc été modifié. Si vous le voulez, choisissez de "
    "nouveau.",
    gpc_title="Votre navigateur parle pour vous",
    gpc_honoured="Il envoie Global Privacy Control. Nous le suivons ; enregistré comme un non pour : {purposes}.",
    gpc_overruled="Le {date}, vous aviez dit oui à « {purpose} ». Le signal est plus récent, votre non vaut donc. "
    "Vous pouvez redire oui plus bas.",
    gpc_kept="Pour « {purpose} », vous nous avez donné vous-même votre oui le {date}, après le signal. Nous suivons "
    "votre oui ; un non plus bas y met fin.",
    front_title="Vos choix sont gardés ici",
    front_lead="C’est ici que {organisation} garde ce que chacun veut et ne veut pas recevoir.",
    front_people_title="Avez-vous reçu un message de notre part ?",
    front_people="Chaque message a un lien qui l’arrête et un autre vers tous vos choix. Aucun message sous la main "
    "? Écrivez à {contact}.",
    front_staff_title="Vous travaillez ici ?",
    front_staff="Les choix, demandes et incidents sont suivis dans l’administration.",
    front_sign_in="Se connecter",
)
