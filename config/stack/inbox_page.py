"""The inbox as pages and as JSON: what arrived, by whom and for whom. It shows text and runs nothing."""

import hashlib
import json
import re
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

LONGEST_TEXT = 64 * 1024
NEWEST = 200  # on one page
ADDRESS = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:)\]]")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
STYLE = """body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}
table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.4rem;border-bottom:1px solid #ccc}
pre{white-space:pre-wrap;overflow-wrap:anywhere;background:#f4f4f4;padding:1rem}"""


class Page(BaseHTTPRequestHandler):
    """GET / and /messages.json, both with ?to=<address> and ?after=<name>; GET /<name> and /<name>.eml.

    POST /texts takes a text message, as a gateway does.
    """

    folder: ClassVar[Path]
    server_version, sys_version = "inbox", ""

    def do_GET(self) -> None:
        if self.headers.get("Host", "").rsplit(":", 1)[0] not in ("127.0.0.1", "localhost", "[::1]"):
            return self.answer(403, "text/plain", b"This page answers on 127.0.0.1 only.\n")  # a rebound name
        address = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        name = address.path.strip("/")
        if name in ("", "messages.json"):
            found = self.messages(query.get("to", ""), query.get("after", ""))
            if name:
                return self.answer(200, "application/json", json.dumps([self.facts(file) for file in found]).encode())
            return self.answer(200, "text/html", self.listing(found, query.get("to", "")))
        file = self.folder / f"{name.removesuffix('.eml')}.eml"
        if not re.fullmatch(r"[0-9a-f-]+(\.eml)?", name) or not file.exists():
            return self.answer(404, "text/plain", b"No such mail.\n")
        if name.endswith(".eml"):
            return self.answer(200, "message/rfc822", file.read_bytes())
        return self.answer(200, "text/html", self.mail(file))

    def do_POST(self) -> None:
        if self.path != "/texts":
            return self.answer(404, "text/plain", b"Text messages go to /texts.\n")
        try:
            given = json.loads(self.rfile.read(min(int(self.headers.get("Content-Length", 0)), LONGEST_TEXT)))
            name = self.keep_text(str(given["id"]), str(given["to"]), str(given["text"]))
        except (ValueError, KeyError, TypeError):
            return self.answer(422, "application/json", b'{"error": "Send {id, to, text}."}')
        return self.answer(202, "application/json", json.dumps({"id": name}).encode())

    def keep_text(self, number: str, recipient: str, text: str) -> str:
        """Beside the mails, so that one page shows all; the same id again is the same file."""
        name = f"{len(list(self.folder.glob('*.eml'))) + 1:08d}-{hashlib.sha256(number.encode()).hexdigest()[:8]}"
        if known := next(self.folder.glob(f"*-{name.partition('-')[2]}.eml"), None):
            return known.stem
        mail = EmailMessage()
        mail["X-Envelope-From"], mail["X-Envelope-To"], mail["Subject"] = "texts", recipient, "Text message"
        mail["Message-ID"] = f"<{number}@texts>"
        mail.set_content(text)
        draft = self.folder / f"{name}.part"
        draft.write_bytes(mail.as_bytes())
        draft.rename(self.folder / f"{name}.eml")
        return name

    def messages(self, recipient: str, after: str) -> list[Path]:
        """In order of arrival."""
        files = sorted(file for file in self.folder.glob("*.eml") if file.stem > after)
        wanted = recipient.strip().lower()
        return [file for file in files if not wanted or wanted in map(str.lower, recipients(read(file)))]

    def facts(self, file: Path) -> dict[str, Any]:
        mail = read(file)
        return {
            "id": file.stem,
            "from": str(mail["X-Envelope-From"]),
            "to": recipients(mail),
            "subject": str(mail["Subject"] or ""),
            "message_id": str(mail["Message-ID"] or ""),
            "headers": [[name, str(value)] for name, value in mail.items()],
            "text": text_of(mail),
        }

    def listing(self, found: list[Path], wanted: str) -> bytes:
        newest = [(file, read(file)) for file in found[-NEWEST:][::-1]]
        rows = "".join(
            f"<tr><td>{escape(', '.join(recipients(mail)))}<td>"
            f"<a href='/{file.stem}'>{escape(str(mail['Subject'] or '(no subject)'))}</a>"
            f"<td>{escape(str(mail['Date'] or ''))}</tr>"
            for file, mail in newest
        )
        search = (
            f"<form><label>Recipient <input name=to value='{escape(wanted)}'></label> <button>Search</button></form>"
        )
        table = f"<table><tr><th>To<th>Subject<th>Date</tr>{rows}</table>"
        return document("Inbox", f"{search}<p>{len(found)} mails, newest first.</p>{table}")

    def mail(self, file: Path) -> bytes:
        mail = read(file)
        headers = escape("\n".join(f"{name}: {value}" for name, value in mail.items()))
        text = linked(text_of(mail))
        links = f"<p><a href='/'>All mails</a> · <a href='/{file.stem}.eml'>Source</a></p>"
        return document(str(mail["Subject"] or "(no subject)"), f"{links}<pre>{headers}</pre><pre>{text}</pre>")

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8" if kind.startswith("text/") else kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Who looked at which mail is nobody's business."""


def read(file: Path) -> EmailMessage:
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def recipients(mail: EmailMessage) -> list[str]:
    return [str(value) for value in mail.get_all("X-Envelope-To", [])]


def text_of(mail: EmailMessage) -> str:
    part = mail.get_body(preferencelist=("plain", "html"))
    return str(part.get_content()) if part is not None else ""


def linked(text: str) -> str:
    """Escaped, with addresses of pages to follow: a reader of the demonstration wants to unsubscribe."""
    pieces, end = [], 0
    for match in ADDRESS.finditer(text):
        pieces += [escape(text[end : match.start()]), f"<a href='{escape(match[0])}'>{escape(match[0])}</a>"]
        end = match.end()
    return "".join([*pieces, escape(text[end:])])


def document(title: str, body: str) -> bytes:
    head = f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(title)}</title><style>{STYLE}</style>"
    return f"{head}<h1>{escape(title)}</h1>{body}".encode()
