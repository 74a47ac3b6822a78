"""What people and services ask of the web, and how long they wait for it."""

import http.client
import json

PATIENCE = 30.0  # seconds; whoever has less says so


def ask(url, method, path, body=None, *, seconds=PATIENCE, **headers):
    """The status. Raises OSError where the answer takes longer."""
    client = http.client.HTTPConnection(url.removeprefix("http://"), timeout=seconds)
    try:
        client.request(method, path, body, headers)
        return client.getresponse().status
    finally:
        client.close()


def opt_out_of(url, key, people, **how):
    """All of them by one call."""
    about = {"purpose": "newsletter", "channel": "email", "choice": "opt_out", "cause": "subject_choice"}
    body = json.dumps({"decisions": [{"subject": {"email": person}, **about} for person in people]})
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return ask(url, "POST", "/api/v1/decisions/", body, **headers, **how)


def serves(url):
    try:
        return ask(url, "GET", "/readyz") == 200
    except OSError:
        return False
