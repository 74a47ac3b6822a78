"""The database's roles: an owner that nobody logs in as, and three logins that own nothing.

`provision` is what an administrator runs once, as a superuser or a role that may create roles; migrations then run as
the owner, and the site as `holdfast_app`. It may run again at any time.
"""

import psycopg
from psycopg import sql

from config.database import APP, AUDITOR, ONCALL, OWNER

LOGINS = (APP, ONCALL, AUDITOR)


def provision(admin_url: str, database: str, passwords: dict[str, str]) -> None:
    """Create the roles and the database, owned by holdfast_owner. `passwords` maps a login to its password."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        if OWNER not in existing:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(OWNER)))
        for login in LOGINS:
            verb = "ALTER" if login in existing else "CREATE"
            connection.execute(
                sql.SQL(verb + " ROLE {} LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION PASSWORD {}").format(
                    sql.Identifier(login), sql.Literal(passwords[login])
                )
            )
        # Whoever administers may act as the owner, which migrations need; a superuser may anyway.
        connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(OWNER)))
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if not known:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    sql.Identifier(database), sql.Identifier(OWNER)
                )
            )
    with psycopg.connect(admin_url, dbname=database, autocommit=True) as connection:
        connection.execute(GRANTS)


# Defaults for tables to come: the app reads and writes, the others read what an app's migration opens to them.
# Migrations then take away what must not be: see `config.database` and consent/migrations/sql.
GRANTS = f"""
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA public TO {OWNER};
    GRANT USAGE ON SCHEMA public TO {APP}, {ONCALL}, {AUDITOR};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {APP};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT SELECT ON TABLES TO {AUDITOR};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT EXECUTE ON FUNCTIONS TO {APP};
"""
