"""Waits for the first page and says where everything is."""

import json
import os
import time
import urllib.error
import urllib.request

from config.stack.folder import ROLES, Folder


def first_page(url: str, seconds: float) -> bool:
    """Whether the login page was served in time; a busy laptop may need a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/admin/login/", timeout=5) as answer:  # noqa: S310  our own address
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    return False


def words(folder: Folder, seconds: float) -> str:
    url, inbox = os.environ["PUBLIC_URL"], os.environ["INBOX_URL"]
    secrets = folder.secrets()
    lines = [
        "",
        f"Holdfast is ready ({seconds:.1f} s).",
        "",
        f"  Admin      {url}/admin/",
        *(f"             {role:<14} {secrets['demo'][role]}" for role in ROLES if os.environ["DEBUG"] == "1"),
        f"  API        {url}/api/v1/docs/",
        f"  Inbox      {inbox}/        every mail that is sent lands here",
    ]
    if key := secrets.get("service_key"):
        body = json.dumps(
            {
                "subject": {"email": "ada@example.org"},
                "purpose": "marketing",
                "channel": "email",
                "choice": "opt_out",
                "cause": "subject_choice",
            }
        )
        lines += [
            f"  Key        {key}",
            "",
            "Record an opt-out, and see its confirmation in the inbox:",
            "",
            f"  curl {url}/api/v1/decisions/ -H 'Authorization: Bearer {key}' \\",
            f"    -H 'Content-Type: application/json' -d '{body}'",
        ]
    return "\n".join([*lines, "", "Ctrl-C or 'make stop' ends it; the data stay in " + str(folder.path) + ".", ""])
