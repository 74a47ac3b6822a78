"""Spanish."""

from consent.public.texts import Texts

TEXTS = Texts(
    language="Español",
    purposes={
        "marketing": ("Ofertas y publicidad", "Ofertas, descuentos e invitaciones."),
        "product_news": ("Novedades de productos", "Lo nuevo en los productos y servicios que usted usa."),
        "analytics": ("Análisis de uso", "Medir cómo se usan nuestros servicios para mejorarlos."),
        "sale_or_share": (
            "Venta o cesión de datos personales",
            "Entregar sus datos a otras empresas por dinero o para publicidad en distintos sitios web.",
        ),
        "legal_notices": (
            "Avisos legales y de seguridad",
            "Lo que debemos comunicarle: cambios de condiciones, alertas de seguridad, recibos. Sin publicidad.",
        ),
    },
    channels={
        "email": "Correo electrónico",
        "sms": "Mensaje de texto",
        "phone": "Teléfono",
        "post": "Correo postal",
        "push": "Notificación en el móvil",
        "web": "Sitio web",
        "*": "En todas partes",
    },
    help="¿Preguntas? Escriba a",
    languages_label="Idioma",
    unsubscribe_title="Darse de baja",
    unsubscribe_lead="¿Quiere que {organisation} deje de enviarle este tipo de mensajes?",
    unsubscribe_button="Sí, no quiero más",
    unsubscribe_nothing_yet="Todavía no ha cambiado nada. Solo cambia algo el botón.",
    unsubscribe_choose="Prefiero ver y cambiar todas mis decisiones",
    received_title="Tenemos su respuesta",
    received_lead="Si este enlace viene de uno de nuestros mensajes, este tipo de mensajes se acaba ahora y se lo "
    "confirmaremos.",
    received_doubt="¿No llega la confirmación en un día? Entonces el enlace se dañó por el camino. Escriba a "
    "{contact} y nos encargamos.",
    received_choose="Ver lo que está guardado y cambiarlo",
    not_stored_title="No hemos podido guardarlo",
    not_stored_lead="El fallo es nuestro y no se ha perdido nada de lo que eligió. Vuelva a pulsar el botón dentro "
    "de un minuto.",
    try_again="Intentarlo de nuevo",
    taken_title="Lo hemos anotado",
    taken_lead="Nuestra base de datos no está disponible ahora. Su no está guardado de forma segura, no tiene que "
    "pulsar nada otra vez y valdrá en cuanto la base de datos vuelva, casi siempre en pocos minutos.",
    read_title="¿Le ha llegado nuestro mensaje?",
    read_lead="Si nos dice que lo ha leído, sabremos que ha llegado. No está obligado: nada depende de ello.",
    read_button="Lo he leído",
    read_done_title="Gracias",
    read_done_lead="Hemos anotado que el mensaje le ha llegado.",
    dead_title="Este enlace ya no funciona",
    dead_lead="Quizá se cortó una parte. Ábralo otra vez desde el mensaje o escriba a {contact} lo que desea: lo "
    "haremos por usted.",
    elsewhere_title="Utilice nuestra propia página",
    elsewhere_lead="Esto venía de otro sitio web, así que no hemos guardado nada. Abra aquí sus decisiones y pulse "
    "el botón.",
    preferences_title="Sus decisiones",
    preferences_lead="Para qué puede {organisation} contactar con usted y usar sus datos. Cambie lo que quiera y "
    "guarde.",
    preferences_for="Estas decisiones son para {address}.",
    preferences_untouched="Lo que no toque se queda como está.",
    stop_title="¿Harto de todo esto?",
    stop_lead="Con un solo botón termina todo lo de abajo, por cualquier vía y para siempre. Solo quedan los avisos "
    "que exige la ley.",
    stop_button="Parar todo",
    question="¿Podemos?",
    answer_yes="Sí",
    answer_no="No",
    state_yes="Usted dijo que sí el {date}.",
    state_no="Usted dijo que no el {date}.",
    state_entered_yes="Sí, anotado por nosotros el {date}.",
    state_entered_no="No, anotado por nosotros el {date}.",
    state_never_asked_yes="No nos ha dicho nada. Lo hacemos hasta que diga que no.",
    state_never_asked_no="No nos ha dicho nada. No lo hacemos sin su sí.",
    state_mandatory="Siempre activo: la ley nos obliga a enviarlos.",
    save_button="Guardar mis decisiones",
    back_to_choices="Volver a mis decisiones",
    saved="Guardado. Abajo está lo que vale ahora.",
    nothing_new="No se ha cambiado nada. Abajo está lo que está guardado.",
    invalid="Una parte de lo recibido no se pudo leer y no se ha guardado nada. Revíselo y guarde de nuevo.",
    stopped="Hecho: todo está parado. Abajo está lo que vale ahora.",
    confirm_title="Un paso más",
    confirm_lead="A esto usted había dicho que no. Para que nadie anule su no por error, confirme que lo quiere de "
    "nuevo:",
    confirm_entry="Usted dijo que no el {date}.",
    confirm_saved="Sus otros cambios ya están guardados.",
    confirm_button="Sí, lo quiero de nuevo",
    confirm_cancel="No, que siga como está",
    confirmed="Confirmado y guardado. Abajo está lo que vale ahora.",
    refused_used="Ya lo había confirmado; no se ha cambiado nada.",
    refused_late="Ha pasado demasiado tiempo desde el primer paso y no se ha cambiado nada. Elija de nuevo.",
    refused_meanwhile="Mientras tanto volvió a decir que no, así que no se ha cambiado nada. Si lo quiere, elija de "
    "nuevo.",
    gpc_title="Su navegador habla por usted",
    gpc_honoured="Envía Global Privacy Control. Lo respetamos; guardado como un no para: {purposes}.",
    gpc_overruled="El {date} había dicho que sí a «{purpose}». La señal es más reciente y vale su no. Abajo puede "
    "volver a decir que sí.",
    gpc_kept="Para «{purpose}» usted mismo nos dio su sí el {date}, después de la señal. Seguimos su sí; con un no "
    "abajo lo termina.",
    front_title="Aquí se guardan sus decisiones",
    front_lead="Aquí guarda {organisation} lo que las personas quieren y no quieren recibir.",
    front_people_title="¿Ha recibido un mensaje nuestro?",
    front_people="Cada mensaje lleva un enlace que lo detiene y otro a todas sus decisiones. ¿No tiene ninguno a "
    "mano? Escriba a {contact}.",
    front_staff_title="¿Trabaja aquí?",
    front_staff="Las decisiones, solicitudes e incidentes se atienden en la administración.",
    front_sign_in="Iniciar sesión",
)
