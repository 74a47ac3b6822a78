"""The product around the three apps: settings, the HTTP surface, service keys, roles, the running stack."""

from config.celery import app as celery_app

__all__ = ["celery_app"]
