"""`manage.py provision`: roles and database on a server of your own. Run it once, and again whenever you like."""

from typing import Any

import psycopg
from django.core.management.base import BaseCommand, CommandError

from config.database import APP, AUDITOR, ONCALL
from config.roles import provision
from config.settings import env


class Command(BaseCommand):
    help = (
        "Create holdfast_owner, holdfast_app, holdfast_oncall, holdfast_auditor and the database. "
        "DATABASE_ADMIN_URL is a login that may create roles; DATABASE_URL is what the site will use. "
        "ONCALL_PASSWORD and AUDITOR_PASSWORD let those two log in; without one a role has no password."
    )
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        admin = env.str("DATABASE_ADMIN_URL", default="")
        site = env.db_url_config(env.str("DATABASE_URL", default=""))
        if not admin or not site.get("NAME"):
            raise CommandError("Set DATABASE_ADMIN_URL (a login that may create roles) and DATABASE_URL (the site's).")
        if site["USER"] != APP or not site["PASSWORD"]:
            raise CommandError(f"DATABASE_URL must log in as {APP} with a password: it will be given to that role.")
        passwords = {APP: site["PASSWORD"]}
        for login, name in ((ONCALL, "ONCALL_PASSWORD"), (AUDITOR, "AUDITOR_PASSWORD")):
            if password := env.str(name, default=""):
                passwords[login] = password
        try:
            provision(admin, site["NAME"], passwords)
        except psycopg.Error as error:
            raise CommandError(f"The server refused: {error}") from error
        self.stdout.write(f"Roles and database {site['NAME']} are ready. Next: manage.py migrate")
