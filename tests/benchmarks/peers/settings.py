"""A site with nothing but a peer in it: the same cluster, another database, the same mail server."""

import os

import environ

SECRET_KEY = "of a benchmark"
USE_TZ = True
DATABASES = {"default": environ.Env().db_url_config(os.environ["PEER_DATABASE_URL"])}
INSTALLED_APPS = ["django.contrib.contenttypes", "post_office"]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
EMAIL_HOST, EMAIL_PORT = "127.0.0.1", int(os.environ["PEER_SMTP_PORT"])
EMAIL_TIMEOUT = 60
SENDERS = int(os.environ["PEER_SENDERS"])
POST_OFFICE = {
    "BACKENDS": {"default": "django.core.mail.backends.smtp.EmailBackend"},
    "BATCH_SIZE": 100_000,
    "THREADS_PER_PROCESS": 1,  # as many connections at once as processes, like everybody here
    "MESSAGE_ID_ENABLED": True,
}
