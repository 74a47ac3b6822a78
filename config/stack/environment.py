"""Addresses and settings of a running stack, for its own processes and for a shell beside them."""

import os

from config.database import APP
from config.stack.folder import Folder, free_port
from config.stack.remains import MARK
from config.stack.servers import login_url, socket_folder

DATABASE = "holdfast"
EMBEDDED = "HOLDFAST_EMBEDDED"  # which servers are ours: the others were given by DATABASE_URL, REDIS_URL


def prepare(folder: Folder) -> dict[str, str]:
    """What a stack's processes find in their environment; what the caller has set there wins."""
    secrets = folder.secrets()
    taken: set[int] = set()
    port = free_port(int(os.environ.get("PORT") or 8000), taken)
    smtp = free_port(int(os.environ.get("SMTP_PORT") or 1025), taken)
    inbox = free_port(int(os.environ.get("INBOX_PORT") or 8025), taken)
    receive = free_port(int(os.environ.get("RECEIVE_PORT") or 8026), taken)
    stream = free_port(int(os.environ.get("STREAM_PORT") or 8027), taken)
    ours = []
    given = dict(os.environ)
    if not given.get("DATABASE_URL"):
        ours.append("postgres")
        given["DATABASE_ADMIN_URL"] = postgres_uri(folder)
        given["DATABASE_URL"] = login_url(given["DATABASE_ADMIN_URL"], APP, secrets["logins"][APP], DATABASE)
    if not given.get("REDIS_URL"):
        ours.append("valkey")
        folder.valkey.mkdir(exist_ok=True, mode=0o700)
        given["REDIS_URL"] = f"unix://{socket_folder(folder.valkey)}/valkey.sock?db=0"
    defaults = {
        "DEBUG": "1",
        "SECURE": "0",
        "SECRET_KEY": secrets["SECRET_KEY"],
        "PRIVACY_KEY": secrets["PRIVACY_KEY"],
        "PUBLIC_URL": f"http://127.0.0.1:{port}",
        "STREAM_URL": f"http://127.0.0.1:{stream}",
        "EMAIL_URL": f"smtp://127.0.0.1:{smtp}",
        "TEXT_GATEWAYS": f"local=whsec_{secrets['TEXT_GATEWAY']}",
        "TEXT_TRANSPORTS": f"texts=http://:local@127.0.0.1:{inbox}/texts",
        "STATIC_ROOT": str(folder.path / "static"),
        "RECEIVE_MAIL": f"127.0.0.1:{receive}",
        "MAIL_BOUNCES": "bounces.holdfast.example",
        "MAIL_UNSUBSCRIBE": "unsubscribe@holdfast.example",
        "MAIL_REPLIES": "reply@holdfast.example",
        "HOLDFAST_VAR": str(folder.path),
        "PYTHONUNBUFFERED": "1",
    }
    fixed = {
        MARK: str(folder.path),
        EMBEDDED: " ".join(ours),
        "PORT": str(port),
        "SMTP_PORT": str(smtp),
        "INBOX_PORT": str(inbox),
        "RECEIVE_PORT": str(receive),
        "STREAM_PORT": str(stream),
        "INBOX_URL": f"http://127.0.0.1:{inbox}",
    }
    return defaults | given | fixed


def postgres_uri(folder: Folder) -> str:
    folder.postgres.mkdir(exist_ok=True, mode=0o700)
    return f"postgresql://postgres@/postgres?host={socket_folder(folder.postgres)}"
