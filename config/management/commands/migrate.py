"""`manage.py migrate` acts as the owner of the tables: the site's own login may not change them."""

from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Migrate
from django.db import connections

from config.database import APP, OWNER
from config.roles import owner_url
from config.settings import env


class Command(Migrate):
    def handle(self, *args: Any, **options: Any) -> None:
        settings = connections[options["database"]].settings_dict
        if settings["USER"] == APP:
            if not (admin := env.str("DATABASE_ADMIN_URL", default="")):
                raise CommandError(
                    f"{APP} may not change tables. Set DATABASE_ADMIN_URL to a login that may act as {OWNER}."
                )
            connections[options["database"]].close()
            settings.update(env.db_url_config(owner_url(admin, settings["NAME"])))
        super().handle(*args, **options)

    def check(self, *args: Any, **options: Any) -> Any:
        """All checks but those that ask the database whether the site's login is harmless: here it must not be."""
        return super().check(*args, **{**options, "databases": None})
