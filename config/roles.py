"""The database's roles: an owner and a projector that nobody logs in as, and three logins that own nothing.

`provision` is what an administrator runs once, as a superuser or a role that may create roles; migrations then run as
the owner, and the site as `holdfast_app`. It may run again at any time.
"""

from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from config.database import APP, AUDITOR, ONCALL, OWNER, PROJECTOR

LOGINS = (APP, ONCALL, AUDITOR)

# Names mean what they mean in our schema, whatever the database's owner makes beside it or sets for all. And a session
# that ALTERs a table and waits keeps nobody waiting for ever: an opt-out goes to disk then, other work is tried again.
HABITS = "ALTER ROLE {0} SET search_path = public; ALTER ROLE {0} SET lock_timeout = '15s'"


def provision(admin_url: str, database: str, passwords: dict[str, str]) -> None:
    """Create the roles and the database, owned by holdfast_owner.

    `passwords` maps a login to its password; a login that is not in it keeps the one it has, or has none and stays out.
    """
    with psycopg.connect(admin_url, autocommit=True) as connection:
        existing = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
        for role in {OWNER, PROJECTOR} - existing:
            connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
        for login in LOGINS:
            # Only a superuser may say NOSUPERUSER about a role that exists, and a hosted server gives nobody that.
            attributes = "LOGIN" if login in existing else "LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
            verb = "ALTER" if login in existing else "CREATE"
            statement = sql.SQL(f"{verb} ROLE {{}} {attributes}").format(sql.Identifier(login))
            if login in passwords:
                statement += sql.SQL(" PASSWORD {}").format(sql.Literal(passwords[login]))
            connection.execute(statement)
            connection.execute(sql.SQL(HABITS).format(sql.Identifier(login)))
        # Whoever administers may act as both, which migrations need; a superuser may anyway. The owner may not act as
        # the projector: that is what keeps consent from its hands.
        connection.execute(sql.SQL("GRANT {}, {} TO CURRENT_USER").format(*map(sql.Identifier, (OWNER, PROJECTOR))))
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone()
        if not known:
            connection.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE template0 ENCODING 'UTF8'").format(
                    sql.Identifier(database), sql.Identifier(OWNER)
                )
            )
    with psycopg.connect(admin_url, dbname=database, autocommit=True) as connection:
        connection.execute(GRANTS)
        close(connection, database)


def close(connection: psycopg.Connection, database: str) -> None:
    """Let the logins in and nobody else, and nobody make tables of their own there: a temporary table named like one
    of ours would answer in its place. A copy of a database does not inherit this.
    """
    connection.execute(
        sql.SQL("REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO {1}").format(
            sql.Identifier(database), sql.SQL(", ").join(map(sql.Identifier, LOGINS))
        )
    )


def owner_url(admin_url: str, database: str) -> str:
    """The administrator, acting as the owner of the tables from the first statement on."""
    parts = urlsplit(admin_url)
    query = "&".join(filter(None, [parts.query, "options=" + quote(f"-c role={OWNER}", safe="")]))
    # An address without a host keeps its two slashes only if urlunsplit is given a netloc, and "user@" is one.
    return urlunsplit((parts.scheme, parts.netloc, f"/{database}", query, ""))


# Defaults for tables to come: the app reads and writes, the others read what an app's migration opens to them.
# Migrations then take away what must not be: see `config.database` and consent/migrations/sql. Functions are open to
# PUBLIC by a default of the whole database, which one of a schema cannot take back.
GRANTS = f"""
    REVOKE ALL ON SCHEMA public FROM PUBLIC;
    GRANT USAGE, CREATE ON SCHEMA public TO {OWNER};
    GRANT USAGE ON SCHEMA public TO {APP}, {ONCALL}, {AUDITOR}, {PROJECTOR};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public
        GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {APP};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {APP};
    ALTER DEFAULT PRIVILEGES FOR ROLE {OWNER} REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
"""
